//! Ids, capabilities, and what cannot be had back (credentials(7), capabilities(7), seccomp(2)).
use super::{Errno, call};

/// All three at once: real, effective, saved (setresuid(2)).
pub(crate) fn set_user(id: u32) -> Result<(), Errno> {
    let id = id as usize;
    call(117, [id, id, id, 0, 0, 0]).map(drop)
}

/// The same of the group (setresgid(2)).
pub(crate) fn set_group(id: u32) -> Result<(), Errno> {
    let id = id as usize;
    call(119, [id, id, id, 0, 0, 0]).map(drop)
}

/// No supplementary group (setgroups(2)).
pub(crate) fn leave_all_groups() -> Result<(), Errno> {
    call(116, [0; 6]).map(drop)
}

fn control(option: usize, a: usize, b: usize) -> Result<usize, Errno> {
    call(157, [option, a, b, 0, 0, 0])
}

/// PR_SET_KEEPCAPS: the permitted set stays over a change of ids, until the next exec.
pub(crate) fn keep_capabilities() -> Result<(), Errno> {
    control(8, 1, 0).map(drop)
}

const PR_CAPBSET_DROP: usize = 24;
const PR_CAP_AMBIENT: usize = 47;
const PR_CAP_AMBIENT_CLEAR_ALL: usize = 4;

/// The sets have 64 bits; the kernel refuses numbers beyond the last capability that it knows.
const CAPABILITIES: usize = 64;

/// PR_CAPBSET_DROP for each capability that the kernel knows. EINVAL says that it knows none of this number, and so none
/// above it.
pub(crate) fn empty_bounding_set() -> Result<(), Errno> {
    for capability in 0..CAPABILITIES {
        match control(PR_CAPBSET_DROP, capability, 0) {
            Ok(_) => {}
            Err(Errno::INVALID) if capability > 0 => return Ok(()),
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// PR_CAP_AMBIENT_CLEAR_ALL
pub(crate) fn empty_ambient_set() -> Result<(), Errno> {
    control(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0).map(drop)
}

/// `_LINUX_CAPABILITY_VERSION_3` (capget(2)).
const VERSION: u32 = 0x2008_0522;

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

/// Effective, permitted, inheritable: the low words, then the high ones.
type Words = [[u32; 3]; 2];

/// Capability sets of this process.
pub(crate) struct Capabilities {
    effective: u64,
    pub(crate) permitted: u64,
    inheritable: u64,
}

impl Capabilities {
    pub(crate) fn is_empty(&self) -> bool {
        self.effective | self.permitted | self.inheritable == 0
    }
}

/// capget(2)
pub(crate) fn capabilities() -> Result<Capabilities, Errno> {
    let header = Header { version: VERSION, pid: 0 };
    let mut words: Words = [[0; 3]; 2];
    call(125, [&raw const header as usize, &raw mut words as usize, 0, 0, 0, 0])?;
    let [low, high] = words;
    let [effective, permitted, inheritable] =
        [0, 1, 2].map(|set: usize| u64::from(high[set]) << 32 | u64::from(low[set]));
    Ok(Capabilities { effective, permitted, inheritable })
}

/// Permitted and effective become this, inheritable becomes empty (capset(2)).
pub(crate) fn set_capabilities(set: u64) -> Result<(), Errno> {
    let header = Header { version: VERSION, pid: 0 };
    let (low, high) = (set as u32, (set >> 32) as u32);
    let words: Words = [[low, low, 0], [high, high, 0]];
    call(126, [&raw const header as usize, &raw const words as usize, 0, 0, 0, 0]).map(drop)
}

/// PR_SET_NO_NEW_PRIVS
pub(crate) fn set_no_new_privileges() -> Result<(), Errno> {
    control(38, 1, 0).map(drop)
}

/// Puts a seccomp program in force, for this process and everything it starts, for ever. `program` has the form that
/// libseccomp exports: instructions one after another, in this machine's byte order.
pub(crate) fn load_filter(program: &[u8]) -> Result<(), Errno> {
    const SECCOMP_SET_MODE_FILTER: usize = 1;
    const INSTRUCTION: usize = 8;
    #[repr(C)]
    struct Program {
        length: u16,
        instructions: *const u8,
    }
    let length = u16::try_from(program.len() / INSTRUCTION).map_err(|_| Errno::INVALID)?;
    if length == 0 || program.len() % INSTRUCTION != 0 {
        return Err(Errno::INVALID);
    }
    let program = Program { length, instructions: program.as_ptr() };
    call(317, [SECCOMP_SET_MODE_FILTER, 0, &raw const program as usize, 0, 0, 0]).map(drop)
}
