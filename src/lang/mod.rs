//! Languages as data: how a source text is called, compiled and run, and how a version is read.
//!
//! One TOML table holds them all; a language is added without a line of code. Every fault of a
//! table is reported at once. Not here: files, processes, and whether a program exists.
mod parse;
pub mod probe;

use crate::base::fault::Faults;
use crate::base::size::ByteSize;
use crate::lang::probe::Probe;

/// Directory of the sandbox in which source and program lie.
pub const WORK: &str = "/work";
/// What the compiler makes.
pub const PROGRAM: &str = "/work/program";

/// The entry point, absolute.
const FILE: &str = "{file}";
/// The entry point as the name of a module: without its extension, dots for slashes.
const MODULE: &str = "{module}";
/// What the compiler made.
const PROGRAM_WORD: &str = "{program}";
/// A word for itself: the entry point, then every other file of the language.
const SOURCES: &str = "{sources}";

const EMBEDDED: &str = include_str!("../../rootfs/host/languages.toml");

/// One language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Language {
    /// Its name in requests.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// Other names in requests.
    pub aliases: Vec<String>,
    /// Plain name of the source file in [`WORK`].
    pub file: String,
    /// How its version is found out.
    pub version: Probe,
    /// What it cannot do without.
    pub needs: Needs,
    /// Variables that the compiler needs, where a request does not set them.
    pub compile_environment: Vec<(String, String)>,
    /// How a file ends that the compiler is given by its name.
    extensions: Vec<String>,
    compile: Option<Command>,
    run: Command,
}

/// What a language needs whatever a request asks for; absent where it needs nothing special.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Fewer processes than this are not enough.
    pub processes: Option<u32>,
    /// Less memory than this is not enough.
    pub memory: Option<ByteSize>,
}

/// A command whose words may hold `{file}`, `{module}` and `{program}`, or be `{sources}`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Command(Vec<String>);

/// The files of one program, by their paths below [`WORK`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources {
    /// The one that is started.
    pub entrypoint: String,
    /// All of them.
    pub files: Vec<String>,
}

/// All languages of an image. Ids and aliases are unique among each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Languages(Vec<Language>);

impl Languages {
    /// The languages of the `host` image.
    ///
    /// # Errors
    /// Never in a build that passed its tests.
    pub fn embedded() -> Result<Self, Faults> {
        Self::parse(EMBEDDED)
    }

    /// Reads a table.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Faults> {
        parse::languages(text).map(Self)
    }

    /// The language of this id or alias.
    pub fn find(&self, name: &str) -> Option<&Language> {
        self.0.iter().find(|language| language.id == name || language.aliases.iter().any(|alias| alias == name))
    }

    /// The ids, in the order of the table.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|language| language.id.as_str())
    }

    /// The languages, in the order of the table.
    pub fn iter(&self) -> impl Iterator<Item = &Language> {
        self.0.iter()
    }
}

impl Language {
    /// The files of a program that is one source text.
    pub fn one_file(&self) -> Sources {
        Sources { entrypoint: self.file.clone(), files: vec![self.file.clone()] }
    }

    /// Name in [`WORK`] that the compiler writes to, where there is one.
    pub fn reserved(&self) -> Option<&str> {
        let name = PROGRAM.strip_prefix(WORK)?.trim_start_matches('/');
        self.compile.as_ref().map(|_| name)
    }

    /// The command of the compile phase, where there is one.
    pub fn compile_command(&self, sources: &Sources) -> Option<Vec<String>> {
        self.compile.as_ref().map(|command| self.filled(command, sources))
    }

    /// The command of the run phase, with the job's own arguments.
    pub fn run_command(&self, sources: &Sources, args: &[String]) -> Vec<String> {
        let mut command = self.filled(&self.run, sources);
        command.extend_from_slice(args);
        command
    }

    fn filled(&self, Command(words): &Command, sources: &Sources) -> Vec<String> {
        let file = absolute(&sources.entrypoint);
        let module = module(&sources.entrypoint);
        let mut filled = Vec::with_capacity(words.len());
        for word in words {
            if word == SOURCES {
                filled.extend(self.compiled(sources).map(absolute));
            } else {
                filled.push(word.replace(FILE, &file).replace(MODULE, &module).replace(PROGRAM_WORD, PROGRAM));
            }
        }
        filled
    }

    /// The files that the compiler is given by name: the entry point, then the others of this language.
    fn compiled<'a>(&'a self, sources: &'a Sources) -> impl Iterator<Item = &'a str> {
        let entry = sources.entrypoint.as_str();
        let ours = |file: &&str| self.extensions.iter().any(|extension| file.ends_with(extension.as_str()));
        let others = sources.files.iter().map(String::as_str).filter(move |file| *file != entry).filter(ours);
        std::iter::once(entry).chain(others)
    }

    /// Absolute paths of the image's programs that the phases start, each once.
    pub fn tools(&self) -> Vec<&str> {
        let mut tools = Vec::new();
        for command in self.compile.iter().chain([&self.run]) {
            let path = command.0.first().map_or("", String::as_str);
            if path.starts_with('/') && !tools.contains(&path) {
                tools.push(path);
            }
        }
        tools
    }
}

fn absolute(path: &str) -> String {
    format!("{WORK}/{path}")
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

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(String::from).collect()
    }

    #[test]
    fn the_embedded_table_holds_python_bash_and_c() {
        let languages = Languages::embedded().unwrap();
        assert_eq!(languages.ids().collect::<Vec<_>>(), ["python", "bash", "c"]);
        assert_eq!(languages.iter().count(), 3);
    }

    #[test]
    fn a_language_is_found_by_id_and_alias_and_nothing_else() {
        let languages = Languages::embedded().unwrap();
        assert_eq!(languages.find("python").unwrap().id, "python");
        assert_eq!(languages.find("py").unwrap().id, "python");
        assert_eq!(languages.find("Python"), None);
        assert_eq!(languages.find(""), None);
    }

    #[test]
    fn commands_are_filled_and_arguments_follow() {
        let languages = Languages::embedded().unwrap();
        let (python, c) = (languages.find("python").unwrap(), languages.find("c").unwrap());
        assert_eq!(python.compile_command(&python.one_file()), None);
        let arguments = words("{file} b");
        let run = python.run_command(&python.one_file(), &arguments);
        assert_eq!(run, words("/usr/bin/python3 /work/main.py {file} b"));
        let compile = words("/usr/bin/gcc -O2 -pipe -o /work/program /work/main.c -lm");
        assert_eq!(c.compile_command(&c.one_file()), Some(compile));
        assert_eq!(c.run_command(&c.one_file(), &[]), words("/work/program"));
        assert_eq!((python.reserved(), c.reserved()), (None, Some("program")));
    }

    #[test]
    fn a_compiler_is_given_the_entry_point_and_every_file_of_its_language() {
        let languages = Languages::embedded().unwrap();
        let c = languages.find("c").unwrap();
        let sources = Sources { entrypoint: String::from("src/b.c"), files: words("a.c src/b.c src/b.h data.txt") };
        let compile = words("/usr/bin/gcc -O2 -pipe -o /work/program /work/src/b.c /work/a.c -lm");
        assert_eq!(c.compile_command(&sources), Some(compile));
    }

    #[test]
    fn a_path_is_a_module() {
        assert_eq!(module("Main.java"), "Main");
        assert_eq!(module("a/b/Main.java"), "a.b.Main");
        assert_eq!(module("a.b/main"), "a.b.main");
    }

    #[test]
    fn tools_are_programs_of_the_image_only() {
        let languages = Languages::embedded().unwrap();
        assert_eq!(languages.find("c").unwrap().tools(), ["/usr/bin/gcc"]);
        assert_eq!(languages.find("bash").unwrap().tools(), ["/bin/bash"]);
    }
}
