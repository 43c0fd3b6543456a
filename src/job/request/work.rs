//! What to run: `language` with `code` or `files`, or `image` with `command`, and never both.
use crate::job::request::fields::{Reader, shown};
use crate::job::request::{HOST_IMAGE, KnownLanguage, Work};
use crate::job::request::{files, program};

/// Members that go with a language.
const SOURCE: [&str; 4] = ["language", "code", "files", "entrypoint"];
/// Images that a request may name.
const IMAGES: &[&str] = &[HOST_IMAGE];

/// Reads the members that say what to run; nothing when one of them is at fault.
pub(super) fn read(reader: &mut Reader<'_, '_>, languages: &[KnownLanguage]) -> Option<Work> {
    let by_image = reader.has("image") || reader.has("command");
    let by_source = SOURCE.iter().any(|name| reader.has(name));
    if by_image && by_source {
        let extra = if reader.has("image") { "image" } else { "command" };
        reader.fault(extra, "give language and code, or image and command, not both");
    }
    let source = if by_source || !by_image { source(reader, languages) } else { None };
    let command = if by_image { command(reader) } else { None };
    match (source, command) {
        (Some(work), None) | (None, Some(work)) => Some(work),
        _ => None,
    }
}

fn source(reader: &mut Reader<'_, '_>, languages: &[KnownLanguage]) -> Option<Work> {
    let known = known_language(reader, languages);
    let (by_code, by_files) = (reader.has("code"), reader.has("files"));
    if by_code && by_files {
        reader.fault("files", "give code or files, not both");
    } else if !by_code && !by_files && reader.is_object() {
        reader.fault("code", "required with language, or files (or give image and command)");
    }
    if reader.has("entrypoint") && !by_files {
        reader.fault("entrypoint", "goes with files");
    }
    check_version(reader, known);
    let code = reader.text("code").map(str::to_owned);
    let program = if by_files { files::read(reader, known) } else { None };
    let language = known?.id.clone();
    match program {
        Some(files::Program { files, entrypoint }) => Some(Work::Files { language, files, entrypoint }),
        None => Some(Work::Source { language, code: code? }),
    }
}

fn known_language<'known>(
    reader: &mut Reader<'_, '_>,
    languages: &'known [KnownLanguage],
) -> Option<&'known KnownLanguage> {
    if !reader.has("language") {
        if reader.is_object() {
            // The words of the execution specification.
            reader.fault("language", "Language is required");
        }
        return None;
    }
    let name = reader.text("language")?;
    let found = named(languages, name);
    if found.is_none() {
        let ids: Vec<&str> = languages.iter().map(|known| known.id.as_str()).collect();
        let message = format!("unknown language `{}`; known: {}", shown(name), ids.join(", "));
        reader.fault("language", message);
    }
    found
}

/// The language of this id or alias.
pub(super) fn named<'known>(languages: &'known [KnownLanguage], name: &str) -> Option<&'known KnownLanguage> {
    languages.iter().find(|known| known.is_called(name))
}

impl KnownLanguage {
    /// Whether this is its id or an alias.
    pub fn is_called(&self, name: &str) -> bool {
        self.id == name || self.aliases.iter().any(|alias| alias == name)
    }
}

fn check_version(reader: &mut Reader<'_, '_>, language: Option<&KnownLanguage>) {
    let (Some(asked), Some(language)) = (reader.text("version"), language) else { return };
    let id = &language.id;
    match &language.version {
        Some(here) if is_version(here, asked) => {}
        Some(here) => {
            let message = format!("{id} {} is not here; {id} {here} is", shown(asked));
            reader.fault("version", message);
        }
        None => reader.fault("version", format!("the version of {id} is not known; leave it out")),
    }
}

/// Whether `asked` is `here` or its first parts: `3.11` is `3.11.2`, `3.1` is not.
fn is_version(here: &str, asked: &str) -> bool {
    here.strip_prefix(asked).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn command(reader: &mut Reader<'_, '_>) -> Option<Work> {
    if reader.has("version") {
        reader.fault("version", "goes with language, not with image and command");
    }
    let image = known_image(reader);
    let command = given_command(reader);
    Some(Work::Command { image: image?, command: command? })
}

fn known_image(reader: &mut Reader<'_, '_>) -> Option<String> {
    if !reader.has("image") {
        reader.fault("image", format!("required with command; known: {}", IMAGES.join(", ")));
        return None;
    }
    let name = reader.text("image")?;
    if IMAGES.contains(&name) {
        return Some(name.to_owned());
    }
    let known = IMAGES.join(", ");
    reader.fault("image", format!("unknown image `{}`; known: {known}", shown(name)));
    None
}

fn given_command(reader: &mut Reader<'_, '_>) -> Option<Vec<String>> {
    if !reader.has("command") {
        reader.fault("command", "required with image");
        return None;
    }
    let command = reader.texts("command")?;
    program::check_words(reader, "command", &command);
    if command.first().is_none_or(String::is_empty) {
        reader.fault("command", "the first member is the program, and must not be empty");
        return None;
    }
    Some(command)
}
