//! Every program of `tests/languages` on a live daemon, in every language that is there, with no limit but the defaults
//! and those of its case.
//!
//! Which languages the host image has is the machine's own affair: one that `GET /v1/languages` does not list is told
//! and left out. Python and Bash are always there. Not here: images that kiln builds (`images`), an operator's own
//! languages (`operator`).
mod judge;
mod table;

use std::collections::VecDeque;
use std::sync::Mutex;

use serde_json::json;

use crate::harness::{Daemon, scale, shared, timeout};
use crate::languages::table::{Case, TABLES};

/// The longest `compile_timeout` that the API takes.
const LONGEST_COMPILE: u64 = 120;

/// Jobs of one language at once.
const AT_ONCE: usize = 2;

/// One test for each language.
macro_rules! languages {
    ($($id:ident)+) => {
        /// What there is a test for.
        const TESTED: &[&str] = &[$(stringify!($id)),+];

        $(#[test]
        fn $id() {
            try_out_on_host(stringify!($id));
        })+
    };
}

languages! { python javascript typescript bash c cpp go rust java ruby php perl lua r sqlite }

#[expect(clippy::print_stderr, reason = "nobody should take a language for tested that is not there")]
fn try_out_on_host(language: &str) {
    let daemon = shared();
    if !daemon.offers(language) {
        eprintln!("{language} is not on this machine: nothing of it was tested");
        return;
    }
    let faults = faults(&daemon, language, None);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Every case of the language in this image, or in the one that the daemon takes by itself, that ends otherwise than it
/// must.
pub(crate) fn faults(daemon: &Daemon, language: &str, image: Option<&str>) -> Vec<String> {
    let cases = Mutex::new(table::cases(language).into_iter().collect::<VecDeque<Case>>());
    let faults = Mutex::new(Vec::new());
    let work = || {
        while let Some(case) = next(&cases) {
            faults.lock().unwrap().extend(faults_of(daemon, &case, image));
        }
    };
    std::thread::scope(|scope| {
        for number in 0..AT_ONCE {
            std::thread::Builder::new().name(format!("{language}-{number}")).spawn_scoped(scope, work).unwrap();
        }
    });
    let place = image.unwrap_or("host");
    faults.into_inner().unwrap().into_iter().map(|fault| format!("{language} in {place}: {fault}")).collect()
}

/// Its lock is free again before the case is run.
fn next(cases: &Mutex<VecDeque<Case>>) -> Option<Case> {
    cases.lock().unwrap().pop_front()
}

fn faults_of(daemon: &Daemon, case: &Case, image: Option<&str>) -> Option<String> {
    let mut request = json!({ "timeout": timeout(30) });
    if let Some(image) = image {
        table::lay_over(&mut request, json!({ "image": image }));
    }
    if scale() > 1 {
        let limits = json!({"limits": {"compile_timeout": timeout(30).min(LONGEST_COMPILE)}});
        table::lay_over(&mut request, limits);
    }
    table::lay_over(&mut request, case.request.clone());
    let answer = daemon.post(&request);
    if answer.status != 200 {
        return Some(format!("{}: HTTP {}: {}", case.name, answer.status, answer.body));
    }
    let faults = judge::faults(&answer.body, case.expectation(!answer.body["compile"].is_null()));
    (!faults.is_empty()).then(|| format!("{}: {}", case.name, faults.join("; ")))
}

fn listed() -> Vec<String> {
    serde_json::from_value(shared().get("/v1/languages").body["languages"].take()).unwrap()
}

#[test]
fn python_and_bash_are_always_there_and_whatever_is_there_is_tested() {
    let listed = listed();
    for id in ["python", "bash"] {
        assert!(listed.iter().any(|listed| listed == id), "{id} is not among {listed:?}");
    }
    for id in listed {
        assert!(TESTED.contains(&id.as_str()), "{id} has no test");
    }
}

#[test]
fn every_language_with_a_table_has_a_test_and_all_its_cases() {
    assert_eq!(TABLES.iter().map(|(id, _)| *id).collect::<Vec<_>>(), TESTED);
    let names = |language: &str| table::cases(language).into_iter().map(|case| case.name).collect::<Vec<_>>();
    assert_eq!(names("python").len(), 18);
    for language in TESTED {
        assert!(names(language).len() >= 17, "{language}");
    }
}
