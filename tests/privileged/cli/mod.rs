//! The command line against a real daemon, as its users have it: on its local socket.
mod bench;
mod jobs;
mod run;
mod socket;
mod verify;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, Weak};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::harness::{Daemon, seconds, until};

/// Any group that a Debian has.
const GROUP: &str = "users";

/// A daemon with a socket of its own.
#[derive(Debug)]
pub(crate) struct Local {
    daemon: Daemon,
    socket: PathBuf,
    /// Goes last.
    _folder: tempfile::TempDir,
}

fn open_folder() -> tempfile::TempDir {
    let mode = fs::Permissions::from_mode(0o755);
    tempfile::Builder::new().prefix("kiln-test-run-").permissions(mode).tempdir().unwrap()
}

impl Local {
    fn start() -> Self {
        let folder = open_folder();
        let socket = folder.path().join("kiln.sock");
        let daemon = Daemon::start(&[
            ("KILN_API_SOCKET", socket.to_str().unwrap()),
            ("KILN_API_SOCKET_GROUP", GROUP),
            // They are the client's, and must not hinder a daemon.
            ("KILN_SERVER", "/nowhere"),
            ("KILN_TOKEN", "nothing"),
        ]);
        Self { daemon, socket, _folder: folder }
    }

    /// One for all tests that only use it.
    pub(crate) fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Local>> = Mutex::new(Weak::new());
        let mut place = SHARED.lock().unwrap();
        if let Some(local) = place.upgrade() {
            return local;
        }
        let local = Arc::new(Self::start());
        *place = Arc::downgrade(&local);
        local
    }

    /// `kiln` with these arguments.
    pub(crate) fn kiln(&self, arguments: &[&str]) -> Command {
        kiln(&self.socket, arguments)
    }

    /// What a command prints that ends with 0.
    #[track_caller]
    fn printed(&self, arguments: &[&str]) -> String {
        let output = self.kiln(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", told(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.printed(arguments)).unwrap()
    }
}

#[expect(clippy::disallowed_methods, reason = "the program under test is started here")]
fn program(path: &Path) -> Command {
    let mut command = Command::new(path);
    command.env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn kiln(server: &Path, arguments: &[&str]) -> Command {
    let mut command = program(Path::new(env!("CARGO_BIN_EXE_kiln")));
    command.env("KILN_SERVER", server).args(arguments);
    command
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The command ended with this code and said these words.
#[track_caller]
fn assert_fails(command: &mut Command, code: i32, words: &[&str]) {
    let output = command.output().unwrap();
    let told = told(&output);
    assert_eq!(output.status.code(), Some(code), "{told}");
    for word in words {
        assert!(told.contains(word), "`{word}` is missing: {told}");
    }
    assert!(told.starts_with("kiln: ") && !told.contains("panicked"), "{told}");
}

#[track_caller]
fn ended(child: &mut Child) -> Option<i32> {
    until(seconds(60), "the command ends", || child.try_wait().unwrap()).code()
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
}
