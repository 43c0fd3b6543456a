//! Whether a job ended as its case says: a pure comparison that names everything that is another.
//!
//! Not here: what is expected (`table`).
use serde_json::{Value, json};

use crate::languages::table::Expectation;

/// Of a text that is not as expected this much is shown.
const SHOWN: usize = 2000;

/// All in which the job is another than expected.
pub(super) fn faults(job: &Value, expected: &Expectation) -> Vec<String> {
    let end = &job["termination"];
    let exits = expected.reason == "exited";
    let exit_code = if exits { json!(expected.exit_code) } else { Value::Null };
    let members = [
        ("status", &job["status"], json!(expected.status)),
        ("reason", &end["reason"], json!(expected.reason)),
        ("exit_code", &job["exit_code"], exit_code),
        ("signal", &end["signal"], expected.signal.as_ref().map_or(end["signal"].clone(), |signal| json!(signal))),
    ];
    let different = members.into_iter().filter(|(_, found, wanted)| *found != wanted);
    let mut faults: Vec<String> =
        different.map(|(name, found, wanted)| format!("{name} is {found}, not {wanted}")).collect();
    faults.extend(expected.printed().and_then(|wanted| other_text("stdout", &job["stdout"], &wanted)));
    if expected.says.is_empty() {
        faults.extend(other_text("stderr", &job["stderr"], ""));
    }
    let said = said(job);
    let unsaid = expected.says.iter().filter(|text| !said.contains(text.as_str()));
    faults.extend(unsaid.map(|text| format!("nothing says {text:?}: {:?}", head(&said))));
    faults
}

/// What program and compiler printed.
fn said(job: &Value) -> String {
    let streams = [&job["stdout"], &job["stderr"], &job["compile"]["stdout"], &job["compile"]["stderr"]];
    streams.into_iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
}

fn other_text(name: &str, found: &Value, wanted: &str) -> Option<String> {
    let text = found.as_str().unwrap_or_default();
    let told = || format!("{name} is {:?}, not {:?}", head(text), head(wanted));
    (text != wanted).then(|| if text.len() > SHOWN { format!("{} ({} bytes)", told(), text.len()) } else { told() })
}

fn head(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

mod test {
    use super::*;

    fn expectation(members: Value) -> Expectation {
        serde_json::from_value(members).unwrap()
    }

    fn job() -> Value {
        json!({
            "status": "completed", "exit_code": 0, "stdout": "x\n", "stderr": "",
            "termination": {"reason": "exited", "signal": null}, "compile": {"stdout": "", "stderr": "told\n"},
        })
    }

    #[test]
    fn a_job_that_ended_as_expected_has_no_fault() {
        assert_eq!(faults(&job(), &expectation(json!({"stdout": "x\n"}))), Vec::<String>::new());
        assert_eq!(faults(&job(), &expectation(json!({"says": ["told"]}))), Vec::<String>::new());
        let repeated = json!({"repeated": {"line": "x", "count": 1}});
        assert_eq!(faults(&job(), &expectation(repeated)), Vec::<String>::new());
    }

    #[test]
    fn everything_that_is_another_is_named() {
        let mut job = job();
        job["stderr"] = json!("a warning");
        let wanted = json!({"status": "failed", "reason": "signaled", "signal": "SIGTERM", "stdout": ""});
        assert_eq!(
            faults(&job, &expectation(wanted)),
            [
                "status is \"completed\", not \"failed\"",
                "reason is \"exited\", not \"signaled\"",
                "exit_code is 0, not null",
                "signal is null, not \"SIGTERM\"",
                "stdout is \"x\\n\", not \"\"",
                "stderr is \"a warning\", not \"\"",
            ]
        );
        let unsaid = faults(&job, &expectation(json!({"exit_code": 1, "says": ["a warning", "an error"]})));
        assert_eq!(unsaid.len(), 2, "{unsaid:?}");
        assert!(unsaid[1].starts_with("nothing says \"an error\""), "{unsaid:?}");
        assert_eq!(faults(&job, &expectation(json!({}))).len(), 2, "nothing may be printed that is not expected");
    }
}
