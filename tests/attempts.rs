//! Holds the table of attempts in `docs/SECURITY.md` to the hostile corpus, and the corpus to the list of past escapes.
//!
//! `UPDATE_SNAPSHOTS=1` writes the table anew. Not here: running the attempts (`tests/privileged/corpus`).
#[cfg(test)]
#[path = "privileged/corpus/manifest.rs"]
#[expect(dead_code, reason = "how an attempt is run is no matter here")]
mod manifest;

#[cfg(test)]
mod test {
    use std::collections::BTreeSet;
    use std::fmt::Write as _;
    use std::fs;
    use std::path::{Path, PathBuf};

    use crate::manifest;

    /// Between these two lines the table stands.
    const BEGIN: &str = "<!-- attempts: made from tests/hostile/attempts.toml -->\n";
    const END: &str = "<!-- end of attempts -->\n";

    /// Of what no program in a sandbox can try: what the server or another kind of runtime did wrong. Each with the test
    /// that holds it.
    const HELD_ELSEWHERE: &[(&str, &str)] = &[
        ("CVE-2024-21626", "tests/privileged/identity.rs::three_descriptors_are_open_and_no_other"),
        ("CVE-2024-28189", "tests/privileged/isolation.rs::links_that_a_job_leaves_lead_nowhere"),
        ("CVE-2019-19921", "tests/privileged/posture/mod.rs::a_program_finds_what_is_known_and_nothing_else"),
        ("CVE-2021-30465", "tests/privileged/posture/mod.rs::a_program_finds_what_is_known_and_nothing_else"),
        ("CVE-2025-31133", "tests/privileged/posture/mod.rs::a_program_finds_what_is_known_and_nothing_else"),
        ("CVE-2022-24769", "tests/privileged/identity.rs::no_capability_is_in_any_set"),
        ("CVE-2022-0811", "src/wire/request.rs::garbage_never_panics"),
        ("CVE-2024-23651", "tests/privileged/isolation.rs::links_that_a_job_leaves_lead_nowhere"),
        ("Judge0 before 1.13.0", "src/plan/ceiling.rs::a_limit_of_nothing_is_refused"),
        (
            "DMOJ issue 318",
            "tests/privileged/carryover/phases.rs::\
                            a_program_finds_nothing_of_its_compiler_but_work_and_the_next_job_not_even_that",
        ),
        ("Piston", "src/spawner/identity.rs::a_block_comes_back_when_its_last_holder_is_gone"),
    ];

    fn root() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR"))
    }

    fn document() -> String {
        fs::read_to_string(root().join("docs/SECURITY.md")).unwrap()
    }

    fn table() -> String {
        let mut text = String::from("| attempt | stopped by | how |\n| --- | --- | --- |\n");
        for attempt in manifest::attempts() {
            assert!(!format!("{}{}", attempt.name, attempt.why).contains('|'), "a column ends in {attempt:?}");
            writeln!(text, "| {} | {} | {} |", attempt.name, attempt.layers.join(", "), attempt.why).unwrap();
        }
        text
    }

    /// What is before the table, the table, and what is behind it.
    fn parts(document: &str) -> (&str, &str, &str) {
        let (before, rest) = document.split_once(BEGIN).expect("the table begins");
        let (table, behind) = rest.split_once(END).expect("the table ends");
        (before, table, behind)
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the one setting of this test, and a document of the checkout")]
    fn the_table_of_the_document_is_that_of_the_corpus() {
        let document = document();
        let (before, found, behind) = parts(&document);
        let table = table();
        if found != table && std::env::var("UPDATE_SNAPSHOTS").is_ok_and(|value| value == "1") {
            fs::write(root().join("docs/SECURITY.md"), format!("{before}{BEGIN}{table}{END}{behind}")).unwrap();
        } else {
            assert_eq!(found, table, "UPDATE_SNAPSHOTS=1 writes it anew");
        }
    }

    #[test]
    fn no_two_attempts_have_one_name_and_every_program_is_used() {
        let attempts = manifest::attempts();
        let names: BTreeSet<&str> = attempts.iter().map(|attempt| attempt.name.as_str()).collect();
        assert_eq!(names.len(), attempts.len());
        let folders = ["c", "python", "shell"].map(|folder| root().join("tests/hostile").join(folder));
        let below = |path: &Path| path.strip_prefix(root().join("tests/hostile")).unwrap().to_str().unwrap().to_owned();
        let files =
            folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap()).map(|entry| below(&entry.unwrap().path()));
        // A module of the others, and the program of `corpus/calls.rs`.
        let others = ["python/attempt.py", "c/every_call.c"];
        let unused = files.filter(|file| attempts.iter().all(|attempt| attempt.program != *file));
        let unused: BTreeSet<String> = unused.filter(|file| !file.contains("__pycache__")).collect();
        assert_eq!(unused, BTreeSet::from(others.map(str::to_owned)));
    }

    /// What stands in bold at the beginning of each item: who, and which.
    fn escapes(document: &str) -> Vec<String> {
        let (_, rest) = document.split_once("## What past escapes teach").unwrap();
        let section = rest.split_once("\n## ").map_or(rest, |(section, _)| section);
        let items = section.split("\n- **").skip(1).map(|item| item.split_once("**").unwrap().0.replace('\n', " "));
        items.map(|head| head.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    }

    #[test]
    fn every_past_escape_has_an_attempt_or_a_test() {
        let (document, attempts) = (document(), manifest::attempts());
        let escapes = escapes(&document);
        assert!(escapes.len() > 20, "{escapes:#?}");
        let tried: Vec<&str> = attempts.iter().flat_map(|attempt| &attempt.escapes).map(String::as_str).collect();
        let held: Vec<&str> = HELD_ELSEWHERE.iter().map(|(escape, _)| *escape).collect();
        let is_held = |head: &String| tried.iter().chain(&held).any(|name| head.contains(name));
        let missing: Vec<&String> = escapes.iter().filter(|head| !is_held(head)).collect();
        assert_eq!(missing, Vec::<&String>::new());
        let strange = tried.iter().chain(&held).filter(|name| !escapes.iter().any(|head| head.contains(**name)));
        assert_eq!(strange.collect::<Vec<_>>(), Vec::<&&str>::new(), "in no item of the document");
    }

    #[test]
    fn the_tests_that_hold_the_other_escapes_are_there() {
        for (escape, test) in HELD_ELSEWHERE {
            let (path, name) = test.split_once("::").unwrap();
            let text = fs::read_to_string(root().join(path)).unwrap();
            assert!(text.contains(&format!("fn {name}(")), "{escape}: {test}");
        }
    }
}
