//! More rights than the job was given: ids, capabilities, limits, priority.
use crate::kernel::{self, Errno, call};
use crate::outcome::Outcome;
use crate::{Attempt, attempt};

pub(crate) static ATTEMPTS: [Attempt; 16] = [
    attempt(c"capabilities", capabilities),
    attempt(c"bounding-set", bounding_set),
    attempt(c"no-new-privileges", || holds(prctl(39), 1)), // PR_GET_NO_NEW_PRIVS
    attempt(c"seccomp-filter", || holds(prctl(21), 2)),    // PR_GET_SECCOMP: SECCOMP_MODE_FILTER
    attempt(c"inherited-descriptor", inherited_descriptor),
    attempt(c"setuid", || call(105, [0; 6]).into()),
    attempt(c"setgid", || call(106, [0; 6]).into()),
    attempt(c"setgroups", setgroups),
    attempt(c"setresuid", || call(117, [0; 6]).into()),
    attempt(c"capset", capset),
    attempt(c"rlimit", rlimit),
    attempt(c"nice", || call(141, [0, 0, -20_isize as usize, 0, 0, 0]).into()),
    attempt(c"realtime", realtime),
    attempt(c"oom-score", oom_score),
    attempt(c"personality", || call(135, [0x004_0000, 0, 0, 0, 0, 0]).into()), // ADDR_NO_RANDOMIZE
    attempt(c"clear-no-new-privileges", || call(157, [38, 0, 0, 0, 0, 0]).into()),
];

fn prctl(option: usize) -> Result<usize, Errno> {
    call(157, [option, 0, 0, 0, 0, 0])
}

/// Nothing is gained where the kernel says what it should.
fn holds(said: Result<usize, Errno>, wanted: usize) -> Outcome {
    match said {
        Ok(said) if said == wanted => Outcome::Hollow,
        other => other.into(),
    }
}

/// `_LINUX_CAPABILITY_VERSION_3`, this process (capget(2)).
const HEADER: [u32; 2] = [0x2008_0522, 0];

/// Effective, permitted and inheritable (capget(2)).
fn capabilities() -> Outcome {
    let mut words = [0_u32; 6];
    match call(125, [HEADER.as_ptr() as usize, words.as_mut_ptr() as usize, 0, 0, 0, 0]) {
        Ok(_) => match words.iter().fold(0, |all, word| all | word) {
            0 => Outcome::Hollow,
            held => Outcome::Through(held as usize),
        },
        Err(errno) => Outcome::Untried(errno),
    }
}

/// What an executed file could give (PR_CAPBSET_READ; capabilities(7)). EINVAL: the kernel knows none of this number.
fn bounding_set() -> Outcome {
    for capability in 0..64 {
        match call(157, [23, capability, 0, 0, 0, 0]) {
            Ok(0) => {}
            Ok(_) => return Outcome::Through(capability),
            Err(_) if capability > 0 => return Outcome::Hollow,
            Err(errno) => return Outcome::Untried(errno),
        }
    }
    Outcome::Hollow
}

/// Of the spawner's, of init's, of another job's (runc CVE-2024-21626).
fn inherited_descriptor() -> Outcome {
    const F_GETFD: usize = 1;
    let open = (3..4096).find(|&fd| call(72, [fd, F_GETFD, 0, 0, 0, 0]).is_ok());
    open.map_or(Outcome::Hollow, Outcome::Through)
}

fn setgroups() -> Outcome {
    let root = [0_u32];
    call(116, [1, root.as_ptr() as usize, 0, 0, 0, 0]).into()
}

fn capset() -> Outcome {
    let all = [u32::MAX; 6];
    call(126, [HEADER.as_ptr() as usize, all.as_ptr() as usize, 0, 0, 0, 0]).into()
}

/// One descriptor more than the hard limit (prlimit(2)).
fn rlimit() -> Outcome {
    const RLIMIT_NOFILE: usize = 7;
    let mut both = [0_u64; 2];
    match call(302, [0, RLIMIT_NOFILE, 0, both.as_mut_ptr() as usize, 0, 0]) {
        Ok(_) => {
            let more = [both[1] + 1; 2];
            call(302, [0, RLIMIT_NOFILE, more.as_ptr() as usize, 0, 0, 0]).into()
        }
        Err(errno) => Outcome::Untried(errno),
    }
}

/// SCHED_FIFO, the lowest of its priorities (sched(7)).
fn realtime() -> Outcome {
    let priority = 1_u32;
    call(144, [0, 1, &raw const priority as usize, 0, 0, 0]).into()
}

/// To be the last that is killed when the host runs out of memory (proc(5)).
fn oom_score() -> Outcome {
    match kernel::open(c"/proc/self/oom_score_adj", kernel::WRITE) {
        Ok(file) => kernel::write(file, b"-1000").into(),
        Err(errno) => Outcome::Refused(errno),
    }
}
