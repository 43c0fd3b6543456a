//! Makes one EROFS file of a directory, by mkfs.erofs of erofs-utils 1.5 or newer.
//!
//! The same tree gives the same file: owner and times are fixed, there are no extended attributes, the id follows from
//! the content. lz4hc is what every kernel with EROFS reads; 64 KiB is what is unpacked at once.
use std::fs::File;
use std::io;
use std::process::{Command, Stdio};

use crate::image::fault::ImageError;
use crate::image::folder::Folder;

/// The program and the package that has it.
const PROGRAM: &str = "mkfs.erofs";
const PACKAGE: &str = "erofs-utils";
/// Where programs are; the caller's environment decides nothing.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// strerror(3) of ENOSPC, in its output.
const NO_ROOM: &str = "No space left on device";
/// What of its complaints is shown, in bytes from the end.
const SAID_AT_MOST: usize = 2000;

/// What a file is made of beside its tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    /// The time of everything in it, in seconds since the Unix epoch.
    pub(super) epoch: u64,
    /// Id of the file system.
    pub(super) id: uuid::Uuid,
}

/// Packs the directory `from` in `folder` into the new file `to` beside it. `alive` is held open as long as the program
/// runs, also when this process is killed.
///
/// # Errors
/// When the program is not there, or did not end well.
pub(super) fn pack(folder: &Folder, from: &str, to: &str, form: &Form, alive: File) -> Result<(), ImageError> {
    let output = command(folder, from, to, form).stdin(Stdio::from(alive)).output();
    let output = match output {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(ImageError::NoProgram { program: PROGRAM, package: PACKAGE });
        }
        other => other.map_err(|error| ImageError::failed(format!("starting {PROGRAM}"), error))?,
    };
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    if folder.is_full() || said.contains(NO_ROOM) {
        return Err(ImageError::Full { what: String::from("packing the image") });
    }
    let begin = said.len().saturating_sub(SAID_AT_MOST);
    let begin = (begin..=said.len()).find(|at| said.is_char_boundary(*at)).unwrap_or(said.len());
    let said = said.get(begin..).unwrap_or_default().trim();
    Err(ImageError::Program { program: PROGRAM, said: format!("{}: {said}", output.status) })
}

#[expect(clippy::disallowed_methods, reason = "root's command line, not a daemon, makes images")]
fn command(folder: &Folder, from: &str, to: &str, form: &Form) -> Command {
    let mut command = Command::new(PROGRAM);
    command.env_clear().env("PATH", PATH).env("LC_ALL", "C");
    // Names are looked up from here: what is above may be renamed by others.
    command.current_dir(folder.path(""));
    command.args(["--quiet", "-zlz4hc", "-C65536", "--all-root", "-x-1"]);
    command.arg(format!("-T{}", form.epoch)).arg(format!("-U{}", form.id)).args([to, from]);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command
}
