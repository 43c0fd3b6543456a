//! What init and the spawner say to each other, and the form of the two memfds that init reads.
//!
//! Included by both programs, so that there is one truth. Everything is little-endian. A message is
//! one `SOCK_SEQPACKET` packet of [`MESSAGE_BYTES`] bytes: eight words of 32 bits, the first its kind.
//!
//! Program memfd: [`PROGRAM_MAGIC`], number of arguments, number of variables, then the working
//! directory, the arguments and the variables, each ending with a NUL byte.
//! Files memfd: [`FILES_MAGIC`], number of files, then for each: mode, length of the path with its NUL,
//! length of the content (64 bits), path below the working directory, content. No padding anywhere.

/// The channel to the spawner, in init.
pub const CHANNEL: i32 = 3;

/// Length of every message.
pub const MESSAGE_BYTES: usize = 32;

/// Spawner to init: start a program. Word 1: process, word 2: `RLIMIT_NOFILE`, words 3 and 4: `RLIMIT_FSIZE`, low word
/// first. Descriptors: program, files, stdin, stdout, stderr.
pub const EXEC: u32 = 1;

/// Descriptors that come with [`EXEC`].
pub const EXEC_DESCRIPTORS: usize = 5;

/// Spawner to the child before init: its user ids are mapped.
pub const MAPPED: u32 = 2;

/// The child before init to spawner: its user namespace is made, and nothing is mapped in it.
pub const MAP: u32 = 14;

/// Init to spawner: the sandbox stands, and waits for its order.
pub const READY: u32 = 15;

/// Init to spawner: the program runs. Word 1: process.
pub const STARTED: u32 = 16;

/// To the spawner: a step failed. Word 1: process, word 2: step, word 3: errno.
pub const FAILED: u32 = 17;

/// Init to spawner: the program ended and everything it left was reaped. Word 1: process, word 2: wait
/// status, words 3 and 4: its wall time in microseconds, from vfork(2) to the reaping of the program, low word first.
pub const EXITED: u32 = 18;

/// First word of the program memfd.
pub const PROGRAM_MAGIC: u32 = 0x504e_4c4b;

/// First word of the files memfd.
pub const FILES_MAGIC: u32 = 0x464e_4c4b;

/// Steps of init, in [`FAILED`]. The steps of the child before init count from 0.
pub mod step {
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
