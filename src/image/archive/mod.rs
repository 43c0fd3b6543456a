//! Reads a tar archive that nobody trusts, entry by entry, within [`Bounds`].
//!
//! Whatever an archive says, what comes out are [`Member`]s: relative paths without `..`, known kinds, one after the
//! other. Faults of entries are gathered; the first that concerns the archive as a whole ends the reading. Headers are
//! read by the crate `tar`, as they lie there; long names and extended headers are read here, because they need bounds.
//!
//! Not here: where members go, and what of them an image takes (`unpack`).
pub mod bounds;
mod decode;
mod extended;
mod member;
pub mod path;

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

use tar::Entry;

use crate::base::fault::Faults;
use crate::image::archive::bounds::Bounds;
use crate::image::archive::decode::{Excess, decoded};
use crate::image::archive::extended::Extended;
pub use crate::image::archive::member::{Kind, Member};
use crate::image::fault::ImageError;

/// Faults that are told; more are of no use.
const FAULTS_AT_MOST: usize = 20;
/// Longest extended header.
const EXTENDED_AT_MOST: u64 = 1 << 20;
/// Files at the top of what is no root file system, but an image in a layout of its own.
const LAYOUTS: &[&str] = &["oci-layout", "index.json", "manifest.json", "repositories"];

/// Why a member was not taken.
#[derive(Debug)]
pub enum Refusal {
    /// It has a fault, which is told with its name.
    Fault(String),
    /// Nothing more can be taken.
    Failed(ImageError),
}

/// What takes the members.
pub trait Sink {
    /// Takes one. What it does not read of a file is passed over.
    ///
    /// # Errors
    /// Why it does not take it.
    fn take(&mut self, member: &Member, content: &mut dyn Read) -> Result<(), Refusal>;
}

/// Gives every member to `sink`.
///
/// # Errors
/// Every fault of the archive, or why the sink could not go on.
pub fn read(input: impl Read, bounds: &Bounds, sink: &mut dyn Sink) -> Result<(), ImageError> {
    let is_at_end = Rc::new(Cell::new(false));
    let decoded = decoded(input, bounds).map_err(|error| damaged(&error))?;
    let mut archive = tar::Archive::new(Ending { inner: decoded, is_at_end: Rc::clone(&is_at_end) });
    let mut walk = Walk { bounds, faults: Faults::default(), ahead: Extended::default(), is_ahead: false, count: 0 };
    for entry in archive.entries().map_err(|error| damaged(&error))?.raw(true) {
        walk.take(&mut entry.map_err(|error| damaged(&error))?, sink)?;
        if walk.faults.as_slice().len() >= FAULTS_AT_MOST {
            return Err(ImageError::Archive(walk.faults));
        }
    }
    if is_at_end.get() || walk.is_ahead {
        return Err(ImageError::archive("has no end: it was cut off, or it is no tar archive"));
    }
    nothing_follows(&mut archive.into_inner())?;
    if walk.faults.is_empty() { Ok(()) } else { Err(ImageError::Archive(walk.faults)) }
}

/// Where in an archive its reader is.
struct Walk<'a> {
    bounds: &'a Bounds,
    faults: Faults,
    /// What was said ahead of the next entry.
    ahead: Extended,
    is_ahead: bool,
    count: u64,
}

impl Walk<'_> {
    fn take<R: Read>(&mut self, entry: &mut Entry<'_, R>, sink: &mut dyn Sink) -> Result<(), ImageError> {
        self.count += 1;
        if self.count > self.bounds.entries {
            let most = self.bounds.entries;
            return Err(ImageError::archive(format!("has more than {most} entries (--max-entries)")));
        }
        let is_extended = self.extended(entry)?;
        if is_extended {
            return Ok(());
        }
        let ahead = std::mem::take(&mut self.ahead);
        self.is_ahead = false;
        let name = member::shown(entry.header(), &ahead);
        // Where the next entry begins follows from the header's own size.
        if ahead.size.is_some_and(|size| entry.header().entry_size().ok() != Some(size)) {
            return Err(ImageError::archive(format!("says two sizes of {name}")));
        }
        let member = match Member::read(entry.header(), &ahead, self.bounds) {
            Ok(member) => member,
            Err(fault) => {
                self.faults.add(name, fault);
                return Ok(());
            }
        };
        if LAYOUTS.contains(&member.path.as_str()) && member.kind != Kind::Directory {
            return Err(ImageError::archive(
                "holds an image in the layout of OCI or of `docker save`, which is not built yet: import its root file \
                 system, as `docker export` writes it",
            ));
        }
        match sink.take(&member, entry) {
            Ok(()) => Ok(()),
            Err(Refusal::Fault(fault)) => {
                self.faults.add(name, fault);
                Ok(())
            }
            Err(Refusal::Failed(error)) => Err(error),
        }
    }

    /// Whether it was a header that says something of the next entry.
    fn extended<R: Read>(&mut self, entry: &mut Entry<'_, R>) -> Result<bool, ImageError> {
        let kind = entry.header().entry_type();
        if kind.is_pax_global_extensions() {
            let mut global = Extended::default();
            global.read(&whole(entry)?).map_err(ImageError::archive)?;
            if global != Extended::default() {
                return Err(ImageError::archive("has one name, size or link for all its entries"));
            }
            return Ok(true);
        }
        if kind.is_gnu_longname() {
            self.ahead.path = Some(until_nul(whole(entry)?));
        } else if kind.is_gnu_longlink() {
            self.ahead.link = Some(until_nul(whole(entry)?));
        } else if kind.is_pax_local_extensions() {
            self.ahead.read(&whole(entry)?).map_err(ImageError::archive)?;
        } else {
            return Ok(false);
        }
        self.is_ahead = true;
        Ok(true)
    }
}

fn whole<R: Read>(entry: &mut Entry<'_, R>) -> Result<Vec<u8>, ImageError> {
    let size = entry.header().entry_size().map_err(|error| damaged(&error))?;
    if size > EXTENDED_AT_MOST {
        return Err(ImageError::archive(format!("has an extended header of {size} bytes, {EXTENDED_AT_MOST} at most")));
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(|error| damaged(&error))?;
    Ok(bytes)
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}

/// The end of an archive is zeros; anything else would be left out silently.
fn nothing_follows(rest: &mut impl Read) -> Result<(), ImageError> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = rest.read(&mut buffer).map_err(|error| damaged(&error))?;
        let read = buffer.get(..count).unwrap_or_default();
        if read.is_empty() {
            return Ok(());
        }
        if read.iter().any(|byte| *byte != 0) {
            return Err(ImageError::archive("goes on after its end: are it several archives?"));
        }
    }
}

/// Why it cannot be read.
pub(in crate::image) fn damaged(error: &io::Error) -> ImageError {
    if let Some(Excess(message)) = error.get_ref().and_then(|inner| inner.downcast_ref::<Excess>()) {
        return ImageError::archive(message.clone());
    }
    // It may quote a name.
    let error = error.to_string().replace(char::is_control, "\u{fffd}");
    ImageError::archive(format!("cannot be read: {error}. It was cut off, or it is no tar archive"))
}

/// Tells when there was nothing more to read.
struct Ending<R> {
    inner: R,
    is_at_end: Rc<Cell<bool>>,
}

impl<R: Read> Read for Ending<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        self.is_at_end.set(count == 0 && !into.is_empty());
        Ok(count)
    }
}

#[cfg(test)]
mod test;
