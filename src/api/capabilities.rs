//! `GET /v1/capabilities`: what a client may ask this installation for.
use poem_openapi::{Object, OpenApi, Tags};

use crate::api::amount::Amount;
use crate::api::core::Core;
use crate::api::error::ApiError;
use crate::api::payload::JsonText;
use crate::api::state::ApiState;
use crate::job::limits::Limits;
use crate::job::request::files::FILES_AT_MOST;

#[derive(Tags)]
enum Tag {
    /// The installation itself
    System,
}

/// The operation on capabilities.
#[derive(Debug)]
pub(super) struct Capabilities {
    pub(super) state: ApiState,
}

/// What the installation can do.
#[derive(Debug, Object)]
#[oai(rename = "Capabilities")]
struct CapabilitiesBody {
    /// Version of kiln.
    version: String,
    /// Versions of the API.
    api_versions: Vec<String>,
    /// Processor that programs are run on.
    architecture: String,
    /// Release of the kernel; null where it cannot be read.
    #[oai(nullable)]
    kernel: Option<String>,
    /// What keeps jobs apart. All of it is in force for every job: what cannot be had is refused.
    isolation: Isolation,
    /// Images that a request may name.
    images: Vec<String>,
    /// Every limit of a job, by the member of a request that sets it.
    limits: Vec<LimitRange>,
    /// How much at once.
    capacity: Capacity,
    /// What a request may ask for beside limits.
    features: Features,
}

/// What keeps jobs apart.
#[derive(Debug, Object)]
pub(super) struct Isolation {
    /// Namespaces of a sandbox (namespaces(7)): its own, but for `time`, which the sandboxes of a daemon share.
    namespaces: Vec<String>,
    /// How limits are put in force: `cgroup v1`, `cgroup v2`.
    cgroups: String,
    /// Name of the seccomp profile.
    seccomp_profile: String,
    /// Version of Landlock's interface, a second wall around files; null where the kernel has none that can be used.
    #[oai(nullable)]
    landlock: Option<u32>,
    /// Whether set-user-id programs and file capabilities gain nothing (`PR_SET_NO_NEW_PRIVS`).
    no_new_privileges: bool,
    /// Capabilities of a job (capabilities(7)).
    capabilities: Vec<String>,
}

/// A limit.
#[derive(Debug, Object)]
struct LimitRange {
    /// The member of a request that sets it.
    name: String,
    /// Its unit; empty for a plain number.
    unit: String,
    /// What applies when nothing is asked for.
    default: Amount,
    /// What may be asked for at most.
    ceiling: Amount,
}

/// How much at once.
#[derive(Debug, Object)]
struct Capacity {
    /// Jobs that run at the same time.
    running_jobs: u64,
    /// Jobs that wait; a further one is answered 503.
    queued_jobs: u64,
    /// Bytes of a request's body.
    request_bytes: u64,
    /// Files of a program.
    files: u64,
}

/// What a request may ask for.
#[derive(Debug, Object)]
struct Features {
    /// Whether `network_access` may be true.
    network_access: bool,
    /// Whether a program may have several files.
    files: bool,
}

#[OpenApi(tag = "Tag::System")]
impl Capabilities {
    /// Show what the installation can do
    #[oai(path = "/v1/capabilities", method = "get", operation_id = "get_capabilities")]
    async fn capabilities(&self) -> Result<JsonText<CapabilitiesBody>, ApiError> {
        let state = &self.state;
        let host = state.core.host();
        Ok(JsonText(CapabilitiesBody {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            api_versions: words(&["v1"]),
            architecture: std::env::consts::ARCH.to_owned(),
            kernel: host.kernel,
            isolation: Isolation::of(state.core.as_ref()),
            images: state.core.offer().image_names().map(str::to_owned).collect(),
            limits: limits(&state.policy.default, &state.policy.ceiling),
            capacity: Capacity {
                running_jobs: host.max_concurrent,
                queued_jobs: host.max_queued,
                request_bytes: state.settings.max_request_size.bytes(),
                files: u64::try_from(FILES_AT_MOST).unwrap_or(u64::MAX),
            },
            features: Features { network_access: state.settings.network_access, files: true },
        }))
    }
}

impl Isolation {
    /// What is in force for every job.
    pub(super) fn of(core: &dyn Core) -> Self {
        let found = core.host().isolation;
        Self {
            namespaces: words(&["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"]),
            cgroups: found.cgroups,
            landlock: found.landlock,
            seccomp_profile: String::from("job"),
            no_new_privileges: true,
            capabilities: Vec::new(),
        }
    }
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|word| (*word).to_owned()).collect()
}

fn limits(default: &Limits, ceiling: &Limits) -> Vec<LimitRange> {
    type Get = fn(&Limits) -> Amount;
    let rows: [(&str, &str, Get); 11] = [
        ("timeout", "s", |limits| Amount::seconds(limits.wall)),
        ("memory_limit", "MiB", |limits| Amount::mib(limits.memory)),
        ("limits.cpu_time", "s", |limits| Amount::seconds(limits.cpu_time)),
        ("limits.cpus", "", |limits| Amount::thousandths(limits.milli_cpus)),
        ("limits.processes", "", |limits| Amount::count(limits.processes)),
        ("limits.open_files", "", |limits| Amount::count(limits.open_files)),
        ("limits.file_size", "MiB", |limits| Amount::mib(limits.file_size)),
        ("limits.disk", "MiB", |limits| Amount::mib(limits.disk)),
        ("limits.output", "MiB", |limits| Amount::mib(limits.output)),
        ("limits.compile_timeout", "s", |limits| Amount::seconds(limits.compile_wall)),
        ("limits.compile_memory", "MiB", |limits| Amount::mib(limits.compile_memory)),
    ];
    let row = |(name, unit, get): (&str, &str, Get)| LimitRange {
        name: name.to_owned(),
        unit: unit.to_owned(),
        default: get(default),
        ceiling: get(ceiling),
    };
    rows.map(row).into()
}
