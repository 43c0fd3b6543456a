//! Makes a sandbox: prepares every part, starts init, and leaves the rest to it. Then gives it a job: checks what came,
//! puts its limits in force, and sends init its order.
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sched::CloneFlags;

use super::Host;
use super::descriptors;
use super::egress::Outside;
use super::identity;
use super::mold::{Network, Order};
use super::number::Number;
use super::sandbox::{Job, Phase, Sandbox};
use super::stock::Wish;
use super::tree::{self, NamedTree, Size, Tree};
use crate::base::id::{ProcessId, TreeId};
use crate::base::time::Instant;
use crate::plan;
use crate::plan::ceiling::Refusal;
use crate::plan::limits::Limits;
use crate::plan::mount::{BoxPath, Mount, MountAccess, MountSource, Root};
use crate::plan::protocol::{CHANNEL, EXEC, message};
use crate::sys::mount::Attributes;
use crate::sys::process::{self, Child, Program};
use crate::sys::socket;
use crate::wire::reply::Counters;
use crate::wire::request::{START_DESCRIPTORS, Start};

/// Where programs have their tree.
pub(super) const WORK: &str = "/work";

/// Why a sandbox was not made, or got no job.
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

fn at(name: &'static str) -> impl FnOnce(io::Error) -> CreateError {
    move |source| CreateError::Step { name, source }
}

/// Makes one with a new tree at `/work`.
pub(super) fn with_work(host: &Host, number: Number, wish: &Wish, now: Instant) -> Result<Sandbox, CreateError> {
    let lease = host.blocks.take().ok_or_else(no_block)?;
    let tree = Tree::create(&host.stage, number, wish.work, lease).map_err(at("make /work"))?;
    let made = at_work(&tree).and_then(|work| {
        let parts = Parts { mounted: &[work], root: wish.root, limits: &wish.limits, outside: None };
        prepare(host, number, parts, now)
    });
    match made {
        Ok(sandbox) => Ok(Sandbox { work: Some(tree), ..sandbox }),
        Err(error) => {
            host.note_left(tree.remove(&host.disposal, &host.single));
            Err(error)
        }
    }
}

fn at_work(tree: &Tree) -> Result<Mounted<'_>, CreateError> {
    let target = BoxPath::try_from(WORK).map_err(io::Error::other).map_err(at("name /work"))?;
    Ok(Mounted { tree, target, attributes: Attributes::NONE })
}

/// What was asked for, and the way to the outside where it has one.
pub(super) struct Asked<'a> {
    pub(super) start: &'a Start,
    pub(super) outside: Option<Outside>,
}

/// Makes one with the trees that a plan mounts.
pub(super) fn with_trees(
    host: &Host,
    number: Number,
    trees: &[NamedTree],
    Asked { start, outside }: Asked<'_>,
    now: Instant,
) -> Result<Sandbox, CreateError> {
    let Start { plan, .. } = start;
    let mounted = &find_trees(trees, &plan.mounts)?;
    prepare(host, number, Parts { mounted, root: plan.root, limits: &plan.limits, outside }, now)
}

/// What differs between sandboxes.
struct Parts<'a> {
    mounted: &'a [Mounted<'a>],
    root: Root,
    limits: &'a Limits,
    outside: Option<Outside>,
}

/// Makes it. When it comes back init is on its way.
fn prepare(host: &Host, number: Number, parts: Parts<'_>, now: Instant) -> Result<Sandbox, CreateError> {
    let Parts { mounted, root, limits, outside } = parts;
    // All phases of a job have the ids of its tree.
    let lease = match mounted.first() {
        Some(first) => first.tree.lease(),
        None => host.blocks.take().ok_or_else(no_block)?,
    };
    let block = lease.block();
    let (reach, network) = match outside {
        Some(_) => (plan::Network::Egress, None),
        None => (plan::Network::Isolated, lease.take_network()),
    };
    let temporary_size = Size { bytes: limits.temporary, inodes: limits.temporary_inodes };
    let temporary = tree::private_temporary(temporary_size, block).map_err(at("make /tmp"))?;
    let (channel, far) = socket::pair().map_err(at("make the channel to init"))?;
    let group = host.layout.create(number, limits).map_err(at("make the cgroup"))?;
    let Child { pid, pidfd } = (|| {
        let mut trees = copies(mounted).map_err(at("copy the trees"))?;
        let given = outside.map(|Outside { namespace, mounts }| {
            trees.extend(mounts);
            namespace
        });
        let order = Order {
            mold: host.mold.as_fd(),
            block,
            root: host.root(root).map_err(at("mount the root"))?,
            device: host.template.device().map_err(at("copy /dev"))?,
            temporary: temporary.as_fd(),
            group: &group,
            trees,
            network: match (&given, &network) {
                (Some(given), _) => Network::Given(given.as_fd()),
                (None, Some(kept)) => Network::Kept(kept.as_fd()),
                (None, None) => Network::New,
            },
        };
        order.send(channel.as_fd()).map_err(at("send init what to build"))?;
        let what = Program { file: host.init.as_fd(), name: c"init", socket: far.as_fd(), number: CHANNEL };
        process::start(&host.single, &what, CloneFlags::CLONE_NEWPID, group.clone_target()).map_err(at("start init"))
    })()
    .inspect_err(|_fault| host.note_left(group.remove()))?;
    Ok(Sandbox {
        number,
        root,
        pid,
        pidfd,
        channel,
        group,
        temporary,
        temporary_size,
        work: None,
        network,
        reach,
        lease,
        begun: now,
        job: None,
        phase: Phase::Preparing,
        cause: None,
        counters: Counters::default(),
    })
}

/// Gives it what to do. Init learns of it at once, or as soon as it is ready.
pub(super) fn assign(
    host: &Host,
    sandbox: &mut Sandbox,
    start: &Start,
    given: Vec<OwnedFd>,
    now: Instant,
) -> Result<(), CreateError> {
    let limits = &start.plan.limits;
    let given: [OwnedFd; START_DESCRIPTORS] =
        given.try_into().map_err(|_count| refused("descriptors beside Start other than five"))?;
    descriptors::check(&given).map_err(CreateError::Refused)?;
    descriptors::hand_over(&given, sandbox.lease.block()).map_err(at("give the descriptors to the job's user"))?;
    host.layout.limit(&mut sandbox.group, limits).map_err(at("set the limits of the cgroup"))?;
    let size = Size { bytes: limits.temporary, inodes: limits.temporary_inodes };
    tree::resize(&sandbox.temporary, &mut sandbox.temporary_size, size).map_err(at("set the size of /tmp"))?;
    let trees = start.plan.mounts.iter().filter_map(tree_of).collect();
    let (id, label, limits, given) = (start.sandbox, start.label, *limits, given.into());
    let mut job = Job { id, label, limits, trees, requested: now, given };
    if matches!(sandbox.phase, Phase::Ready) {
        send_order(&sandbox.channel, &mut job).map_err(at("send the order to init"))?;
        sandbox.phase = Phase::Setup;
    }
    sandbox.job = Some(job);
    Ok(())
}

/// Tells init what to start.
pub(super) fn send_order(channel: &OwnedFd, job: &mut Job) -> io::Result<()> {
    let given = std::mem::take(&mut job.given);
    let [low, high] = [job.limits.file_size, job.limits.file_size >> 32].map(low_word);
    let order = message([EXEC, ProcessId::MAIN.0, job.limits.open_files, low, high]);
    let borrowed: Vec<BorrowedFd<'_>> = given.iter().map(OwnedFd::as_fd).collect();
    socket::send(channel.as_fd(), &order, &borrowed)
}

fn low_word(number: u64) -> u32 {
    u32::try_from(number & u64::from(u32::MAX)).unwrap_or(u32::MAX)
}

/// Which tree is mounted.
pub(super) const fn tree_of(mount: &Mount) -> Option<TreeId> {
    match mount.source {
        MountSource::Tree { tree } => Some(tree),
        MountSource::Image { .. }
        | MountSource::Temporary { .. }
        | MountSource::HostRoot { .. }
        | MountSource::Descriptor { .. } => None,
    }
}

struct Mounted<'a> {
    tree: &'a Tree,
    target: BoxPath,
    attributes: Attributes,
}

fn find_trees<'a>(trees: &'a [NamedTree], mounts: &[Mount]) -> Result<Vec<Mounted<'a>>, CreateError> {
    let mut found = Vec::new();
    for mount in mounts {
        let Some(id) = tree_of(mount) else { continue };
        let known = trees.iter().find(|known| known.id == id).ok_or_else(|| refused("a tree that does not exist"))?;
        if mount.target.as_str() != WORK {
            return Err(refused("a mount elsewhere than /work"));
        }
        let attributes = match mount.access {
            MountAccess::ReadWrite => Attributes::NONE,
            MountAccess::ReadOnly => Attributes::READ_ONLY,
        };
        found.push(Mounted { tree: &known.tree, target: mount.target.clone(), attributes });
    }
    Ok(found)
}

pub(super) fn no_block() -> CreateError {
    let most = u64::from(identity::BLOCKS);
    CreateError::Refused(Refusal { what: String::from("sandboxes alive at once"), asked: most + 1, ceiling: most })
}

fn refused(what: &str) -> CreateError {
    CreateError::Refused(Refusal { what: what.to_owned(), asked: 0, ceiling: 0 })
}

fn copies(mounted: &[Mounted<'_>]) -> io::Result<Vec<(OwnedFd, BoxPath, Attributes)>> {
    mounted.iter().map(|mounted| Ok((mounted.tree.copy()?, mounted.target.clone(), mounted.attributes))).collect()
}
