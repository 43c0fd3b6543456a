//! What init and the spawner say to each other, and the form of the three memfds that init reads.
//!
//! Included by both programs, so that there is one truth. Everything is little-endian. A message is
//! one `SOCK_SEQPACKET` packet of [`MESSAGE_BYTES`] bytes: eight words of 32 bits, the first its kind. Only
//! [`BUILD`] is longer. A string ends with a NUL byte, a list begins with its length.
//!
//! Mold memfd, the same for all sandboxes of a spawner: [`MOLD_MAGIC`], umask, id of programs, name of the host,
//! preference of the out-of-memory killer, path where the root is put, path of the file and of the folder that hide;
//! lists of paths: what becomes read-only (below the root), files that are hidden, folders that are hidden (below the
//! spawner's own root); resource limits, each its number, soft and hard limit (64 bits); counters of a network namespace,
//! each its name below /proc/self/net, [`COUNTER_WHOLE`] or [`COUNTER_OWN`], and its content in a new one (length, bytes);
//! Landlock: rights on files that are restricted, 0 where the kernel has none, scopes, rights in writable trees (64 bits each),
//! and a list of directories below the root with the rights in each (64 bits, path); the seccomp program (length, instructions).
//! Program memfd: [`PROGRAM_MAGIC`], number of arguments, number of variables, then the working
//! directory, the arguments and the variables, each ending with a NUL byte.
//! Files memfd: [`FILES_MAGIC`], number of files, then for each: mode, length of the path with its NUL,
//! length of the content (64 bits), path below the working directory, content. No padding anywhere.

/// The channel to the spawner, in init.
pub const CHANNEL: i32 = 3;

/// Length of every message but [`BUILD`].
pub const MESSAGE_BYTES: usize = 32;

/// Spawner to init, first of all: build the sandbox. Word 1: first user id of the block, word 2: number of cgroup files,
/// word 3: number of trees, word 4: which network namespace. Then for each tree: attributes of its mount, and where, below
/// the root. Descriptors: mold, root, /dev, the private tmpfs, cgroup files, trees, network namespace where it is no new one.
pub const BUILD: u32 = 3;

/// In [`BUILD`]: a new network namespace.
pub const NETWORK_NEW: u32 = 0;

/// In [`BUILD`]: that of an earlier sandbox, where nobody used it; else a new one.
pub const NETWORK_KEPT: u32 = 1;

/// In [`BUILD`]: one that was made for this sandbox.
pub const NETWORK_GIVEN: u32 = 2;

/// Longest [`BUILD`].
pub const BUILD_BYTES: usize = 16 << 10;

/// Most descriptors that come with [`BUILD`].
pub const BUILD_DESCRIPTORS: usize = 64;

/// How many of them every [`BUILD`] has.
pub const BUILD_FIXED: usize = 4;

/// Spawner to init: start a program. Word 1: process, word 2: `RLIMIT_NOFILE`, words 3 and 4: `RLIMIT_FSIZE`, low word
/// first. Descriptors: program, files, stdin, stdout, stderr.
pub const EXEC: u32 = 1;

/// Descriptors that come with [`EXEC`].
pub const EXEC_DESCRIPTORS: usize = 5;

/// Spawner to init: its user ids are mapped.
pub const MAPPED: u32 = 2;

/// Init to spawner: its user namespace is made, and nothing is mapped in it.
pub const MAP: u32 = 14;

/// Init to spawner: the sandbox stands, and waits for its order. Word 1: 1 when its network namespace is a new one, 0 when it
/// is the one that came with [`BUILD`].
pub const READY: u32 = 15;

/// Init to spawner: the program runs. Word 1: process.
pub const STARTED: u32 = 16;

/// To the spawner: a step failed. Word 1: process, word 2: step, word 3: errno.
pub const FAILED: u32 = 17;

/// Init to spawner: the program ended and everything it left was reaped. Word 1: process, word 2: wait
/// status, words 3 and 4: its wall time in microseconds, from vfork(2) to the reaping of the program, low word first.
pub const EXITED: u32 = 18;

/// First word of the mold memfd.
pub const MOLD_MAGIC: u32 = 0x4d4e_4c4b;

/// A counter that is compared as it is.
pub const COUNTER_WHOLE: u32 = 0;

/// A counter in which a number that follows one of [`WORDS_OF_THE_HOST`] is not compared.
pub const COUNTER_OWN: u32 = 1;

/// Words of /proc/net/sockstat that count for the whole host; a number follows each.
pub const WORDS_OF_THE_HOST: [&str; 3] = ["orphan", "alloc", "mem"];

/// First word of the program memfd.
pub const PROGRAM_MAGIC: u32 = 0x504e_4c4b;

/// First word of the files memfd.
pub const FILES_MAGIC: u32 = 0x464e_4c4b;

/// Steps of init, in [`FAILED`].
pub mod step {
    /// Understand what to build.
    pub const RECEIVE_BUILD: u32 = 0;
    /// Join the cgroup.
    pub const JOIN_CGROUP: u32 = 1;
    /// Unshare the cgroup namespace.
    pub const UNSHARE_CGROUP: u32 = 2;
    /// Enter a network namespace.
    pub const ENTER_NETWORK: u32 = 3;
    /// Unshare the other namespaces.
    pub const UNSHARE_OTHERS: u32 = 4;
    /// Leave the spawner's session.
    pub const LEAVE_SESSION: u32 = 5;
    /// Set the out-of-memory preference.
    pub const PREFER_AS_VICTIM: u32 = 6;
    /// Name the host.
    pub const NAME_HOST: u32 = 7;
    /// Mount the root.
    pub const MOUNT_ROOT: u32 = 8;
    /// Mount /proc.
    pub const MOUNT_PROC: u32 = 9;
    /// Hide parts of /proc.
    pub const MASK_PROC: u32 = 10;
    /// Mount /dev.
    pub const MOUNT_DEVICE: u32 = 11;
    /// Mount /tmp and /dev/shm.
    pub const MOUNT_TEMPORARY: u32 = 12;
    /// Mount the trees.
    pub const MOUNT_TREES: u32 = 13;
    /// Make a ruleset of Landlock.
    pub const MAKE_RULESET: u32 = 14;
    /// Pivot into the root.
    pub const PIVOT: u32 = 15;
    /// Arrange the descriptors.
    pub const ARRANGE_DESCRIPTORS: u32 = 16;
    /// Enter a user namespace.
    pub const ENTER_USER_NAMESPACE: u32 = 17;
    /// Empty the bounding set.
    pub const EMPTY_BOUNDING_SET: u32 = 18;
    /// Set the resource limits.
    pub const SET_RESOURCE_LIMITS: u32 = 19;
    /// Become the job's user.
    pub const BECOME_USER: u32 = 20;
    /// Drop every capability.
    pub const DROP_CAPABILITIES: u32 = 21;
    /// Give up new privileges.
    pub const GIVE_UP_PRIVILEGES: u32 = 22;
    /// Restrict what files can be used for.
    pub const RESTRICT_FILES: u32 = 23;
    /// Restore the signals.
    pub const RESTORE_SIGNALS: u32 = 24;
    /// Load the seccomp program.
    pub const LOAD_FILTER: u32 = 25;
    /// Tell the kernel to end init with the spawner.
    pub const GUARD: u32 = 100;
    /// Receive the order to start.
    pub const RECEIVE: u32 = 101;
    /// Set the resource limits of this job.
    pub const LIMIT: u32 = 102;
    /// Read the program memfd.
    pub const READ_PROGRAM: u32 = 103;
    /// Write the input files.
    pub const WRITE_FILES: u32 = 104;
    /// Go to the working directory.
    pub const ENTER_DIRECTORY: u32 = 105;
    /// Make the process.
    pub const FORK: u32 = 106;
    /// Start the program in it.
    pub const EXECUTE: u32 = 107;
}

/// A message of these words, the rest zero.
pub fn message<const WORDS: usize>(words: [u32; WORDS]) -> [u8; MESSAGE_BYTES] {
    let mut bytes = [0; MESSAGE_BYTES];
    for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}
