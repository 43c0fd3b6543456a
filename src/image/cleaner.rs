//! A process beside the one that makes an image: when that one is gone, however it ended, it removes what was left.
//!
//! It is in a session of its own, so that neither Ctrl-C nor the end of a terminal ends it. Not here: what is left when
//! both are killed at once, which the next one to make an image removes (`store`).
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use nix::unistd::setsid;

use crate::image::folder::Folder;
use crate::image::store::LOCK;
use crate::sys::process::{self, Helper, SingleThreaded};
use crate::sys::socket;

/// The directory that it was given to hold. A link would not be followed: `.` is none.
const HELD: &str = "/proc/self/fd/1/.";

/// The process, as long as the one that made it goes on.
#[derive(Debug)]
pub(super) struct Cleaner {
    /// When it is closed, by us or by our end, the process begins.
    channel: Option<OwnedFd>,
    process: OwnedFd,
}

impl Cleaner {
    /// For the directory `name` in the store.
    pub(super) fn start(store: &Folder, name: &str) -> io::Result<Self> {
        let single = SingleThreaded::prove()?;
        let (channel, far) = socket::pair()?;
        let helper = Helper { name: c"kiln-cleaner", channel: far.as_fd(), held: store.as_fd() };
        let process = process::start_helper(&single, &helper, |channel| match clean(channel, name) {
            Ok(()) => 0,
            Err(error) => {
                left_behind(name, &error);
                1
            }
        })?;
        Ok(Self { channel: Some(channel), process })
    }
}

impl Drop for Cleaner {
    /// How it ended matters to nobody: what it could not do it has said.
    fn drop(&mut self) {
        drop(self.channel.take());
        drop(process::wait(self.process.as_fd()));
    }
}

/// Says so on the standard error of the command; where nobody reads it, it is not missed.
pub(super) fn left_behind(name: &str, error: &io::Error) {
    drop(writeln!(
        io::stderr(),
        "kiln: {name} is left behind in the store of images ({error}); kiln image gc removes it"
    ));
}

fn clean(channel: OwnedFd, name: &str) -> io::Result<()> {
    setsid()?;
    // Nothing is ever sent.
    File::from(channel).read_to_end(&mut Vec::new())?;
    let store = Folder::open(Path::new(HELD))?;
    let left = match store.within(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    // Programs that worked in it may end later.
    left.file().lock()?;
    let changing = store.lock_file(LOCK)?;
    changing.lock()?;
    store.remove_tree(name)
}
