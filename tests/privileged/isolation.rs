//! What a program finds when it looks around: nothing of the host, nothing of another job.
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use serde_json::{Value, json};

use crate::harness::{Daemon, bash, command, data_directory, execute, printed, python, shared, with};
use crate::held::Held;

const ATTEMPT: &str = "
import errno, os, sys
def attempt(action, *arguments):
    try:
        action(*arguments)
        return 'OK'
    except OSError as error:
        return errno.errorcode[error.errno]
";

fn attempts(code: &str) -> Value {
    python(&format!("{ATTEMPT}{code}"))
}

#[track_caller]
fn check(code: &str, expected: &str) {
    assert_eq!(printed(&execute(&attempts(code))), expected);
}

/// A directory of the host that everybody could read and write, with a file in it.
struct Bait {
    folder: tempfile::TempDir,
}

impl Bait {
    const TEXT: &'static str = "of the host\n";

    #[expect(clippy::disallowed_methods, reason = "a new file in a directory of the test's own")]
    fn lay() -> Self {
        let folder = data_directory();
        fs::write(folder.path().join("bait"), Self::TEXT).unwrap();
        fs::set_permissions(folder.path().join("bait"), fs::Permissions::from_mode(0o666)).unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        Self { folder }
    }

    fn path(&self) -> String {
        self.folder.path().join("bait").to_str().unwrap().to_owned()
    }

    /// As it was laid: the same text, owner and mode, and nothing beside it.
    #[track_caller]
    fn assert_untouched(&self) {
        assert_eq!(fs::read_to_string(self.path()).unwrap(), Self::TEXT);
        let found = fs::symlink_metadata(self.path()).unwrap();
        assert_eq!((found.mode() & 0o7777, found.uid(), found.nlink()), (0o666, 0, 1));
        assert_eq!(fs::read_dir(self.folder.path()).unwrap().count(), 1);
    }
}

#[test]
fn the_root_holds_nothing_else() {
    let job = execute(&command(&["ls", "/"]));
    let known = ["bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "sbin", "tmp", "usr", "work"];
    let found: Vec<&str> = printed(&job).lines().collect();
    assert!(found.iter().all(|name| known.contains(name)), "{found:?}");
    for name in ["bin", "dev", "etc", "lib", "proc", "tmp", "usr", "work"] {
        assert!(found.contains(&name), "{name}");
    }
}

#[test]
fn files_of_the_host_are_not_there() {
    let daemon = shared();
    let bait = Bait::lay();
    let binary = env!("CARGO_BIN_EXE_kiln");
    let mut paths = vec!["/etc/shadow", "/etc/gshadow", "/etc/sudoers", "/etc/machine-id", "/etc/ssh", "/etc/kiln"];
    paths.extend(["/root", "/home", "/var", "/var/lib/kiln", "/boot", "/srv", "/opt", "/mnt", "/media", "/sys"]);
    paths.extend(["/run", "/run/kiln", "/run/docker.sock", "/var/run/docker.sock", "/run/systemd/private"]);
    paths.extend(["/run/dbus/system_bus_socket", "/run/containerd/containerd.sock", "/sys/fs/cgroup", binary]);
    let (planted, data) = (bait.path(), daemon.data().to_str().unwrap().to_owned());
    paths.extend([planted.as_str(), &data]);
    let code = "print({path: attempt(os.stat, path) for path in sys.argv[1:] if attempt(os.stat, path) != 'ENOENT'})";
    let job = daemon.execute(&with(attempts(code), json!({"args": paths})));
    assert_eq!(printed(&job), "{}\n");
}

#[test]
fn accounts_and_names_are_the_sandboxs_own() {
    let passwd = "root:x:0:0:root:/:/usr/sbin/nologin\nkiln:x:1000:1000:kiln job:/work:/bin/sh\n\
                  nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n";
    assert_eq!(printed(&execute(&command(&["cat", "/etc/passwd", "/etc/resolv.conf"]))), passwd);
    assert_eq!(printed(&execute(&command(&["ls", "-A", "/usr/local", "/usr/src"]))), "/usr/local:\n\n/usr/src:\n");
}

/// Any other error would come from ownership alone. That /usr is nobody's here is not what holds.
#[test]
fn all_but_the_own_places_is_read_only() {
    let code = "
for folder in ('/', '/usr', '/usr/bin', '/usr/lib', '/usr/local', '/etc', '/dev', '/bin'):
    made = attempt(os.mkdir, folder + '/x')
    link = attempt(os.symlink, '/tmp', folder + '/x')
    flag = bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
    if (made, link, flag) != ('EROFS', 'EROFS', True):
        print(folder, made, link, flag)
for path in ('/usr/bin/env', '/etc/hosts', '/etc/passwd', '/dev/shm', '/dev/null', '/proc/sys/kernel/core_pattern'):
    print(attempt(os.rename, path, path + '2'), attempt(os.chmod, path, 0o777))
";
    let mut expected = "EROFS EROFS\n".repeat(3);
    // The mode of /dev/shm is that of the job's own tmpfs, whose root belongs to nobody inside.
    expected.push_str("EROFS EPERM\nEROFS EROFS\nEROFS EROFS\n");
    check(code, &expected);
}

#[test]
fn the_own_places_can_be_written_and_hold_no_device_and_no_set_user_id() {
    let code = "
for folder in ('/work', '/tmp', '/dev/shm'):
    flags = os.statvfs(folder).f_flag
    print(attempt(os.mkdir, folder + '/x'), bool(flags & os.ST_NOSUID), bool(flags & os.ST_NODEV))
";
    check(code, &"OK True True\n".repeat(3));
}

/// Those of these entries of /proc that this kernel has.
fn on_this_kernel(names: &str) -> Vec<&str> {
    let there = |name: &&str| std::path::Path::new("/proc").join(name).symlink_metadata().is_ok();
    names.split_whitespace().filter(there).collect()
}

/// Covered is: empty, not of procfs, and not to be changed.
#[track_caller]
fn check_covered(names: &str, kind: &str, read: &str, change: &str) {
    let there = on_this_kernel(names);
    assert!(there.len() > 1, "{there:?}");
    let code = format!(
        "
for path in ['/proc/' + name for name in sys.argv[1:]]:
    print(os.path.{kind}(path), len({read}), os.stat(path).st_dev != os.stat('/proc').st_dev, {change})
"
    );
    let job = execute(&with(attempts(&code), json!({"args": there})));
    assert_eq!(printed(&job), "True 0 True EROFS\n".repeat(there.len()), "{there:?}");
}

#[test]
fn what_proc_tells_about_the_machine_is_hidden() {
    let files =
        "kcore keys key-users latency_stats timer_list timer_stats sched_debug interrupts kallsyms modules cmdline
        config.gz kmsg slabinfo vmallocinfo pagetypeinfo mdstat swaps partitions diskstats iomem ioports softirqs
        zoneinfo";
    check_covered(files, "isfile", "open(path, 'rb').read()", "attempt(os.chmod, path, 0o777)");
    let folders = "acpi asound scsi driver pressure tty";
    check_covered(folders, "isdir", "os.listdir(path)", "attempt(os.mkdir, path + '/x')");
}

#[test]
fn what_proc_could_change_is_read_only() {
    let files = "sysrq-trigger sys/kernel/core_pattern sys/kernel/hostname sys/vm/overcommit_memory sys/fs/file-max
        sys/net/ipv4/ip_forward bus fs irq sys";
    let there = on_this_kernel(files);
    assert!(there.contains(&"sys/kernel/core_pattern"), "{there:?}");
    let code = "
for path in ['/proc/' + name for name in sys.argv[1:]]:
    print(bool(os.statvfs(path).f_flag & os.ST_RDONLY), attempt(os.chmod, path, 0o777),
          os.path.isdir(path) or attempt(os.open, path, os.O_WRONLY) == 'EACCES')
flags = os.statvfs('/proc').f_flag
print(bool(flags & os.ST_NOSUID), bool(flags & os.ST_NODEV), bool(flags & os.ST_NOEXEC))
";
    let job = execute(&with(attempts(code), json!({"args": there})));
    assert_eq!(printed(&job), format!("{}True True True\n", "True EROFS True\n".repeat(there.len())), "{there:?}");
}

#[test]
fn devices_are_five_harmless_ones() {
    let code = "
print(sorted(os.listdir('/dev')))
import stat
for name in sorted(os.listdir('/dev')):
    found = os.lstat('/dev/' + name)
    if stat.S_ISCHR(found.st_mode):
        print(name, os.major(found.st_rdev), os.minor(found.st_rdev))
    elif stat.S_ISBLK(found.st_mode):
        print(name, 'is a block device')
full = os.open('/dev/full', os.O_WRONLY)
print(attempt(os.write, full, b'x'), open('/dev/null', 'rb').read(), open('/dev/zero', 'rb').read(2), len(os.urandom(9)))
";
    let expected = "['fd', 'full', 'null', 'random', 'shm', 'stderr', 'stdin', 'stdout', 'urandom', 'zero']\n\
                    full 1 7\nnull 1 3\nrandom 1 8\nurandom 1 9\nzero 1 5\nENOSPC b'' b'\\x00\\x00' 9\n";
    check(code, expected);
}

/// A mount that is not expected would be one of the host's.
#[test]
fn the_mounts_are_the_sandboxs_own() {
    let code = "
import collections
places = collections.Counter(line.split(' ')[4] for line in open('/proc/self/mountinfo'))
expected = {'/', '/usr', '/dev', '/dev/shm', '/tmp', '/work', '/proc'}
print(sorted(expected - set(places)))
print([place for place in places if place not in expected and not place.startswith(('/usr/', '/proc/'))])
kinds = {line.split(' - ')[1].split(' ')[0] for line in open('/proc/self/mountinfo')}
print(sorted(kinds & {'cgroup', 'cgroup2', 'sysfs', 'devpts', 'mqueue', 'nsfs', 'debugfs', 'securityfs', 'bpf'}))
";
    check(code, "[]\n[]\n[]\n");
}

#[test]
fn every_way_up_ends_at_the_own_root() {
    let bait = Bait::lay();
    let code = "
up = '/..' * 40
print(attempt(os.stat, up + sys.argv[1]), os.stat(up).st_ino == os.stat('/').st_ino)
print(attempt(os.stat, '/proc/self/root' + sys.argv[1]), attempt(os.stat, '/proc/1/root' + sys.argv[1]))
print(attempt(os.stat, '/proc/self/cwd' + up + sys.argv[1]), attempt(os.stat, '/proc/1/cwd' + up + sys.argv[1]))
print([fd for fd in range(3, 1024) if attempt(os.fstat, fd) != 'EBADF'])
";
    let job = execute(&with(attempts(code), json!({"args": [bait.path()]})));
    assert_eq!(printed(&job), "ENOENT True\nENOENT EACCES\nENOENT EACCES\n[]\n");
    bait.assert_untouched();
}

#[test]
fn work_and_tmp_are_new_for_each_job() {
    let leave = "for d in /work /tmp /dev/shm; do echo secret >$d/left; done; mkdir /work/.hidden; ls /work";
    assert_eq!(printed(&execute(&bash(leave))), "left\nmain.sh\n");
    let job = execute(&command(&["find", "/work", "/tmp", "/dev/shm", "-mindepth", "1"]));
    assert_eq!(printed(&job), "");
}

#[test]
fn two_jobs_do_not_see_each_others_files() {
    let daemon = shared();
    let put = "for folder in ('/work', '/tmp', '/dev/shm'):\n    open(folder + '/' + MARK, 'w').close()\n";
    let held = Held::start(&daemon, put, "");
    let job = daemon.execute(&command(&["find", "/work", "/tmp", "/dev/shm", "-mindepth", "1"]));
    assert_eq!(printed(&job), "");
    held.release();
}

#[test]
fn two_jobs_do_not_see_or_signal_each_others_processes() {
    let daemon = shared();
    let held = Held::start(&daemon, "", "print('unharmed')");
    let code = "
import signal
print(sorted(int(name) for name in os.listdir('/proc') if name.isdigit()) == [1, os.getpid()])
print(attempt(os.kill, int(sys.argv[1]), 0), attempt(os.pidfd_open, int(sys.argv[1])))
print(attempt(os.kill, -1, signal.SIGKILL))
";
    let job = daemon.execute(&with(attempts(code), json!({"args": [held.process().to_string()]})));
    // Nobody else is there to be signalled (kill(2)).
    assert_eq!(printed(&job), "True\nESRCH ESRCH\nESRCH\n");
    assert_eq!(printed(&held.release()), "unharmed\n");
}

const IPC: &str = "
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
libc.mq_open.restype = ctypes.c_int
def check(result):
    if result == -1:
        raise OSError(ctypes.get_errno(), '')
KEY, CREATE, QUEUE = 0x6b696c6e, 0o1000 | 0o666, b'/kiln'
";

#[test]
fn system_v_objects_and_message_queues_are_a_jobs_own() {
    let daemon = shared();
    let make = "
check(libc.shmget(KEY, 4096, CREATE))
check(libc.semget(KEY, 1, CREATE))
check(libc.msgget(KEY, CREATE))
check(libc.mq_open(QUEUE, os.O_CREAT | os.O_RDWR, 0o666, None))
";
    let find = "
def find():
    return [attempt(lambda: check(result)) for result in
            (libc.shmget(KEY, 0, 0), libc.semget(KEY, 0, 0), libc.msgget(KEY, 0), libc.mq_open(QUEUE, os.O_RDONLY))]
print(find(), [len(open('/proc/sysvipc/' + name).readlines()) for name in ('shm', 'sem', 'msg')])
";
    let held = Held::start(&daemon, &format!("{IPC}{make}"), find);
    let job = daemon.execute(&attempts(&format!("{IPC}{find}")));
    assert_eq!(printed(&job), "['ENOENT', 'ENOENT', 'ENOENT', 'ENOENT'] [1, 1, 1]\n");
    assert_eq!(printed(&held.release()), "['OK', 'OK', 'OK', 'OK'] [2, 2, 2]\n", "its own it can have");
}

#[test]
fn sockets_of_another_job_cannot_be_reached() {
    let daemon = shared();
    let listen = "
import socket
plugs = [socket.socket(socket.AF_UNIX), socket.create_server(('127.0.0.1', 4242))]
plugs[0].bind('\\0kiln-test')
plugs[0].listen()
";
    let connect = "
import socket
print(attempt(socket.socket(socket.AF_UNIX).connect, '\\0kiln-test'),
      attempt(socket.socket().connect, ('127.0.0.1', 4242)))
";
    let held = Held::start(&daemon, listen, connect);
    assert_eq!(printed(&daemon.execute(&attempts(connect))), "ECONNREFUSED ECONNREFUSED\n");
    assert_eq!(printed(&held.release()), "OK OK\n");
}

/// Nobody outside follows what a job leaves in its tree, neither to read, to write, to own nor to remove it.
#[test]
fn links_that_a_job_leaves_lead_nowhere() {
    let daemon = Daemon::start(&[]);
    let bait = Bait::lay();
    let code = "
import glob
bait, folder = sys.argv[1], os.path.dirname(sys.argv[1])
for place in ('/work', '/tmp', '/dev/shm'):
    for number, target in enumerate((bait, folder, '/', '/etc/shadow', '/proc/self/fd/1', '..')):
        os.symlink(target, f'{place}/link{number}')
for name in glob.glob('/work/main*'):
    os.remove(name)
    os.symlink(bait, name)
for name in ('stdout', 'stderr', 'output', 'program', 'core'):
    os.symlink(bait, '/work/' + name)
os.chdir('/tmp')
os.rename('/work/link1', '/work/program.d')
print(attempt(open, '/work/link0'), attempt(open, '/work/main.py', 'w'), attempt(os.listdir, '/work/program.d'))
";
    let job = daemon.execute(&with(attempts(code), json!({"args": [bait.path()]})));
    assert_eq!(printed(&job), "ENOENT ENOENT ENOENT\n");
    bait.assert_untouched();
    let strange = walkdir::WalkDir::new(daemon.data()).into_iter().flatten().filter(|entry| {
        let kind = entry.file_type();
        kind.is_symlink() || !(kind.is_file() || kind.is_dir())
    });
    assert_eq!(strange.count(), 0, "a link came into the data directory");
}

/// Where the kernel has it: it is asked before the capability for a device is looked for, which would be EPERM.
#[test]
fn landlock_stands_behind_the_mounts() {
    let code = "import errno, os\n\
                for top in ('/work', '/tmp', '/dev/shm'):\n\
                \x20   try:\n        os.mknod(f'{top}/disk', 0o060666, 0x800)\n\
                \x20   except OSError as error:\n        print(errno.errorcode[error.errno])";
    let refused = if kiln::sys::landlock::version().unwrap() >= 2 { "EACCES\n" } else { "EPERM\n" };
    assert_eq!(printed(&execute(&python(code))), refused.repeat(3));
}

#[test]
fn files_are_moved_and_linked_from_one_directory_to_another() {
    let code = "import os\n\
                for top in ('/work', '/tmp', '/dev/shm'):\n\
                \x20   os.makedirs(f'{top}/a/b'); os.mkdir(f'{top}/c'); open(f'{top}/a/b/f', 'w').write('x')\n\
                \x20   os.rename(f'{top}/a/b/f', f'{top}/c/f'); os.link(f'{top}/c/f', f'{top}/a/f'); os.rename(f'{top}/a', f'{top}/c/a')\n\
                \x20   os.mkfifo(f'{top}/p'); os.symlink('c/f', f'{top}/s'); os.truncate(f'{top}/s', 0)\n\
                \x20   print(os.stat(f'{top}/c/a/f').st_nlink)";
    assert_eq!(printed(&execute(&python(code))), "2\n2\n2\n");
}
