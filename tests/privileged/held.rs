//! A job that stays where it is until the test lets it go, so that nothing has to be timed.
//!
//! The program is Python. It calls itself `held` once it has done its first part, which the host can
//! see, and goes on at SIGUSR1, which the host can send. `MARK` is a word that no other job has; the
//! command line of the program and of every process that it forks has it.
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::harness::{Daemon, python, seconds, until, with};
use crate::host;

const HEAD: &str = "
import errno, os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
MARK = sys.argv[1]
def call_myself(name):
    with open('/proc/self/comm', 'w') as comm:
        comm.write(name)
def attempt(action, *arguments):
    try:
        action(*arguments)
        return 'OK'
    except OSError as error:
        return errno.errorcode[error.errno]
";
const MIDDLE: &str = "
call_myself('held')
signal.sigwait({signal.SIGUSR1})
";

/// A job that has done its first part.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    daemon: &'a Daemon,
    path: String,
    mark: String,
    process: u32,
}

/// A word that is on no other command line.
pub(crate) fn new_mark() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("kiln-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// What a held program is: `first`, then the wait, then `last`.
pub(crate) fn program(mark: &str, first: &str, last: &str) -> Value {
    let code = format!("{HEAD}{first}{MIDDLE}{last}");
    with(python(&code), json!({"args": [mark], "timeout": 300, "limits": {"cpu_time": 300}}))
}

impl<'a> Held<'a> {
    /// Runs `first` and waits before `last`.
    #[track_caller]
    pub(crate) fn start(daemon: &'a Daemon, first: &str, last: &str) -> Self {
        let mark = new_mark();
        let path = daemon.submit(&program(&mark, first, last));
        let process = until(seconds(60), "the job has done its first part", || {
            let state = daemon.get(&path).body;
            assert!(state.get("termination").is_none(), "it has ended: {state:#}");
            process_called("held", &mark)
        });
        Self { daemon, path, mark, process }
    }

    /// The program, by its number on the host.
    pub(crate) const fn process(&self) -> u32 {
        self.process
    }

    /// Its mark.
    pub(crate) fn mark(&self) -> &str {
        &self.mark
    }

    /// The path of the job.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The one of its processes that calls itself so.
    #[track_caller]
    pub(crate) fn called(&self, name: &str) -> u32 {
        until(seconds(60), name, || process_called(name, &self.mark))
    }

    /// Lets it go, and waits until it has ended by itself.
    #[track_caller]
    pub(crate) fn release(self) -> Value {
        Daemon::signal(self.process, Signal::SIGUSR1);
        self.daemon.wait_for_status(&self.path, "completed")
    }
}

/// The process of this name and mark.
pub(crate) fn process_called(name: &str, mark: &str) -> Option<u32> {
    host::processes_with(mark).into_iter().find(|process| host::name(*process) == name)
}
