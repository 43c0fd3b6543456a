//! Languages as data: how a source text is called, compiled and run, and how a version is read.
//!
//! ```text
//! embedded table ─┐
//! languages.d/* ──┴─> table (merge) ──> each at each of its places ──> those that are there
//! ```
//!
//! A TOML table holds them all; a language is added without a line of code, by an operator too. Every
//! fault of the tables is reported at once. Not here: processes, and whether a program exists.
mod command;
pub(crate) mod fields;
pub mod folder;
mod merge;
mod parse;
pub mod probe;

use crate::base::fault::Faults;
use crate::base::size::ByteSize;
use crate::lang::command::{AT, Command};
pub use crate::lang::command::{Room, Sources};
use crate::lang::probe::Probe;

/// Directory of the sandbox in which source and program lie.
pub const WORK: &str = "/work";
/// What the compiler makes.
pub const PROGRAM: &str = "/work/program";

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
    /// How its files end; a compiler is given those by their names.
    pub extensions: Vec<String>,
    /// How its version is found out.
    pub version: Probe,
    /// What its programs need.
    pub needs: Needs,
    /// What its compiler needs.
    pub compile_needs: CompileNeeds,
    /// Where its programs may be, the best place first; empty where the commands say it themselves.
    at: Vec<String>,
    compile_environment: Vec<(String, String)>,
    run_environment: Vec<(String, String)>,
    compile: Option<Command>,
    run: Command,
}

/// Below this a program of the language does not start; 0 where it needs nothing special.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Processes and threads.
    pub processes: u32,
    /// Memory.
    pub memory: ByteSize,
}

/// Below this the compiler does not do its work; 0 where it needs nothing special.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompileNeeds {
    /// Processes and threads.
    pub processes: u32,
    /// Memory.
    pub memory: ByteSize,
    /// Space in its `/tmp`.
    pub disk: ByteSize,
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

    /// Reads one table.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Faults> {
        merge::merged(vec![merge::Part { path: String::new(), text: text.to_owned() }]).map(Self)
    }

    /// These, with those of a table in the places of the ones with their ids, or behind them.
    ///
    /// # Errors
    /// Everything that is wrong with the table.
    pub fn with(&self, table: &str) -> Result<Self, Faults> {
        let mut languages = self.0.clone();
        for new in parse::languages(table)? {
            match languages.iter_mut().find(|old| old.id == new.id) {
                Some(old) => *old = new,
                None => languages.push(new),
            }
        }
        Ok(Self(languages))
    }

    /// Only these, in this order.
    pub const fn of(languages: Vec<Language>) -> Self {
        Self(languages)
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
    pub fn compile_command(&self, sources: &Sources, room: Room) -> Option<Vec<String>> {
        self.compile.as_ref().map(|command| command.filled(sources, &self.extensions, room))
    }

    /// The command of the run phase, with the job's own arguments.
    pub fn run_command(&self, sources: &Sources, args: &[String], room: Room) -> Vec<String> {
        let mut command = self.run.filled(sources, &self.extensions, room);
        command.extend_from_slice(args);
        command
    }

    /// Variables that the compiler needs, where a request does not set them.
    pub fn compile_environment(&self, room: Room) -> Vec<(String, String)> {
        filled(&self.compile_environment, room)
    }

    /// Variables that the program needs, where a request does not set them.
    pub fn run_environment(&self, room: Room) -> Vec<(String, String)> {
        filled(&self.run_environment, room)
    }

    /// The language as it would be at each of its places, the best one first. They hold no `{at}` any more.
    pub fn at_each_place(&self) -> Vec<Self> {
        if self.at.is_empty() {
            return vec![self.clone()];
        }
        self.at.iter().map(|place| self.at_place(place)).collect()
    }

    fn at_place(&self, place: &str) -> Self {
        let command = self.version.command.iter().map(|word| word.replace(AT, place)).collect();
        Self {
            at: Vec::new(),
            version: Probe { command, ..self.version.clone() },
            compile: self.compile.as_ref().map(|command| command.at(place)),
            run: self.run.at(place),
            ..self.clone()
        }
    }

    /// Absolute paths of the image's programs that the phases start: for each program its places.
    pub fn tools(&self) -> Vec<Vec<String>> {
        let mut tools = Vec::new();
        for Command(words) in self.compile.iter().chain([&self.run]) {
            let word = words.first().map_or("", String::as_str);
            let places = match word {
                _ if word.starts_with(AT) => self.at.iter().map(|place| word.replace(AT, place)).collect(),
                _ if word.starts_with('/') => vec![word.to_owned()],
                _ => continue,
            };
            if !tools.contains(&places) {
                tools.push(places);
            }
        }
        tools
    }
}

fn filled(variables: &[(String, String)], room: Room) -> Vec<(String, String)> {
    variables.iter().map(|(name, text)| (name.clone(), room.filled(text))).collect()
}

#[cfg(test)]
mod test {
    use super::*;

    const ROOM: Room = Room { memory: ByteSize::mib(192), milli_cpus: 1500 };

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(String::from).collect()
    }

    #[test]
    fn the_embedded_table_holds_what_the_documents_name() {
        let languages = Languages::embedded().unwrap();
        let ids = "python javascript typescript bash c cpp go rust java ruby php perl lua r sqlite";
        assert_eq!(languages.ids().collect::<Vec<_>>(), words(ids));
    }

    #[test]
    fn the_documents_name_every_language_and_what_it_needs() {
        let document = include_str!("../../docs/LANGUAGES.md");
        let number = |number: u64| if number == 0 { String::new() } else { format!("{number} ") };
        for language in Languages::embedded().unwrap().iter() {
            let Language { id, aliases, file, needs, compile_needs, .. } = language;
            let others = aliases.iter().map(|alias| format!("`{alias}`")).collect::<Vec<_>>().join(", ");
            assert!(document.contains(&format!("| `{id}` | {others} | `{file}` |")), "{id}");
            let (run, compile) = (needs.memory.whole_mib(), compile_needs.memory.whole_mib());
            let needed = [run, needs.processes.into(), compile, compile_needs.processes.into()].map(number);
            let row = format!("| `{id}` | {}|\n", needed.join("| "));
            assert_eq!(document.contains(&row), needed.concat() != "", "{row}");
        }
    }

    #[test]
    fn the_example_of_the_documents_is_a_table() {
        let (_, example) = include_str!("../../docs/LANGUAGES.md").split_once("```toml\n").unwrap();
        let (example, _) = example.split_once("```").unwrap();
        let languages = Languages::parse(example).unwrap();
        assert_eq!(languages.find("ziglang").unwrap().at_each_place().len(), 2);
    }

    #[test]
    fn a_language_is_found_by_id_and_alias_and_nothing_else() {
        let languages = Languages::embedded().unwrap();
        let aliases = "python3 py js node nodejs ts sh gcc c++ golang rs jdk rb php-cli pl lua5 rscript sql sqlite3";
        for alias in words(aliases).iter().map(String::as_str).chain(languages.ids()) {
            assert!(languages.find(alias).is_some(), "{alias}");
        }
        assert_eq!(languages.find("py").unwrap().id, "python");
        assert_eq!(languages.find("Python"), None);
        assert_eq!(languages.find(""), None);
    }

    #[test]
    fn commands_are_filled_and_arguments_follow() {
        let languages = Languages::embedded().unwrap();
        let (python, c) = (languages.find("python").unwrap(), languages.find("c").unwrap());
        assert_eq!(python.compile_command(&python.one_file(), ROOM), None);
        let arguments = words("{file} b");
        let run = python.run_command(&python.one_file(), &arguments, ROOM);
        assert_eq!(run, words("/usr/bin/python3 /work/main.py {file} b"));
        let compile = words("/usr/bin/gcc -O2 -pipe -o /work/program /work/main.c -lm");
        assert_eq!(c.compile_command(&c.one_file(), ROOM), Some(compile));
        assert_eq!(c.run_command(&c.one_file(), &[], ROOM), words("/work/program"));
        assert_eq!((python.reserved(), c.reserved()), (None, Some("program")));
    }

    #[test]
    fn a_compiler_is_given_the_entry_point_and_every_file_of_its_language() {
        let languages = Languages::embedded().unwrap();
        let c = languages.find("c").unwrap();
        let sources = Sources { entrypoint: String::from("src/b.c"), files: words("a.c src/b.c src/b.h data.txt") };
        let compile = words("/usr/bin/gcc -O2 -pipe -o /work/program /work/src/b.c /work/a.c -lm");
        assert_eq!(c.compile_command(&sources, ROOM), Some(compile));
    }

    #[test]
    fn a_runtime_that_must_be_told_is_told_what_its_phase_may_use() {
        let languages = Languages::embedded().unwrap();
        let java = languages.find("java").unwrap().at_each_place().remove(0);
        let run = java.run_command(&java.one_file(), &[], ROOM);
        assert_eq!(run.first().map(String::as_str), Some("/usr/bin/java"));
        assert_eq!(run.last().map(String::as_str), Some("Main"));
        assert!(run.contains(&String::from("-XX:MaxRAM=192m")), "{run:?}");
        let go = languages.find("go").unwrap();
        assert_eq!(go.run_environment(ROOM), [(String::from("GOMAXPROCS"), String::from("2"))]);
        assert!(go.compile_environment(ROOM).contains(&(String::from("GOPROXY"), String::from("off"))));
    }

    #[test]
    fn tools_are_programs_of_the_image_at_each_of_their_places() {
        let languages = Languages::embedded().unwrap();
        let tools = |name: &str| languages.find(name).unwrap().tools();
        assert_eq!(tools("c"), [["/usr/bin/gcc"]]);
        assert_eq!(tools("bash"), [["/bin/bash"]]);
        assert_eq!(tools("javascript"), [["/usr/bin/node", "/usr/bin/nodejs"]]);
        assert_eq!(tools("java").len(), 2);
    }
}
