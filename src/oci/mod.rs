//! Plans in the form of the OCI runtime specification (runtime-spec, config.md): for people and tools to
//! read. What the specification has no word for stands in annotations.
//!
//! Not here: plans from that form.
use oci_spec::runtime::Spec;
use serde_json::{Value, json};

use crate::plan::isolation::Isolation;
use crate::plan::limits::Limits;
use crate::plan::mount::{Mount, MountAccess, MountSource};
use crate::plan::process::Program;
use crate::plan::standard::{
    self, DEVICES, HOSTNAME, ID_BLOCK, MASKED_FILES, MASKED_FOLDERS, NAMESPACES, NETWORK_FILES, OOM_SCORE_ADJ,
    READ_ONLY, UMASK,
};
use crate::plan::{JOB_ID, Network, Plan, Profile};

/// The version of the specification that is written.
const VERSION: &str = "1.2.0";
/// What a period of the processor quota is (`cpu.max`, cgroup-v2.rst), microseconds.
const PERIOD_US: u64 = 100_000;

/// What a plan does not know and its sandbox had.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The id on the host that is 0 inside.
    pub first_id: Option<u32>,
    /// What kept it apart on its host.
    pub isolation: Isolation,
    /// Further annotations.
    pub annotations: Vec<(String, String)>,
}

/// The plan of a sandbox and its first program.
///
/// # Errors
/// When the specification's own types do not take it.
pub fn spec(plan: &Plan, program: &Program, facts: &Facts) -> Result<Spec, serde_json::Error> {
    let limits = &plan.limits;
    let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
    let words = |list: &[Vec<u8>]| list.iter().map(text).collect::<Vec<_>>();
    serde_json::from_value(json!({
        "ociVersion": VERSION,
        "root": {"path": "rootfs", "readonly": true},
        "hostname": HOSTNAME,
        "process": {
            "terminal": false,
            "user": {"uid": JOB_ID, "gid": JOB_ID, "umask": UMASK, "additionalGids": []},
            "args": words(&program.arguments),
            "env": words(&program.variables),
            "cwd": program.directory.as_str(),
            "capabilities": {"bounding": [], "effective": [], "inheritable": [], "permitted": [], "ambient": []},
            "rlimits": rlimits(limits),
            "noNewPrivileges": true,
            "oomScoreAdj": OOM_SCORE_ADJ,
        },
        "mounts": mounts(plan),
        "linux": {
            "namespaces": NAMESPACES.iter().map(|kind| json!({"type": kind})).collect::<Vec<_>>(),
            "uidMappings": id_map(facts.first_id),
            "gidMappings": id_map(facts.first_id),
            "devices": devices(),
            "resources": resources(limits),
            "seccomp": seccomp(plan.profile)?,
            "maskedPaths": paths(&[MASKED_FILES, MASKED_FOLDERS]),
            "readonlyPaths": paths(&[READ_ONLY]),
        },
        "annotations": annotations(plan, facts),
    }))
}

fn rlimits(limits: &Limits) -> Vec<Value> {
    let rows = standard::resource_limits_of(limits).into_iter().chain(standard::RESOURCE_LIMITS);
    rows.map(|row| json!({"type": row.name, "soft": row.soft, "hard": row.hard})).collect()
}

/// What is mounted beside the root, in the order in which it is.
fn mounts(plan: &Plan) -> Vec<Value> {
    let limits = &plan.limits;
    let size = format!("size={}", limits.temporary);
    let inodes = format!("nr_inodes={}", limits.temporary_inodes);
    let temporary = |target: &str| {
        json!({"destination": target, "type": "tmpfs", "source": "tmpfs",
            "options": ["rw", "nosuid", "nodev", size, inodes]})
    };
    let mut mounts = vec![
        json!({"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "nodev", "noexec"]}),
        json!({"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["ro", "nosuid", "noexec"]}),
        temporary("/dev/shm"),
        temporary("/tmp"),
    ];
    mounts.extend(plan.mounts.iter().map(mount));
    if plan.network == Network::Egress {
        let options = ["bind", "ro", "nosuid", "nodev", "noexec"];
        let file = |(name, target): &(&std::ffi::CStr, &str)| json!({"destination": target, "type": "bind", "source": name.to_string_lossy(), "options": options});
        mounts.extend(NETWORK_FILES.iter().map(file));
    }
    mounts
}

fn mount(mount: &Mount) -> Value {
    let (kind, source) = match &mount.source {
        MountSource::Temporary { .. } | MountSource::Tree { .. } => ("tmpfs", String::from("tmpfs")),
        MountSource::Image { digest } => ("bind", digest.to_string()),
        MountSource::HostRoot { index } => ("bind", format!("host-root:{index}")),
        MountSource::Descriptor { index } => ("bind", format!("descriptor:{index}")),
    };
    let access = match mount.access {
        MountAccess::ReadWrite => "rw",
        MountAccess::ReadOnly => "ro",
    };
    json!({"destination": mount.target.as_str(), "type": kind, "source": source, "options": [access, "nosuid", "nodev"]})
}

fn id_map(first: Option<u32>) -> Vec<Value> {
    first.map(|first| json!({"containerID": 0, "hostID": first, "size": ID_BLOCK})).into_iter().collect()
}

fn devices() -> Vec<Value> {
    let device = |&(name, major, minor): &(&str, u64, u64)| json!({"path": format!("/dev/{name}"), "type": "c", "major": major, "minor": minor, "fileMode": 0o666});
    DEVICES.iter().map(device).collect()
}

fn resources(limits: &Limits) -> Value {
    let quota = u64::from(limits.milli_cpus).saturating_mul(PERIOD_US) / 1000;
    json!({
        "memory": {"limit": limits.memory, "swap": limits.memory},
        "cpu": {"quota": quota, "period": PERIOD_US},
        // Init is one more.
        "pids": {"limit": u64::from(limits.processes).saturating_add(1)},
    })
}

fn seccomp(profile: Profile) -> Result<Value, serde_json::Error> {
    match profile {
        Profile::Job => serde_json::from_str(include_str!("../../seccomp-profiles/job.json")),
    }
}

fn paths(lists: &[&[&std::ffi::CStr]]) -> Vec<String> {
    lists.iter().copied().flatten().map(|path| format!("/{}", path.to_string_lossy())).collect()
}

fn annotations(plan: &Plan, facts: &Facts) -> Value {
    let limits = &plan.limits;
    let own = [
        ("kiln.limits.wall_us", limits.wall_us.to_string()),
        ("kiln.limits.cpu_time_us", limits.cpu_time_us.to_string()),
        ("kiln.cgroups", facts.isolation.cgroups.clone()),
    ];
    let landlock = facts.isolation.landlock.map(|version| ("kiln.landlock", version.to_string()));
    let network = (plan.network == Network::Egress).then(|| ("kiln.network", String::from("egress")));
    let own = own.into_iter().chain(landlock).chain(network).map(|(name, text)| (name.to_owned(), text));
    own.chain(facts.annotations.iter().cloned()).map(|(name, text)| (name, Value::String(text))).collect()
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::base::id::TreeId;
    use crate::plan::mount::{BoxPath, Root};
    use crate::plan::{Class, Lifetime, Stdio};

    fn plan() -> Plan {
        Plan {
            class: Class::Job,
            lifetime: Lifetime::WithMain,
            stdio: Stdio::Pipes,
            network: Network::Isolated,
            profile: Profile::Job,
            root: Root::Host,
            mounts: vec![Mount {
                source: MountSource::Tree { tree: TreeId(1) },
                target: BoxPath::try_from("/work").unwrap(),
                access: MountAccess::ReadWrite,
            }],
            limits: Limits {
                wall_us: 1_000_000,
                cpu_time_us: 2_000_000,
                milli_cpus: 500,
                memory: 64 << 20,
                processes: 16,
                open_files: 32,
                file_size: 1 << 20,
                temporary: 8 << 20,
                temporary_inodes: 100,
            },
        }
    }

    fn shown(facts: &Facts) -> Value {
        shown_of(&plan(), facts)
    }

    fn shown_of(plan: &Plan, facts: &Facts) -> Value {
        let program = Program {
            arguments: vec![b"/bin/true".to_vec()],
            variables: vec![b"A=\xff".to_vec()],
            directory: BoxPath::try_from("/work").unwrap(),
        };
        serde_json::to_value(spec(plan, &program, facts).unwrap()).unwrap()
    }

    #[test]
    fn every_limit_stands_where_the_specification_has_it() {
        let isolation = Isolation { cgroups: String::from("cgroup v2"), landlock: Some(7) };
        let spec = shown(&Facts { first_id: Some(0x4000_0000), isolation, annotations: vec![] });
        let resources = &spec["linux"]["resources"];
        assert_eq!(resources["memory"], json!({"limit": 64 << 20, "swap": 64 << 20}));
        assert_eq!(resources["cpu"]["quota"], 50_000);
        assert_eq!(resources["pids"]["limit"], 17);
        assert_eq!(spec["process"]["rlimits"][0], json!({"type": "RLIMIT_NOFILE", "hard": 32, "soft": 32}));
        assert_eq!(spec["annotations"]["kiln.limits.wall_us"], "1000000");
        assert_eq!(spec["annotations"]["kiln.cgroups"], "cgroup v2");
        assert_eq!(spec["annotations"]["kiln.landlock"], "7");
        let map = json!([{"hostID": 0x4000_0000, "containerID": 0, "size": 2048}]);
        assert_eq!((&spec["linux"]["uidMappings"], &spec["linux"]["gidMappings"]), (&map, &map));
        assert_eq!(spec["mounts"].as_array().unwrap().last().unwrap()["destination"], "/work");
    }

    #[test]
    fn what_a_job_with_network_has_beside_is_shown() {
        let spec = shown_of(&Plan { network: Network::Egress, ..plan() }, &Facts::default());
        assert_eq!(spec["annotations"]["kiln.network"], "egress");
        let targets: Vec<&Value> =
            spec["mounts"].as_array().unwrap().iter().map(|mount| &mount["destination"]).collect();
        assert!(targets.contains(&&json!("/etc/resolv.conf")) && targets.contains(&&json!("/etc/nsswitch.conf")));
        assert!(shown(&Facts::default())["annotations"].get("kiln.network").is_none());
    }

    #[test]
    fn a_job_has_no_capability_and_the_whole_filter() {
        let spec = shown(&Facts::default());
        for set in ["bounding", "effective", "inheritable", "permitted", "ambient"] {
            assert_eq!(spec["process"]["capabilities"][set], json!([]), "{set}");
        }
        assert_eq!(spec["process"]["noNewPrivileges"], true);
        assert_eq!(spec["linux"]["seccomp"]["defaultAction"], "SCMP_ACT_ERRNO");
        assert!(spec["linux"]["seccomp"]["syscalls"].as_array().unwrap().len() > 5);
        assert!(spec["linux"]["maskedPaths"].as_array().unwrap().contains(&json!("/proc/kcore")));
        assert_eq!(spec["linux"]["namespaces"].as_array().unwrap().len(), 8);
    }
}
