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
/// What `{program}` stands for.
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
    /// How its version is found out.
    pub version: Probe,
    /// What it cannot do without.
    pub needs: Needs,
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

/// A command whose words may hold `{file}` and `{program}`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Command(Vec<String>);

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
    /// Where the source lies in the sandbox.
    pub fn source_path(&self) -> String {
        format!("{WORK}/{}", self.file)
    }

    /// The command of the compile phase, where there is one.
    pub fn compile_command(&self) -> Option<Vec<String>> {
        self.compile.as_ref().map(|command| command.filled(&self.source_path()))
    }

    /// The command of the run phase, with the job's own arguments.
    pub fn run_command(&self, args: &[String]) -> Vec<String> {
        let mut command = self.run.filled(&self.source_path());
        command.extend_from_slice(args);
        command
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

impl Command {
    fn filled(&self, file: &str) -> Vec<String> {
        let words = self.0.iter();
        words.map(|word| word.replace("{file}", file).replace("{program}", PROGRAM)).collect()
    }
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
        assert_eq!(python.compile_command(), None);
        let arguments = words("{file} b");
        assert_eq!(python.run_command(&arguments), words("/usr/bin/python3 /work/main.py {file} b"));
        let compile = words("/usr/bin/gcc -O2 -pipe -o /work/program /work/main.c -lm");
        assert_eq!(c.compile_command(), Some(compile));
        assert_eq!(c.run_command(&[]), words("/work/program"));
    }

    #[test]
    fn tools_are_programs_of_the_image_only() {
        let languages = Languages::embedded().unwrap();
        assert_eq!(languages.find("c").unwrap().tools(), ["/usr/bin/gcc"]);
        assert_eq!(languages.find("bash").unwrap().tools(), ["/bin/bash"]);
    }
}
