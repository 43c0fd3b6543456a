//! The two phases of a job have `/work` and a block of ids in common, and nothing else.
use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};

use super::{TRACES, assert_same, differences, left, nothing, object, run};
use crate::harness::{Daemon, data_directory, printed, python, with};

/// A compiler that leaves every trace and says what, beside a program that looks; and one that only eats.
const TABLE: &str = r#"
[[language]]
id = "leaving"
name = "Leaving"
aliases = []
file = "main.leaving"
compile = ["/usr/bin/python3", "{file}", "leave", "{program}"]
run = ["/usr/bin/python3", "{file}", "look"]
version = { command = ["/usr/bin/python3", "--version"], after = "Python " }
compile_limits = { processes = 64 }

[[language]]
id = "eating"
name = "Eating"
aliases = []
file = "main.eating"
compile = ["/usr/bin/python3", "{file}", "{program}"]
run = ["/usr/bin/true"]
version = { command = ["/usr/bin/python3", "--version"], after = "Python " }
compile_limits = { processes = 64, memory = 256 }
"#;

const EAT: &str = "
import os, time
eaten = b'x' * (128 << 20)
for _ in range(20):
    if os.fork() == 0:
        time.sleep(0.3)
        os._exit(0)
end = time.process_time() + 0.5
while time.process_time() < end:
    pass
";

#[expect(clippy::disallowed_methods, reason = "a file of the test's own, which no daemon reads yet")]
fn languages() -> tempfile::TempDir {
    let folder = data_directory();
    fs::write(folder.path().join("phases.toml"), TABLE).unwrap();
    folder
}

fn started(languages: &tempfile::TempDir) -> Daemon {
    let languages = languages.path().to_str().unwrap();
    Daemon::start(&[("KILN_API_JOB_MAX_CONCURRENT", "1"), ("KILN_LANGUAGES_DIR", languages)])
}

#[test]
fn a_program_finds_nothing_of_its_compiler_but_work_and_the_next_job_not_even_that() {
    let languages = languages();
    let daemon = started(&languages);
    let limits = json!({"limits": {"processes": 64, "open_files": 1024}});
    let look = with(python(TRACES), with(limits.clone(), json!({"args": ["look"]})));
    let looked = || run(&daemon, &look).0;
    let first = looked();
    assert!(nothing().iter().all(|(name, value)| first.get(name) == Some(value)), "{first:#?}");
    for round in 1..=3 {
        let job = daemon.execute(&with(json!({"language": "leaving", "code": TRACES}), limits.clone()));
        let mut told: BTreeMap<String, Value> =
            serde_json::from_str(job["compile"]["stdout"].as_str().unwrap()).unwrap();
        let mut found = object(&job);
        assert_eq!(told.remove("block"), found.remove("block"), "the phases have one block");
        assert_eq!(told, left(), "{job:#}");
        let in_work = json!(["left", "left.fifo", "left.link", "left.symlink"]);
        assert_eq!(differences(&first, &found), [("files", Some(&json!([])), Some(&in_work))], "{round}");
        assert_same(&first, &looked(), &format!("the job after {round}"));
    }
}

#[test]
fn a_program_uses_nothing_that_its_compiler_used() {
    let languages = languages();
    let daemon = started(&languages);
    for _ in 0..3 {
        let job = daemon.execute(&json!({"language": "eating", "code": EAT}));
        let of = |phase: &Value, name: &str| phase[name].as_u64();
        let (compiler, program) = (&job["compile"]["usage"], &job["usage"]);
        assert!(of(compiler, "memory_peak_bytes").is_none_or(|bytes| bytes > 128 << 20), "{job:#}");
        assert!(of(program, "memory_peak_bytes").is_none_or(|bytes| bytes < 16 << 20), "{job:#}");
        assert!(of(compiler, "processes_peak").is_none_or(|count| count > 20), "{job:#}");
        assert!(of(program, "processes_peak").is_none_or(|count| count == 1), "{job:#}");
        let processor = |phase| of(phase, "cpu_user_us").unwrap() + of(phase, "cpu_system_us").unwrap();
        assert!(processor(compiler) > 400_000 && processor(program) < 200_000, "{job:#}");
        assert_eq!((&job["termination"]["reason"], &job["termination"]["limits_hit"]), (&json!("exited"), &json!([])));
    }
    if daemon.offers("c") {
        let job = daemon.execute(&json!({"language": "c", "code": "int main(void) { return 0; }"}));
        assert_eq!(printed(&job), "");
        let peaks = |name: &str| [&job["compile"]["usage"], &job["usage"]].map(|phase| phase[name].as_u64());
        let [compiler, program] = peaks("memory_peak_bytes");
        assert!(compiler.is_none() || compiler > program.map(|bytes| 4 * bytes), "{job:#}");
        let [compiler, program] = peaks("processes_peak");
        assert!(compiler.is_none() || compiler > Some(1) && program == Some(1), "{job:#}");
    }
}
