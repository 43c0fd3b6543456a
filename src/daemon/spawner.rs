//! Starts the spawner, and learns of its end.
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::base::id::InstanceId;
use crate::sys::socket;

/// A spawner of our own.
#[derive(Debug)]
pub struct OwnSpawner {
    child: Child,
}

/// Starts it with our end of the wire as its descriptor 0, and the folder of its images where it has some. Needs root.
///
/// # Errors
/// When the program is not there or cannot be started.
#[expect(clippy::disallowed_methods, reason = "the spawner itself is started here, before any privilege is dropped")]
pub fn start(program: &Path, instance: InstanceId, images: Option<&Path>) -> io::Result<(OwnSpawner, OwnedFd)> {
    let (ours, theirs) = socket::pair()?;
    let child = Command::new(program)
        .arg("--instance")
        .arg(instance.to_string())
        .args(images.map(|_| "--images"))
        .args(images)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::null())
        // A signal that a terminal or timeout(1) sends to the whole group is for the server to answer.
        .process_group(0)
        .spawn()
        .map_err(|error| io::Error::other(format!("{} cannot be started: {error}", program.display())))?;
    Ok((OwnSpawner { child }, ours))
}

impl OwnSpawner {
    /// Waits until it has ended every sandbox and itself. Its connection is closed already.
    ///
    /// # Errors
    /// What wait(2) says.
    pub fn wait(&mut self) -> io::Result<std::process::ExitStatus> {
        self.child.wait()
    }

    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}
