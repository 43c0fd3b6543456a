//! What init builds its sandbox from: the mold, which all sandboxes of this spawner share, and the order for each.
//!
//! Init takes the steps itself (`src/init/build`): a child of this process that took them would be a copy of it, and making
//! and dropping that copy takes longer than all steps together. Not here: what init is told later (`spawner::create`).
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::libc::c_int;
use nix::sys::resource::Resource;

use super::cgroup::Group;
use super::identity::Block;
use super::landlock::Policy;
use super::network::Unused;
use crate::plan::JOB_ID;
use crate::plan::mount::BoxPath;
use crate::plan::protocol::{
    BUILD, BUILD_BYTES, BUILD_DESCRIPTORS, MOLD_MAGIC, NETWORK_GIVEN, NETWORK_KEPT, NETWORK_NEW, step,
};
use crate::plan::standard::{
    self, HOSTNAME, MASKED_FILES, MASKED_FOLDERS, OOM_SCORE_ADJ, READ_ONLY, ResourceLimit, UMASK,
};
use crate::sys::memfd::{self, Kind};
use crate::sys::mount::Attributes;
use crate::sys::socket;

/// The mold, sealed. `stage` is where the root is put, and what hides parts of /proc lies.
pub(super) fn make(stage: &Path, unused: &Unused, policy: &Policy, filter: &[u8]) -> io::Result<OwnedFd> {
    let (place, masks) = (stage.join("place"), stage.join("masks"));
    let mut mold = Text::default();
    mold.words([MOLD_MAGIC, UMASK, JOB_ID]);
    mold.string(HOSTNAME.as_bytes())?;
    mold.string(OOM_SCORE_ADJ.to_string().as_bytes())?;
    for path in [&place, &masks.join("file"), &masks.join("folder")] {
        mold.string(path.as_os_str().as_encoded_bytes())?;
    }
    mold.paths(None, READ_ONLY)?;
    mold.paths(Some(&place), MASKED_FILES)?;
    mold.paths(Some(&place), MASKED_FOLDERS)?;
    mold.length(standard::RESOURCE_LIMITS.len())?;
    for ResourceLimit { name, soft, hard } in standard::RESOURCE_LIMITS {
        mold.words([number_of(name)?]);
        mold.long(soft);
        mold.long(hard);
    }
    mold.length(unused.counters().len())?;
    for counter in unused.counters() {
        mold.string(counter.name.as_bytes())?;
        mold.words([counter.kind]);
        mold.block(counter.content.as_bytes())?;
    }
    for rights in [policy.restricted, policy.scopes, policy.in_trees] {
        mold.long(rights);
    }
    mold.length(policy.directories.len())?;
    for (rights, path) in &policy.directories {
        mold.long(*rights);
        mold.string(path.as_bytes())?;
    }
    mold.block(filter)?;
    memfd::sealed(c"kiln-mold", &mold.0, Kind::Data)
}

/// What one sandbox is built from.
pub(super) struct Order<'a> {
    pub(super) mold: BorrowedFd<'a>,
    pub(super) block: Block,
    pub(super) root: OwnedFd,
    pub(super) device: OwnedFd,
    /// The private tmpfs with the directories `tmp` and `shm`.
    pub(super) temporary: BorrowedFd<'a>,
    pub(super) group: &'a Group,
    pub(super) trees: Vec<(OwnedFd, BoxPath, Attributes)>,
    pub(super) network: Network<'a>,
}

/// Which network namespace a sandbox has.
#[derive(Clone, Copy)]
pub(super) enum Network<'a> {
    /// A new one.
    New,
    /// That of an earlier sandbox of the same block, unless it was used.
    Kept(BorrowedFd<'a>),
    /// This one, which has a link to the outside.
    Given(BorrowedFd<'a>),
}

impl<'a> Network<'a> {
    const fn number_and_descriptor(self) -> (u32, Option<BorrowedFd<'a>>) {
        match self {
            Self::New => (NETWORK_NEW, None),
            Self::Kept(network) => (NETWORK_KEPT, Some(network)),
            Self::Given(network) => (NETWORK_GIVEN, Some(network)),
        }
    }
}

impl Order<'_> {
    /// Lies in the channel until init reads it.
    pub(super) fn send(&self, channel: BorrowedFd<'_>) -> io::Result<()> {
        let join = self.group.join_files();
        let mut packet = Text::default();
        packet.words([BUILD, self.block.outside(0)]);
        packet.length(join.len())?;
        packet.length(self.trees.len())?;
        let (kind, network) = self.network.number_and_descriptor();
        packet.words([kind]);
        for (_tree, target, attributes) in &self.trees {
            packet.words([attributes.bits()?]);
            packet.string(target.below_root().as_bytes())?;
        }
        let mut beside = vec![self.mold, self.root.as_fd(), self.device.as_fd(), self.temporary];
        beside.extend(join.iter().map(AsFd::as_fd));
        beside.extend(self.trees.iter().map(|(tree, ..)| tree.as_fd()));
        beside.extend(network);
        if packet.0.len() > BUILD_BYTES || beside.len() > BUILD_DESCRIPTORS {
            return Err(io::Error::other("a sandbox with more mounts than fit into one order"));
        }
        socket::send(channel, &packet.0, &beside)
    }
}

/// What a step of building is called in messages.
pub(super) fn step_name(step: u32) -> &'static str {
    match step {
        step::JOIN_CGROUP => "join the cgroup",
        step::UNSHARE_CGROUP => "unshare the cgroup namespace",
        step::ENTER_NETWORK => "enter a network namespace",
        step::UNSHARE_OTHERS => "unshare the other namespaces",
        step::LEAVE_SESSION => "leave the spawner's session",
        step::PREFER_AS_VICTIM => "set the out-of-memory preference",
        step::NAME_HOST => "name the host",
        step::MOUNT_ROOT => "mount the root",
        step::MOUNT_PROC => "mount /proc",
        step::MASK_PROC => "hide parts of /proc",
        step::MOUNT_DEVICE => "mount /dev",
        step::MOUNT_TEMPORARY => "mount /tmp and /dev/shm",
        step::MOUNT_TREES => "mount the trees",
        step::MAKE_RULESET => "make a ruleset of Landlock",
        step::PIVOT => "pivot into the root",
        step::ARRANGE_DESCRIPTORS => "arrange the descriptors",
        step::ENTER_USER_NAMESPACE => "enter a user namespace",
        step::EMPTY_BOUNDING_SET => "empty the bounding set",
        step::SET_RESOURCE_LIMITS => "set the resource limits",
        step::BECOME_USER => "become the job's user",
        step::DROP_CAPABILITIES => "drop every capability",
        step::GIVE_UP_PRIVILEGES => "give up new privileges",
        step::RESTRICT_FILES => "restrict what files can be used for",
        step::RESTORE_SIGNALS => "restore the signals",
        step::LOAD_FILTER => "load the seccomp program",
        _ => "understand what to build",
    }
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

#[expect(clippy::as_conversions, reason = "the enum's values are the numbers of getrlimit(2)")]
fn number_of(name: &str) -> io::Result<u32> {
    let known = RESOURCES.iter().find(|(known, _)| *known == name);
    let (_, resource) = known.ok_or(Errno::EINVAL)?;
    u32::try_from(*resource as c_int).map_err(io::Error::other)
}

/// What init reads by `src/init/reading.rs`.
#[derive(Default)]
struct Text(Vec<u8>);

impl Text {
    fn words<const WORDS: usize>(&mut self, words: [u32; WORDS]) {
        self.0.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    }

    fn long(&mut self, number: u64) {
        self.0.extend(number.to_le_bytes());
    }

    fn length(&mut self, length: usize) -> io::Result<()> {
        self.words([u32::try_from(length).map_err(io::Error::other)?]);
        Ok(())
    }

    fn block(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.length(bytes.len())?;
        self.0.extend(bytes);
        Ok(())
    }

    fn string(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.contains(&0) {
            return Err(Errno::EINVAL.into());
        }
        self.0.extend(bytes);
        self.0.push(0);
        Ok(())
    }

    fn paths(&mut self, below: Option<&Path>, paths: &[&CStr]) -> io::Result<()> {
        self.length(paths.len())?;
        paths.iter().try_for_each(|path| {
            if let Some(below) = below {
                self.0.extend(below.as_os_str().as_encoded_bytes());
                self.0.push(b'/');
            }
            self.string(path.to_bytes())
        })
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn every_resource_limit_has_a_number() {
        assert!(standard::RESOURCE_LIMITS.iter().all(|limit| number_of(limit.name).is_ok()));
        assert_eq!(number_of("RLIMIT_STACK").unwrap(), 3);
        assert!(number_of("RLIMIT_OTHER").is_err());
    }

    #[test]
    fn strings_end_with_nul_and_hold_none() {
        let mut text = Text::default();
        text.string(b"ab").unwrap();
        text.paths(Some(Path::new("/p")), &[c"x"]).unwrap();
        assert_eq!(text.0, b"ab\0\x01\0\0\0/p/x\0");
        assert!(text.string(b"a\0b").is_err());
    }

    #[test]
    fn every_step_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<&str> =
            (step::RECEIVE_BUILD..=step::LOAD_FILTER).map(step_name).collect();
        assert_eq!(names.len(), 26);
    }
}
