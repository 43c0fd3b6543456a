//! Who a program is: as it sees itself, and as the host sees it.
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use nix::unistd::gettid;
use serde_json::json;

use crate::harness::{Daemon, command, execute, printed, python, shared, with};
use crate::held::Held;
use crate::host;

/// The first id that any job has on the host, and the ids of one job (`docs/SECURITY.md`, "The walls").
const FIRST_ID: u32 = 0x4000_0000;
const IDS: u32 = 2048;

/// What `/proc/self/status` of a program that does nothing says, by name.
fn own_status() -> BTreeMap<String, String> {
    let job = execute(&command(&["cat", "/proc/self/status"]));
    let lines = printed(&job).lines().filter_map(|line| line.split_once(':'));
    let words = |value: &str| value.split_whitespace().collect::<Vec<_>>().join(" ");
    lines.map(|(name, value)| (name.to_owned(), words(value))).collect()
}

#[track_caller]
fn check_status(expected: &[(&str, &str)]) {
    let status = own_status();
    for (name, value) in expected {
        assert_eq!(status.get(*name).map(String::as_str), Some(*value), "{name}");
    }
}

#[track_caller]
fn check(code: &str, expected: &str) {
    assert_eq!(printed(&execute(&python(code))), expected);
}

#[test]
fn the_program_is_an_ordinary_user_without_further_groups() {
    check_status(&[("Uid", "1000 1000 1000 1000"), ("Gid", "1000 1000 1000 1000"), ("Groups", "")]);
    assert_eq!(printed(&execute(&command(&["id"]))), "uid=1000(kiln) gid=1000(kiln) groups=1000(kiln)\n");
}

#[test]
fn no_capability_is_in_any_set() {
    check_status(&["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(|set| (set, "0000000000000000")));
}

#[test]
fn no_new_privileges_and_a_seccomp_filter_are_in_force() {
    check_status(&[("NoNewPrivs", "1"), ("Seccomp", "2"), ("Seccomp_filters", &host::filters_of_a_job())]);
}

/// Nothing is inherited from whoever started kiln: Rust ignores SIGPIPE, a shell blocks or ignores others.
#[test]
fn no_signal_is_ignored_blocked_or_pending() {
    check_status(&["SigIgn", "SigBlk", "SigCgt", "SigPnd", "ShdPnd"].map(|set| (set, "0000000000000000")));
}

#[test]
fn new_files_are_private_to_write() {
    check_status(&[("Umask", "0022")]);
}

#[test]
fn three_descriptors_are_open_and_no_other() {
    // The fourth is the one through which ls reads the directory.
    assert_eq!(printed(&execute(&command(&["ls", "/proc/self/fd"]))), "0\n1\n2\n3\n");
    let code = "import os\nprint([os.readlink(f'/proc/self/fd/{fd}').split(':')[0] for fd in range(3)])";
    check(code, "['/memfd', 'pipe', 'pipe']\n");
}

/// What a unit may give the spawner, so that it is served before what it starts.
#[test]
#[expect(clippy::disallowed_methods, reason = "renice(1) and chrt(1) raise it as an operator would")]
fn a_raised_priority_of_the_spawner_is_not_its_jobs() {
    let code = "
import os
flag = os.SCHED_RESET_ON_FORK
print(os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0) & ~flag == os.SCHED_OTHER)";
    // With the nice value and the policy that the spawner then has.
    let raised: [(&[&str], [i64; 2]); 2] =
        [(&["renice", "-n", "-7", "-p"], [-7, 0]), (&["chrt", "--rr", "-p", "1"], [0, 2])];
    for (raise, has) in raised {
        // A thread of its own, whose priority its children inherit.
        let seen = std::thread::spawn(move || {
            let raised = Command::new(raise[0]).args(&raise[1..]).arg(gettid().to_string()).status().unwrap();
            assert!(raised.success(), "{raise:?}");
            let daemon = Daemon::start(&[]);
            let spawner = daemon.spawner();
            ([19, 41].map(|place| host::stat(spawner, place)), printed(&daemon.execute(&python(code))).to_owned())
        });
        assert_eq!(seen.join().unwrap(), (has, String::from("0 True\n")));
    }
}

/// As the host sees it: nothing of the spawner or the server is open in the program, and only the channel in init.
#[test]
fn init_holds_its_channel_and_nothing_else() {
    let daemon = shared();
    let held = Held::start(&daemon, "", "");
    let init = host::parent(held.process()).unwrap();
    let expected = |pairs: &[(&str, usize)]| pairs.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect();
    assert_eq!(host::descriptors(init), expected(&[("/dev/null", 3), ("socket", 1)]));
    assert_eq!(host::descriptors(held.process()), expected(&[("/memfd:stdin (deleted)", 1), ("pipe", 2)]));
    held.release();
}

#[test]
fn the_program_leads_a_session_without_a_terminal_below_init() {
    let code = "
import os
pid = os.getpid()
print(os.getppid(), os.getsid(0) == pid, os.getpgrp() == pid)
def stat(process):
    return open(f'/proc/{process}/stat').read().rsplit(') ', 1)[1].split()
print('terminal', stat('self')[4], stat(1)[4])
print('init', stat(1)[1:4])
try:
    os.open('/dev/tty', os.O_RDWR)
except OSError as error:
    print(error.errno)
";
    // Init leads a session of its own: parent 0 is outside, group and session are init's.
    check(code, "1 True True\nterminal 0 0\ninit ['0', '1', '1']\n2\n");
}

#[test]
fn resource_limits_are_what_was_asked_for_and_the_documented_ones() {
    let code = "
import resource as r
MIB = 1 << 20
for name in 'NOFILE FSIZE CORE STACK MEMLOCK MSGQUEUE SIGPENDING NICE RTPRIO'.split():
    print(name, *r.getrlimit(getattr(r, 'RLIMIT_' + name)))
for name in ('CORE', 'NOFILE', 'MEMLOCK'):
    soft, hard = r.getrlimit(getattr(r, 'RLIMIT_' + name))
    try:
        r.setrlimit(getattr(r, 'RLIMIT_' + name), (hard + 1, hard + 1))
        print(name, 'was raised')
    except ValueError:
        pass
";
    let mib = 1_u64 << 20;
    let job = execute(&with(python(code), json!({"limits": {"open_files": 77, "file_size": 3}})));
    let expected = format!(
        "NOFILE 77 77\nFSIZE {file} {file}\nCORE 0 0\nSTACK {first} {stack}\nMEMLOCK {locked} {locked}\n\
         MSGQUEUE 819200 819200\nSIGPENDING 1024 1024\nNICE 0 0\nRTPRIO 0 0\n",
        file = 3 * mib,
        first = 8 * mib,
        stack = 64 * mib,
        locked = 8 * mib,
    );
    assert_eq!(printed(&job), expected);
}

/// And cannot be changed back to what services have (`proc_pid_oom_score_adj(5)`).
#[test]
fn a_job_is_killed_for_memory_before_any_service() {
    let code = "
import errno
print(open('/proc/self/oom_score_adj').read().strip())
try:
    with open('/proc/self/oom_score_adj', 'w') as file:
        file.write('-1000')
except OSError as error:
    print(errno.errorcode[error.errno])
";
    check(code, "800\nEACCES\n");
}

#[test]
fn the_host_has_a_name_that_says_nothing() {
    check("import os, socket\nprint(os.uname().nodename, socket.gethostname())", "kiln kiln\n");
    check("print(open('/etc/hostname').read(), open('/proc/sys/kernel/hostname').read())", "kiln\n kiln\n\n");
}

/// Of whatever hierarchies there are, version 1 or 2.
#[test]
fn the_own_cgroup_looks_like_the_root() {
    let code = "
for process in ('self', 1):
    print({line.rstrip().split(':', 2)[2] for line in open(f'/proc/{process}/cgroup')})
";
    check(code, "{'/'}\n{'/'}\n");
}

#[test]
fn only_ids_of_the_own_block_exist() {
    let code = "
import os
for name in ('uid_map', 'gid_map'):
    first, outside, count = map(int, open(f'/proc/self/{name}').read().split())
    print(first, outside >= 1 << 30, outside % 2048, count)
print(open('/proc/self/setgroups').read().strip())
print(os.stat('/work').st_uid, os.stat('/usr').st_uid, os.stat('/proc/1/environ').st_uid)
";
    let unmapped = 65534;
    let job = execute(&python(code));
    let lines: Vec<&str> = printed(&job).lines().collect();
    assert_eq!(lines[..2], ["0 True 0 2048"; 2]);
    // Files of the host's root are nobody's here; init is undumpable, and so is what /proc shows of it.
    assert_eq!(lines[3], format!("1000 {unmapped} {unmapped}"));
}

/// As the host sees it: an id that is nobody's else, without privileges.
#[test]
fn on_the_host_the_program_has_an_id_of_its_jobs_block() {
    let daemon = shared();
    let (one, other) = (Held::start(&daemon, "", ""), Held::start(&daemon, "", ""));
    let user = |held: &Held<'_>| {
        let ids = host::status(held.process(), "Uid");
        assert_eq!(host::status(held.process(), "Gid"), ids);
        let ids: Vec<u32> = ids.split(' ').map(|id| id.parse().unwrap()).collect();
        assert!(ids.len() == 4 && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        ids[0]
    };
    let users = [user(&one), user(&other)];
    for id in users {
        assert!((FIRST_ID..0x8000_0000).contains(&id), "{id}");
        assert_eq!((id - FIRST_ID) % IDS, 1000);
    }
    assert_ne!(users[0], users[1]);
    for (name, value) in [("Groups", ""), ("CapBnd", "0000000000000000"), ("NoNewPrivs", "1"), ("Seccomp", "2")] {
        assert_eq!(host::status(one.process(), name), value, "{name}");
    }
    one.release();
    other.release();
}

/// One time namespace serves all jobs of a daemon; it tells the uptime of the spawner, not of the host.
#[test]
fn every_namespace_is_another_than_the_hosts_and_another_jobs() {
    let daemon = shared();
    let (one, other) = (Held::start(&daemon, "", ""), Held::start(&daemon, "", ""));
    let of = |kind: &str, process: u32| -> PathBuf {
        let found = host::namespaces(kind, [process]);
        assert_eq!(found.len(), 1, "{kind}");
        found.into_iter().next().unwrap()
    };
    for kind in ["pid", "mnt", "net", "ipc", "uts", "user", "cgroup", "time"] {
        let (first, second) = (of(kind, one.process()), of(kind, other.process()));
        let host = of(kind, std::process::id());
        assert!(first != host && second != host, "{kind} is the host's");
        assert_eq!(first == second, kind == "time", "{kind}");
        let init = host::parent(one.process()).unwrap();
        assert_eq!(of(kind, init), first, "{kind} of init");
    }
    one.release();
    other.release();
}

#[test]
fn the_time_since_the_start_is_not_the_hosts() {
    let uptime = |text: &str| text.split(' ').next().unwrap().parse::<f64>().unwrap();
    let daemon = shared();
    let started = std::fs::read_to_string(format!("/proc/{}/stat", daemon.spawner())).unwrap();
    let ticks: f64 = started.rsplit_once(") ").unwrap().1.split(' ').nth(19).unwrap().parse().unwrap();
    let job = daemon.execute(&command(&["cat", "/proc/uptime"]));
    let (inside, host) = (uptime(printed(&job)), uptime(&std::fs::read_to_string("/proc/uptime").unwrap()));
    // USER_HZ is 100 on x86-64 (time(7)). The offsets are whole seconds.
    let age = host - ticks / 100.0;
    assert!(inside <= age + 2.0, "{inside} s inside, the spawner is {age} s old, the host {host} s");
}
