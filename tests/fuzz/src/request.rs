//! What a client sends: the JSON of a job, and the form that says the same.
use std::pin::pin;
use std::sync::OnceLock;
use std::task::{Context, Poll, Waker};

use kiln::api::{form as forms, json as texts};
use kiln::base::digest::Digest;
use kiln::base::fault::Faults;
use kiln::job::limits::Policy;
use kiln::job::request::fields::FAULTS_AT_MOST;
use kiln::job::request::files::{FILES_AT_MOST, PATH_AT_MOST};
use kiln::job::request::offer::{KnownImage, KnownLanguage, Least, Offer, UsedImage};
use kiln::job::request::{self, Request, Work};
use kiln::lang::{Language, Languages};
use kiln::plan::mount::BoxPath;
use kiln::plan::process::{InputFile, Program, encode_files};
use serde_json::Value;

use crate::{configuration, memory};

/// What all faults of one request may take in an answer.
const FAULT_BYTES: usize = 128 << 10;

/// What a text of so many bytes may need: a list of numbers takes two bytes for each, and 32 in memory, and its list as
/// much again while it grows.
fn bound(bytes: &[u8]) -> usize {
    256 * bytes.len() + (1 << 20)
}

/// A body: its text is what serde_json says it is but for members that are there twice, and the request that it becomes
/// is one that every later step takes.
pub(crate) fn json(bytes: &[u8]) {
    let plain = serde_json::from_slice::<Value>(bytes);
    match memory::within(bound(bytes), || texts::parse(bytes)) {
        Ok(value) => {
            assert_eq!(Some(&value), plain.as_ref().ok());
            body(&value);
        }
        Err(faults) => {
            told(&faults);
            let twice = faults.as_slice().iter().all(|fault| fault.message == "is given twice");
            assert!(twice || plain.is_err(), "{faults:?}");
        }
    }
}

fn body(value: &Value) {
    match request::read(value, policy(), known()) {
        Ok(submission) => accepted(&submission.request),
        Err(faults) => told(&faults),
    }
}

/// An answer names what is wrong, and is short whatever was sent.
fn told(faults: &Faults) {
    let faults = faults.as_slice();
    assert!((1..=FAULTS_AT_MOST).contains(&faults.len()), "{} faults", faults.len());
    let size: usize = faults.iter().map(|fault| fault.field.len() + fault.message.len()).sum();
    assert!(size <= FAULT_BYTES, "{size} bytes of faults");
}

fn accepted(request: &Request) {
    let (limits, most) = (&request.limits, &policy().ceiling);
    assert!(limits.wall <= most.wall && limits.cpu_time <= most.cpu_time && limits.compile_wall <= most.compile_wall);
    assert!(limits.memory <= most.memory && limits.compile_memory <= most.compile_memory && limits.disk <= most.disk);
    assert!(limits.processes <= most.processes && limits.open_files <= most.open_files);
    assert!(limits.file_size <= most.file_size && limits.output <= most.output && limits.milli_cpus <= most.milli_cpus);
    let text = serde_json::to_vec(request).expect("a request has a text");
    assert_eq!(serde_json::from_slice::<Request>(&text).ok().as_ref(), Some(request));
    let words = |list: &[String]| list.iter().map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
    let command = match &request.work {
        Work::Source { language, .. } => {
            assert!(known().languages.iter().any(|known| known.id == *language));
            vec![b"program".to_vec()]
        }
        Work::Files { files, entrypoint, .. } => {
            assert!((1..=FILES_AT_MOST).contains(&files.len()));
            assert!(files.iter().any(|file| file.path == *entrypoint));
            assert!(files.iter().all(|file| file.path.len() <= PATH_AT_MOST));
            let input = |file: &request::SourceFile| {
                let request::SourceFile { path, content, executable } = file.clone();
                InputFile { path, executable, content }
            };
            let files: Vec<_> = files.iter().map(input).collect();
            assert!(encode_files(&files).is_ok(), "init would refuse a path that was accepted");
            vec![b"program".to_vec()]
        }
        Work::Command { command, .. } => words(command),
        Work::Probe { .. } => panic!("a client asks for what only the self-test may"),
    };
    let arguments = [command, words(&request.args)].concat();
    let variable = |(name, value): &(String, String)| format!("{name}={value}").into_bytes();
    let variables = request.environment.iter().map(variable).collect();
    let directory = BoxPath::try_from("/work").expect("a path");
    assert!(Program { arguments, variables, directory }.encode().is_ok(), "init would refuse what was accepted");
}

/// A form: the first line is its content type, the rest its body. The files are parts of the body as they are.
pub(crate) fn form(bytes: &[u8]) {
    let mut halves = bytes.splitn(2, |&byte| byte == b'\n');
    let (first, rest) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
    let Some(boundary) = std::str::from_utf8(first).ok().and_then(|text| multer::parse_boundary(text).ok()) else {
        return;
    };
    let read = || ready(forms::read(bytes::Bytes::copy_from_slice(rest), boundary));
    match memory::within(bound(bytes), read) {
        Err(faults) => told(&faults),
        Ok(value) => {
            for file in value["files"].as_array().into_iter().flatten() {
                let content = base64::Engine::decode(
                    &base64::engine::general_purpose::STANDARD,
                    file["content_base64"].as_str().expect("a text"),
                );
                let content = content.expect("base64");
                let there = content.is_empty() || rest.windows(content.len()).any(|part| part == content);
                assert!(there, "a file that was not sent");
            }
            body(&value);
        }
    }
}

/// All of the form is there, so that nothing is waited for: a reader that asks again and again would wait for ever.
fn ready<T>(future: impl Future<Output = T>) -> T {
    let (mut future, mut context) = (pin!(future), Context::from_waker(Waker::noop()));
    for _ in 0..100_000 {
        if let Poll::Ready(result) = future.as_mut().poll(&mut context) {
            return result;
        }
    }
    panic!("the reader of forms waits for more than there is")
}

fn policy() -> &'static Policy {
    static POLICY: OnceLock<Policy> = OnceLock::new();
    POLICY.get_or_init(|| configuration::defaults().policy())
}

fn known() -> &'static Offer {
    static KNOWN: OnceLock<Offer> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let image = UsedImage::Stored { name: String::from("python:3"), digest: Digest([7; 32]) };
        let embedded = Languages::embedded().expect("the table");
        let mut languages: Vec<KnownLanguage> = embedded.iter().map(described).collect();
        let stored = languages.first().cloned().map(|first| KnownLanguage { image: image.clone(), ..first });
        languages.extend(stored);
        let references = vec![String::from("python:3"), String::from("python:latest")];
        let (size, created, architecture) = (1, String::new(), String::new());
        let images = vec![KnownImage { image, references, size, created, architecture, recipe: None }];
        Offer { languages, images }
    })
}

fn described(language: &Language) -> KnownLanguage {
    KnownLanguage {
        id: language.id.clone(),
        name: language.name.clone(),
        aliases: language.aliases.clone(),
        version: Some(String::from("3.11.2")),
        file: language.file.clone(),
        extensions: language.extensions.clone(),
        reserved: language.reserved().map(str::to_owned),
        least: Least { memory: language.needs.memory, processes: language.needs.processes, ..Least::default() },
        image: UsedImage::Host,
    }
}

pub(crate) fn json_seeds() -> Vec<Vec<u8>> {
    let bodies = [
        r#"{"language":"python","code":"print(1)","stdin":"x","timeout":1.5,"memory_limit":128,"async":true}"#,
        r#"{"language":"c","files":[{"path":"a/main.c","content":"int main;"},{"path":"b.h","content_base64":"AA==","executable":true}],"entrypoint":"a/main.c","version":"3.11"}"#,
        r#"{"image":"python","language":"python","code":"","version":"3.11"}"#,
        r#"{"image":"host","command":["/bin/echo","é"],"args":["a"],"environment":{"A":"b"},"network_access":false,"stdin_base64":"YQ=="}"#,
        r#"{"language":"bash","code":"","limits":{"cpu_time":1,"cpus":0.5,"processes":8,"open_files":64,"file_size":1,"disk":1,"output":1,"compile_timeout":1,"compile_memory":64}}"#,
        r#"{"a":{"b":1,"b":[-2,1.5,null,true]}}"#,
        r#"{"files":[{"path":"../x","content":""},{"path":"/y"},7],"limits":3,"code":null}"#,
    ];
    bodies.iter().map(|body| body.as_bytes().to_vec()).collect()
}

pub(crate) fn form_seeds() -> Vec<Vec<u8>> {
    let part =
        |head: &str, content: &str| format!("--B\r\nContent-Disposition: form-data; {head}\r\n\r\n{content}\r\n");
    let forms = [
        part("name=\"language\"", "python") + &part("name=\"file\"; filename=\"main.py\"", "print(1)\n") + "--B--\r\n",
        part("name=\"language\"", "c")
            + &part("name=\"file\"; filename*=UTF-8''a%2Fb.c\r\nContent-Type: text/plain", "x\r\n--y")
            + &part("name=\"limits\"", "{\"disk\":1}")
            + &part("name=\"args\"", "[\"a\"]")
            + "--B--",
        part("name=\"code\"", "x") + &part("name=\"file\"", "x") + &part("name=\"files\"", "[]") + "--B",
    ];
    let whole = |form: &String| format!("multipart/form-data; boundary=B\n{form}").into_bytes();
    forms.iter().map(whole).collect()
}
