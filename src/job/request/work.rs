//! What to run, and in what: `language` with `code` or `files`, or `command`, and never both. `image` goes with either.
use crate::job::request::Work;
use crate::job::request::fields::{Reader, shown};
use crate::job::request::offer::{KnownLanguage, Offer, UsedImage};
use crate::job::request::{files, program};

/// Members that go with a language.
const SOURCE: [&str; 4] = ["language", "code", "files", "entrypoint"];

/// What a request chose.
pub(super) struct Chosen<'offer> {
    /// Nothing when one of the members that say it is at fault.
    pub(super) work: Option<Work>,
    /// The language, where one was found.
    pub(super) language: Option<&'offer KnownLanguage>,
    /// What it runs in.
    pub(super) image: UsedImage,
}

/// Reads the members that say what to run, and in what.
pub(super) fn read<'offer>(reader: &mut Reader<'_, '_>, offer: &'offer Offer) -> Chosen<'offer> {
    let by_command = reader.has("command");
    let by_source = SOURCE.iter().any(|name| reader.has(name));
    if by_command && by_source {
        reader.fault("command", "give language and code, or image and command, not both");
    }
    let named = image(reader, offer, by_command);
    if by_command || (reader.has("image") && !by_source) {
        let work = command(reader);
        return Chosen { work: work.filter(|_| !by_source), language: None, image: named.unwrap_or_default() };
    }
    let language = language(reader, offer, named.as_ref());
    let work = source(reader, language);
    let image = language.map(|language| language.image.clone()).or(named).unwrap_or_default();
    Chosen { work, language, image }
}

/// The image that is named, where one is.
fn image(reader: &mut Reader<'_, '_>, offer: &Offer, is_required: bool) -> Option<UsedImage> {
    let known = || offer.image_names().collect::<Vec<_>>().join(", ");
    if !reader.has("image") {
        if is_required {
            reader.fault("image", format!("required with command; known: {}", known()));
        }
        return None;
    }
    let name = reader.text("image")?;
    let found = offer.image(name);
    if found.is_none() {
        reader.fault("image", format!("unknown image `{}`; known: {}", shown(name), known()));
    }
    found
}

fn source(reader: &mut Reader<'_, '_>, known: Option<&KnownLanguage>) -> Option<Work> {
    let (by_code, by_files) = (reader.has("code"), reader.has("files"));
    if by_code && by_files {
        reader.fault("files", "give code or files, not both");
    } else if !by_code && !by_files && reader.is_object() {
        reader.fault("code", "required with language, or files (or give image and command)");
    }
    if reader.has("entrypoint") && !by_files {
        reader.fault("entrypoint", "goes with files");
    }
    let code = reader.text("code").map(str::to_owned);
    let program = if by_files { files::read(reader, known) } else { None };
    let language = known?.id.clone();
    match program {
        Some(files::Program { files, entrypoint }) => Some(Work::Files { language, files, entrypoint }),
        None => Some(Work::Source { language, code: code? }),
    }
}

/// The language in the image that is named, or in the best one that has the version.
fn language<'offer>(
    reader: &mut Reader<'_, '_>,
    offer: &'offer Offer,
    image: Option<&UsedImage>,
) -> Option<&'offer KnownLanguage> {
    if !reader.has("language") {
        if reader.is_object() {
            // The words of the execution specification.
            reader.fault("language", "Language is required");
        }
        return None;
    }
    let name = reader.text("language")?;
    let called: Vec<&KnownLanguage> = offer.languages.iter().filter(|known| known.is_called(name)).collect();
    if called.is_empty() {
        let known = offer.language_ids().join(", ");
        reader.fault("language", format!("unknown language `{}`; known: {known}", shown(name)));
        return None;
    }
    let is_there = |known: &&KnownLanguage| image.is_none_or(|image| known.image == *image);
    let there: Vec<&KnownLanguage> = called.iter().copied().filter(is_there).collect();
    if let (true, Some(image)) = (there.is_empty(), image) {
        let has: Vec<&str> = called.iter().map(|known| known.image.name()).collect();
        let message = format!("{} has no {}; {} has", image.name(), shown(name), has.join(", "));
        reader.fault("image", message);
    }
    of_version(reader, &there)
}

/// The first that has the version that is asked for.
fn of_version<'offer>(reader: &mut Reader<'_, '_>, there: &[&'offer KnownLanguage]) -> Option<&'offer KnownLanguage> {
    let first = there.first().copied()?;
    let Some(asked) = reader.text("version") else { return Some(first) };
    if let Some(found) = there.iter().find(|known| known.has_version(asked)) {
        return Some(found);
    }
    let id = &first.id;
    let here: Vec<&str> = there.iter().filter_map(|known| known.version.as_deref()).collect();
    let message = match here.as_slice() {
        [] => format!("the version of {id} is not known; leave it out"),
        [one] => format!("{id} {} is not here; {id} {one} is", shown(asked)),
        several => format!("{id} {} is not here; {id} {} are", shown(asked), several.join(", ")),
    };
    reader.fault("version", message);
    Some(first)
}

fn command(reader: &mut Reader<'_, '_>) -> Option<Work> {
    if reader.has("version") {
        reader.fault("version", "goes with language, not with image and command");
    }
    Some(Work::Command { command: given_command(reader)? })
}

fn given_command(reader: &mut Reader<'_, '_>) -> Option<Vec<String>> {
    if !reader.has("command") {
        reader.fault("command", "required with image, or language with code or files");
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
