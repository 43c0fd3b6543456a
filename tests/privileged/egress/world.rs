//! A host of the tests' own in one network namespace, and an internet in another, with everything that a job must reach or
//! must not.
//!
//! A thread of the test lives on that host: the daemons that it starts do as well. With the thread and the processes both
//! are gone. Not here: what is asked.
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use nix::sched::{CloneFlags, setns, unshare};
use serde_json::{Value, json};

use crate::harness::{Daemon, printed, python, with};

/// What listens there. The public ones are of networks for documentation (RFC 5737, RFC 3849).
const ADDRESSES: [&str; 12] = [
    "198.51.100.10/32",
    "198.51.100.53/32",
    "198.51.100.66/32",
    "169.254.169.254/32",
    "10.99.0.5/32",
    "172.20.1.1/32",
    "192.168.55.5/32",
    "100.64.9.9/32",
    "198.18.0.9/32",
    "2001:db8:2::10/128",
    "2001:db8:2::53/128",
    "fd00:99::5/128",
];

/// What a daemon that gives network is told.
pub(super) const SETTINGS: [(&str, &str); 3] = [
    ("KILN_NETWORK_EGRESS", "true"),
    ("KILN_NETWORK_DNS", "198.51.100.53,2001:db8:2::53"),
    ("KILN_NETWORK_SUBNET", "10.213.128.0/24"),
];

/// Both.
#[derive(Debug)]
pub(super) struct World {
    internet: Child,
    heard: BufReader<ChildStdout>,
}

/// Does it on a host of its own. What it asserts fails the test.
pub(super) fn on_a_host(act: impl FnOnce(&mut World) + Send) {
    on_a_thread(|| {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        act(&mut World::make());
    });
}

/// A host with one daemon, for all tests that only run jobs; it lives as long as one of them does.
struct Shared {
    daemon: Daemon,
    world: Mutex<World>,
    namespace: File,
}

/// Does it there, beside other tests.
pub(super) fn on_the_shared_host(act: impl FnOnce(&Daemon, &Mutex<World>) + Send) {
    static SHARED: Mutex<Weak<Shared>> = Mutex::new(Weak::new());
    on_a_thread(|| {
        let mut place = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = place.upgrade().unwrap_or_else(|| {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            let world = Mutex::new(World::make());
            let namespace = File::open("/proc/thread-self/ns/net").unwrap();
            Arc::new(Shared { daemon: Daemon::start(&SETTINGS), world, namespace })
        });
        *place = Arc::downgrade(&shared);
        drop(place);
        setns(&shared.namespace, CloneFlags::CLONE_NEWNET).unwrap();
        act(&shared.daemon, &shared.world);
    });
}

fn on_a_thread(act: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name(String::from("host")).spawn_scoped(scope, act).unwrap();
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Runs a command to its end; it must succeed.
#[track_caller]
pub(super) fn run(line: &str) -> String {
    let output = command(line).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a program to its end, however that is.
pub(super) fn program(path: &str, arguments: &[&str]) -> Output {
    command(path).args(arguments).output().unwrap()
}

#[expect(clippy::disallowed_methods, reason = "ip(8) and nft(8) are what operators look with")]
fn command(line: &str) -> Command {
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().unwrap());
    command.args(words).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command
}

impl World {
    #[expect(clippy::disallowed_methods, reason = "the internet is a process")]
    fn make() -> Self {
        let mut internet = Command::new("/usr/bin/python3");
        internet.args(["-c", include_str!("outside.py")]).args(ADDRESSES).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut internet = internet.spawn().unwrap();
        let heard = BufReader::new(internet.stdout.take().unwrap());
        let mut world = Self { internet, heard };
        world.expect("unshared");
        run("ip link set lo up");
        run(&format!("ip link add up0 type veth peer name net0 netns {}", world.internet.id()));
        run("ip addr add 203.0.113.1/24 dev up0");
        run("ip addr add 2001:db8:1::1/64 dev up0 nodad");
        run("ip link set up0 up");
        run("ip route add default via 203.0.113.2");
        run("ip route add default via 2001:db8:1::2");
        world.internet.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        world.expect("ready");
        world
    }

    #[track_caller]
    fn expect(&mut self, word: &str) {
        assert_eq!(self.line(), word);
    }

    /// Runs a command in the internet; it must succeed.
    #[track_caller]
    pub(super) fn inside(&self, line: &str) {
        run(&format!("nsenter -n -t {} {line}", self.internet.id()));
    }

    /// Runs a program there that must fail; gives what it complains of.
    #[track_caller]
    pub(super) fn fails(&self, program: &str, arguments: &[&str]) -> String {
        let output =
            command(&format!("nsenter -n -t {} {program}", self.internet.id())).args(arguments).output().unwrap();
        assert!(!output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// What the internet says next.
    pub(super) fn line(&mut self) -> String {
        let mut line = String::new();
        self.heard.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.internet.kill().unwrap();
        self.internet.wait().unwrap();
    }
}

/// What programs of these tests have to hand.
const TOOLS: &str = "
import errno, socket, sys, time, urllib.request
def connect(address, port):
    begin = time.monotonic()
    family = socket.AF_INET6 if ':' in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as plug:
        plug.settimeout(20)
        try:
            plug.connect((address, port))
            outcome = 'OK'
        except TimeoutError:
            outcome = 'SILENCE'
        except OSError as error:
            outcome = errno.errorcode[error.errno]
    return outcome
def get(url):
    return urllib.request.urlopen(url, timeout=20).read()
";

/// A Python program that asks for the network.
pub(super) fn networked(code: &str) -> Value {
    with(python(&format!("{TOOLS}{code}")), json!({"network_access": true}))
}

/// The same program without.
pub(super) fn isolated(code: &str) -> Value {
    python(&format!("{TOOLS}{code}"))
}

/// One line for each pair of address and port: how connecting to it ended.
pub(super) fn attempts(job: &Value) -> Vec<(String, String)> {
    let pairs = printed(job).lines().filter_map(|line| line.rsplit_once(' '));
    pairs.map(|(place, outcome)| (place.to_owned(), outcome.to_owned())).collect()
}

/// A program that tries these.
pub(super) fn attempt(places: &[(&str, u16)]) -> Value {
    let list: Vec<String> = places.iter().map(|(address, port)| format!("('{address}', {port})")).collect();
    networked(&format!("for place in [{}]:\n    print(*place, connect(*place))\n", list.join(", ")))
}
