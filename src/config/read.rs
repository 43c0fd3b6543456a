//! From the table's values to [`Config`], each taken once under its type.
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use crate::base::size::ByteSize;
use crate::config::fault::{ConfigFaults, Place};
use crate::config::layers::Setting;
use crate::config::secret::Secret;
use crate::config::value::Value;
use crate::config::{
    Api, Auth, Config, Job, Log, LogFormat, Method, Network, RateLimit, SPAWNER, Sandbox, Security, Tls, policy,
};
use crate::job::limits::Limits;
use crate::plan::network::Policy;
use crate::plan::prefix::Prefix;

const DAY_SECONDS: u64 = 86_400;

/// The configuration of these settings.
///
/// # Errors
/// When the table and this file do not have the same keys of the same types.
pub(super) fn config(settings: Vec<Setting>, executable: &Path) -> Result<Config, ConfigFaults> {
    let mut values = Values::new(&settings);
    let config = all(&mut values, executable);
    let unread = values.left.keys().map(|path| (*path, "is read by nobody"));
    let mismatches: Vec<_> = values.mismatches.iter().copied().chain(unread).collect();
    let mut faults = ConfigFaults::default();
    for (path, message) in mismatches {
        faults.add(path, message, &Place::Default);
    }
    match config {
        Some(config) if faults.is_empty() => Ok(Config { settings, ..config }),
        Some(_) | None => Err(faults),
    }
}

fn all(values: &mut Values, executable: &Path) -> Option<Config> {
    Some(Config {
        data_dir: values.path("data_dir")?,
        languages_dir: values.path("languages_dir")?,
        log: Log { filter: values.text("log")?, format: log_format(values)? },
        api: api(values)?,
        sandbox: sandbox(values, executable)?,
        network: network(values)?,
        settings: Vec::new(),
        warnings: Vec::new(),
    })
}

fn log_format(values: &mut Values) -> Option<LogFormat> {
    match values.text("log_format")?.as_str() {
        "human" => Some(LogFormat::Human),
        "json" => Some(LogFormat::Json),
        _unknown => values.mismatch("log_format"),
    }
}

fn api(values: &mut Values) -> Option<Api> {
    Some(Api {
        host: values.address("api.host")?,
        port: u16::try_from(values.count("api.port")?).ok()?,
        socket: values.optional_path("api.socket"),
        socket_group: values.text("api.socket_group")?,
        tls: Tls {
            enabled: values.switch("api.tls.enabled")?,
            cert_file: values.optional_path("api.tls.cert_file"),
            key_file: values.optional_path("api.tls.key_file"),
        },
        auth: Auth {
            enabled: values.switch("api.auth.enabled")?,
            methods: methods(values)?,
            jwt_secret: values.secret("api.auth.jwt_secret"),
            allow_unauthenticated_remote: values.switch("api.auth.allow_unauthenticated_remote")?,
        },
        rate_limit: rate_limit(values)?,
        job: job(values)?,
        security: Security {
            cors_origins: values.words("api.security.cors_origins")?,
            request_timeout: values.seconds("api.security.request_timeout")?,
            max_request_size: values.byte_size("api.security.max_request_size")?,
        },
    })
}

fn methods(values: &mut Values) -> Option<Vec<Method>> {
    const KEY: &str = "api.auth.method";
    let words = values.words(KEY)?;
    let mut methods = Vec::new();
    for word in words {
        methods.push(match word.as_str() {
            "api_key" => Method::ApiKey,
            "jwt" => Method::Jwt,
            "oauth2" => Method::OAuth2,
            "certificate" => Method::Certificate,
            _unknown => return values.mismatch(KEY),
        });
    }
    Some(methods)
}

fn rate_limit(values: &mut Values) -> Option<RateLimit> {
    Some(RateLimit {
        enabled: values.switch("api.rate_limit.enabled")?,
        requests_per_hour: values.count("api.rate_limit.requests_per_hour")?,
        requests_per_minute: values.count("api.rate_limit.requests_per_minute")?,
        requests_per_ip_per_hour: values.count("api.rate_limit.requests_per_ip_per_hour")?,
        global_requests_per_minute: values.count("api.rate_limit.global_requests_per_minute")?,
    })
}

fn job(values: &mut Values) -> Option<Job> {
    let ceiling = Limits {
        wall: values.seconds("api.job.max_timeout")?,
        cpu_time: values.seconds("api.job.max_cpu_time")?,
        milli_cpus: values.milli_cpus("api.job.max_cpus")?,
        memory: values.mebibytes("api.job.max_memory")?,
        processes: values.count("api.job.max_processes")?,
        open_files: values.count("api.job.max_open_files")?,
        file_size: values.mebibytes("api.job.max_file_size")?,
        disk: values.mebibytes("api.job.max_disk")?,
        output: values.mebibytes("api.job.max_output")?,
        compile_wall: values.seconds("api.job.max_compile_timeout")?,
        compile_memory: values.mebibytes("api.job.max_compile_memory")?,
    };
    let days = u64::from(values.count("api.job.retention_days")?);
    Some(Job {
        max_concurrent: values.count("api.job.max_concurrent")?,
        max_queued: values.count("api.job.max_queued")?,
        retention: Duration::from_secs(days * DAY_SECONDS),
        policy: policy::under(ceiling),
    })
}

fn sandbox(values: &mut Values, executable: &Path) -> Option<Sandbox> {
    let beside = || executable.with_file_name(SPAWNER);
    Some(Sandbox {
        ready: values.count("sandbox.ready")?,
        spawner_path: values.optional_path("sandbox.spawner_path").unwrap_or_else(beside),
        spawner_socket: values.optional_path("sandbox.spawner_socket"),
        user: values.text("sandbox.user")?,
        uid: values.count("sandbox.uid")?,
    })
}

fn network(values: &mut Values) -> Option<Network> {
    Some(Network {
        egress: values.switch("network.egress")?,
        policy: Policy {
            subnet: values.prefix("network.subnet")?,
            subnet6: values.optional_prefix("network.subnet6"),
            dns: values.hosts("network.dns")?,
            allow: values.hosts("network.allow")?,
            deny: values.hosts("network.deny")?,
            bandwidth: values.byte_size("network.bandwidth")?.bytes(),
            connections: values.count("network.connections")?,
        },
    })
}

/// Values that nobody took yet, and what did not fit.
struct Values {
    left: BTreeMap<&'static str, Value>,
    mismatches: Vec<(&'static str, &'static str)>,
}

/// One method for each type of [`Value`].
macro_rules! taken_as {
    ($($name:ident: $variant:ident -> $type:ty;)+) => {$(
        fn $name(&mut self, path: &'static str) -> Option<$type> {
            match self.left.remove(path) {
                Some(Value::$variant(value)) => Some(value),
                Some(_) | None => self.mismatch(path),
            }
        }
    )+};
}

impl Values {
    fn new(settings: &[Setting]) -> Self {
        let left = settings.iter().map(|setting| (setting.key.path, setting.value.clone()));
        Self { left: left.collect(), mismatches: Vec::new() }
    }

    taken_as! {
        switch: Switch -> bool;
        count: Count -> u32;
        seconds: Seconds -> Duration;
        mebibytes: Mebibytes -> ByteSize;
        milli_cpus: Processors -> u32;
        byte_size: Bytes -> ByteSize;
        address: Address -> IpAddr;
        text: Text -> String;
        path: Path -> PathBuf;
        words: Words -> Vec<String>;
        prefix: Prefix -> Prefix;
        some_secret: Secret -> Secret;
    }

    /// A mismatch is noted, and no configuration comes of it.
    fn optional_path(&mut self, path: &'static str) -> Option<PathBuf> {
        if self.is_nothing(path) { None } else { self.path(path) }
    }

    fn optional_prefix(&mut self, path: &'static str) -> Option<Prefix> {
        if self.is_nothing(path) { None } else { self.prefix(path) }
    }

    fn hosts<T: FromStr>(&mut self, path: &'static str) -> Option<Vec<T>> {
        let parsed: Option<Vec<T>> = self.words(path)?.iter().map(|word| word.parse().ok()).collect();
        parsed.or_else(|| self.mismatch(path))
    }

    fn secret(&mut self, path: &'static str) -> Option<Secret> {
        if self.is_nothing(path) { None } else { self.some_secret(path) }
    }

    fn is_nothing(&mut self, path: &str) -> bool {
        let nothing = self.left.get(path) == Some(&Value::Nothing);
        if nothing {
            self.left.remove(path);
        }
        nothing
    }

    fn mismatch<T>(&mut self, path: &'static str) -> Option<T> {
        self.mismatches.push((path, "is not of the type that the program reads"));
        None
    }
}
