//! What must be unharmed after an attempt: the host, the daemon, a job that runs beside it, and the next job.
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use serde_json::json;

use crate::footprint::Footprint;
use crate::harness::{Daemon, bash, command, data_directory, printed, seconds, until_equal};
use crate::held::Held;
use crate::host;

/// Lays bait under the names that `neighbour.py` looks for, and says at its end that all of it is still there.
const BAIT: &str = "
import ctypes, socket
libc = ctypes.CDLL(None)
SECRET = 'secret-' + MARK
for folder in ('/work', '/tmp', '/dev/shm'):
    with open(folder + '/bait', 'w') as file:
        file.write(SECRET)
    os.chmod(folder + '/bait', 0o666)
plugs = [socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM),
         socket.create_server(('127.0.0.1', 4242))]
plugs[0].bind('\\0kiln-bait')
plugs[0].listen()
plugs[1].bind('\\0kiln-bait-datagram')
KEY, CREATE = 0x6b696c6e, 0o1000 | 0o666
objects = [libc.shmget(KEY, 4096, CREATE), libc.semget(KEY, 1, CREATE), libc.msgget(KEY, CREATE),
           libc.mq_open(b'/kiln-bait', os.O_CREAT | os.O_RDWR, 0o666, None)]
";
const UNHARMED: &str = "
files = [open(folder + '/bait').read() for folder in ('/work', '/tmp', '/dev/shm')]
plugs[1].setblocking(False)
plugs[2].setblocking(False)
quiet = attempt(plugs[1].recv, 1) == attempt(plugs[2].accept) == 'EAGAIN'
print(files == [SECRET] * 3 and min(objects) >= 0 and quiet and libc.msgget(KEY, 0) == objects[2])
";

/// Settings and names of the host that no job may change.
const SETTINGS: &[&str] = &[
    "kernel/hostname",
    "kernel/domainname",
    "kernel/core_pattern",
    "kernel/modprobe",
    "kernel/panic",
    "kernel/sysrq",
    "kernel/tainted",
    "fs/suid_dumpable",
    "net/ipv4/ip_forward",
    "vm/overcommit_memory",
];

/// A file of the host that everybody could read and write, in a folder of that kind.
struct Bait {
    folder: tempfile::TempDir,
    text: String,
}

impl Bait {
    #[expect(clippy::disallowed_methods, reason = "a new file in a directory of the test's own")]
    fn lay(mark: &str) -> Self {
        let folder = data_directory();
        let (path, text) = (folder.path().join("bait"), format!("secret-{mark}"));
        fs::write(&path, &text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        Self { folder, text }
    }

    #[track_caller]
    fn assert_untouched(&self) {
        let path = self.folder.path().join("bait");
        assert_eq!(fs::read_to_string(&path).unwrap(), self.text);
        let found = fs::symlink_metadata(&path).unwrap();
        assert_eq!((found.mode() & 0o7777, found.uid(), found.nlink()), (0o666, 0, 1));
        assert_eq!(host::paths_below(self.folder.path()).len(), 1);
    }
}

fn settings() -> BTreeMap<&'static str, String> {
    let read = |name: &&'static str| Some((*name, fs::read_to_string(Path::new("/proc/sys").join(name)).ok()?));
    SETTINGS.iter().filter_map(read).collect()
}

/// Of the spawner, without what is not of a sandbox.
fn processes(daemon: &Daemon) -> BTreeSet<u32> {
    host::descendants(daemon.spawner())
}

/// The processes in all groups of a daemon but its own.
fn members(daemon: &Daemon) -> BTreeSet<u32> {
    let groups = host::cgroups_of(daemon.instance());
    groups.iter().flat_map(|group| host::members(group)).collect()
}

/// A daemon with a job that runs beside all attempts.
pub(super) struct Guard<'a> {
    daemon: &'a Daemon,
    neighbour: Held<'a>,
    bait: Bait,
    before: Footprint,
    settings: BTreeMap<&'static str, String>,
    processes: BTreeSet<u32>,
    members: BTreeSet<u32>,
    count: u32,
}

impl<'a> Guard<'a> {
    pub(super) fn start(daemon: &'a Daemon) -> Self {
        assert_eq!(printed(&daemon.execute(&bash("echo first"))), "first\n");
        let (before, settings) = (Footprint::at_rest(daemon), settings());
        let neighbour = Held::start(daemon, BAIT, UNHARMED);
        let bait = Bait::lay(neighbour.mark());
        let (processes, members) = (processes(daemon), members(daemon));
        assert!(processes.len() == 2 && members == processes, "{processes:?} {members:?}");
        Self { daemon, neighbour, bait, before, settings, processes, members, count: 0 }
    }

    /// What stands for `word` among the arguments of an attempt.
    pub(super) fn argument(&self, word: &str) -> String {
        let bait = self.bait.folder.path().join("bait");
        match word {
            "{bait}" => bait.to_str().unwrap().to_owned(),
            "{neighbour}" => self.neighbour.process().to_string(),
            "{port}" => self.daemon.address().port().to_string(),
            other => other.to_owned(),
        }
    }

    /// What the neighbour and the host have, and no output may hold.
    pub(super) fn secret(&self) -> &str {
        &self.bait.text
    }

    /// Nothing is left of the attempt, nothing else has suffered, and the next job is run well.
    #[track_caller]
    pub(super) fn assert_unharmed(&mut self) {
        self.count += 1;
        let patience = seconds(30);
        until_equal(patience, &self.processes, || processes(self.daemon));
        until_equal(patience, &self.members, || members(self.daemon));
        let word = format!("after {}", self.count);
        assert_eq!(printed(&self.daemon.execute(&command(&["echo", &word]))), format!("{word}\n"));
        assert_eq!(self.daemon.get("/readyz").status, 200);
        let log = self.daemon.log();
        assert!(!log.contains(" ERROR ") && !log.contains("panic"), "{log}");
        self.bait.assert_untouched();
        assert_eq!(settings(), self.settings);
        assert!(host::is_alive(self.daemon.server()) && host::is_alive(self.neighbour.process()));
    }

    /// The neighbour did not notice, and the daemon has nothing that it did not have before.
    #[track_caller]
    pub(super) fn end(self) {
        let job = self.neighbour.release();
        assert_eq!(printed(&job), "True\n", "the neighbour was harmed");
        assert_eq!(job["usage"]["memory_peak_bytes"].as_u64().map(|peak| peak < 64 << 20), Some(true), "{job:#}");
        assert_eq!(Footprint::at_rest(self.daemon), self.before);
        assert_eq!(self.daemon.get("/v1/status").body["jobs_running"], json!(0));
    }
}
