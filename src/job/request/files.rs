//! A program of several files: `files` and `entrypoint`.
//!
//! The paths are those that init writes below the working directory; what it would refuse is refused
//! here by name.
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::job::request::SourceFile;
use crate::job::request::fields::{Reader, shown};
use crate::job::request::offer::KnownLanguage;

/// Files of one program.
pub const FILES_AT_MOST: usize = 1000;
/// Bytes of one path.
pub const PATH_AT_MOST: usize = 1024;
/// Bytes of one name in a path (`NAME_MAX`, limits.h(0p)).
const NAME_AT_MOST: usize = 255;

/// The members of a file.
pub const FILE: &[&str] = &["path", "content", "content_base64", "executable"];

/// A program of several files.
pub(super) struct Program {
    pub(super) files: Vec<SourceFile>,
    pub(super) entrypoint: String,
}

/// Reads `files` and `entrypoint`; nothing when one of them is at fault.
pub(super) fn read(reader: &mut Reader<'_, '_>, language: Option<&KnownLanguage>) -> Option<Program> {
    let list = reader.list("files")?;
    if list.is_empty() || list.len() > FILES_AT_MOST {
        let given = list.len();
        reader.fault("files", format!("holds {given} files; 1 to {FILES_AT_MOST} are possible"));
        return None;
    }
    let mut files = Vec::with_capacity(list.len());
    for (index, item) in list.iter().enumerate() {
        let mut item = reader.item("files", index, item);
        item.only(FILE);
        files.extend(file(&mut item));
    }
    if files.len() < list.len() {
        return None;
    }
    check_paths(reader, &files, language);
    let entrypoint = entrypoint(reader, &files)?;
    Some(Program { files, entrypoint })
}

fn file(reader: &mut Reader<'_, '_>) -> Option<SourceFile> {
    if !reader.is_object() {
        return None;
    }
    let path = path(reader);
    let content = content(reader);
    let executable = reader.flag("executable").unwrap_or(false);
    Some(SourceFile { path: path?, content: content?, executable })
}

fn path(reader: &mut Reader<'_, '_>) -> Option<String> {
    if !reader.has("path") {
        reader.fault("path", "required");
        return None;
    }
    let path = reader.text("path")?;
    if let Some(fault) = fault_of(path) {
        reader.fault("path", format!("`{}` {fault}", shown(path)));
        return None;
    }
    Some(path.to_owned())
}

/// What is wrong with a path, where something is.
fn fault_of(path: &str) -> Option<&'static str> {
    let mut names = path.split('/');
    Some(match path {
        "" => "is empty",
        _ if path.contains('\0') => "holds a NUL character",
        _ if path.starts_with('/') => "is absolute; it must lie below the working directory",
        _ if path.len() > PATH_AT_MOST => "is longer than 1024 bytes",
        _ if names.clone().any(|name| matches!(name, "." | "..")) => "has a part `.` or `..`",
        _ if names.clone().any(str::is_empty) => "has an empty part",
        _ if names.any(|name| name.len() > NAME_AT_MOST) => "has a part longer than 255 bytes",
        _ => return None,
    })
}

fn content(reader: &mut Reader<'_, '_>) -> Option<Vec<u8>> {
    match (reader.has("content"), reader.has("content_base64")) {
        (true, true) => {
            reader.fault("content_base64", "give content or content_base64, not both");
            None
        }
        (false, false) => {
            reader.fault("content", "required, or content_base64");
            None
        }
        (true, false) => reader.text("content").map(|text| text.as_bytes().to_vec()),
        (false, true) => {
            let decoded = STANDARD.decode(reader.text("content_base64")?);
            decoded
                .map_err(|reason| {
                    reader.fault("content_base64", format!("not base64 (RFC 4648, with padding): {reason}"));
                })
                .ok()
        }
    }
}

/// Two files cannot have one name, nor one lie below another; and a compiler needs its own.
fn check_paths(reader: &mut Reader<'_, '_>, files: &[SourceFile], language: Option<&KnownLanguage>) {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, file) in files.iter().enumerate() {
        let field = format!("files[{index}].path");
        if let Some(first) = seen.insert(&file.path, index) {
            reader.fault(&field, format!("is the path of files[{first}] too"));
        }
        let reserved = language.and_then(|language| language.reserved.as_deref());
        if reserved.is_some_and(|reserved| is_at_or_below(&file.path, reserved)) {
            reader.fault(&field, format!("`{}` is where the compiler writes the program", shown(&file.path)));
        }
    }
    for (index, file) in files.iter().enumerate() {
        let mut parents = file.path.match_indices('/').filter_map(|(end, _)| file.path.get(..end));
        if let Some(above) = parents.find_map(|parent| seen.get(parent)) {
            reader.fault(&format!("files[{index}].path"), format!("lies below files[{above}], which is no directory"));
        }
    }
}

fn is_at_or_below(path: &str, name: &str) -> bool {
    path.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The file that is started: the first one where nothing is said.
fn entrypoint(reader: &mut Reader<'_, '_>, files: &[SourceFile]) -> Option<String> {
    if !reader.has("entrypoint") {
        return files.first().map(|file| file.path.clone());
    }
    let path = reader.text("entrypoint")?;
    let found = files.iter().any(|file| file.path == path);
    if !found {
        reader.fault("entrypoint", format!("`{}` is none of the files", shown(path)));
    }
    found.then(|| path.to_owned())
}
