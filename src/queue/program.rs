//! From a request to the programs that its phases start: the one place that asks the languages.
use std::collections::BTreeMap;

use crate::job::limits::Limits;
use crate::job::request::{Request, SourceFile, Work};
use crate::lang::{CompileNeeds, Languages, Room, Sources, WORK};
use crate::launch::{InputFile, Program};
use crate::selftest;

/// Where the programs of a job are searched by their own calls of execvp(3).
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Name of uid 1000 in the sandbox's passwd.
const USER: &str = "kiln";
/// Name of the probe in `/work`.
const PROBE_FILE: &str = "probe";

/// What the phases of a job start.
#[derive(Debug)]
pub(super) struct Prepared {
    /// What `/work` holds before the first phase.
    pub(super) files: Vec<InputFile>,
    /// The compiler, where there is one.
    pub(super) compile: Option<Compile>,
    /// The program.
    pub(super) run: Program,
}

/// The program of a compile phase.
#[derive(Debug)]
pub(super) struct Compile {
    pub(super) program: Program,
    /// What it cannot do without, whatever limit the program asked for itself.
    pub(super) needs: CompileNeeds,
}

/// What has to be started for a request, in an image with these languages.
///
/// # Errors
/// A message for the owner of the job, when this host cannot do what was asked.
pub(super) fn prepare(request: &Request, languages: &Languages) -> Result<Prepared, String> {
    let Limits { memory, compile_memory, milli_cpus, .. } = request.limits;
    let program = |argv: Vec<String>, needed: &[(String, String)]| Program {
        argv: argv.into_iter().map(String::into_bytes).collect(),
        env: environment(needed, &request.environment),
        cwd: WORK.as_bytes().to_vec(),
    };
    let in_language = |language: &str, files: Vec<InputFile>, entrypoint: Option<&str>| {
        let known =
            languages.find(language).ok_or_else(|| format!("the language {language} is not in the image any more"))?;
        let sources = entrypoint.map_or_else(|| known.one_file(), |entry| sources(entry, &files));
        let room = Room { memory: compile_memory, milli_cpus };
        let compile = known.compile_command(&sources, room).map(|argv| Compile {
            program: program(argv, &known.compile_environment(room)),
            needs: known.compile_needs,
        });
        let room = Room { memory, milli_cpus };
        let run = program(known.run_command(&sources, &request.args, room), &known.run_environment(room));
        Ok(Prepared { files, compile, run })
    };
    match &request.work {
        Work::Source { language, code } => {
            let path = languages.find(language).map_or_else(String::new, |known| known.file.clone());
            let content = code.clone().into_bytes();
            in_language(language, vec![InputFile { path, executable: false, content }], None)
        }
        Work::Files { language, files, entrypoint } => {
            in_language(language, files.iter().map(input).collect(), Some(entrypoint))
        }
        Work::Command { command } => {
            let run = program([command.as_slice(), &request.args].concat(), &[]);
            Ok(Prepared { files: Vec::new(), compile: None, run })
        }
        Work::Probe { attempt } => {
            let own = [format!("{WORK}/{PROBE_FILE}"), attempt.clone()];
            let run = program([own.as_slice(), &request.args].concat(), &[]);
            let path = String::from(PROBE_FILE);
            let files = vec![InputFile { path, executable: true, content: selftest::PROBE.to_vec() }];
            Ok(Prepared { files, compile: None, run })
        }
    }
}

fn input(file: &SourceFile) -> InputFile {
    let SourceFile { path, content, executable } = file.clone();
    InputFile { path, executable, content }
}

fn sources(entrypoint: &str, files: &[InputFile]) -> Sources {
    Sources { entrypoint: entrypoint.to_owned(), files: files.iter().map(|file| file.path.clone()).collect() }
}

/// What a job sees (contract rule 21): what it asked for, and four names where it did not; also what its
/// language needs.
fn environment(needed: &[(String, String)], asked: &[(String, String)]) -> Vec<Vec<u8>> {
    let own = [("PATH", PATH), ("HOME", WORK), ("LANG", "C.UTF-8"), ("USER", USER)];
    let mut variables: BTreeMap<&str, &str> = own.into_iter().collect();
    variables.extend(needed.iter().chain(asked).map(|(name, value)| (name.as_str(), value.as_str())));
    variables.iter().map(|(name, value)| format!("{name}={value}").into_bytes()).collect()
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::queue::test::request;

    fn prepared(work: Work) -> Result<Prepared, String> {
        let mut request = request();
        request.work = work;
        request.args = vec![String::from("-v")];
        prepare(&request, &Languages::embedded().unwrap())
    }

    fn source(language: &str) -> Work {
        Work::Source { language: String::from(language), code: String::from("text") }
    }

    fn words(words: &[Vec<u8>]) -> Vec<String> {
        words.iter().map(|word| String::from_utf8(word.clone()).unwrap()).collect()
    }

    #[test]
    fn a_script_has_one_phase_with_its_source_and_arguments() {
        let prepared = prepared(source("bash")).unwrap();
        assert!(prepared.compile.is_none());
        assert_eq!(words(&prepared.run.argv), ["/bin/bash", "/work/main.sh", "-v"]);
        assert_eq!(prepared.files[0].path, "main.sh");
        assert_eq!(prepared.files[0].content, b"text");
        assert_eq!(prepared.run.cwd, b"/work");
    }

    #[test]
    fn arguments_are_for_the_program_not_for_the_compiler() {
        let prepared = prepared(source("c")).unwrap();
        let compile = prepared.compile.unwrap();
        assert!(!words(&compile.program.argv).contains(&String::from("-v")));
        assert_eq!(compile.needs.processes, 8);
        assert_eq!(words(&prepared.run.argv), ["/work/program", "-v"]);
    }

    #[test]
    fn files_lie_where_the_request_says_and_the_entry_point_is_started() {
        let file = |path: &str| SourceFile { path: path.to_owned(), content: b"x".to_vec(), executable: true };
        let files = vec![file("lib.sh"), file("bin/start.sh")];
        let entrypoint = String::from("bin/start.sh");
        let prepared = prepared(Work::Files { language: String::from("bash"), files, entrypoint }).unwrap();
        assert_eq!(words(&prepared.run.argv), ["/bin/bash", "/work/bin/start.sh", "-v"]);
        let paths: Vec<_> = prepared.files.iter().map(|file| (file.path.as_str(), file.executable)).collect();
        assert_eq!(paths, [("lib.sh", true), ("bin/start.sh", true)]);
    }

    #[test]
    fn the_probe_brings_its_program_with_it() {
        let prepared = prepared(Work::Probe { attempt: String::from("mount") }).unwrap();
        assert_eq!(words(&prepared.run.argv), ["/work/probe", "mount", "-v"]);
        let [file] = &prepared.files[..] else { panic!("one file") };
        assert_eq!((file.path.as_str(), file.executable, &file.content[..4]), ("probe", true, &b"\x7fELF"[..]));
    }

    #[test]
    fn what_this_host_has_not_is_refused_by_name() {
        assert!(prepared(source("cobol")).unwrap_err().contains("cobol"));
        let command = Work::Command { command: vec![String::from("/bin/true")] };
        assert_eq!(words(&prepared(command).unwrap().run.argv), ["/bin/true", "-v"]);
    }

    #[test]
    fn a_job_sees_what_it_asked_for_and_four_names() {
        let asked = [("LANG", "de_DE.UTF-8"), ("X", "a=b")];
        let asked = asked.map(|(name, value)| (String::from(name), String::from(value)));
        let expected = ["HOME=/work", "LANG=de_DE.UTF-8", &format!("PATH={PATH}")];
        let seen = words(&environment(&[], &asked));
        assert_eq!(seen[..3], expected);
        assert_eq!(seen[3..], ["USER=kiln", "X=a=b"]);
    }
}
