//! `kiln verify`: lets a daemon attack its own sandbox, and shows how each attempt was stopped.
use http::Method;
use serde_json::Value;

use crate::cli::answer::printed;
use crate::cli::exit::Exit;
use crate::cli::job::print_json;
use crate::cli::remote;
use crate::cli::status::ShowArguments;
use crate::cli::surroundings::Surroundings;
use crate::cli::table::{self, Colours};
use crate::client::Question;

pub(super) fn run(arguments: &ShowArguments, surroundings: &Surroundings, colours: Colours) -> Exit {
    remote::asking(async {
        let mut client = arguments.remote.client(surroundings)?;
        let report = client.json(Question::new(Method::POST, "/v1/admin/selftest")).await?;
        let shown = if arguments.json { print_json(&report) } else { printed(&described(&report, colours)) };
        Ok(if shown == Exit::Ok { exit(&report) } else { shown })
    })
}

fn exit(report: &Value) -> Exit {
    match shows(report) {
        Shows::Holds => Exit::Ok,
        Shows::Unproven => Exit::Unproven,
        Shows::Broken => Exit::Broken,
    }
}

/// What a report shows.
enum Shows {
    Holds,
    Unproven,
    Broken,
}

/// Only a report that says so, of at least one attempt, each of which was stopped, is well.
fn shows(report: &Value) -> Shows {
    let verdicts: Vec<&str> = attempts(report).map(|attempt| text(attempt, "verdict")).collect();
    let all_stopped = !verdicts.is_empty() && verdicts.iter().all(|verdict| *verdict == "stopped");
    match text(report, "conclusion") {
        "holds" if all_stopped => Shows::Holds,
        "broken" => Shows::Broken,
        _ if verdicts.contains(&"got_through") => Shows::Broken,
        _ => Shows::Unproven,
    }
}

fn attempts(report: &Value) -> impl Iterator<Item = &Value> {
    report.get("attempts").and_then(Value::as_array).into_iter().flatten()
}

fn text<'a>(of: &'a Value, name: &str) -> &'a str {
    of.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn words(of: &Value, name: &str) -> String {
    let words = of.get(name).and_then(Value::as_array).into_iter().flatten();
    words.filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}

fn described(report: &Value, colours: Colours) -> String {
    let nothing = Value::Null;
    let isolation = report.get("isolation").unwrap_or(&nothing);
    let no_new = isolation.get("no_new_privileges") == Some(&Value::Bool(true));
    let landlock = isolation.get("landlock").and_then(Value::as_u64);
    let or_none = |words: String| if words.is_empty() { String::from("none") } else { words };
    let pairs = [
        ("kiln", text(report, "version").to_owned()),
        ("kernel", text(report, "kernel").to_owned()),
        ("limits by", text(isolation, "cgroups").to_owned()),
        ("namespaces", words(isolation, "namespaces")),
        ("seccomp profile", text(isolation, "seccomp_profile").to_owned()),
        ("Landlock", landlock.map_or_else(|| String::from("none"), |version| format!("version {version}"))),
        ("capabilities", or_none(words(isolation, "capabilities"))),
        ("no_new_privs", String::from(if no_new { "set" } else { "not set" })),
    ];
    let row = |attempt: &Value| {
        let cell = |name: &str| text(attempt, name).to_owned();
        vec![cell("name"), cell("verdict"), cell("tries"), cell("how"), words(attempt, "layers")]
    };
    let rows: Vec<Vec<String>> = attempts(report).map(row).collect();
    let table = table::table(&["ATTEMPT", "VERDICT", "TRIES TO", "HOW", "WALLS"], &rows, colours);
    format!("{}\n{table}\n{}\n", table::pairs(&pairs, colours), verdict(report))
}

/// The last line.
fn verdict(report: &Value) -> String {
    let count = |name: &str| report.pointer(&format!("/counts/{name}")).and_then(Value::as_u64).unwrap_or(0);
    let (through, unexpected, not_tried) = (count("got_through"), count("unexpected"), count("not_tried"));
    let all = attempts(report).count();
    match shows(report) {
        Shows::Holds => format!("The sandbox holds: all {all} attempts were stopped, in {}.", text(report, "duration")),
        Shows::Broken => format!("THE SANDBOX DOES NOT HOLD: {through} of {all} attempts got through."),
        Shows::Unproven => format!(
            "Not shown: of {all} attempts {unexpected} failed in another way than expected, {not_tried} were not made."
        ),
    }
}

#[cfg(test)]
mod test {
    use serde_json::json;

    use super::*;

    fn report(conclusion: &str, verdicts: &[&str]) -> Value {
        let count = |wanted: &str| verdicts.iter().filter(|verdict| **verdict == wanted).count();
        let attempt = |verdict: &&str| {
            json!({"name": "mount", "tries": "mount a tmpfs", "verdict": verdict, "how": "refused by EPERM",
                "layers": ["seccomp", "capabilities"], "job_id": null})
        };
        let counts = ["stopped", "not_tried", "unexpected", "got_through"].map(|name| (name.to_owned(), count(name)));
        json!({"conclusion": conclusion, "version": "1", "kernel": "6.1.0", "duration": "3.2s",
            "isolation": {"cgroups": "cgroup v2", "namespaces": ["pid", "user"], "seccomp_profile": "job", "landlock": 4,
                "no_new_privileges": true, "capabilities": []},
            "counts": counts.into_iter().collect::<std::collections::BTreeMap<_, _>>(),
            "attempts": verdicts.iter().map(attempt).collect::<Vec<_>>()})
    }

    #[track_caller]
    fn ends(conclusion: &str, verdicts: &[&str], code: u8, last: &str) {
        let report = report(conclusion, verdicts);
        assert_eq!(exit(&report).number(), code);
        let text = described(&report, Colours::None);
        assert_eq!(text.lines().last().unwrap(), last);
    }

    #[test]
    fn only_what_was_stopped_whole_is_well() {
        ends("holds", &["stopped", "stopped"], 0, "The sandbox holds: all 2 attempts were stopped, in 3.2s.");
        let through = "THE SANDBOX DOES NOT HOLD: 1 of 2 attempts got through.";
        ends("broken", &["stopped", "got_through"], 3, through);
        ends("holds", &["stopped", "got_through"], 3, through);
        let unproven = "Not shown: of 2 attempts 1 failed in another way than expected, 0 were not made.";
        ends("unproven", &["stopped", "unexpected"], 4, unproven);
        let not_made = "Not shown: of 1 attempts 0 failed in another way than expected, 1 were not made.";
        ends("holds", &["not_tried"], 4, not_made);
        let nothing = "Not shown: of 0 attempts 0 failed in another way than expected, 0 were not made.";
        ends("holds", &[], 4, nothing);
        assert_eq!(exit(&json!({})).number(), 4, "an answer of something else");
    }

    #[test]
    fn an_attempt_is_shown_with_what_stopped_it_below_what_is_in_force() {
        let text = described(&report("holds", &["stopped"]), Colours::None);
        for line in [
            "limits by        cgroup v2",
            "namespaces       pid, user",
            "Landlock         version 4",
            "capabilities     none",
            "no_new_privs     set",
            "mount    stopped  mount a tmpfs  refused by EPERM  seccomp, capabilities",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}: {text}");
        }
    }
}
