//! From the arguments of `kiln run` to the body of `POST /v1/execute`. Pure.
//!
//! What is not given is left out, so that the daemon's defaults hold; it also judges what is given.
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::cli::run::arguments::{LimitArguments, RunArguments};

/// What is to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Program {
    /// Source text in a language.
    Source { language: String, code: String },
    /// Source files in a language, the entry point first.
    Files { language: String, files: Vec<File> },
    /// A program of an image; it is in the arguments.
    Command { image: String },
}

/// A source file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct File {
    /// In the job, relative to its working directory.
    pub(super) path: String,
    /// The bytes.
    pub(super) content: Vec<u8>,
    /// Whether it may be executed.
    pub(super) executable: bool,
}

/// The body of the request, which is answered as soon as the job is accepted.
pub(super) fn body(arguments: &RunArguments, program: Program, stdin: &[u8]) -> Value {
    let mut body = Map::new();
    let mut add = |name: &str, value: Value| drop(body.insert(name.to_owned(), value));
    match program {
        Program::Source { language, code } => {
            add("language", language.into());
            add("code", code.into());
            words(&mut add, arguments);
        }
        Program::Files { language, files } => {
            add("language", language.into());
            add("entrypoint", files.first().map(|file| file.path.clone()).into());
            add("files", files.iter().map(file).collect());
            words(&mut add, arguments);
        }
        Program::Command { image } => {
            add("image", image.into());
            add("command", arguments.rest.clone().into());
        }
    }
    match std::str::from_utf8(stdin) {
        Ok("") => {}
        Ok(text) => add("stdin", text.into()),
        Err(_binary) => add("stdin_base64", STANDARD.encode(stdin).into()),
    }
    if !arguments.environment.is_empty() {
        let pairs = arguments.environment.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str())));
        add("environment", Value::Object(pairs.collect()));
    }
    if arguments.network {
        add("network_access", true.into());
    }
    limits(&mut add, &arguments.limits);
    add("async", true.into());
    Value::Object(body)
}

/// Whether `--image` without a source has all that a program of an image needs, and nothing that only a source has.
///
/// # Errors
/// What is missing or does not go with it.
pub(super) fn check_command(arguments: &RunArguments) -> Result<(), &'static str> {
    let of_a_source = arguments.language.is_some() || arguments.language_version.is_some();
    if arguments.rest.is_empty() || of_a_source || !arguments.arguments.is_empty() {
        return Err(
            "--image without a FILE or --code takes a program of the image and its arguments after --, and neither \
                    --language, --language-version nor --arg",
        );
    }
    Ok(())
}

/// What only a source in a language has.
fn words(add: &mut impl FnMut(&str, Value), arguments: &RunArguments) {
    let args: Vec<&String> = arguments.arguments.iter().chain(&arguments.rest).collect();
    if !args.is_empty() {
        add("args", json!(args));
    }
    if let Some(version) = &arguments.language_version {
        add("version", version.as_str().into());
    }
    if let Some(image) = &arguments.image {
        add("image", image.as_str().into());
    }
}

fn file(file: &File) -> Value {
    let (name, content) = match std::str::from_utf8(&file.content) {
        Ok(text) => ("content", text.to_owned()),
        Err(_binary) => ("content_base64", STANDARD.encode(&file.content)),
    };
    let mut value = json!({"path": file.path, name: content});
    if let (true, Value::Object(members)) = (file.executable, &mut value) {
        members.insert(String::from("executable"), true.into());
    }
    value
}

fn limits(add: &mut impl FnMut(&str, Value), asked: &LimitArguments) {
    let outer = [("timeout", seconds(asked.timeout)), ("memory_limit", whole(asked.memory))];
    let inner = [
        ("cpu_time", seconds(asked.cpu_time)),
        ("cpus", seconds(asked.cpus)),
        ("processes", whole(asked.processes)),
        ("open_files", whole(asked.open_files)),
        ("file_size", whole(asked.file_size)),
        ("disk", whole(asked.disk)),
        ("output", whole(asked.output_limit)),
        ("compile_timeout", seconds(asked.compile_timeout)),
        ("compile_memory", whole(asked.compile_memory)),
    ];
    for (name, value) in outer {
        if let Some(value) = value {
            add(name, value);
        }
    }
    let given = inner.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let given: Map<String, Value> = given.collect();
    if !given.is_empty() {
        add("limits", Value::Object(given));
    }
}

fn seconds(number: Option<f64>) -> Option<Value> {
    number.map(Value::from)
}

fn whole(number: Option<u64>) -> Option<Value> {
    number.map(Value::from)
}

#[cfg(test)]
mod test {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: RunArguments,
    }

    fn parsed(words: &[&str]) -> RunArguments {
        Line::try_parse_from([&["run"], words].concat()).unwrap().arguments
    }

    fn source(words: &[&str], stdin: &[u8]) -> Value {
        let program = Program::Source { language: String::from("python"), code: String::from("1") };
        body(&parsed(words), program, stdin)
    }

    #[test]
    fn what_is_not_given_is_left_out() {
        let expected = json!({"language": "python", "code": "1", "async": true});
        assert_eq!(source(&["a.py"], b""), expected);
    }

    #[test]
    fn every_limit_has_an_argument() {
        let words = "a.py -t 1.5 -m 64 --cpu-time 2 --cpus 0.5 --processes 3 --open-files 4 --file-size 5 --disk 6 \
                     --output-limit 7 --compile-timeout 8 --compile-memory 9";
        let words: Vec<&str> = words.split_whitespace().collect();
        let body = source(&words, b"");
        assert_eq!((&body["timeout"], &body["memory_limit"]), (&json!(1.5), &json!(64)));
        let expected = json!({"cpu_time": 2.0, "cpus": 0.5, "processes": 3, "open_files": 4, "file_size": 5,
            "disk": 6, "output": 7, "compile_timeout": 8.0, "compile_memory": 9});
        assert_eq!(body["limits"], expected);
        let mut names: Vec<&str> = body["limits"].as_object().unwrap().keys().map(String::as_str).collect();
        let mut known = crate::job::request::LIMITS.to_vec();
        names.sort_unstable();
        known.sort_unstable();
        assert_eq!(names, known);
    }

    #[test]
    fn arguments_and_variables_are_passed_on() {
        let body = source(&["a.py", "--arg", "-x", "--env", "A=b=c", "-e", "D=", "--", "--y", "z"], b"in");
        assert_eq!(body["args"], json!(["-x", "--y", "z"]));
        assert_eq!(body["environment"], json!({"A": "b=c", "D": ""}));
        assert_eq!(body["stdin"], "in");
        assert_eq!(source(&["a.py"], b"\xff")["stdin_base64"], "/w==");
        assert_eq!(source(&["a.py", "--network"], b"")["network_access"], true);
    }

    #[test]
    fn files_keep_their_names_and_the_first_is_the_entry_point() {
        let file = |path: &str, content: &[u8], executable| File {
            path: path.to_owned(),
            content: content.to_vec(),
            executable,
        };
        let files = vec![file("main.py", b"1", false), file("lib/a.sh", b"\xff", true)];
        let body = body(&parsed(&["main.py"]), Program::Files { language: String::from("python"), files }, b"");
        assert_eq!(body["entrypoint"], "main.py");
        let expected = json!([{"path": "main.py", "content": "1"},
            {"path": "lib/a.sh", "content_base64": "/w==", "executable": true}]);
        assert_eq!(body["files"], expected);
    }

    #[test]
    fn a_program_of_an_image_has_no_language() {
        let arguments = parsed(&["--image", "host", "--", "/bin/echo", "-n"]);
        let body = body(&arguments, Program::Command { image: String::from("host") }, b"");
        assert_eq!(body, json!({"image": "host", "command": ["/bin/echo", "-n"], "async": true}));
    }

    #[test]
    fn a_source_may_run_in_an_image() {
        let body = source(&["a.py", "--image", "python:3.13"], b"");
        assert_eq!(body["image"], "python:3.13");
        let file = |words: &[&str]| check_command(&parsed(words)).is_ok();
        assert!(file(&["--image", "host", "--", "x"]));
        for words in [
            &["--image", "host"][..],
            &["--image", "host", "-l", "python", "--", "x"],
            &["--image", "host", "--language-version", "3", "--", "x"],
            &["--image", "host", "--arg", "x", "--", "x"],
        ] {
            assert!(!file(words), "{words:?}");
        }
    }

    #[test]
    fn the_daemon_knows_every_member() {
        let words = [
            "a.py",
            "--network",
            "--image",
            "host",
            "--language-version",
            "3",
            "--env",
            "A=b",
            "-t",
            "1",
            "-m",
            "1",
            "--disk",
            "1",
            "--",
            "x",
        ];
        for name in source(&words, b"x").as_object().unwrap().keys() {
            assert!(crate::job::request::FIELDS.contains(&name.as_str()), "{name}");
        }
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        for words in [
            &[][..],
            &["-c", "1"],
            &["a.py", "-c", "1", "-l", "python"],
            &["a.py", "--env", "A"],
            &["a.py", "-t", "nan"],
            &["a.py", "-m", "-1"],
        ] {
            assert!(Line::try_parse_from([&["run"], words].concat()).is_err(), "{words:?}");
        }
    }
}
