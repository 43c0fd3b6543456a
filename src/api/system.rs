//! Languages, status and probes.
use std::collections::BTreeMap;
use std::time::Duration;

use poem_openapi::{Enum, Object, OpenApi, Tags};

use crate::api::core::{Check, Condition};
use crate::api::error::{ApiError, Kind};
use crate::api::payload::JsonText;
use crate::api::state::ApiState;
use crate::api::view;
use crate::base::time::{go_duration, micros};
use crate::telemetry::times::{Bucket, Times};

/// When a probe that fails may be tried again.
const PROBE_AGAIN: Duration = Duration::from_secs(1);

#[derive(Tags)]
enum Tag {
    /// The installation itself
    System,
}

/// The operations on the installation.
#[derive(Debug)]
pub(super) struct System {
    pub(super) state: ApiState,
}

/// The languages of the installation.
#[derive(Debug, Object)]
struct LanguageList {
    /// Their ids, as a request names them, each once.
    languages: Vec<String>,
    /// The same with what is known of them, once for each image that has them.
    runtimes: Vec<Runtime>,
    /// When it was asked.
    timestamp: String,
}

/// A language and where it runs.
#[derive(Debug, Object)]
struct Runtime {
    /// Its id.
    language: String,
    /// Its name for people.
    name: String,
    /// Its other names in requests.
    aliases: Vec<String>,
    /// Its version; null where it is not known.
    #[oai(nullable)]
    version: Option<String>,
    /// Name of the file that `code` becomes.
    file: String,
    /// How its files end: `.c`.
    extensions: Vec<String>,
    /// Whether a compiler runs before the program.
    compiled: bool,
    /// Image that holds it; `host` are the host's own programs. Of several with the same language the first is taken
    /// where a request names none.
    image: String,
    /// SHA-256 of the image; null for `host`.
    #[oai(nullable)]
    digest: Option<String>,
}

/// What the installation does now. A figure that is not known is null.
#[derive(Debug, Object)]
#[oai(rename = "Status")]
struct StatusBody {
    /// Version of kiln.
    version: String,
    /// Time since its start, as Go writes it.
    uptime: String,
    /// Jobs that run.
    jobs_running: u64,
    /// Jobs that wait.
    jobs_queued: u64,
    /// Of all processors of the host, per cent.
    #[oai(nullable)]
    cpu_usage: Option<f64>,
    /// Memory of kiln and its jobs, MiB.
    #[oai(nullable)]
    memory_usage: Option<u64>,
    /// Disk space of kiln and its jobs, MiB.
    #[oai(nullable)]
    disk_usage: Option<u64>,
}

/// The answer of a probe.
#[derive(Debug, Object)]
struct Health {
    /// `healthy` or `ready`.
    status: String,
    /// When it was asked.
    timestamp: String,
}

/// How the installation is.
#[derive(Debug, Object)]
struct HealthDetail {
    /// How its worst part is.
    status: ConditionWord,
    /// When it was asked.
    timestamp: String,
    /// Version of kiln.
    version: String,
    /// Time since its start, as Go writes it.
    uptime: String,
    /// Each part by its name: `store`, `sandbox`, `queue`.
    checks: BTreeMap<String, PartHealth>,
    /// How long each part of a job took since the start, by its name.
    times: BTreeMap<String, PartTimes>,
}

/// How a part is.
#[derive(Debug, Object)]
struct PartHealth {
    /// How well it works.
    status: ConditionWord,
    /// What is wrong and what to do, or how it is used.
    message: String,
}

/// How long a part of a job took. Times are exact to some six per cent.
#[derive(Debug, Object)]
struct PartTimes {
    /// How often it was measured.
    count: u64,
    /// The arithmetic mean, microseconds.
    mean_us: u64,
    /// Half of them took no longer, microseconds.
    p50_us: u64,
    /// 95 of 100 took no longer, microseconds.
    p95_us: u64,
    /// 99 of 100 took no longer, microseconds.
    p99_us: u64,
    /// The longest, microseconds.
    max_us: u64,
    /// All that was measured, shortest first; what is not listed did not happen.
    buckets: Vec<TimeBucket>,
}

/// Times that are not told apart.
#[derive(Debug, Object)]
struct TimeBucket {
    /// The longest of them, microseconds.
    us: u64,
    /// How many there were.
    count: u64,
}

/// `degraded` works, but not for everybody or not for long.
#[derive(Clone, Copy, Debug, Enum)]
#[oai(rename = "Condition", rename_all = "lowercase")]
enum ConditionWord {
    Healthy,
    Degraded,
    Unhealthy,
}

impl From<Condition> for ConditionWord {
    fn from(condition: Condition) -> Self {
        match condition {
            Condition::Healthy => Self::Healthy,
            Condition::Degraded => Self::Degraded,
            Condition::Unhealthy => Self::Unhealthy,
        }
    }
}

impl From<Check> for PartHealth {
    fn from(check: Check) -> Self {
        Self { status: check.condition.into(), message: check.message }
    }
}

#[OpenApi(tag = "Tag::System")]
impl System {
    /// List the languages
    #[oai(path = "/v1/languages", method = "get", operation_id = "list_languages")]
    async fn languages(&self) -> Result<JsonText<LanguageList>, ApiError> {
        let offer = self.state.core.offer();
        let languages = offer.language_ids().into_iter().map(str::to_owned).collect();
        let runtimes = offer.languages.iter().cloned().map(|language| Runtime {
            language: language.id,
            name: language.name,
            aliases: language.aliases,
            version: language.version,
            file: language.file,
            extensions: language.extensions,
            compiled: language.reserved.is_some(),
            image: language.image.name().to_owned(),
            digest: language.image.digest().map(|digest| digest.to_string()),
        });
        let timestamp = view::moment(self.state.clock.now());
        Ok(JsonText(LanguageList { languages, runtimes: runtimes.collect(), timestamp }))
    }

    /// Show what the installation does
    #[oai(path = "/v1/status", method = "get", operation_id = "get_status")]
    async fn status(&self) -> Result<JsonText<StatusBody>, ApiError> {
        let (load, host) = (self.state.core.load(), self.state.core.host_usage());
        Ok(JsonText(StatusBody {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime: go_duration(self.state.uptime()),
            jobs_running: load.running,
            jobs_queued: load.queued,
            cpu_usage: host.cpu_percent,
            memory_usage: host.memory_mib,
            disk_usage: host.disk_mib,
        }))
    }

    /// Ask whether the daemon lives
    #[oai(path = "/healthz", method = "get", operation_id = "get_health")]
    async fn health(&self) -> Result<JsonText<Health>, ApiError> {
        Ok(self.healthy("healthy"))
    }

    /// Ask how every part is
    ///
    /// Always 200: `status` says how the worst part is, `/readyz` has a status code for it.
    #[oai(path = "/healthz/detail", method = "get", operation_id = "get_health_detail")]
    async fn health_detail(&self) -> Result<JsonText<HealthDetail>, ApiError> {
        let checks = self.state.core.checks();
        let worst = checks.iter().map(|check| check.condition).max().unwrap_or(Condition::Healthy);
        let check = |check: Check| (check.part.to_owned(), PartHealth::from(check));
        Ok(JsonText(HealthDetail {
            status: worst.into(),
            timestamp: view::moment(self.state.clock.now()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime: go_duration(self.state.uptime()),
            checks: checks.into_iter().map(check).collect(),
            times: self.state.core.times().into_iter().map(part_times).collect(),
        }))
    }

    /// Ask whether a job could run now
    #[oai(path = "/readyz", method = "get", operation_id = "get_readiness")]
    async fn readiness(&self) -> Result<JsonText<Health>, ApiError> {
        let checks = self.state.core.checks();
        let reasons = checks.into_iter().filter(|check| check.condition == Condition::Unhealthy);
        let reasons: Vec<String> = reasons.map(|check| format!("{}: {}", check.part, check.message)).collect();
        if reasons.is_empty() {
            return Ok(self.healthy("ready"));
        }
        Err(ApiError { retry_after: Some(PROBE_AGAIN), ..ApiError::new(Kind::Unavailable, reasons.join("; ")) })
    }
}

fn part_times((name, times): (&'static str, Times)) -> (String, PartTimes) {
    let bucket = |Bucket { us, count }: Bucket| TimeBucket { us, count };
    let times = PartTimes {
        count: times.count(),
        mean_us: micros(Duration::from_secs_f64(times.mean_us() / 1e6)),
        p50_us: times.percentile_us(50.0),
        p95_us: times.percentile_us(95.0),
        p99_us: times.percentile_us(99.0),
        max_us: times.max_us(),
        buckets: times.buckets().map(bucket).collect(),
    };
    (name.to_owned(), times)
}

impl System {
    fn healthy(&self, status: &str) -> JsonText<Health> {
        let timestamp = view::moment(self.state.clock.now());
        JsonText(Health { status: status.to_owned(), timestamp })
    }
}
