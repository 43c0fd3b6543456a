//! What a job leaves running ends with it: nothing leaves a pid namespace (`pid_namespaces(7)`).
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::harness::{Daemon, assert_ended_by, bash, execute, printed, python, seconds, shared, timeout, until, with};
use crate::held::{self, Held};
use crate::host;

/// `daemon(last)` leaves a process behind that has no relation to the program any more: an orphan
/// with a session of its own and without a descriptor. `last` is what it does once it is ready.
const DAEMON: &str = "
def daemon(last):
    ready, told = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.setsid()
            for number in (0, 1, 2, ready):
                os.close(number)
            call_myself('daemon')
            os.close(told)
            last()
        os._exit(0)
    os.close(told)
    os.wait()
    os.read(ready, 1)
def pause():
    while True:
        signal.pause()
";

const IGNORE_EVERYTHING: &str = "
def ignore():
    changeable = set(range(1, 65)) - {signal.SIGKILL, signal.SIGSTOP, 32, 33}
    for number in changeable:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, changeable)
    call_myself('ignoring')
    pause()
";

/// The daemon that `first` leaves is there while the job is, in this state, and not any more when the job has ended.
#[track_caller]
fn assert_ends_with_its_job(first: &str, name: &str, state: char) {
    let daemon = shared();
    let held = Held::start(&daemon, &format!("{DAEMON}{first}"), "print('end')");
    let left = held.called(name);
    until(seconds(30), "the process is in its state", || (host::state(left) == Some(state)).then_some(()));
    assert_ne!(left, held.process());
    assert_eq!(printed(&held.release()), "end\n");
    assert_eq!(host::state(left), None, "it outlived its job");
}

#[test]
fn a_daemon_ends_with_its_job() {
    assert_ends_with_its_job("daemon(pause)\n", "daemon", 'S');
}

#[test]
fn a_stopped_process_ends_with_its_job() {
    assert_ends_with_its_job("daemon(lambda: os.kill(os.getpid(), signal.SIGSTOP))\n", "daemon", 'T');
}

#[test]
fn a_process_that_ignores_every_signal_ends_with_its_job() {
    assert_ends_with_its_job(&format!("{IGNORE_EVERYTHING}daemon(ignore)\n"), "ignoring", 'S');
}

#[test]
fn a_process_that_calculates_ends_with_its_job() {
    assert_ends_with_its_job("def spin():\n    while True: pass\ndaemon(spin)\n", "daemon", 'R');
}

/// The program of the job is ended by a limit here, and everything else with it.
#[test]
fn a_limit_ends_the_descendants_too() {
    let daemon = shared();
    let mark = held::new_mark();
    let program = held::program(&mark, &format!("{DAEMON}{IGNORE_EVERYTHING}daemon(ignore)\ndaemon(pause)\n"), "");
    let path = daemon.submit(&with(program, json!({"timeout": timeout(10)})));
    until(seconds(30), "three processes", || (host::processes_with(&mark).len() == 3).then_some(()));
    let job = daemon.wait_for_status(&path, "timeout");
    assert_ended_by(&job, "wall_time_limit", "timeout");
    assert_eq!(host::processes_with(&mark).len(), 0, "they outlived their job");
}

/// Without the reaping of pid 1 the limit of processes would be used up after eight.
#[test]
fn orphans_are_reaped() {
    let code = "
import os
def fork():
    while True:
        try:
            return os.fork()
        except BlockingIOError:
            pass
for _ in range(300):
    child = fork()
    if child == 0:
        if fork() == 0:
            os._exit(0)
        os._exit(0)
    os.waitpid(child, 0)
while len([name for name in os.listdir('/proc') if name.isdigit()]) > 2:
    pass
print('reaped')
";
    let limits = json!({"timeout": timeout(60), "limits": {"processes": 8}});
    assert_eq!(printed(&execute(&with(python(code), limits))), "reaped\n");
}

#[test]
fn who_holds_the_output_open_does_not_delay_the_end() {
    let job = execute(&with(bash("sleep 1000 & echo parent"), json!({"timeout": timeout(60)})));
    assert_eq!(printed(&job), "parent\n");
}

#[test]
fn a_program_that_ends_all_but_itself_is_not_ended() {
    let code = "sleep 1000 & trap '' TERM; kill -TERM -1; wait; kill -KILL -1; echo alone";
    assert_eq!(execute(&bash(code))["stdout"], "alone\n");
}

/// Whoever kills init from outside ends that job and no other.
#[test]
fn the_end_of_init_is_the_end_of_its_job_only() {
    let daemon = shared();
    let (first, second) = (Held::start(&daemon, DAEMON, ""), Held::start(&daemon, "", "print('went on')"));
    let init = host::parent(first.process()).unwrap();
    assert_eq!(host::parent(init), Some(daemon.spawner()));
    Daemon::signal(init, Signal::SIGKILL);
    let job = daemon.wait_for_status(first.path(), "failed");
    assert_ended_by(&job, "daemon_restart", "failed");
    assert_eq!((&job["exit_code"], host::state(first.process())), (&Value::Null, None), "{job:#}");
    assert_eq!(printed(&second.release()), "went on\n");
}
