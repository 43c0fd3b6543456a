//! Opens the directory in spite of the two faults that sled 0.34 is known to leave behind
//! (notes-crates.md, section 1b, rule 4), and says clearly what it cannot open.
//!
//! Snapshots only make opening faster: the log alone rebuilds the same data. A damaged one is
//! moved into `<dir>/set-aside`, never deleted.
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::fault::StoreError;
use super::health::guarded;

/// sled fills this and no more; its own default is 1 GiB.
const CACHE_BYTES: u64 = 32 << 20;
/// A predecessor that is being stopped still holds the lock for a moment.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// The open database and the descriptor that its durability hangs on.
pub(super) struct Opened {
    pub(super) db: sled::Db,
    /// `<dir>/db`: sled does not fsync when it flushes.
    pub(super) file: File,
}

/// Opens or makes the database in `dir`.
pub(super) fn open(dir: &Path) -> Result<Opened, StoreError> {
    let because = |message| StoreError::Unopenable { dir: dir.to_path_buf(), message };
    let unopenable = |error: &io::Error| StoreError::of_file_system(error).unwrap_or_else(|| because(explain(error)));
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|e| unopenable(&e))?;
    remove_unfinished_snapshots(dir).map_err(|e| unopenable(&e))?;
    let open = || guarded(|| open_locked(dir)).map_err(|said| because(damage(&said)));
    let db = match open()? {
        Err(sled::Error::Corruption { at: None, .. }) => {
            set_snapshots_aside(dir).map_err(|e| unopenable(&e))?;
            open()?
        }
        opened => opened,
    };
    let db = db.map_err(|error| {
        if is_lock(&error) {
            return StoreError::InUse { dir: dir.to_path_buf() };
        }
        if let sled::Error::Io(io) = &error { unopenable(io) } else { because(damage(&error)) }
    })?;
    let file = File::open(dir.join("db")).map_err(|e| unopenable(&e))?;
    keep_names(dir).map_err(|e| unopenable(&e))?;
    Ok(Opened { db, file })
}

/// A tool that root ran on the records leaves files that are root's.
pub(super) fn explain(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::PermissionDenied {
        format!("{error}; all of it must belong to the service user (chown -R)")
    } else {
        error.to_string()
    }
}

/// What sled said about its files, and what can be done.
fn damage(said: &dyn ToString) -> String {
    format!("the database is damaged, put a copy in its place ({})", said.to_string())
}

/// Opens, waiting a second at most for somebody else's lock.
fn open_locked(dir: &Path) -> sled::Result<sled::Db> {
    let config = sled::Config::default().path(dir).cache_capacity(CACHE_BYTES);
    for _ in 1..LOCK_TRIES {
        match config.open() {
            Err(error) if is_lock(&error) => thread::sleep(LOCK_PAUSE),
            other => return other,
        }
    }
    config.open()
}

/// sled has no kind of its own for a lock that is held (`Config::try_lock`).
fn is_lock(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(io) if io.to_string().starts_with("could not acquire lock"))
}

/// A new file's name is durable only when its directory was synced (fsync(2)).
fn keep_names(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()?;
    dir.parent().filter(|parent| !parent.as_os_str().is_empty()).map_or(Ok(()), |parent| {
        match File::open(parent) {
            Ok(parent) => parent.sync_all(),
            // Made for us by somebody else: its name is their business.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            Err(error) => Err(error),
        }
    })
}

/// A snapshot that was being written when the process ended makes every later open fail.
fn remove_unfinished_snapshots(dir: &Path) -> io::Result<()> {
    for path in snapshots(dir)? {
        if path.extension().is_some_and(|extension| extension == "generating") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn set_snapshots_aside(dir: &Path) -> io::Result<()> {
    let aside = dir.join("set-aside");
    DirBuilder::new().recursive(true).mode(0o700).create(&aside)?;
    for path in snapshots(dir)? {
        if let Some(name) = path.file_name() {
            tracing::warn!(snapshot = %path.display(), "store: damaged snapshot set aside");
            fs::rename(&path, aside.join(name))?;
        }
    }
    Ok(())
}

fn snapshots(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(b"snap.") {
            found.push(entry.path());
        }
    }
    Ok(found)
}
