//! What a program asks the kernel for, and how each request is refused.
use serde_json::{Value, json};

use crate::harness::{assert_ended_by, bash, execute, printed, python, with};

/// `call(number, …)` gives the name of the error, or the number that came back.
const CALL: &str = "
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    ctypes.set_errno(0)
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in arguments]
    result = libc.syscall(ctypes.c_long(number), *words)
    return errno.errorcode[ctypes.get_errno()] if result == -1 else result
";

/// Every call, as Python writes its number and arguments, ends with this.
#[track_caller]
fn check(expected: &str, calls: &[(&str, &str)]) {
    let lines: Vec<String> = calls.iter().map(|(name, call)| format!("print('{name}', call({call}))")).collect();
    let job = execute(&python(&format!("{CALL}{}", lines.join("\n"))));
    let wanted: Vec<String> = calls.iter().map(|(name, _)| format!("{name} {expected}")).collect();
    assert_eq!(printed(&job).lines().collect::<Vec<_>>(), wanted);
}

#[test]
fn nothing_can_be_mounted() {
    check(
        "EPERM",
        &[
            ("mount", "165, b'none', b'/tmp', b'tmpfs', 0, None"),
            ("bind mount", "165, b'/usr', b'/tmp', None, 4096, None"),
            ("remount", "165, None, b'/', None, 32, None"),
            ("umount2", "166, b'/tmp', 2"),
            ("pivot_root", "155, b'/tmp', b'/tmp'"),
            ("chroot", "161, b'/tmp'"),
            ("open_tree", "428, -100, b'/', 1"),
            ("move_mount", "429, 0, b'', 0, b'/tmp', 4"),
            ("fsopen", "430, b'tmpfs', 0"),
            ("fspick", "433, -100, b'/', 0"),
            ("mount_setattr", "442, -100, b'/', 0, None, 0"),
        ],
    );
}

#[test]
fn no_namespace_can_be_made_or_entered() {
    check(
        "EPERM",
        &[
            ("unshare user", "272, 0x10000000"),
            ("unshare mount", "272, 0x20000"),
            ("unshare user and mount", "272, 0x10020000"),
            ("unshare net", "272, 0x40000000"),
            ("setns", "308, 0, 0"),
            ("setns of a process", "308, os.pidfd_open(1), 0x20000"),
            ("clone user", "56, 0x10000000 | 17, 0, 0, 0, 0"),
            ("clone mount", "56, 0x20000 | 17, 0, 0, 0, 0"),
        ],
    );
    // Its flags lie in memory, where no filter sees them: the C library then uses clone (clone(2)).
    check("ENOSYS", &[("clone3", "435, None, 0")]);
}

#[test]
fn the_command_line_tools_of_an_escape_fail() {
    let code = "export LC_ALL=C
refused() {
    wanted=$1; shift
    said=$(\"$@\" 2>&1 >/dev/null) && echo \"$* worked\"
    grep -q \"$wanted\" <<<\"$said\" || echo \"$*: $said\"
}
refused 'must be superuser' mount -t tmpfs none /tmp
refused 'Operation not permitted' unshare -Ur id
refused 'Operation not permitted' unshare -m true
refused 'not permitted\\|Permission denied' nsenter -t 1 -m true
refused 'Operation not permitted' chroot / true
refused 'not permitted\\|Permission denied' mknod /tmp/disk b 8 0
echo done";
    assert_eq!(printed(&execute(&bash(code))), "done\n");
}

#[test]
fn no_process_can_be_traced() {
    check(
        "EPERM",
        &[
            ("traceme", "101, 0, 0, 0, 0"),
            ("attach to init", "101, 16, 1, 0, 0"),
            ("seize init", "101, 0x4206, 1, 0, 0"),
            ("attach to a child", "101, 16, os.fork() or (os.read(0, 1), os._exit(0)), 0, 0"),
            ("process_vm_readv", "310, 1, None, 0, None, 0, 0"),
            ("process_vm_writev", "311, 1, None, 0, None, 0, 0"),
            ("kcmp", "312, 1, 1, 0, 0, 0"),
            ("pidfd_getfd", "438, os.pidfd_open(1), 3, 0"),
        ],
    );
}

#[test]
fn init_cannot_be_read_written_or_ended() {
    let code = "
import errno, os, signal
def attempt(path, flags):
    try:
        os.open(path, flags)
        return 'open'
    except OSError as error:
        return errno.errorcode[error.errno]
print(attempt('/proc/1/mem', os.O_WRONLY), attempt('/proc/1/mem', os.O_RDONLY))
print({attempt(f'/proc/1/{name}', os.O_RDONLY) for name in ['environ', 'maps', 'root', 'cwd', 'fd', 'exe', 'ns/net']})
for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP, signal.SIGSEGV):
    os.kill(1, number)
print('init lives', os.path.exists('/proc/1'))
";
    assert_eq!(printed(&execute(&python(code))), "EACCES EACCES\n{'EACCES'}\ninit lives True\n");
}

#[test]
fn what_past_escapes_used_is_refused() {
    check(
        "EPERM",
        &[
            ("bpf", "321, 0, None, 0"),
            ("perf_event_open", "298, None, 0, -1, -1, 0"),
            ("keyctl", "250, 0, 0, 0, 0, 0"),
            ("add_key", "248, b'user', b'a', b'b', 1, -1"),
            ("request_key", "249, b'user', b'a', None, -1"),
            ("userfaultfd", "323, 0"),
            ("io_uring_setup", "425, 1, None"),
            ("io_uring_enter", "426, 0, 0, 0, 0, None, 0"),
            ("io_uring_register", "427, 0, 0, None, 0"),
            ("open_by_handle_at", "304, 0, None, 0"),
            ("name_to_handle_at", "303, 0, b'', None, None, 0"),
            ("push input into a terminal", "16, 0, 0x5412, b'x'"),
            ("personality", "135, 0x40000"),
        ],
    );
    check("ENOSYS", &[("vmsplice", "278, 0, None, 0, 0"), ("a call of the future", "600")]);
}

#[test]
fn nothing_of_the_host_can_be_changed() {
    check(
        "EPERM",
        &[
            ("init_module", "175, None, 0, b''"),
            ("finit_module", "313, 0, b'', 0"),
            ("delete_module", "176, b'x', 0"),
            ("kexec_load", "246, 0, 0, None, 0"),
            ("reboot", "169, 0xfee1dead, 672274793, 0x1234567, None"),
            ("swapon", "167, b'/x', 0"),
            ("acct", "163, b'/tmp/x'"),
            ("sethostname", "170, b'x', 1"),
            ("setdomainname", "171, b'x', 1"),
            ("settimeofday", "164, None, None"),
            ("clock_settime", "227, 0, None"),
            ("iopl", "172, 3"),
            ("ioperm", "173, 0, 1, 1"),
            ("syslog", "103, 3, None, 0"),
            ("quotactl", "179, 0, None, 0, None"),
            ("fanotify_init", "300, 0, 0"),
        ],
    );
    // Landlock is asked first, where the kernel has it; then the capability is missing.
    let refused = if kiln::sys::landlock::version().unwrap() >= 2 { "EACCES" } else { "EPERM" };
    check(
        refused,
        &[
            ("block device", "133, b'/tmp/n', 0o60666, 0x800"),
            ("character device", "259, -100, b'/tmp/n', 0o20666, 0x103"),
        ],
    );
}

#[test]
fn no_other_user_can_be_had() {
    check(
        "EPERM",
        &[
            ("setuid", "105, 0"),
            ("setgid", "106, 0"),
            ("setresuid", "117, 0, 0, 0"),
            ("setresgid", "119, 0, 0, 0"),
            ("setgroups", "116, 0, None"),
            ("drop a bounding capability", "157, 24, 0, 0, 0, 0"),
            ("keep capabilities", "157, 47, 2, 21, 0, 0"),
            ("chown", "92, b'/work', 0, 0"),
        ],
    );
}

/// x32 and 32-bit calls reach the kernel by other numbers than the filter's own.
#[test]
fn a_call_of_another_abi_ends_the_program_with_seccomp_denied() {
    let job = execute(&python(&format!("{CALL}call(39 | 0x40000000)")));
    assert_ended_by(&job, "seccomp_denied", "failed");
    assert_eq!((&job["termination"]["signal"], &job["exit_code"]), (&json!("SIGSYS"), &Value::Null), "{job:#}");
}

#[test]
fn a_child_that_the_filter_ends_does_not_end_the_job() {
    let code = format!(
        "{CALL}
pid = os.fork()
if pid == 0:
    call(39 | 0x40000000)
    os._exit(0)
print(os.WTERMSIG(os.waitpid(pid, 0)[1]))
"
    );
    assert_eq!(printed(&execute(&python(&code))), "31\n");
}

#[test]
fn a_set_user_id_program_gains_nothing() {
    let code = "
import os, stat
found = [name for name in os.scandir('/usr/bin') if name.stat(follow_symlinks=False).st_mode & stat.S_ISUID]
print(bool(found), bool(os.statvfs('/usr').f_flag & os.ST_NOSUID))
";
    assert_eq!(printed(&execute(&python(code))), "True True\n");
    let job = execute(&with(bash("su -c 'id -u' 2>&1; id -u"), json!({"stdin": "\n"})));
    assert_eq!(job["stdout"].as_str().unwrap().lines().last(), Some("1000"), "{job:#}");
    assert!(!job["stdout"].as_str().unwrap().lines().any(|line| line == "0"), "{job:#}");
}
