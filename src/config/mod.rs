//! Settings: defaults, one YAML file, the environment, the command line; typed, nothing missing.
//!
//! ```text
//! table ─┬─> names ───> layers (text -> value, each with its place) ──> read ──> Config
//!        ├─> default file, docs/CONFIG.md (render)                         └──> check: warnings, refusals
//!        └─> kind: what is expected
//! ```
//!
//! [`table`] is the only list of settings. Every fault is reported at once, with its key and the line,
//! variable or flag that it comes from. A configuration that loads may still be one that nobody should
//! serve: [`Config::refusals`] says why.
//! Not here: the process's own environment and arguments (`cli` gathers them).
mod check;
pub mod fault;
pub mod kind;
pub mod layers;
pub mod names;
mod policy;
mod read;
pub mod render;
pub mod secret;
pub mod table;
mod units;
pub mod value;
mod yaml;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::base::size::ByteSize;
use crate::config::fault::ConfigFaults;
use crate::config::layers::{Setting, Sources};
use crate::config::secret::Secret;
use crate::job::limits::Policy;
use crate::plan::network;

/// Name of the spawner's program, which lies beside the server's.
pub const SPAWNER: &str = "kiln-spawner";

/// All settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// Everything that outlives the daemon is in here.
    pub data_dir: PathBuf,
    /// The operator's languages are in here.
    pub languages_dir: PathBuf,
    /// What is logged, and how.
    pub log: Log,
    /// The HTTP side.
    pub api: Api,
    /// The root side.
    pub sandbox: Sandbox,
    /// The network of jobs.
    pub network: Network,
    settings: Vec<Setting>,
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
    /// Local socket to listen on, where there is one.
    pub socket: Option<PathBuf>,
    /// Group whose members may use it.
    pub socket_group: String,
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
    /// Sandboxes that are prepared before a job asks.
    pub ready: u32,
    /// The server runs as this user.
    pub user: String,
    /// The server's uid and gid where there is no such user.
    pub uid: u32,
}

/// The network of jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Whether a job gets it.
    pub egress: bool,
    /// What is reached; where it names no name server, the host's are meant.
    pub policy: network::Policy,
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
    pub fn load(sources: &Sources) -> Result<Self, ConfigFaults> {
        let mut faults = ConfigFaults::default();
        let settings = layers::gather(sources, &mut faults);
        if !faults.is_empty() {
            return Err(faults);
        }
        let mut config = read::config(settings, &sources.executable)?;
        config.warnings = check::warnings(&config);
        Ok(config)
    }

    /// Limits that a job gets and may ask for (contract rule 21).
    pub const fn policy(&self) -> Policy {
        self.api.job.policy
    }

    /// Every setting with its value and where that comes from, in the order of the table.
    pub fn settings(&self) -> &[Setting] {
        &self.settings
    }

    /// Settings that have not the effect that one might think.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Why nothing may be served with these settings; empty when it may.
    pub fn refusals(&self) -> ConfigFaults {
        check::refusals(self)
    }

    /// Where to listen.
    pub const fn listen(&self) -> SocketAddr {
        SocketAddr::new(self.api.host, self.api.port)
    }
}

#[cfg(test)]
mod test;
