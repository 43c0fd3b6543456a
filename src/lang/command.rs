//! Commands as words with placeholders, and what the placeholders stand for in one phase of one job.
//!
//! Filling is plain replacement: a word stays one word whatever a path or number holds, and no shell
//! reads it. Not here: what a command may hold (`parse`).
use crate::base::size::ByteSize;
use crate::lang::{PROGRAM, WORK};

/// Where the language's programs are: the first of its places that works.
pub(super) const AT: &str = "{at}";
/// The entry point, absolute.
pub(super) const FILE: &str = "{file}";
/// The directory of the entry point, as seen from [`WORK`].
pub(super) const FOLDER: &str = "{folder}";
/// The entry point as the name of a module: without its extension, dots for slashes.
pub(super) const MODULE: &str = "{module}";
/// What the compiler made.
pub(super) const MADE: &str = "{program}";
/// A word for itself: the entry point, then every other file of the language.
pub(super) const SOURCES: &str = "{sources}";
/// Memory of the phase, whole MiB.
pub(super) const MEMORY: &str = "{memory}";
/// Processors of the phase, rounded up.
pub(super) const CPUS: &str = "{cpus}";

/// A command whose words may hold placeholders, or be `{sources}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Command(pub(super) Vec<String>);

/// The files of one program, by their paths below [`WORK`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources {
    /// The one that is started.
    pub entrypoint: String,
    /// All of them.
    pub files: Vec<String>,
}

/// What a phase may use, for programs that must be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Memory of the whole tree.
    pub memory: ByteSize,
    /// Processors, in thousandths.
    pub milli_cpus: u32,
}

impl Room {
    /// The text with its figures in it.
    pub(super) fn filled(self, text: &str) -> String {
        replaced(text, &self.names())
    }

    fn names(self) -> [(&'static str, String); 2] {
        let cpus = self.milli_cpus.div_ceil(1000).max(1);
        [(MEMORY, self.memory.whole_mib().to_string()), (CPUS, cpus.to_string())]
    }
}

impl Command {
    /// The words for these files, of which those with one of the `extensions` are sources.
    pub(super) fn filled(&self, sources: &Sources, extensions: &[String], room: Room) -> Vec<String> {
        let entry = sources.entrypoint.as_str();
        let [memory, cpus] = room.names();
        let (file, folder, module) = ((FILE, absolute(entry)), (FOLDER, folder(entry)), (MODULE, module(entry)));
        let names = [file, folder, module, (MADE, PROGRAM.to_owned()), memory, cpus];
        let mut filled = Vec::with_capacity(self.0.len());
        for word in &self.0 {
            if word == SOURCES {
                filled.extend(compiled(sources, extensions).map(absolute));
            } else {
                filled.push(replaced(word, &names));
            }
        }
        filled
    }

    /// The same with its programs at this place.
    pub(super) fn at(&self, place: &str) -> Self {
        Self(self.0.iter().map(|word| word.replace(AT, place)).collect())
    }
}

/// Every name replaced by its text, which is not looked at again: a file may be called `{cpus}`.
fn replaced(word: &str, names: &[(&str, String)]) -> String {
    let (mut made, mut rest) = (String::new(), word);
    while let Some(open) = rest.find('{') {
        let (before, from) = rest.split_at(open);
        made.push_str(before);
        let found = names.iter().find_map(|(name, text)| Some((text.as_str(), from.strip_prefix(name)?)));
        let (text, after) = found.unwrap_or_else(|| from.split_at(1));
        made.push_str(text);
        rest = after;
    }
    made + rest
}

/// The files that the compiler is given by name: the entry point, then the others of this language.
fn compiled<'a>(sources: &'a Sources, extensions: &'a [String]) -> impl Iterator<Item = &'a str> {
    let entry = sources.entrypoint.as_str();
    let ours = |file: &&str| extensions.iter().any(|extension| file.ends_with(extension.as_str()));
    let others = sources.files.iter().map(String::as_str).filter(move |file| *file != entry).filter(ours);
    std::iter::once(entry).chain(others)
}

fn absolute(path: &str) -> String {
    format!("{WORK}/{path}")
}

fn folder(path: &str) -> String {
    path.rsplit_once('/').map_or(".", |(folder, _)| folder).to_owned()
}

/// `a/b/Main.java` is the class `a.b.Main`.
fn module(path: &str) -> String {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    if folder.is_empty() { stem.to_owned() } else { format!("{}.{stem}", folder.replace('/', ".")) }
}

#[cfg(test)]
mod test {
    use super::*;

    const ROOM: Room = Room { memory: ByteSize::mib(192), milli_cpus: 1500 };

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(String::from).collect()
    }

    #[track_caller]
    fn check(command: &str, entrypoint: &str, files: &str, expected: &str) {
        let sources = Sources { entrypoint: entrypoint.to_owned(), files: words(files) };
        let filled = Command(words(command)).filled(&sources, &words(".c .cc"), ROOM);
        assert_eq!(filled, words(expected));
    }

    #[test]
    fn every_placeholder_has_its_meaning() {
        check("x {file} ./{folder}", "a/d/b.c", "a/d/b.c", "x /work/a/d/b.c ./a/d");
        check("x {file} ./{folder}", "b.c", "b.c", "x /work/b.c ./.");
        check("{program} -m{memory}m -j{cpus} {module}", "a/b.c", "a/b.c", "/work/program -m192m -j2 a.b");
        check("x {sources} y", "src/b.c", "a.c src/b.c src/b.h d.txt e.cc", "x /work/src/b.c /work/a.c /work/e.cc y");
    }

    #[test]
    fn what_a_path_holds_is_no_placeholder() {
        check("x {file}", "{cpus}{module}.c", "{cpus}{module}.c", "x /work/{cpus}{module}.c");
        check("x {{file}", "a.c", "a.c", "x {/work/a.c");
    }

    #[test]
    fn a_path_is_a_module() {
        assert_eq!(module("Main.java"), "Main");
        assert_eq!(module("a/b/Main.java"), "a.b.Main");
        assert_eq!(module("a.b/main"), "a.b.main");
    }

    #[test]
    fn there_is_always_a_processor() {
        assert_eq!(Room { milli_cpus: 10, ..ROOM }.filled("{cpus}"), "1");
        assert_eq!(Room { milli_cpus: 2000, ..ROOM }.filled("{cpus}"), "2");
    }

    #[test]
    fn a_command_is_put_at_its_place() {
        assert_eq!(Command(words("{at}/go build")).at("/usr/bin"), Command(words("/usr/bin/go build")));
    }
}
