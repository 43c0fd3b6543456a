//! What the server asks of the spawner.
use crate::base::digest::Digest;
use crate::base::id::{ProcessId, SandboxId, TreeId};
use crate::plan::Plan;
use crate::plan::mount::Root;
use crate::plan::network::Policy;
use crate::wire::codec::{Malformed, Reader, Writer};
use crate::wire::{network, plan};

/// Bytes of a label: the spawner keeps it with a sandbox and gives it back in a listing.
pub const LABEL: usize = 64;

/// Descriptors beside [`Request::Start`]: program, files, stdin, stdout, stderr.
pub const START_DESCRIPTORS: usize = 5;

/// What the server asks. Every message about a process names its sandbox too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Opens the connection.
    Hello {
        /// How many sandboxes are to stand before anybody asks for them.
        ready: u32,
    },
    /// Make an empty writable tree for a job.
    MakeTree {
        /// Its new name.
        tree: TreeId,
        /// Its size.
        bytes: u64,
        /// Files and directories in it.
        inodes: u64,
        /// What the sandboxes that will have it are to have at `/`: one that stands ready is chosen by it.
        root: Root,
    },
    /// Remove a tree.
    DropTree {
        /// Which.
        tree: TreeId,
    },
    /// Make a sandbox and start its main program. Beside it: [`START_DESCRIPTORS`].
    Start(Box<Start>),
    /// Start one more program in a sandbox.
    Exec {
        /// Where.
        sandbox: SandboxId,
        /// Its new name.
        process: ProcessId,
    },
    /// Send a signal to a program.
    Signal {
        /// Where.
        sandbox: SandboxId,
        /// Which program.
        process: ProcessId,
        /// signal(7)
        signal: u32,
    },
    /// Tell a program's terminal its size.
    Resize {
        /// Where.
        sandbox: SandboxId,
        /// Which program.
        process: ProcessId,
        /// Lines.
        rows: u16,
        /// Characters a line.
        columns: u16,
    },
    /// Let a program's input end.
    CloseStdin {
        /// Where.
        sandbox: SandboxId,
        /// Which program.
        process: ProcessId,
    },
    /// Hold a sandbox, or let it go on.
    Freeze {
        /// Which.
        sandbox: SandboxId,
        /// 1 holds, 0 lets go on.
        frozen: u8,
    },
    /// Give a sandbox other limits.
    Update {
        /// Which.
        sandbox: SandboxId,
    },
    /// Tell all sandboxes.
    List,
    /// Take over a sandbox that an earlier connection started.
    Adopt {
        /// Which.
        sandbox: SandboxId,
    },
    /// End a sandbox with everything in it.
    End {
        /// Which.
        sandbox: SandboxId,
    },
    /// Remove a tag from the store of images.
    DropTag {
        /// The server's own number of this request.
        removal: u64,
        /// Name of its file.
        file: String,
    },
    /// Remove an image from the store.
    DropImage {
        /// The server's own number of this request.
        removal: u64,
        /// Which.
        digest: Digest,
    },
    /// Make what jobs need to use the network. Once, before the first of them.
    Network(Box<Policy>),
}

/// The body of [`Request::Start`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// Its new name.
    pub sandbox: SandboxId,
    /// The server's own words about it.
    pub label: [u8; LABEL],
    /// What it is.
    pub plan: Plan,
}

impl Request {
    /// The message.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::open(self.kind());
        match self {
            Self::Hello { ready } => writer.u32(*ready),
            Self::List => {}
            Self::MakeTree { tree, bytes, inodes, root } => {
                writer.u64(tree.0);
                writer.u64(*bytes);
                writer.u64(*inodes);
                plan::put_root(&mut writer, *root);
            }
            Self::DropTree { tree } => writer.u64(tree.0),
            Self::Start(start) => {
                writer.u64(start.sandbox.0);
                writer.bytes(&start.label);
                plan::put(&mut writer, &start.plan);
            }
            Self::Exec { sandbox, process } | Self::CloseStdin { sandbox, process } => {
                put_process(&mut writer, *sandbox, *process);
            }
            Self::Signal { sandbox, process, signal } => {
                put_process(&mut writer, *sandbox, *process);
                writer.u32(*signal);
            }
            Self::Resize { sandbox, process, rows, columns } => {
                put_process(&mut writer, *sandbox, *process);
                writer.u16(*rows);
                writer.u16(*columns);
            }
            Self::Freeze { sandbox, frozen } => {
                writer.u64(sandbox.0);
                writer.u8(*frozen);
            }
            Self::Update { sandbox } | Self::Adopt { sandbox } | Self::End { sandbox } => writer.u64(sandbox.0),
            Self::DropTag { removal, file } => {
                writer.u64(*removal);
                writer.text(file);
            }
            Self::DropImage { removal, digest } => {
                writer.u64(*removal);
                writer.bytes(&digest.0);
            }
            Self::Network(policy) => network::put(&mut writer, policy),
        }
        writer.finish()
    }

    const fn kind(&self) -> u16 {
        match self {
            Self::Hello { .. } => 1,
            Self::MakeTree { .. } => 2,
            Self::DropTree { .. } => 3,
            Self::Start(_) => 4,
            Self::Exec { .. } => 5,
            Self::Signal { .. } => 6,
            Self::Resize { .. } => 7,
            Self::CloseStdin { .. } => 8,
            Self::Freeze { .. } => 9,
            Self::Update { .. } => 10,
            Self::List => 11,
            Self::Adopt { .. } => 12,
            Self::End { .. } => 13,
            Self::DropTag { .. } => 14,
            Self::DropImage { .. } => 15,
            Self::Network(_) => 16,
        }
    }

    /// Reads a message.
    ///
    /// # Errors
    /// When it is not one, whole and of this version.
    pub fn decode(message: &[u8]) -> Result<Self, Malformed> {
        let (kind, mut reader) = Reader::open(message)?;
        let request = Self::take(kind, &mut reader)?;
        reader.close()?;
        Ok(request)
    }

    fn take(kind: u16, reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(match kind {
            1 => Self::Hello { ready: reader.u32()? },
            2 => Self::MakeTree {
                tree: TreeId(reader.u64()?),
                bytes: reader.u64()?,
                inodes: reader.u64()?,
                root: plan::take_root(reader)?,
            },
            3 => Self::DropTree { tree: TreeId(reader.u64()?) },
            4 => Self::Start(Box::new(Start {
                sandbox: SandboxId(reader.u64()?),
                label: reader.array()?,
                plan: plan::take(reader)?,
            })),
            5 => Self::Exec { sandbox: take_sandbox(reader)?, process: take_process(reader)? },
            6 => Self::Signal { sandbox: take_sandbox(reader)?, process: take_process(reader)?, signal: reader.u32()? },
            7 => Self::Resize {
                sandbox: take_sandbox(reader)?,
                process: take_process(reader)?,
                rows: reader.u16()?,
                columns: reader.u16()?,
            },
            8 => Self::CloseStdin { sandbox: take_sandbox(reader)?, process: take_process(reader)? },
            9 => Self::Freeze { sandbox: take_sandbox(reader)?, frozen: reader.u8()? },
            10 => Self::Update { sandbox: take_sandbox(reader)? },
            11 => Self::List,
            12 => Self::Adopt { sandbox: take_sandbox(reader)? },
            13 => Self::End { sandbox: take_sandbox(reader)? },
            14 => Self::DropTag { removal: reader.u64()?, file: reader.text()?.to_owned() },
            15 => Self::DropImage { removal: reader.u64()?, digest: Digest(reader.array()?) },
            16 => Self::Network(Box::new(network::take(reader)?)),
            other => return Err(Malformed::Unknown { field: "request", value: other.into() }),
        })
    }
}

fn put_process(writer: &mut Writer, sandbox: SandboxId, process: ProcessId) {
    writer.u64(sandbox.0);
    writer.u32(process.0);
}

fn take_sandbox(reader: &mut Reader<'_>) -> Result<SandboxId, Malformed> {
    reader.u64().map(SandboxId)
}

fn take_process(reader: &mut Reader<'_>) -> Result<ProcessId, Malformed> {
    reader.u32().map(ProcessId)
}

#[cfg(test)]
mod test {
    use proptest::prelude::*;

    use super::*;
    use crate::plan::limits::Limits;
    use crate::plan::mount::{BoxPath, Mount, MountAccess, MountSource};
    use crate::plan::{Class, Lifetime, Network, Profile, Stdio};

    fn start() -> Request {
        let plan = Plan {
            class: Class::Job,
            lifetime: Lifetime::WithMain,
            stdio: Stdio::Pipes,
            network: Network::Isolated,
            profile: Profile::Job,
            root: Root::Host,
            mounts: vec![Mount {
                source: MountSource::Tree { tree: TreeId(7) },
                target: BoxPath::try_from("/work").unwrap(),
                access: MountAccess::ReadWrite,
            }],
            limits: Limits {
                wall_us: 1,
                cpu_time_us: 2,
                milli_cpus: 3,
                memory: 4,
                processes: 5,
                open_files: 6,
                file_size: 7,
                temporary: 8,
                temporary_inodes: 9,
            },
        };
        Request::Start(Box::new(Start { sandbox: SandboxId(1), label: [3; LABEL], plan }))
    }

    #[test]
    fn a_request_survives_the_wire() {
        for request in [
            Request::Hello { ready: 8 },
            Request::MakeTree { tree: TreeId(1), bytes: 2, inodes: 3, root: Root::Image { digest: Digest([4; 32]) } },
            Request::DropTree { tree: TreeId(1) },
            start(),
            Request::Exec { sandbox: SandboxId(1), process: ProcessId(2) },
            Request::Signal { sandbox: SandboxId(1), process: ProcessId(2), signal: 9 },
            Request::Resize { sandbox: SandboxId(1), process: ProcessId(2), rows: 24, columns: 80 },
            Request::CloseStdin { sandbox: SandboxId(1), process: ProcessId(2) },
            Request::Freeze { sandbox: SandboxId(1), frozen: 1 },
            Request::Update { sandbox: SandboxId(1) },
            Request::List,
            Request::Adopt { sandbox: SandboxId(1) },
            Request::End { sandbox: SandboxId(1) },
            Request::DropTag { removal: 1, file: String::from("python:3.13") },
            Request::DropImage { removal: 2, digest: Digest([5; 32]) },
            Request::Network(Box::new(crate::plan::network::test::policy())),
        ] {
            assert_eq!(Request::decode(&request.encode()), Ok(request));
        }
    }

    #[test]
    fn another_version_is_refused() {
        let mut message = Request::List.encode();
        message[2] += 1;
        assert!(
            matches!(Request::decode(&message), Err(Malformed::Version { version, .. }) if version == crate::wire::VERSION + 1)
        );
    }

    #[test]
    fn a_message_of_another_length_is_refused() {
        let message = start().encode();
        for end in 0..message.len() {
            assert!(Request::decode(&message[..end]).is_err(), "{end} bytes");
        }
        let longer: Vec<u8> = message.into_iter().chain([0]).collect();
        assert_eq!(Request::decode(&longer), Err(Malformed::Long(1)));
    }

    proptest! {
        #[test]
        fn no_message_is_read_as_another(change in 6_usize..200, value: u8) {
            let mut message = start().encode();
            let place = change % message.len();
            message[place] = value;
            if let Ok(request) = Request::decode(&message) {
                prop_assert_eq!(request.encode(), message);
            }
        }

        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            let message = [&Request::List.encode()[..4], &bytes].concat();
            if let Ok(request) = Request::decode(&message) {
                prop_assert_eq!(request.encode(), message);
            }
        }
    }
}
