//! What the spawner says to the server.
use crate::base::id::{ProcessId, SandboxId, TreeId};
use crate::plan::ceiling::Refusal;
use crate::plan::isolation::Isolation;
use crate::wire::codec::{Malformed, Reader, Writer};

/// The step that fails when the sandbox is well and its program is not: in [`Reply::Failed`].
pub const START_PROGRAM: &str = "start the program";

/// What the spawner says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The connection is open.
    Welcome {
        /// What keeps jobs apart on this host.
        isolation: Isolation,
        /// The spawner's process.
        pid: u32,
    },
    /// A tree exists.
    TreeMade {
        /// Which.
        tree: TreeId,
        /// The id on the host that is 0 in its sandboxes.
        first_id: u32,
    },
    /// A tree will not be made.
    TreeRefused {
        /// Which.
        tree: TreeId,
        /// Why.
        refusal: Refusal,
    },
    /// Jobs can use the network.
    NetworkMade,
    /// They cannot.
    NetworkRefused {
        /// Why.
        refusal: Refusal,
    },
    /// A sandbox will not be made, or an operation on it is not done. Its job ends; the connection stays.
    Refused {
        /// Which.
        sandbox: SandboxId,
        /// Why.
        refusal: Refusal,
    },
    /// A program runs.
    Started {
        /// Where.
        sandbox: SandboxId,
        /// Which.
        process: ProcessId,
        /// From the arrival of the request to the program's exec, microseconds.
        setup_us: u64,
    },
    /// A program could not be started, and its sandbox is being ended.
    Failed {
        /// Where.
        sandbox: SandboxId,
        /// Which step did not work.
        step: String,
        /// errno(3); 0 where there is none.
        errno: u32,
    },
    /// A program ended and was reaped, with all that it had started.
    Exited {
        /// Where.
        sandbox: SandboxId,
        /// Which.
        process: ProcessId,
        /// wait(2)
        status: u32,
        /// What ended it.
        cause: Cause,
        /// What its sandbox used, in which init alone is left.
        counters: Counters,
    },
    /// Nothing of a sandbox is left but what the counters say.
    Ended {
        /// Which.
        sandbox: SandboxId,
        /// What ended it.
        cause: Cause,
        /// What it used.
        counters: Counters,
    },
    /// A tag or an image is removed.
    Dropped {
        /// By which request.
        removal: u64,
    },
    /// It is not.
    Kept {
        /// By which request.
        removal: u64,
        /// Why.
        refusal: Refusal,
    },
}

/// What ended a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Its main program ended.
    Program,
    /// Its wall time was over.
    WallTime,
    /// Its processor time was over.
    CpuTime,
    /// Its own memory limit made the kernel kill.
    Memory,
    /// The server asked.
    Requested,
    /// A step before the program did not work.
    Setup,
}

/// What a sandbox used, from the kernel's counters. What the kernel cannot say is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// From the start of the main program to its end.
    pub wall_us: Option<u64>,
    /// Processor time in user mode.
    pub cpu_user_us: Option<u64>,
    /// Processor time in the kernel.
    pub cpu_system_us: Option<u64>,
    /// Highest memory, bytes.
    pub memory_peak: Option<u64>,
    /// Most processes at once, init not counted.
    pub processes_peak: Option<u64>,
    /// Bytes read from block devices.
    pub io_read: Option<u64>,
    /// Bytes written to block devices.
    pub io_write: Option<u64>,
    /// Processes that were killed because this group reached its own limit.
    pub oom_kills: Option<u64>,
    /// Times that the group could not get memory below its limit.
    pub memory_denied: Option<u64>,
    /// Times that swap was refused.
    pub swap_denied: Option<u64>,
    /// Times that a process was refused.
    pub processes_denied: Option<u64>,
    /// Bytes left in the fullest of the writable file systems (statfs(2)).
    pub disk_free: Option<u64>,
    /// Inodes left in the one that has fewest.
    pub inodes_free: Option<u64>,
}

impl Counters {
    const FIELDS: usize = 13;

    const fn to_array(self) -> [Option<u64>; Self::FIELDS] {
        [
            self.wall_us,
            self.cpu_user_us,
            self.cpu_system_us,
            self.memory_peak,
            self.processes_peak,
            self.io_read,
            self.io_write,
            self.oom_kills,
            self.memory_denied,
            self.swap_denied,
            self.processes_denied,
            self.disk_free,
            self.inodes_free,
        ]
    }

    /// What was counted after `before`. A peak and what is free are not counted up.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let less = |now: Option<u64>, before: Option<u64>| Some(now?.saturating_sub(before.unwrap_or(0)));
        Self {
            cpu_user_us: less(self.cpu_user_us, before.cpu_user_us),
            cpu_system_us: less(self.cpu_system_us, before.cpu_system_us),
            io_read: less(self.io_read, before.io_read),
            io_write: less(self.io_write, before.io_write),
            oom_kills: less(self.oom_kills, before.oom_kills),
            memory_denied: less(self.memory_denied, before.memory_denied),
            swap_denied: less(self.swap_denied, before.swap_denied),
            processes_denied: less(self.processes_denied, before.processes_denied),
            ..*self
        }
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            wall_us: reader.maybe_u64()?,
            cpu_user_us: reader.maybe_u64()?,
            cpu_system_us: reader.maybe_u64()?,
            memory_peak: reader.maybe_u64()?,
            processes_peak: reader.maybe_u64()?,
            io_read: reader.maybe_u64()?,
            io_write: reader.maybe_u64()?,
            oom_kills: reader.maybe_u64()?,
            memory_denied: reader.maybe_u64()?,
            swap_denied: reader.maybe_u64()?,
            processes_denied: reader.maybe_u64()?,
            disk_free: reader.maybe_u64()?,
            inodes_free: reader.maybe_u64()?,
        })
    }
}

impl Reply {
    /// The message.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::open(self.kind());
        match self {
            Self::Welcome { isolation: Isolation { cgroups, landlock }, pid } => {
                writer.text(cgroups);
                writer.u32(landlock.unwrap_or(0));
                writer.u32(*pid);
            }
            Self::TreeMade { tree, first_id } => {
                writer.u64(tree.0);
                writer.u32(*first_id);
            }
            Self::TreeRefused { tree, refusal } => {
                writer.u64(tree.0);
                put_refusal(&mut writer, refusal);
            }
            Self::NetworkMade => {}
            Self::NetworkRefused { refusal } => put_refusal(&mut writer, refusal),
            Self::Refused { sandbox, refusal } => {
                writer.u64(sandbox.0);
                put_refusal(&mut writer, refusal);
            }
            Self::Started { sandbox, process, setup_us } => {
                writer.u64(sandbox.0);
                writer.u32(process.0);
                writer.u64(*setup_us);
            }
            Self::Failed { sandbox, step, errno } => {
                writer.u64(sandbox.0);
                writer.text(step);
                writer.u32(*errno);
            }
            Self::Exited { sandbox, process, status, cause, counters } => {
                writer.u64(sandbox.0);
                writer.u32(process.0);
                writer.u32(*status);
                put_use(&mut writer, *cause, counters);
            }
            Self::Ended { sandbox, cause, counters } => {
                writer.u64(sandbox.0);
                put_use(&mut writer, *cause, counters);
            }
            Self::Dropped { removal } => writer.u64(*removal),
            Self::Kept { removal, refusal } => {
                writer.u64(*removal);
                put_refusal(&mut writer, refusal);
            }
        }
        writer.finish()
    }

    const fn kind(&self) -> u16 {
        match self {
            Self::Welcome { .. } => 101,
            Self::TreeMade { .. } => 102,
            Self::TreeRefused { .. } => 103,
            Self::Refused { .. } => 104,
            Self::Started { .. } => 105,
            Self::Failed { .. } => 106,
            Self::Exited { .. } => 107,
            Self::Ended { .. } => 108,
            Self::Dropped { .. } => 109,
            Self::Kept { .. } => 110,
            Self::NetworkMade => 111,
            Self::NetworkRefused { .. } => 112,
        }
    }

    /// Reads a message.
    ///
    /// # Errors
    /// When it is not one, whole and of this version.
    pub fn decode(message: &[u8]) -> Result<Self, Malformed> {
        let (kind, mut reader) = Reader::open(message)?;
        let reply = Self::take(kind, &mut reader)?;
        reader.close()?;
        Ok(reply)
    }

    fn take(kind: u16, reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(match kind {
            101 => {
                let (cgroups, landlock) = (reader.text()?.to_owned(), reader.u32()?);
                let landlock = (landlock > 0).then_some(landlock);
                Self::Welcome { isolation: Isolation { cgroups, landlock }, pid: reader.u32()? }
            }
            102 => Self::TreeMade { tree: TreeId(reader.u64()?), first_id: reader.u32()? },
            103 => Self::TreeRefused { tree: TreeId(reader.u64()?), refusal: take_refusal(reader)? },
            104 => Self::Refused { sandbox: SandboxId(reader.u64()?), refusal: take_refusal(reader)? },
            105 => Self::Started {
                sandbox: SandboxId(reader.u64()?),
                process: ProcessId(reader.u32()?),
                setup_us: reader.u64()?,
            },
            106 => Self::Failed {
                sandbox: SandboxId(reader.u64()?),
                step: reader.text()?.to_owned(),
                errno: reader.u32()?,
            },
            107 => Self::Exited {
                sandbox: SandboxId(reader.u64()?),
                process: ProcessId(reader.u32()?),
                status: reader.u32()?,
                cause: take_cause(reader)?,
                counters: Counters::take(reader)?,
            },
            108 => Self::Ended {
                sandbox: SandboxId(reader.u64()?),
                cause: take_cause(reader)?,
                counters: Counters::take(reader)?,
            },
            109 => Self::Dropped { removal: reader.u64()? },
            110 => Self::Kept { removal: reader.u64()?, refusal: take_refusal(reader)? },
            111 => Self::NetworkMade,
            112 => Self::NetworkRefused { refusal: take_refusal(reader)? },
            other => return Err(Malformed::Unknown { field: "reply", value: other.into() }),
        })
    }
}

fn put_refusal(writer: &mut Writer, refusal: &Refusal) {
    writer.text(&refusal.what);
    writer.u64(refusal.asked);
    writer.u64(refusal.ceiling);
}

fn take_refusal(reader: &mut Reader<'_>) -> Result<Refusal, Malformed> {
    Ok(Refusal { what: reader.text()?.to_owned(), asked: reader.u64()?, ceiling: reader.u64()? })
}

fn put_use(writer: &mut Writer, cause: Cause, counters: &Counters) {
    writer.u8(number_of(cause));
    for counter in counters.to_array() {
        writer.maybe_u64(counter);
    }
}

const fn number_of(cause: Cause) -> u8 {
    match cause {
        Cause::Program => 1,
        Cause::WallTime => 2,
        Cause::CpuTime => 3,
        Cause::Memory => 4,
        Cause::Requested => 5,
        Cause::Setup => 6,
    }
}

fn take_cause(reader: &mut Reader<'_>) -> Result<Cause, Malformed> {
    let number = reader.u8()?;
    [Cause::Program, Cause::WallTime, Cause::CpuTime, Cause::Memory, Cause::Requested, Cause::Setup]
        .into_iter()
        .find(|cause| number_of(*cause) == number)
        .ok_or(Malformed::Unknown { field: "cause", value: number.into() })
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_reply_survives_the_wire() {
        let refusal = Refusal { what: String::from("memory"), asked: 2, ceiling: 1 };
        let counters = Counters { wall_us: Some(1), inodes_free: Some(2), ..Counters::default() };
        for reply in [
            Reply::Welcome { isolation: Isolation { cgroups: String::from("cgroup v2"), landlock: Some(2) }, pid: 7 },
            Reply::TreeMade { tree: TreeId(1), first_id: 7 },
            Reply::TreeRefused { tree: TreeId(1), refusal: refusal.clone() },
            Reply::NetworkMade,
            Reply::NetworkRefused { refusal: refusal.clone() },
            Reply::Refused { sandbox: SandboxId(1), refusal: refusal.clone() },
            Reply::Dropped { removal: 1 },
            Reply::Kept { removal: 2, refusal },
            Reply::Started { sandbox: SandboxId(1), process: ProcessId::MAIN, setup_us: 3 },
            Reply::Failed { sandbox: SandboxId(1), step: String::from("mount /proc"), errno: 1 },
            Reply::Exited {
                sandbox: SandboxId(1),
                process: ProcessId::MAIN,
                status: 256,
                cause: Cause::Program,
                counters,
            },
            Reply::Ended { sandbox: SandboxId(1), cause: Cause::Memory, counters },
        ] {
            assert_eq!(Reply::decode(&reply.encode()), Ok(reply));
        }
    }

    #[test]
    fn what_was_counted_before_is_not_counted() {
        let before = Counters { cpu_user_us: Some(5), memory_peak: Some(7), oom_kills: Some(1), ..Counters::default() };
        let now = Counters { cpu_user_us: Some(9), memory_peak: Some(8), oom_kills: Some(1), ..Counters::default() };
        let since = Counters { cpu_user_us: Some(4), memory_peak: Some(8), oom_kills: Some(0), ..Counters::default() };
        assert_eq!(now.since(&before), since);
    }

    #[test]
    fn a_text_that_nobody_writes_is_not_read() {
        let mut writer = Writer::open(Reply::Welcome { isolation: Isolation::default(), pid: 0 }.kind());
        writer.u16(1025);
        writer.bytes(&[b'a'; 1025]);
        assert!(matches!(Reply::decode(&writer.finish()), Err(Malformed::Unknown { value: 1025, .. })));
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let reply = Reply::Welcome { isolation: Isolation { cgroups: "é".repeat(1000), landlock: None }, pid: 7 };
        let Ok(Reply::Welcome { isolation, .. }) = Reply::decode(&reply.encode()) else { panic!("welcome") };
        assert_eq!(isolation.cgroups, "é".repeat(512));
    }
}
