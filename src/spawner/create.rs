//! Makes a sandbox: checks what came, prepares every part, clones, and leaves the rest to the child.
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use nix::sched::CloneFlags;

use super::Host;
use super::child::{self, Cell};
use super::descriptors;
use super::identity::{self, Lease};
use super::sandbox::{Phase, Sandbox};
use super::tree::{self, Size, Tree};
use crate::base::id::{ProcessId, TreeId};
use crate::base::time::Instant;
use crate::plan::ceiling::{self, Refusal};
use crate::plan::mount::{MountAccess, MountSource};
use crate::plan::protocol::{EXEC, FAILED, MESSAGE_BYTES};
use crate::sys::mount::Attributes;
use crate::sys::process::{self, Clone};
use crate::sys::socket;
use crate::wire::reply::Counters;
use crate::wire::request::{START_DESCRIPTORS, Start};

/// Why a sandbox was not made.
#[derive(Debug)]
pub(super) enum CreateError {
    /// The request asks for what may not be had.
    Refused(Refusal),
    /// A part could not be prepared.
    Step {
        /// Which.
        name: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// Makes it. When it comes back the child is on its way.
pub(super) fn create(
    host: &Host,
    trees: &[(TreeId, Tree)],
    start: &Start,
    given: Vec<OwnedFd>,
    now: Instant,
) -> Result<Sandbox, CreateError> {
    let at = |name: &'static str| move |source: io::Error| CreateError::Step { name, source };
    ceiling::check(&start.plan).map_err(CreateError::Refused)?;
    let mounted = find_trees(trees, start)?;
    let lease = lease_of(host, &mounted)?;
    let block = lease.block();
    let given: [OwnedFd; START_DESCRIPTORS] =
        given.try_into().map_err(|_count| refused("descriptors beside Start other than five"))?;
    descriptors::check(&given).map_err(CreateError::Refused)?;
    descriptors::hand_over(&given, block).map_err(at("give the descriptors to the job's user"))?;

    let user_namespace = identity::user_namespace(&host.single, block).map_err(at("make the user namespace"))?;
    let limits = &start.plan.limits;
    let size = Size { bytes: limits.temporary, inodes: limits.temporary_inodes };
    let temporary = tree::private_temporary(size, block).map_err(at("make /tmp"))?;
    let (channel, far) = socket::pair().map_err(at("make the channel to init"))?;
    let borrowed: Vec<BorrowedFd<'_>> = given.iter().map(OwnedFd::as_fd).collect();
    socket::send(channel.as_fd(), &order(), &borrowed).map_err(at("send the order to init"))?;
    let group = host.layout.create(start.sandbox, limits).map_err(at("make the cgroup"))?;

    let pidfd = (|| {
        let cell = Cell {
            join: group.join_files(),
            stage: &host.stage,
            root: host.template.root().map_err(at("copy the root"))?,
            device: host.template.device().map_err(at("copy /dev"))?,
            temporary: temporary.as_fd(),
            trees: copies(&mounted).map_err(at("copy the trees"))?,
            user_namespace: user_namespace.as_fd(),
            limits,
            filter: &host.filter,
            init: host.init.as_fd(),
            channel: far.as_fd(),
        };
        spawn(host, &group, &cell).map_err(at("clone"))
    })()
    .inspect_err(|_fault| host.note_left(group.remove()))?;
    Ok(Sandbox {
        id: start.sandbox,
        label: start.label,
        limits: *limits,
        pidfd,
        channel,
        group,
        temporary,
        trees: mounted.iter().map(|mounted| mounted.id).collect(),
        lease,
        requested: now,
        phase: Phase::Setup,
        cause: None,
        counters: Counters::default(),
    })
}

struct Mounted<'a> {
    id: TreeId,
    tree: &'a Tree,
    target: &'a crate::plan::mount::BoxPath,
    attributes: Attributes,
}

fn find_trees<'a>(trees: &'a [(TreeId, Tree)], start: &'a Start) -> Result<Vec<Mounted<'a>>, CreateError> {
    let mut found = Vec::new();
    for mount in &start.plan.mounts {
        let MountSource::Tree { tree: id } = mount.source else { continue };
        let (_, tree) =
            trees.iter().find(|(known, _)| *known == id).ok_or_else(|| refused("a tree that does not exist"))?;
        if mount.target.as_str() != "/work" {
            return Err(refused("a mount elsewhere than /work"));
        }
        let attributes = match mount.access {
            MountAccess::ReadWrite => Attributes::NONE,
            MountAccess::ReadOnly => Attributes::READ_ONLY,
        };
        found.push(Mounted { id, tree, target: &mount.target, attributes });
    }
    Ok(found)
}

/// All phases of a job have the ids of its tree.
fn lease_of(host: &Host, mounted: &[Mounted<'_>]) -> Result<Rc<Lease>, CreateError> {
    match mounted.first() {
        Some(first) => Ok(first.tree.lease()),
        None => host.blocks.take().ok_or_else(no_block),
    }
}

pub(super) fn no_block() -> CreateError {
    let most = u64::from(identity::BLOCKS);
    CreateError::Refused(Refusal { what: String::from("sandboxes alive at once"), asked: most + 1, ceiling: most })
}

fn refused(what: &str) -> CreateError {
    CreateError::Refused(Refusal { what: what.to_owned(), asked: 0, ceiling: 0 })
}

fn order() -> [u8; MESSAGE_BYTES] {
    message([EXEC, ProcessId::MAIN.0, 0, 0])
}

/// A message to or from init: the words that are given, the rest zero.
fn message(words: [u32; 4]) -> [u8; MESSAGE_BYTES] {
    let mut bytes = [0; MESSAGE_BYTES];
    for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

fn copies<'a>(mounted: &[Mounted<'a>]) -> io::Result<Vec<(OwnedFd, &'a crate::plan::mount::BoxPath, Attributes)>> {
    mounted.iter().map(|mounted| Ok((mounted.tree.copy()?, mounted.target, mounted.attributes))).collect()
}

fn spawn(host: &Host, group: &super::cgroup::Group, cell: &Cell<'_>) -> io::Result<OwnedFd> {
    let namespaces = CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    match process::clone(&host.single, namespaces, group.clone_target())? {
        Clone::Parent(pidfd) => Ok(pidfd),
        Clone::Child => {
            let failure = child::become_init(cell);
            let told = message([FAILED, ProcessId::MAIN.0, failure.step, failure.errno.cast_unsigned()]);
            let sent = socket::send(cell.channel, &told, &[]);
            process::leave(if sent.is_ok() { 1 } else { 2 })
        }
    }
}
