//! One entry of an archive, read whole: what it is, where it goes, nothing of it refused.
use tar::Header;

use crate::image::archive::bounds::Bounds;
use crate::image::archive::extended::Extended;
use crate::image::archive::path::{self, Inside};

/// An entry of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Where it goes.
    pub path: Inside,
    /// What is permitted, as the archive has it.
    pub mode: u32,
    /// What it is.
    pub kind: Kind,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A file of so many bytes.
    File(u64),
    /// A symbolic link, to anywhere.
    Symlink(String),
    /// Another name of a file.
    HardLink(Inside),
    /// What is neither: a device, a pipe.
    Special(&'static str),
}

impl Member {
    /// Reads a header with what stood ahead of it. `name` is its name as it is shown in a fault.
    pub(super) fn read(header: &Header, ahead: &Extended, bounds: &Bounds) -> Result<Self, String> {
        let name = ahead.path.clone().unwrap_or_else(|| header.path_bytes().into_owned());
        let link = || ahead.link.clone().or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned));
        if ahead.is_sparse || header.entry_type().is_gnu_sparse() {
            return Err(String::from("is a file with holes: archive it without --sparse"));
        }
        let path = Inside::read(&name, bounds)?;
        let entry = header.entry_type();
        // As archives said it before there was a type for directories.
        let kind = if entry.is_dir() || (entry.is_file() && name.ends_with(b"/")) {
            Kind::Directory
        } else if entry.is_file() || entry.is_contiguous() {
            Kind::File(header.entry_size().map_err(|_error| String::from("has a size that is no number"))?)
        } else if entry.is_symlink() {
            Kind::Symlink(path::target(&link().unwrap_or_default())?)
        } else if entry.is_hard_link() {
            let target = Inside::read(&link().unwrap_or_default(), bounds);
            Kind::HardLink(target.map_err(|fault| format!("is a hard link to a name that {fault}"))?)
        } else if entry.is_character_special() || entry.is_block_special() {
            Kind::Special("a device")
        } else if entry.is_fifo() {
            Kind::Special("a named pipe")
        } else {
            return Err(format!("is of the type {:?}, which is none of a file", char::from(entry.as_byte())));
        };
        let mode = header.mode().map_err(|_error| String::from("has permissions that are no number"))?;
        Ok(Self { path, mode, kind })
    }
}

/// The name of an entry as a fault shows it.
pub(super) fn shown(header: &Header, ahead: &Extended) -> String {
    let name = ahead.path.clone().unwrap_or_else(|| header.path_bytes().into_owned());
    let name = String::from_utf8_lossy(&name);
    let short: String = name.chars().take(200).collect();
    if short.is_empty() { String::from("(no name)") } else { short.escape_debug().to_string() }
}
