//! The messages between server and spawner, each read by the side that does not trust its writer.
use kiln::base::digest::Digest;
use kiln::base::id::{ProcessId, SandboxId, TreeId};
use kiln::oci;
use kiln::plan::ceiling::{self, Refusal};
use kiln::plan::isolation::Isolation;
use kiln::plan::mount::{BoxPath, Mount, MountAccess, MountSource, Root};
use kiln::plan::network::Policy;
use kiln::plan::process::Program;
use kiln::plan::{Class, Lifetime, Network, Plan, Profile, Stdio};
use kiln::wire::MAX_MESSAGE;
use kiln::wire::reply::{Cause, Counters, Reply};
use kiln::wire::request::{LABEL, Request, Start};

use crate::memory;

/// What a message of so many bytes may need: a mount takes ten bytes in a message and seventy in memory.
fn bound(message: &[u8]) -> usize {
    32 * message.len() + 4096
}

/// As the spawner reads what a hostile server says: a message has one form, and what its ceilings let through has their
/// bounds.
pub(crate) fn request(bytes: &[u8]) {
    let message = bytes.get(..MAX_MESSAGE).unwrap_or(bytes);
    let Ok(request) = memory::within(bound(message), || Request::decode(message)) else { return };
    assert_eq!(request.encode(), message, "{request:?} is not the only form of itself");
    if let Request::Start(start) = &request {
        if ceiling::check(&start.plan).is_ok() {
            admitted(&start.plan);
            shown(&start.plan);
        }
    }
}

/// What the spawner would begin to build.
fn admitted(plan: &Plan) {
    assert!(plan.mounts.len() <= ceiling::MOUNTS);
    assert!(plan.mounts.iter().all(|mount| matches!(mount.source, MountSource::Tree { .. })));
    assert_eq!((plan.class, plan.lifetime, plan.stdio), (Class::Job, Lifetime::WithMain, Stdio::Pipes));
    assert_ne!(plan.network, Network::Attached);
    let rows = plan.limits.named().into_iter().zip(ceiling::JOB.named()).zip(ceiling::FLOOR.named());
    for (((name, asked), (_, most)), (_, least)) in rows {
        assert!(least <= asked && asked <= most, "{name}");
    }
    for mount in &plan.mounts {
        assert!(mount.target.below_root().split('/').all(|name| !matches!(name, "" | "." | "..")));
    }
}

/// Such a plan has a form in OCI's own types, and comes back from its text.
fn shown(plan: &Plan) {
    let directory = BoxPath::try_from("/work").expect("a path");
    let program = Program { arguments: vec![b"\xff".to_vec()], variables: Vec::new(), directory };
    let facts = oci::Facts { first_id: Some(u32::MAX), ..oci::Facts::default() };
    let spec = oci::spec(plan, &program, &facts).expect("a plan has a form in OCI");
    let text = serde_json::to_string(&spec).expect("it has a text");
    let again: oci_spec::runtime::Spec = serde_json::from_str(&text).expect("the text is read");
    assert_eq!(again, spec);
}

/// As the server reads what the spawner says.
pub(crate) fn reply(bytes: &[u8]) {
    let message = bytes.get(..MAX_MESSAGE).unwrap_or(bytes);
    let Ok(reply) = memory::within(bound(message), || Reply::decode(message)) else { return };
    assert_eq!(reply.encode(), message, "{reply:?} is not the only form of itself");
    if let Reply::Ended { counters, .. } = &reply {
        assert_eq!(counters.since(&Counters::default()), *counters);
        assert_eq!(counters.since(counters).cpu_user_us.unwrap_or(0), 0);
    }
}

/// A message of each kind.
pub(crate) fn request_seeds() -> Vec<Vec<u8>> {
    let (sandbox, process, tree) = (SandboxId(1), ProcessId(2), TreeId(7));
    let messages = [
        Request::Hello { ready: 8 },
        Request::MakeTree { tree, bytes: 2, inodes: 3, root: Root::Host },
        Request::MakeTree { tree, bytes: 2, inodes: 3, root: Root::Image { digest: Digest([2; 32]) } },
        Request::DropTag { removal: 1, file: String::from("python:3.13") },
        Request::DropImage { removal: 2, digest: Digest([1; 32]) },
        Request::DropTree { tree },
        start(vec![MountSource::Tree { tree }], Root::Host, Network::Isolated),
        start(vec![MountSource::Tree { tree }], Root::Image { digest: Digest([2; 32]) }, Network::Egress),
        start(
            vec![
                MountSource::Image { digest: Digest([1; 32]) },
                MountSource::Temporary { bytes: 1, inodes: 2 },
                MountSource::HostRoot { index: 3 },
                MountSource::Descriptor { index: 4 },
            ],
            Root::Image { digest: Digest([2; 32]) },
            Network::Attached,
        ),
        Request::Exec { sandbox, process },
        Request::Signal { sandbox, process, signal: 9 },
        Request::Resize { sandbox, process, rows: 24, columns: 80 },
        Request::CloseStdin { sandbox, process },
        Request::Freeze { sandbox, frozen: 1 },
        Request::Update { sandbox },
        Request::List,
        Request::Adopt { sandbox },
        Request::End { sandbox },
        Request::Network(Box::new(policy())),
    ];
    messages.iter().map(Request::encode).collect()
}

fn policy() -> Policy {
    let prefix = |text: &str| text.parse().expect("a prefix");
    Policy {
        subnet: prefix("10.213.128.0/20"),
        subnet6: Some(prefix("fd00::/64")),
        dns: vec!["9.9.9.9".parse().expect("an address")],
        allow: vec!["[fd01::1]:443".parse().expect("a destination")],
        deny: vec![prefix("203.0.113.0/24")],
        bandwidth: 1 << 20,
        connections: 64,
    }
}

fn start(sources: Vec<MountSource>, root: Root, network: Network) -> Request {
    let target = BoxPath::try_from("/work").expect("a path");
    let mounts =
        sources.into_iter().map(|source| Mount { source, target: target.clone(), access: MountAccess::ReadWrite });
    let plan = Plan {
        class: Class::Job,
        lifetime: Lifetime::WithMain,
        stdio: Stdio::Pipes,
        network,
        profile: Profile::Job,
        root,
        mounts: mounts.collect(),
        limits: ceiling::JOB,
    };
    Request::Start(Box::new(Start { sandbox: SandboxId(1), label: [3; LABEL], plan }))
}

/// A message of each kind.
pub(crate) fn reply_seeds() -> Vec<Vec<u8>> {
    let (sandbox, process, tree) = (SandboxId(1), ProcessId::MAIN, TreeId(7));
    let refusal = Refusal { what: String::from("memory"), asked: 2, ceiling: 1 };
    let counters = Counters { wall_us: Some(1), inodes_free: Some(2), ..Counters::default() };
    let replies = [
        Reply::Welcome { isolation: Isolation { cgroups: String::from("cgroup v2"), landlock: Some(2) }, pid: 7 },
        Reply::TreeMade { tree, first_id: 7 },
        Reply::TreeRefused { tree, refusal: refusal.clone() },
        Reply::NetworkMade,
        Reply::NetworkRefused { refusal: refusal.clone() },
        Reply::Refused { sandbox, refusal },
        Reply::Started { sandbox, process, setup_us: 3 },
        Reply::Failed { sandbox, step: String::from("mount /proc"), errno: 1 },
        Reply::Exited { sandbox, process, status: 256, cause: Cause::Program, counters },
        Reply::Ended { sandbox, cause: Cause::Memory, counters },
    ];
    replies.iter().map(Reply::encode).collect()
}
