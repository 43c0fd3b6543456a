//! A server that was taken over: it speaks to a spawner of its own, byte by byte, and passes what it likes.
//!
//! And jobs that go for the host by ways that no single limit of theirs covers.
use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use kiln::base::id::{InstanceId, SandboxId, TreeId};
use kiln::daemon::spawner::{self, OwnSpawner};
use kiln::plan::ceiling::Refusal;
use kiln::plan::limits::Limits;
use kiln::plan::mount::{BoxPath, Mount, MountAccess, MountSource, Root};
use kiln::plan::process::{Program, encode_files};
use kiln::plan::{Class, Lifetime, Network, Plan, Profile, Stdio};
use kiln::sys::memfd::{self, Kind};
use kiln::sys::socket::{self, Received};
use kiln::wire::reply::Reply;
use kiln::wire::request::{LABEL, Request, Start};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::json;

use crate::harness::{command, data_directory, execute, printed, python, seconds, shared, until, with};
use crate::host;

const WORK: TreeId = TreeId(1);

/// The hostile end of the wire. The tree [`WORK`] exists.
struct Hostile {
    spawner: OwnSpawner,
    wire: OwnedFd,
}

impl Hostile {
    fn start() -> Self {
        let program = Path::new(env!("CARGO_BIN_EXE_kiln-spawner"));
        let (spawner, wire) = spawner::start(program, InstanceId::random(), None).unwrap();
        let hostile = Self { spawner, wire };
        hostile.say(&Request::Hello { ready: 0 }, &[]);
        assert!(matches!(hostile.hear(), Some(Reply::Welcome { .. })));
        hostile.make_tree(WORK);
        hostile
    }

    fn say(&self, request: &Request, descriptors: &[BorrowedFd<'_>]) {
        socket::send(self.wire.as_fd(), &request.encode(), descriptors).unwrap();
    }

    /// What the spawner says next; nothing when it ended the connection.
    #[track_caller]
    fn hear(&self) -> Option<Reply> {
        let patience = PollTimeout::try_from(seconds(60)).unwrap();
        let mut ready = [PollFd::new(self.wire.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut ready, patience).unwrap(), 1, "the spawner says nothing");
        let mut packet = [0; kiln::wire::MAX_MESSAGE];
        match socket::receive::<1>(self.wire.as_fd(), &mut packet).unwrap() {
            Received::Packet { length, .. } => Some(Reply::decode(&packet[..length]).unwrap()),
            Received::Closed => None,
            Received::Nothing => panic!("readable and empty"),
        }
    }

    #[track_caller]
    fn make_tree(&self, tree: TreeId) {
        self.say(&Request::MakeTree { tree, bytes: 64 << 20, inodes: 100_000, root: Root::Host }, &[]);
        let made = self.hear();
        assert!(matches!(made, Some(Reply::TreeMade { tree: found, .. }) if found == tree), "{made:?}");
    }

    fn run(&self, words: &[&str], [stdin, stdout, stderr]: [BorrowedFd<'_>; 3]) {
        let program = Program {
            arguments: words.iter().map(|word| word.as_bytes().to_vec()).collect(),
            variables: Vec::new(),
            directory: BoxPath::try_from("/work").unwrap(),
        };
        let program = sealed(&program.encode().unwrap());
        let files = sealed(&encode_files(&[]).unwrap());
        let start = Start { sandbox: SandboxId(1), label: [0; LABEL], plan: plan() };
        self.say(&Request::Start(Box::new(start)), &[program.as_fd(), files.as_fd(), stdin, stdout, stderr]);
    }

    /// Ends the connection; the spawner has to end well.
    fn leave(mut self) {
        drop(self.wire);
        assert!(self.spawner.wait().unwrap().success());
    }
}

fn sealed(bytes: &[u8]) -> OwnedFd {
    memfd::sealed(c"test", bytes, Kind::Data).unwrap()
}

fn plan() -> Plan {
    Plan {
        class: Class::Job,
        lifetime: Lifetime::WithMain,
        stdio: Stdio::Pipes,
        network: Network::Isolated,
        profile: Profile::Job,
        root: Root::Host,
        mounts: vec![Mount {
            source: MountSource::Tree { tree: WORK },
            target: BoxPath::try_from("/work").unwrap(),
            access: MountAccess::ReadWrite,
        }],
        limits: Limits {
            wall_us: 60_000_000,
            cpu_time_us: 60_000_000,
            milli_cpus: 1000,
            memory: 256 << 20,
            processes: 16,
            open_files: 64,
            file_size: 1 << 20,
            temporary: 1 << 20,
            temporary_inodes: 64,
        },
    }
}

#[track_caller]
fn assert_refused(reply: Option<Reply>) {
    let Some(Reply::Refused { refusal: Refusal { what, .. }, .. }) = reply else { panic!("{reply:?}") };
    assert!(what.contains("pipe"), "{what}");
}

#[test]
fn a_named_pipe_of_the_host_is_refused_and_keeps_its_owner() {
    let folder = data_directory();
    let path = folder.path().join("fifo");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o666)).unwrap();
    let before = fs::metadata(&path).unwrap();
    let fifo = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let hostile = Hostile::start();
    let (empty, (_reader, writer)) = (sealed(b""), std::io::pipe().unwrap());
    hostile.run(&["true"], [fifo.as_fd(), writer.as_fd(), writer.as_fd()]);
    assert_refused(hostile.hear());
    hostile.run(&["true"], [empty.as_fd(), fifo.as_fd(), writer.as_fd()]);
    assert_refused(hostile.hear());
    let after = fs::metadata(&path).unwrap();
    assert_eq!((after.uid(), after.gid(), after.mode()), (before.uid(), before.gid(), before.mode()));
    hostile.leave();
}

#[test]
fn a_directory_a_device_and_the_wrong_end_of_a_pipe_are_refused() {
    let hostile = Hostile::start();
    let (empty, (reader, writer)) = (sealed(b""), std::io::pipe().unwrap());
    for path in ["/", "/dev/null", "/proc/self/status"] {
        let file = fs::File::open(path).unwrap();
        hostile.run(&["true"], [file.as_fd(), writer.as_fd(), writer.as_fd()]);
        assert_refused(hostile.hear());
    }
    hostile.run(&["true"], [empty.as_fd(), reader.as_fd(), writer.as_fd()]);
    assert_refused(hostile.hear());
    hostile.leave();
}

#[test]
fn bytes_that_are_no_message_end_the_spawner_with_all_it_has() {
    let mut hostile = Hostile::start();
    let (empty, (mut reader, writer)) = (sealed(b""), std::io::pipe().unwrap());
    hostile.run(&["sleep", "1000"], [empty.as_fd(), writer.as_fd(), writer.as_fd()]);
    drop(writer);
    assert!(matches!(hostile.hear(), Some(Reply::Started { .. })));
    socket::send(hostile.wire.as_fd(), b"nonsense", &[]).unwrap();
    assert!(!hostile.spawner.wait().unwrap().success());
    let mut nothing = Vec::new();
    assert_eq!(reader.read_to_end(&mut nothing).unwrap(), 0);
}

#[test]
fn a_full_tree_is_freed_by_a_helper_that_ends() {
    let hostile = Hostile::start();
    let (empty, (_reader, writer)) = (sealed(b""), std::io::pipe().unwrap());
    let fill = "import os\nfor number in range(5000): os.symlink('x', str(number))";
    hostile.run(&["python3", "-c", fill], [empty.as_fd(), writer.as_fd(), writer.as_fd()]);
    let ended = |reply: &Option<Reply>| matches!(reply, Some(Reply::Ended { .. }) | None);
    let replies: Vec<_> = std::iter::repeat_with(|| hostile.hear()).take(3).collect();
    assert!(replies.iter().any(ended), "{replies:?}");
    hostile.say(&Request::DropTree { tree: WORK }, &[]);
    let pid = hostile.spawner.pid();
    let children = || fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let mut number = WORK.0;
    until(seconds(30), "the helper has ended and was reaped", || {
        number += 1;
        hostile.make_tree(TreeId(number));
        hostile.say(&Request::DropTree { tree: TreeId(number) }, &[]);
        children().trim().is_empty().then_some(())
    });
    hostile.leave();
}

#[test]
fn what_sockets_buffer_is_limited() {
    let code = "
import socket
def buffered():
    line = next(line for line in open('/proc/net/sockstat') if line.startswith('UDP:'))
    return int(line.split()[-1]) * 4096 >> 20
before = buffered()
kept = []
for number in range(100):
    end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
    end.bind(('127.0.0.1', 0))
    kept.append(end)
for end in kept:
    for number in range(300):
        kept[0].sendto(b'x' * 60000, end.getsockname())
print(buffered() - before)
";
    let job = execute(&with(python(code), json!({"memory_limit": 64})));
    if job["termination"]["reason"] != "memory_limit" {
        let kept: i64 = printed(&job).trim().parse().unwrap();
        assert!(kept <= 64, "{kept} MiB in the buffers of a job that may have 64");
    }
}

#[test]
fn locks_disks_and_the_boot_of_the_host_are_hidden() {
    let job = execute(&command(&["cat", "/proc/locks", "/proc/consoles", "/proc/sys/kernel/random/boot_id"]));
    assert_eq!(printed(&job), "");
    let job = execute(&command(&["find", "/proc/fs", "/proc/bus", "/proc/irq", "-mindepth", "1"]));
    assert_eq!(printed(&job), "");
}

#[test]
fn the_server_can_make_no_namespace_and_start_no_program() {
    let daemon = shared();
    assert_eq!(host::status(daemon.server(), "Seccomp"), "2");
    assert_eq!(host::status(daemon.server(), "NoNewPrivs"), "1");
}
