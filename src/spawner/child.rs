//! What happens between clone3(2) and the sandbox's init: one named step after another, in the child.
//!
//! The child begins as root in a new pid namespace, enters all others and ends as an unprivileged
//! user in a user namespace that owns none of them, so that no capability in it reaches any of them. The order
//! is the security argument (docs/SECURITY.md). A step that fails ends the child: nothing is skipped.
use std::ffi::{CStr, CString, OsStr};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use caps::CapSet;
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Uid, chdir, fchdir, pivot_root, setgroups, sethostname, setresgid, setresuid, setsid};

use super::identity::{self, Block};
use super::network::Unused;
use crate::plan::JOB_ID;
use crate::plan::mount::BoxPath;
use crate::plan::protocol::{CHANNEL, MAP, MAPPED, MESSAGE_BYTES, message};
use crate::plan::standard::{
    self, HOSTNAME, MASKED_FILES, MASKED_FOLDERS, OOM_SCORE_ADJ, READ_ONLY, ResourceLimit, UMASK,
};
use crate::sys::mount::{self as mounts, Attributes, Depth};
use crate::sys::seccomp;
use crate::sys::socket::{self, Received};
use crate::sys::{process, signal};

/// Everything that the steps need. All of it was made and checked by the spawner before the clone.
pub(super) struct Cell<'a> {
    pub(super) join: &'a [File],
    /// Below it `place` takes the root, and `masks` holds what hides. Opened again by name in the child: what was
    /// opened before belongs to the spawner's mount namespace, and the child has a copy of it.
    pub(super) stage: &'a Path,
    pub(super) root: OwnedFd,
    pub(super) device: OwnedFd,
    /// The private tmpfs with the directories `tmp` and `shm`.
    pub(super) temporary: BorrowedFd<'a>,
    pub(super) trees: Vec<(OwnedFd, BoxPath, Attributes)>,
    pub(super) block: Block,
    pub(super) unused: &'a Unused,
    /// Of an earlier sandbox of the same block.
    pub(super) network: Option<BorrowedFd<'a>>,
    pub(super) filter: &'a seccomp::Program,
    pub(super) init: BorrowedFd<'a>,
    pub(super) channel: BorrowedFd<'a>,
}

/// A step and what it is called in messages.
struct Step {
    name: &'static str,
    run: fn(&Cell<'_>) -> io::Result<()>,
}

const fn step(name: &'static str, run: fn(&Cell<'_>) -> io::Result<()>) -> Step {
    Step { name, run }
}

const STEPS: &[Step] = &[
    step("join the cgroup", join_cgroup),
    step("unshare the cgroup namespace", unshare_cgroup),
    step("enter a network namespace", enter_network),
    step("unshare the other namespaces", unshare_others),
    step("leave the spawner's session", leave_session),
    step("set the out-of-memory preference", prefer_as_victim),
    step("name the host", name_host),
    step("mount the root", mount_root),
    step("mount /proc", mount_proc),
    step("hide parts of /proc", mask_proc),
    step("mount /dev", mount_device),
    step("mount /tmp and /dev/shm", mount_temporary),
    step("mount the trees", mount_trees),
    step("pivot into the root", pivot),
    step("arrange the descriptors", arrange_descriptors),
    step("enter a user namespace", enter_user_namespace),
    step("empty the bounding set", empty_bounding_set),
    step("set the resource limits", set_resource_limits),
    step("become the job's user", become_user),
    step("drop every capability", drop_capabilities),
    step("give up new privileges", give_up_privileges),
    step("restore the signals", restore_signals),
    step("load the seccomp program", load_filter),
];

/// What the last step is called, which is not in the table because it does not come back.
const EXECUTE: &str = "start init";

/// A step that did not work.
pub(super) struct Failure {
    pub(super) step: u32,
    pub(super) errno: i32,
}

/// What the step of this number is called.
pub(super) fn step_name(step: u32) -> &'static str {
    let index = usize::try_from(step).unwrap_or(usize::MAX);
    STEPS.get(index).map_or(EXECUTE, |step| step.name)
}

/// Takes every step. Comes back only when one fails.
pub(super) fn become_init(cell: &Cell<'_>) -> Failure {
    for (number, step) in (0..).zip(STEPS) {
        if let Err(error) = (step.run)(cell) {
            return Failure { step: number, errno: error.raw_os_error().unwrap_or(UNKNOWN) };
        }
    }
    let error = process::execute(cell.init, c"init");
    Failure { step: u32::try_from(STEPS.len()).unwrap_or(u32::MAX), errno: error.raw_os_error().unwrap_or(UNKNOWN) }
}

/// Stands for an error that did not come from the kernel: EIO.
const UNKNOWN: i32 = 5;

fn join_cgroup(cell: &Cell<'_>) -> io::Result<()> {
    cell.join.iter().try_for_each(|mut file| file.write_all(b"0"))
}

/// After joining: the group of the job is then the root of what it could see.
fn unshare_cgroup(_: &Cell<'_>) -> io::Result<()> {
    Ok(unshare(CloneFlags::CLONE_NEWCGROUP)?)
}

fn enter_network(cell: &Cell<'_>) -> io::Result<()> {
    cell.unused.enter(cell.network)
}

/// Here and not by clone3(2): what takes time is taken by the child, and not by the loop.
fn unshare_others(_: &Cell<'_>) -> io::Result<()> {
    Ok(unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS)?)
}

fn leave_session(_: &Cell<'_>) -> io::Result<()> {
    umask(Mode::from_bits_truncate(UMASK));
    setsid()?;
    Ok(())
}

/// A job goes before any service of the host (`proc_pid_oom_score_adj(5)`).
fn prefer_as_victim(_: &Cell<'_>) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).open("/proc/self/oom_score_adj")?;
    file.write_all(OOM_SCORE_ADJ.to_string().as_bytes())
}

fn name_host(_: &Cell<'_>) -> io::Result<()> {
    Ok(sethostname(HOSTNAME)?)
}

fn mount_root(cell: &Cell<'_>) -> io::Result<()> {
    mounts::attach(cell.root.as_fd(), File::open(cell.stage.join("place"))?.as_fd(), c"")
}

fn mount_proc(cell: &Cell<'_>) -> io::Result<()> {
    let attributes = Attributes::NO_SETUID.and(Attributes::NO_DEVICES).and(Attributes::NO_EXECUTION);
    let proc = mounts::create(c"proc", &[], attributes)?;
    mounts::attach(proc.as_fd(), cell.root.as_fd(), c"proc")
}

/// What becomes read-only comes first: a copy of it would not have what hides parts of it.
fn mask_proc(cell: &Cell<'_>) -> io::Result<()> {
    let root = cell.root.as_fd();
    for path in READ_ONLY {
        match mounts::copy(root, path, Depth::One) {
            Ok(copy) => {
                mounts::restrict(copy.as_fd(), Attributes::READ_ONLY, Depth::One)?;
                mounts::attach(copy.as_fd(), root, path)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    let (masks, place) = (cell.stage.join("masks"), cell.stage.join("place"));
    let hide = |mask: &Path, path: &CStr| put_over(mask, &place.join(OsStr::from_bytes(path.to_bytes())));
    let (file, folder) = (masks.join("file"), masks.join("folder"));
    MASKED_FILES.iter().try_for_each(|path| hide(&file, path))?;
    MASKED_FOLDERS.iter().try_for_each(|path| hide(&folder, path))
}

/// Hides a path. One that this kernel does not have is hidden already. By names, which none but root can have changed, it is
/// one call instead of three: there are many.
fn put_over(mask: &Path, target: &Path) -> io::Result<()> {
    let none: Option<&str> = None;
    match mount(Some(mask), target, none, MsFlags::MS_BIND, none) {
        Err(Errno::ENOENT) => Ok(()),
        other => Ok(other?),
    }
}

fn mount_device(cell: &Cell<'_>) -> io::Result<()> {
    mounts::attach(cell.device.as_fd(), cell.root.as_fd(), c"dev")
}

/// One tmpfs, and so one limit, for both. It is attached first, because only what is attached can be copied.
fn mount_temporary(cell: &Cell<'_>) -> io::Result<()> {
    let root = cell.root.as_fd();
    mounts::attach(cell.temporary, root, c"tmp")?;
    let shared_memory = mounts::copy(cell.temporary, c"shm", Depth::One)?;
    let temporary = mounts::copy(cell.temporary, c"tmp", Depth::One)?;
    mounts::attach(shared_memory.as_fd(), root, c"dev/shm")?;
    mounts::attach(temporary.as_fd(), root, c"tmp")
}

fn mount_trees(cell: &Cell<'_>) -> io::Result<()> {
    cell.trees.iter().try_for_each(|(tree, target, attributes)| {
        mounts::restrict(tree.as_fd(), *attributes, Depth::One)?;
        mounts::attach(tree.as_fd(), cell.root.as_fd(), &CString::new(target.below_root())?)
    })
}

/// The old root is stacked below the new one and taken away (`pivot_root(2)`, notes on ".").
fn pivot(cell: &Cell<'_>) -> io::Result<()> {
    fchdir(&cell.root)?;
    pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    chdir("/")?;
    Ok(())
}

/// 0, 1, 2: the sandbox's own /dev/null. 3: the channel. Everything else closes at exec.
fn arrange_descriptors(cell: &Cell<'_>) -> io::Result<()> {
    let null = fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    for number in 0..CHANNEL {
        process::duplicate_to(null.as_fd(), number)?;
    }
    if cell.channel.as_raw_fd() != CHANNEL {
        process::duplicate_to(cell.channel, CHANNEL)?;
    }
    process::close_at_exec_from(4)
}

fn set_resource_limits(_: &Cell<'_>) -> io::Result<()> {
    standard::RESOURCE_LIMITS.into_iter().try_for_each(|ResourceLimit { name, soft, hard }| {
        let known = RESOURCES.iter().find(|(known, _)| *known == name);
        let (_, resource) = known.ok_or(Errno::EINVAL)?;
        Ok(setrlimit(*resource, soft, hard)?)
    })
}

const RESOURCES: &[(&str, Resource)] = &[
    ("RLIMIT_CORE", Resource::RLIMIT_CORE),
    ("RLIMIT_STACK", Resource::RLIMIT_STACK),
    ("RLIMIT_MEMLOCK", Resource::RLIMIT_MEMLOCK),
    ("RLIMIT_MSGQUEUE", Resource::RLIMIT_MSGQUEUE),
    ("RLIMIT_SIGPENDING", Resource::RLIMIT_SIGPENDING),
    ("RLIMIT_NICE", Resource::RLIMIT_NICE),
    ("RLIMIT_RTPRIO", Resource::RLIMIT_RTPRIO),
];

/// The spawner maps the ids: only who is privileged outside may.
fn enter_user_namespace(cell: &Cell<'_>) -> io::Result<()> {
    identity::enter_user_namespace(cell.block)?;
    socket::send(cell.channel, &message([MAP]), &[])?;
    let mut answer = [PollFd::new(cell.channel, PollFlags::POLLIN)];
    poll(&mut answer, PollTimeout::NONE)?;
    let mut mapped = [0; MESSAGE_BYTES];
    match socket::receive::<0>(cell.channel, &mut mapped)? {
        Received::Packet { .. } if mapped == message([MAPPED]) => Ok(()),
        Received::Packet { .. } | Received::Closed | Received::Nothing => Err(Errno::EPROTO.into()),
    }
}

fn become_user(_: &Cell<'_>) -> io::Result<()> {
    let (user, group) = (Uid::from_raw(JOB_ID), Gid::from_raw(JOB_ID));
    setgroups(&[])?;
    setresgid(group, group, group)?;
    setresuid(user, user, user)?;
    Ok(())
}

/// While the capability for it is held: it goes with the change of ids. Entering the user namespace had filled the set.
fn empty_bounding_set(_: &Cell<'_>) -> io::Result<()> {
    process::drop_bounding_set()
}

/// All five sets. Each is read back.
fn drop_capabilities(_: &Cell<'_>) -> io::Result<()> {
    for set in [CapSet::Ambient, CapSet::Inheritable, CapSet::Effective, CapSet::Permitted] {
        caps::clear(None, set).map_err(io::Error::other)?;
    }
    for set in [CapSet::Bounding, CapSet::Ambient, CapSet::Inheritable, CapSet::Effective, CapSet::Permitted] {
        if !caps::read(None, set).map_err(io::Error::other)?.is_empty() {
            return Err(io::Error::from(Errno::EPERM));
        }
    }
    Ok(())
}

fn give_up_privileges(_: &Cell<'_>) -> io::Result<()> {
    Ok(prctl::set_no_new_privs()?)
}

fn restore_signals(_: &Cell<'_>) -> io::Result<()> {
    signal::restore_defaults()
}

fn load_filter(cell: &Cell<'_>) -> io::Result<()> {
    cell.filter.load()
}
