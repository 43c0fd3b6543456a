//! Settings: defaults, then one YAML file, then the environment; typed, nothing missing.
//!
//! Every fault is reported at once, with its key and the file or variable that it comes from.
//! `defaults.yaml` is the list of all settings and their documentation. A configuration that
//! loads may still be one that nobody should serve: [`Config::refusals`] says why.
//! Not here: the process's own environment and arguments (`cli` gathers them).
mod check;
pub mod layers;
pub mod names;
mod policy;
mod read;
pub mod secret;
mod units;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::base::fault::Faults;
use crate::base::size::ByteSize;
use crate::config::layers::Sources;
use crate::config::read::Reader;
use crate::config::secret::Secret;
use crate::job::limits::{Limits, Policy};

/// Name of the spawner's program, which lies beside the server's.
pub const SPAWNER: &str = "kiln-spawner";

/// All settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// Everything that outlives the daemon is in here.
    pub data_dir: PathBuf,
    /// What is logged, and how.
    pub log: Log,
    /// The HTTP side.
    pub api: Api,
    /// The root side.
    pub sandbox: Sandbox,
    warnings: Vec<Warning>,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// A filter as `tracing` has it.
    pub filter: String,
    /// The shape of a line.
    pub format: LogFormat,
}

/// The shape of a line of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// The HTTP side.
#[derive(Clone, Debug)]
pub struct Api {
    /// Address to listen on.
    pub host: IpAddr,
    /// Port to listen on; 0 lets the kernel choose.
    pub port: u16,
    /// Encryption.
    pub tls: Tls,
    /// Identity.
    pub auth: Auth,
    /// Rate limits.
    pub rate_limit: RateLimit,
    /// Jobs.
    pub job: Job,
    /// Bounds on requests.
    pub security: Security,
}

/// Encryption of the listening socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Whether it is on.
    pub enabled: bool,
    /// Certificate chain.
    pub cert_file: Option<PathBuf>,
    /// Key.
    pub key_file: Option<PathBuf>,
}

/// Who may do something.
#[derive(Clone, Debug)]
pub struct Auth {
    /// Whether anybody is asked; if not, every request is an administrator's.
    pub enabled: bool,
    /// Accepted methods, each once.
    pub methods: Vec<Method>,
    /// For HS256, where one is set.
    pub jwt_secret: Option<Secret>,
    /// Whether to listen on an address that others reach although nobody is asked.
    pub allow_unauthenticated_remote: bool,
}

/// A way to say who one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// A key.
    ApiKey,
    /// A JSON web token.
    Jwt,
    /// A bearer token of an issuer.
    OAuth2,
    /// A client certificate.
    Certificate,
}

/// Rate limits (contract rule 25).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Whether they are wanted.
    pub enabled: bool,
    /// A key's requests in an hour.
    pub requests_per_hour: u32,
    /// A key's requests in a minute.
    pub requests_per_minute: u32,
    /// An address's requests without a credential in an hour.
    pub requests_per_ip_per_hour: u32,
    /// Everybody's requests in a minute.
    pub global_requests_per_minute: u32,
}

/// Settings of jobs beside their limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// Jobs that run at once.
    pub max_concurrent: u32,
    /// Jobs that wait.
    pub max_queued: u32,
    /// How long an ended job is kept.
    pub retention: Duration,
    policy: Policy,
}

/// Bounds on requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Security {
    /// Origins that a browser may come from.
    pub cors_origins: Vec<String>,
    /// In this time a request must have arrived.
    pub request_timeout: Duration,
    /// Largest body.
    pub max_request_size: ByteSize,
}

/// The root side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sandbox {
    /// The program that makes sandboxes.
    pub spawner_path: PathBuf,
    /// Where a spawner listens that is not started by the server.
    pub spawner_socket: Option<PathBuf>,
    /// The server runs as this user.
    pub user: String,
    /// The server's uid and gid where there is no such user.
    pub uid: u32,
}

/// A setting that has not the effect that one might think.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Its key.
    pub key: String,
    /// What is the case, and what to do.
    pub message: String,
}

impl Config {
    /// Loads the settings.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn load(sources: &Sources) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let layers = layers::merge(sources, &mut faults);
        let mut reader = Reader::new(&layers, &mut faults);
        let mut config = read(&mut reader, &sources.executable);
        config.warnings = check::warnings(&config, &layers);
        config.warnings.extend(check::overridden(sources, &layers));
        if faults.is_empty() { Ok(config) } else { Err(faults) }
    }

    /// Limits that a job gets and may ask for (contract rule 21).
    pub const fn policy(&self) -> Policy {
        self.api.job.policy
    }

    /// Settings that have not the effect that one might think.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Why nothing may be served with these settings; empty when it may.
    pub fn refusals(&self) -> Faults {
        check::refusals(self)
    }

    /// Where to listen.
    pub const fn listen(&self) -> SocketAddr {
        SocketAddr::new(self.api.host, self.api.port)
    }
}

fn read(reader: &mut Reader<'_>, executable: &Path) -> Config {
    Config {
        data_dir: absolute_path(reader, "data_dir"),
        log: Log { filter: reader.text("log"), format: log_format(reader) },
        api: api(reader),
        sandbox: sandbox(reader, executable),
        warnings: Vec::new(),
    }
}

fn absolute_path(reader: &mut Reader<'_>, key: &str) -> PathBuf {
    let path = PathBuf::from(reader.text(key));
    if !path.is_absolute() {
        reader.refuse(key, "an absolute path is expected");
    }
    path
}

fn optional_path(reader: &mut Reader<'_>, key: &str) -> Option<PathBuf> {
    let path = PathBuf::from(reader.optional_text(key)?);
    if !path.is_absolute() {
        reader.refuse(key, "an absolute path is expected");
    }
    Some(path)
}

fn log_format(reader: &mut Reader<'_>) -> LogFormat {
    match reader.text("log_format").as_str() {
        "human" => LogFormat::Human,
        "json" => LogFormat::Json,
        other => {
            reader.refuse("log_format", &format!("human or json is expected, not \"{other}\""));
            LogFormat::Human
        }
    }
}

fn api(reader: &mut Reader<'_>) -> Api {
    let host = reader.address("api.host");
    let port = reader.count("api.port", 0, u32::from(u16::MAX));
    Api {
        host,
        port: u16::try_from(port).unwrap_or(0),
        tls: Tls {
            enabled: reader.switch("api.tls.enabled"),
            cert_file: optional_path(reader, "api.tls.cert_file"),
            key_file: optional_path(reader, "api.tls.key_file"),
        },
        auth: Auth {
            enabled: reader.switch("api.auth.enabled"),
            methods: methods(reader),
            jwt_secret: reader.secret("api.auth.jwt_secret"),
            allow_unauthenticated_remote: reader.switch("api.auth.allow_unauthenticated_remote"),
        },
        rate_limit: rate_limit(reader),
        job: job(reader),
        security: Security {
            cors_origins: reader.words("api.security.cors_origins"),
            request_timeout: reader.seconds("api.security.request_timeout"),
            max_request_size: reader.byte_size("api.security.max_request_size"),
        },
    }
}

fn methods(reader: &mut Reader<'_>) -> Vec<Method> {
    const KEY: &str = "api.auth.method";
    let mut methods = Vec::new();
    for word in reader.words(KEY) {
        let method = match word.as_str() {
            "api_key" => Method::ApiKey,
            "jwt" => Method::Jwt,
            "oauth2" => Method::OAuth2,
            "certificate" => Method::Certificate,
            other => {
                let known = "api_key, jwt, oauth2 and certificate";
                reader.refuse(KEY, &format!("\"{other}\" is unknown; there are {known}"));
                continue;
            }
        };
        if !methods.contains(&method) {
            methods.push(method);
        }
    }
    methods
}

fn rate_limit(reader: &mut Reader<'_>) -> RateLimit {
    let mut count = |key| reader.count(key, 1, u32::MAX);
    let requests_per_hour = count("api.rate_limit.requests_per_hour");
    let requests_per_minute = count("api.rate_limit.requests_per_minute");
    let requests_per_ip_per_hour = count("api.rate_limit.requests_per_ip_per_hour");
    let global_requests_per_minute = count("api.rate_limit.global_requests_per_minute");
    RateLimit {
        enabled: reader.switch("api.rate_limit.enabled"),
        requests_per_hour,
        requests_per_minute,
        requests_per_ip_per_hour,
        global_requests_per_minute,
    }
}

fn job(reader: &mut Reader<'_>) -> Job {
    let ceiling = Limits {
        wall: reader.seconds("api.job.max_timeout"),
        cpu_time: reader.seconds("api.job.max_cpu_time"),
        milli_cpus: reader.milli_cpus("api.job.max_cpus"),
        memory: reader.mebibytes("api.job.max_memory", policy::LEAST_MEMORY_MIB),
        processes: reader.count("api.job.max_processes", 1, 1 << 22),
        open_files: reader.count("api.job.max_open_files", 16, 1 << 20),
        file_size: reader.mebibytes("api.job.max_file_size", 1),
        disk: reader.mebibytes("api.job.max_disk", 1),
        output: reader.mebibytes("api.job.max_output", 1),
        compile_wall: reader.seconds("api.job.max_compile_timeout"),
        compile_memory: reader.mebibytes("api.job.max_compile_memory", policy::LEAST_MEMORY_MIB),
    };
    let days = reader.count("api.job.retention_days", 1, 36_500);
    Job {
        max_concurrent: reader.count("api.job.max_concurrent", 1, 500),
        max_queued: reader.count("api.job.max_queued", 1, 1_000_000),
        retention: Duration::from_secs(u64::from(days) * 86_400),
        policy: policy::under(ceiling),
    }
}

fn sandbox(reader: &mut Reader<'_>, executable: &Path) -> Sandbox {
    let beside = || executable.with_file_name(SPAWNER);
    Sandbox {
        spawner_path: optional_path(reader, "sandbox.spawner_path").unwrap_or_else(beside),
        spawner_socket: optional_path(reader, "sandbox.spawner_socket"),
        user: reader.text("sandbox.user"),
        uid: reader.count("sandbox.uid", 1, u32::MAX - 2),
    }
}

#[cfg(test)]
mod test;
