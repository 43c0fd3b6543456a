//! More than one's share. Each stops at a bound of its own, some times the limit that it is run with: where the limit does
//! not hold, the host still does, and "through" is told.
use core::ffi::CStr;

use crate::kernel::{self, Errno, call, text};
use crate::outcome::Outcome;
use crate::{Attempt, attempt};

const PROCESSES: usize = 256;
const DESCRIPTORS: usize = 4096;
const FILES: usize = 16_384;
const MEMORY: usize = 256 << 20;
const FILE: usize = 32 << 20;
const OUTPUT: usize = 64 << 20;
const SECONDS: u64 = 60;

pub(crate) static ATTEMPTS: [Attempt; 13] = [
    attempt(c"fork-bomb", || processes(kernel::pause)),
    attempt(c"zombies", || processes(|| Ok(0))),
    attempt(c"memory", memory),
    attempt(c"memory-of-files", memory_of_files),
    attempt(c"processor-time", processor_time),
    attempt(c"wall-time", wall_time),
    attempt(c"output", output),
    attempt(c"disk-work", || fill(c"/work/full")),
    attempt(c"disk-tmp", || fill(c"/tmp/full")),
    attempt(c"disk-shm", || fill(c"/dev/shm/full")),
    attempt(c"inodes", inodes),
    attempt(c"file-size", file_size),
    attempt(c"descriptors", descriptors),
];

/// Starts children that are never waited for, and that do this.
fn processes(then: fn() -> Result<usize, Errno>) -> Outcome {
    for _ in 0..PROCESSES {
        match kernel::fork() {
            Ok(0) => {
                let _ended = then();
                kernel::exit(0)
            }
            Ok(_) => {}
            Err(errno) => return Outcome::Refused(errno),
        }
    }
    Outcome::Through(PROCESSES)
}

fn memory() -> Outcome {
    match kernel::map(MEMORY) {
        Ok(bytes) => {
            for page in bytes.chunks_mut(4096) {
                page.fill(1);
            }
            Outcome::Through(MEMORY)
        }
        Err(errno) => Outcome::Refused(errno),
    }
}

/// A file without a name (memfd_create(2)).
fn memory_of_files() -> Outcome {
    match call(319, [text(c"probe"), 0, 0, 0, 0, 0]) {
        Ok(file) => written(file, MEMORY),
        Err(errno) => Outcome::Refused(errno),
    }
}

fn processor_time() -> Outcome {
    let end = kernel::seconds().saturating_add(SECONDS);
    while kernel::seconds() < end {}
    Outcome::Through(0)
}

fn wall_time() -> Outcome {
    let time = [SECONDS, 0];
    call(35, [time.as_ptr() as usize, 0, 0, 0, 0, 0]).into()
}

static BLOCK: [u8; 4096] = [b'x'; 4096];

fn output() -> Outcome {
    let mut count = 0;
    while count < OUTPUT {
        match kernel::write(1, &BLOCK).and_then(|first| Ok(first + kernel::write(2, &BLOCK)?)) {
            Ok(taken) => count += taken,
            Err(errno) => return Outcome::Refused(errno),
        }
    }
    // What follows is a line of its own.
    match kernel::write(1, b"\n") {
        Ok(_) => Outcome::Through(count),
        Err(errno) => Outcome::Refused(errno),
    }
}

fn written(file: usize, bound: usize) -> Outcome {
    let mut count = 0;
    while count < bound {
        match kernel::write(file, &BLOCK) {
            Ok(taken) => count += taken,
            Err(errno) => return Outcome::Refused(errno),
        }
    }
    Outcome::Through(count)
}

fn fill(path: &CStr) -> Outcome {
    match kernel::open(path, kernel::CREATE) {
        Ok(file) => written(file, FILE),
        Err(errno) => Outcome::Untried(errno),
    }
}

fn inodes() -> Outcome {
    for number in 0..FILES {
        let mut path = *b"/work/fffff\0";
        let mut left = number;
        for place in path.iter_mut().skip(6).take(5) {
            *place = b'0' + (left % 10) as u8;
            left /= 10;
        }
        let Ok(name) = CStr::from_bytes_with_nul(&path) else { return Outcome::Untried(Errno(22)) };
        match call(133, [text(name), 0o100_600, 0, 0, 0, 0]) {
            Ok(_) => {}
            Err(errno) => return Outcome::Refused(errno),
        }
    }
    Outcome::Through(FILES)
}

/// A length without bytes: no space is taken, and the limit holds all the same (SIGXFSZ, setrlimit(2)).
fn file_size() -> Outcome {
    match kernel::open(c"/work/long", kernel::CREATE) {
        Ok(file) => call(77, [file, 1 << 40, 0, 0, 0, 0]).into(),
        Err(errno) => Outcome::Untried(errno),
    }
}

fn descriptors() -> Outcome {
    for _ in 0..DESCRIPTORS {
        if let Err(errno) = call(32, [0; 6]) {
            return Outcome::Refused(errno);
        }
    }
    Outcome::Through(DESCRIPTORS)
}
