//! Languages, status and probes.
use std::time::Duration;

use poem_openapi::{Object, OpenApi, Tags};

use crate::api::error::{ApiError, Kind};
use crate::api::payload::JsonText;
use crate::api::state::ApiState;
use crate::api::view;
use crate::base::time::go_duration;

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
    /// Their ids, as a request names them.
    languages: Vec<String>,
    /// The same with what is known of them.
    runtimes: Vec<Runtime>,
    /// When it was asked.
    timestamp: String,
}

/// A language and where it runs.
#[derive(Debug, Object)]
struct Runtime {
    /// Its id.
    language: String,
    /// Its other names.
    aliases: Vec<String>,
    /// Its version; null where it is not known.
    #[oai(nullable)]
    version: Option<String>,
    /// Image that holds it.
    image: String,
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

#[OpenApi(tag = "Tag::System")]
impl System {
    /// List the languages
    #[oai(path = "/v1/languages", method = "get", operation_id = "list_languages")]
    async fn languages(&self) -> Result<JsonText<LanguageList>, ApiError> {
        let known = self.state.core.languages();
        let languages = known.iter().map(|language| language.id.clone()).collect();
        let runtimes = known.into_iter().map(|language| Runtime {
            language: language.id,
            aliases: language.aliases,
            version: language.version,
            image: String::from("host"),
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

    /// Ask whether a job could run now
    #[oai(path = "/readyz", method = "get", operation_id = "get_readiness")]
    async fn readiness(&self) -> Result<JsonText<Health>, ApiError> {
        match self.state.core.ready() {
            Ok(()) => Ok(self.healthy("ready")),
            Err(reason) => Err(ApiError { retry_after: Some(PROBE_AGAIN), ..ApiError::new(Kind::Unavailable, reason) }),
        }
    }
}

impl System {
    fn healthy(&self, status: &str) -> JsonText<Health> {
        let timestamp = view::moment(self.state.clock.now());
        JsonText(Health { status: status.to_owned(), timestamp })
    }
}
