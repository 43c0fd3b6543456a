//! An import that is killed: at each of its system calls that change something, by SIGKILL.
//!
//! Whenever it was, the name means the old image or the new one, whole, and what is left over is removed by gc.
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use serde_json::Value;

use super::{archive, content, image, import, printed, saved};
use crate::harness::{data_directory, seconds, until, until_equal};
use crate::host;

/// Calls that change the store, or make a change last.
const CHANGES: &[i64] = &[
    libc::SYS_mkdir,
    libc::SYS_mkdirat,
    libc::SYS_rename,
    libc::SYS_renameat2,
    libc::SYS_unlink,
    libc::SYS_unlinkat,
    libc::SYS_fsync,
    libc::SYS_flock,
    libc::SYS_chmod,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_clone3,
    libc::SYS_wait4,
    libc::SYS_exit_group,
];

/// How a traced import ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Killed,
    Whole,
}

/// Lets an import of this archive run until its `count`th change, and kills it there.
#[expect(clippy::disallowed_methods, reason = "the program under test is started here")]
fn import_until(data: &Path, archive: &[u8], count: usize) -> End {
    let import = image(data, &["import", "-", "--name", "tool"]);
    // It stands still until it is traced.
    let mut child = Command::new("/bin/sh")
        .args(["-c", "kill -STOP $$; exec \"$0\" \"$@\""])
        .arg(import.get_program())
        .args(import.get_args())
        .env_clear()
        .envs(import.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pid = Pid::from_raw(child.id().try_into().unwrap());
    until(seconds(30), "it stands still", || (host::state(child.id()) == Some('T')).then_some(()));
    ptrace::seize(pid, Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_EXITKILL).unwrap();
    kill(pid, Signal::SIGCONT).unwrap();
    // The archive is smaller than a pipe.
    child.stdin.take().unwrap().write_all(archive).unwrap();
    let end = follow(pid, count);
    reap(&mut child, &end);
    end
}

fn follow(pid: Pid, count: usize) -> End {
    let mut changes = 0;
    let mut is_inside = false;
    loop {
        match waitpid(pid, None).unwrap() {
            WaitStatus::PtraceSyscall(_) => {
                is_inside = !is_inside;
                let call = i64::try_from(ptrace::getregs(pid).unwrap().orig_rax).unwrap();
                if is_inside && CHANGES.contains(&call) {
                    changes += 1;
                }
                if changes == count {
                    kill(pid, Signal::SIGKILL).unwrap();
                    assert!(matches!(waitpid(pid, None).unwrap(), WaitStatus::Signaled(_, Signal::SIGKILL, _)));
                    return End::Killed;
                }
                ptrace::syscall(pid, None).unwrap();
            }
            WaitStatus::Exited(_, code) => {
                assert_eq!(code, 0);
                return End::Whole;
            }
            WaitStatus::Stopped(_, signal) => ptrace::syscall(pid, signal).unwrap(),
            WaitStatus::PtraceEvent(..) => ptrace::syscall(pid, None).unwrap(),
            other @ (WaitStatus::Signaled(..) | WaitStatus::Continued(_) | WaitStatus::StillAlive) => {
                panic!("{other:?}")
            }
        }
    }
}

/// The tracer has waited for it already.
fn reap(child: &mut Child, end: &End) {
    assert!(child.wait().is_err(), "{end:?}");
}

fn digest(data: &Path) -> String {
    let shown: Value = serde_json::from_str(&printed(data, &["show", "tool", "--json"])).unwrap();
    shown["digest"].as_str().unwrap().to_owned()
}

#[test]
fn an_import_that_is_killed_at_any_of_its_steps_leaves_the_old_image_or_the_new_one() {
    let (data, files) = (data_directory(), tempfile::tempdir().unwrap());
    let data = data.path();
    let (old, new) = (saved(files.path(), "old.tar", &archive(b"old")), archive(b"new"));
    let before = import(data, &old, "tool");
    let mut moved = Vec::new();
    for count in 1.. {
        let end = import_until(data, &new, count);
        let now = digest(data);
        assert!(end == End::Killed || now != before);
        // mkfs.erofs may live a little longer than who started it.
        until_equal(seconds(30), &3, || {
            printed(data, &["gc"]);
            content(data).len()
        });
        printed(data, &["verify"]);
        moved.push(now != before);
        if end == End::Whole {
            break;
        }
        if now != before {
            assert_eq!(import(data, &old, "tool"), before);
            printed(data, &["gc"]);
        }
    }
    // It was killed often enough to mean something, and from one moment on the name means the new image.
    assert!(moved.len() > 30 && moved.is_sorted(), "{moved:?}");
}
