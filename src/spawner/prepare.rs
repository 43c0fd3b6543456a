//! What the spawner does once, before it says welcome: locks, sweeps, makes its own mount and time namespace,
//! builds the image, keeps no capability that it does not need.
use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use caps::{CapSet, Capability};
use nix::errno::Errno;
use nix::libc::CLONE_NEWTIME;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns, unshare};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{Uid, geteuid};

use super::Host;
use super::cgroup::Layout;
use super::disposal::Disposal;
use super::egress;
use super::identity::{self, Blocks};
use super::image::{Template, make_folder};
use super::landlock::Policy;
use super::mold;
use super::network::Unused;
use super::server::FAREWELL;
use super::store::Images;
use crate::base::id::InstanceId;
use crate::sys::memfd::{self, Kind};
use crate::sys::mount::{self, Attributes};
use crate::sys::process::{self, SingleThreaded};

/// Where locks are. They are never removed: a lock on a removed file would hold nothing.
const RUN: &str = "/run/kiln";

/// Where the private file systems are mounted, in the spawner's own mount namespace.
const STAGE: &str = "/run/kiln/stage";

/// How long an earlier spawner of the same instance may take to end: its farewell, and some more.
const PREDECESSOR: Duration = Duration::from_secs(FAREWELL.as_secs() + 5);
const PREDECESSOR_PAUSE: Duration = Duration::from_millis(20);

static INIT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/kiln-init"));
static JOB_FILTER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/job.bpf"));

/// What the spawner needs, and nothing else (capabilities(7)).
const KEPT: &[Capability] = &[
    Capability::CAP_SYS_ADMIN,
    Capability::CAP_SETUID,
    Capability::CAP_SETGID,
    Capability::CAP_SETPCAP,
    Capability::CAP_SETFCAP,
    Capability::CAP_CHOWN,
    Capability::CAP_FOWNER,
    Capability::CAP_DAC_OVERRIDE,
    Capability::CAP_KILL,
    Capability::CAP_NET_ADMIN,
    Capability::CAP_SYS_CHROOT,
    Capability::CAP_MKNOD,
    Capability::CAP_SYS_PTRACE,
    Capability::CAP_SYS_RESOURCE,
];

/// Does it all. The server for which it is done may be known already.
pub(super) fn prepare(instance: InstanceId, images: Option<&Path>, server: Option<BorrowedFd<'_>>) -> io::Result<Host> {
    let say = |what: &'static str| move |error: io::Error| io::Error::other(format!("{what}: {error}"));
    if !geteuid().is_root() {
        return Err(io::Error::other("kiln-spawner must be started as root"));
    }
    let single = SingleThreaded::prove()?;
    process::keep_priority().map_err(say("keep the priority of this process to itself"))?;
    process::raise_open_files(OPEN_FILES).map_err(say("raise the limit of open files"))?;
    make_run_folder().map_err(say("make /run/kiln"))?;
    let lock = lock_instance(instance, server)?;
    let blocks = Blocks::reserve(Path::new(RUN), instance).map_err(say("reserve user ids"))?;
    let layout = Layout::prepare(instance).map_err(say("prepare the cgroups"))?;
    if let Err(error) = egress::sweep(instance) {
        tracing::warn!(%error, "what an earlier start left of its network stays");
    }
    own_mounts().map_err(say("make a mount namespace"))?;
    hide_uptime().map_err(say("make a time namespace"))?;
    let stage = Path::new(STAGE);
    let template = Template::build(stage).map_err(say("build the host image"))?;
    make_folder(&stage.join("place"))?;
    let images =
        images.map(|folder| Images::open(folder, stage)).transpose().map_err(say("open the store of images"))?;
    let init = memfd::sealed(c"kiln-init", INIT, Kind::Program).map_err(say("seal init"))?;
    keep_few_capabilities().map_err(say("drop capabilities"))?;
    let unused = Unused::of_a_new_one().map_err(say("look at a new network namespace"))?;
    let policy = Policy::of_the_kernel().map_err(say("ask for Landlock"))?;
    let mold = mold::make(stage, &unused, &policy, JOB_FILTER).map_err(say("make the mold of sandboxes"))?;
    let stage = stage.to_path_buf();
    let disposal = Disposal::default();
    Ok(Host {
        single,
        layout,
        blocks,
        disposal,
        template,
        images,
        stage,
        landlock: policy.version,
        mold,
        init,
        instance,
        instance_lock: lock,
    })
}

/// Root creates and locks files here, so that nobody else may put anything there.
fn make_run_folder() -> io::Result<()> {
    for folder in [RUN, STAGE].map(Path::new) {
        match make_folder(folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => check_owner(folder, Uid::from_raw(0))?,
            other => other?,
        }
    }
    Ok(())
}

/// Whether it is a directory, not a link to one, that only `owner` may write to.
fn check_owner(folder: &Path, owner: Uid) -> io::Result<()> {
    let found = fs::symlink_metadata(folder)?;
    if found.is_dir() && found.uid() == owner.as_raw() && found.mode() & 0o022 == 0 {
        return Ok(());
    }
    let what = "must be a directory that belongs to root and that nobody else may write to: remove it";
    Err(io::Error::other(format!("{} {what}", folder.display())))
}

/// What the sandboxes hold open at most, each two dozen on cgroup v1, and some for the spawner itself. Running out would
/// fail sandboxes half-way.
const OPEN_FILES: u64 = 24 * 768 + 1024;

/// Waits for an earlier spawner of this instance, which ends by itself when its server is gone. So does this one: it would
/// take the turn of one that is waited for.
fn lock_instance(instance: InstanceId, server: Option<BorrowedFd<'_>>) -> io::Result<nix::fcntl::Flock<File>> {
    let path = Path::new(RUN).join(format!("instance-{instance}.lock"));
    let tries = PREDECESSOR.as_millis() / PREDECESSOR_PAUSE.as_millis();
    for _ in 0..tries {
        if let Some(lock) = identity::try_lock(&path)? {
            return Ok(lock);
        }
        if has_hung_up_within(server, PREDECESSOR_PAUSE)? {
            return Err(io::Error::other("the server ended before its spawner was ready"));
        }
    }
    Err(io::Error::other(format!("another kiln-spawner serves this data directory ({} is locked)", path.display())))
}

/// Waits that long, or until the other end of the socket is closed.
fn has_hung_up_within(socket: Option<BorrowedFd<'_>>, time: Duration) -> io::Result<bool> {
    let mut events: Vec<_> = socket.into_iter().map(|socket| PollFd::new(socket, PollFlags::empty())).collect();
    match poll(&mut events, PollTimeout::try_from(time).map_err(io::Error::other)?) {
        Ok(_count) => Ok(events.iter().any(|event| event.revents().is_some_and(|found| !found.is_empty()))),
        Err(Errno::EINTR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// What is mounted from here on is seen by this process and its sandboxes alone, and goes with them.
fn own_mounts() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount::make_private(File::open("/")?.as_fd())?;
    let stage = mount::create(c"tmpfs", &[(c"size", "1m"), (c"mode", "0700")], Attributes::NO_SETUID)?;
    mount::attach(stage.as_fd(), File::open(STAGE)?.as_fd(), c"")
}

/// Sandboxes see a machine that was switched on when the spawner started (`time_namespaces(7)`). The spawner enters the
/// namespace itself: older kernels start no child that shares memory in another one than its parent's.
fn hide_uptime() -> io::Result<()> {
    let time = CloneFlags::from_bits_retain(CLONE_NEWTIME);
    unshare(time)?;
    let monotonic = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
    let boot = clock_gettime(ClockId::CLOCK_BOOTTIME)?;
    let offsets = format!("monotonic -{} 0\nboottime -{} 0\n", monotonic.tv_sec(), boot.tv_sec());
    write_kernel_file("/proc/self/timens_offsets", &offsets)?;
    Ok(setns(File::open("/proc/self/ns/time_for_children")?, time)?)
}

#[expect(clippy::disallowed_methods, reason = "a kernel file: one write is one command")]
fn write_kernel_file(path: &str, text: &str) -> io::Result<()> {
    fs::write(path, text)
}

/// What is not held, as on a host that grants less, is not asked for: a step that needs it says so.
fn keep_few_capabilities() -> io::Result<()> {
    let held = caps::read(None, CapSet::Permitted).map_err(io::Error::other)?;
    let kept: HashSet<Capability> = KEPT.iter().copied().filter(|capability| held.contains(capability)).collect();
    for capability in caps::read(None, CapSet::Bounding).map_err(io::Error::other)?.difference(&kept) {
        caps::drop(None, CapSet::Bounding, *capability).map_err(io::Error::other)?;
    }
    caps::clear(None, CapSet::Inheritable).map_err(io::Error::other)?;
    caps::set(None, CapSet::Effective, &kept).map_err(io::Error::other)?;
    caps::set(None, CapSet::Permitted, &kept).map_err(io::Error::other)
}

#[cfg(test)]
mod test {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_folder_that_others_may_change_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("run");
        make_folder(&place).unwrap();
        let owner = geteuid();
        assert!(check_owner(&place, owner).is_ok());
        assert!(check_owner(&place, Uid::from_raw(owner.as_raw() + 1)).is_err());
        fs::set_permissions(&place, fs::Permissions::from_mode(0o775)).unwrap();
        assert!(check_owner(&place, owner).is_err());
        let link = folder.path().join("link");
        make_folder(&folder.path().join("other")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("other"), &link).unwrap();
        assert!(check_owner(&link, owner).is_err());
    }
}
