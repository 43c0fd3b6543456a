//! Every fenced example of the execution specification, against a live daemon.
//!
//! The examples lie in `tests/golden/execution`, cut out by `tests/golden/cut.py`. An answer must have
//! every documented member with the documented type, and the same value where the document means it
//! (a status), not where it shows a sample (an id, a moment, a duration).
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::harness::{bash, seconds, shared, with};
use crate::http::{self, Answer};

/// The examples that one check holds.
type Case = (&'static [&'static str], fn());

const CASES: [Case; 9] = [
    (&["01-execute-code.bash", "02-execute-code.json", "03-execute-code.json"], code_is_executed),
    (&["04-execute-file.bash", "05-execute-file.json", "06-execute-file.json"], a_file_is_executed),
    (&["07-get-job-status.bash", "08-get-job-status.json"], a_running_job_is_shown),
    (
        &[
            "09-list-supported-languages.bash",
            "10-list-supported-languages.json",
            "11-get-system-status.bash",
            "12-get-system-status.json",
        ],
        languages_and_status_are_shown,
    ),
    (&["22-standard-error-format.json"], an_error_has_the_documented_format),
    (&["23-health-checks.bash"], the_probes_answer),
    (&["20-api-configuration.yaml"], the_configuration_loads),
    (&["21-environment-variables.bash", "25-kubernetes-deployment.yaml"], variables_are_settings),
    (&["24-container-deployment.dockerfile"], the_entry_point_of_the_container_is_a_command),
];

/// Examples of what is not built yet. This list only shrinks.
const NOT_BUILT: [&str; 7] = [
    "13-list-all-jobs.bash",
    "14-cancel-job.bash",
    "15-get-server-configuration.bash",
    "16-update-server-configuration.bash",
    "17-api-key-implementation.bash",
    "18-websocket-support.bash",
    "19-server-sent-events-sse.bash",
];

/// Members whose value is meant; of all others only the type is.
const MEANT: [&str; 10] =
    ["status", "stdout", "stderr", "exit_code", "language", "timeout", "memory_limit", "code", "message", "field"];

#[test]
fn every_example_is_checked_or_known_as_not_built() {
    let listed = CASES.iter().flat_map(|(names, _)| *names).chain(&NOT_BUILT);
    let mut known = BTreeSet::new();
    for name in listed {
        assert!(known.insert((*name).to_owned()), "{name} is listed twice");
    }
    let there = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(known, there.collect::<BTreeSet<_>>());
}

#[test]
fn every_example_holds() {
    // One daemon for all of them.
    let _daemon = shared();
    for (_, check) in CASES {
        check();
    }
}

fn code_is_executed() {
    let body = example("02-execute-code.json");
    let answer = call("01-execute-code.bash", "", Some(("application/json", body.to_string().into_bytes())));
    assert_eq!(answer.status, 200, "{:#}", answer.body);
    check_answer("03-execute-code.json", &answer.body);
}

fn a_file_is_executed() {
    let fields = example("05-execute-file.json");
    let fields = fields.as_object().unwrap().iter().map(|(name, value)| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        format!("--cut\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n")
    });
    let mut form = fields.collect::<Vec<_>>().concat();
    form += "--cut\r\nContent-Disposition: form-data; name=\"file\"; filename=\"main.py\"\r\n\r\n";
    form += "print('Hello, World!')\n\r\n--cut--\r\n";
    let form = ("multipart/form-data; boundary=cut", form.into_bytes());
    let answer = call("04-execute-file.bash", "", Some(form));
    assert_eq!(answer.status, 200, "{:#}", answer.body);
    check_answer("06-execute-file.json", &answer.body);
}

fn a_running_job_is_shown() {
    let daemon = shared();
    let documented = example("08-get-job-status.json");
    let code = json!({"language": "python", "code": "import time\ntime.sleep(1000)"});
    let limits = json!({"timeout": documented["timeout"], "memory_limit": documented["memory_limit"]});
    let path = daemon.submit(&with(code, limits));
    daemon.wait_for_status(&path, "running");
    let answer = call("07-get-job-status.bash", path.rsplit('/').next().unwrap(), None);
    assert_eq!(answer.status, 200, "{:#}", answer.body);
    check_answer("08-get-job-status.json", &answer.body);
    let ended = http::ask(daemon.address(), &format!("DELETE {path}"), None, seconds(60)).unwrap();
    assert!([200, 202].contains(&ended.status), "{:#}", ended.body);
}

fn languages_and_status_are_shown() {
    let languages = call("09-list-supported-languages.bash", "", None);
    check_answer("10-list-supported-languages.json", &languages.body);
    // The figure of the processors is a difference of two looks.
    crate::harness::until(seconds(30), "every figure is known", || {
        let status = call("11-get-system-status.bash", "", None).body;
        let known = status.as_object().unwrap().values().all(|value| !value.is_null());
        known.then(|| check_answer("12-get-system-status.json", &status))
    });
}

fn an_error_has_the_documented_format() {
    let answer = shared().post(&json!({"code": "print()"}));
    assert_eq!(answer.status, 400);
    check_answer("22-standard-error-format.json", &answer.body);
    assert!(shared().post(&bash("exit 0")).body.get("error").is_none());
}

fn the_probes_answer() {
    let text = text("23-health-checks.bash");
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("GET ")).collect();
    assert_eq!(lines.len(), 3);
    for line in lines {
        let answer = http::ask(shared().address(), line, None, seconds(60)).unwrap();
        assert_eq!(answer.status, 200, "{line}");
    }
}

/// Its authentication cannot be had yet, and is refused by name.
fn the_configuration_loads() {
    let file = folder().join("20-api-configuration.yaml");
    let file = file.to_str().unwrap();
    let (ok, shown) = kiln(&["config", "show", "--config", file], &[]);
    assert!(ok, "{shown}");
    for setting in ["port: 8080", "max_timeout: 300", "requests_per_hour: 1000", "max_request_size: 10MB"] {
        assert!(shown.contains(setting), "{setting}: {shown}");
    }
    let instead = ["--set", "api.auth.enabled=false", "--set", "api.host=127.0.0.1"];
    let (ok, said) = kiln(&[&["config", "check", "--config", file], instead.as_slice()].concat(), &[]);
    assert!(ok, "{said}");
}

fn variables_are_settings() {
    let text = text("21-environment-variables.bash");
    let variables: Vec<(&str, &str)> = text.lines().filter_map(|line| line.split_once('=')).collect();
    assert_eq!(variables.len(), 5);
    let (ok, shown) = kiln(&["config", "show"], &variables);
    assert!(ok, "{shown}");
    for (name, value) in variables {
        assert!(shown.contains(&format!("{value}  # variable {name}")), "{name}: {shown}");
    }
}

fn the_entry_point_of_the_container_is_a_command() {
    let text = text("24-container-deployment.dockerfile");
    let line = text.lines().find_map(|line| line.strip_prefix("ENTRYPOINT ")).unwrap();
    let words: Vec<String> = serde_json::from_str(line).unwrap();
    let (ok, said) = kiln(&[&words[1], "--help"], &[]);
    assert!(ok && said.contains("Usage: kiln serve"), "{said}");
}

/// Whether it exits with 0, and what it prints.
#[expect(clippy::disallowed_methods, reason = "the program under test is started here")]
fn kiln(words: &[&str], variables: &[(&str, &str)]) -> (bool, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_kiln"));
    let output = command.args(words).env_clear().envs(variables.iter().copied()).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (output.status.success(), said)
}

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/execution"))
}

fn text(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap()
}

/// An example of JSON. The document breaks lines inside of texts, which JSON does not (RFC 8259, section 7).
fn example(name: &str) -> Value {
    let text = text(name);
    let mut json = String::new();
    let mut inside = false;
    for character in text.chars() {
        inside ^= character == '"';
        match character {
            '\n' if inside => json.push_str("\\n"),
            other => json.push(other),
        }
    }
    serde_json::from_str(&json).unwrap()
}

/// Makes the documented call, on this job.
fn call(name: &str, job: &str, body: Option<(&str, Vec<u8>)>) -> Answer {
    let line = text(name).trim().replace("{job_id}", job);
    http::ask_with(shared().address(), &line, body, seconds(60)).unwrap()
}

#[track_caller]
fn check_answer(name: &str, answer: &Value) {
    check(name, "", &example(name), answer);
}

#[track_caller]
fn check(name: &str, path: &str, documented: &Value, answer: &Value) {
    let same_type = std::mem::discriminant(documented) == std::mem::discriminant(answer);
    assert!(same_type, "{name}: {path} is {answer}, not like {documented}");
    match (documented, answer) {
        (Value::Object(documented), Value::Object(answer)) => {
            for (member, value) in documented {
                let path = format!("{path}.{member}");
                let found = answer.get(member).unwrap_or_else(|| panic!("{name}: {path} is not there: {answer:?}"));
                check(name, &path, value, found);
                if MEANT.contains(&member.as_str()) {
                    assert_eq!(found, value, "{name}: {path}");
                }
            }
        }
        (Value::Array(documented), Value::Array(answer)) => {
            let first = documented.first().unwrap_or(&Value::Null);
            assert!(!answer.is_empty(), "{name}: {path} is empty");
            answer.iter().take(1).for_each(|item| check(name, &format!("{path}[0]"), first, item));
        }
        _ => {}
    }
}
