//! Holds `docs/SPECIFICATION.md`: each promise has a number of its own and tests that are there.
//!
//! The check is a pure function from the text and a reader of files to findings; the tests plant one
//! fault of each kind. Not here: whether a test holds what the promise says.

#[cfg(test)]
mod test {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    const DOCUMENT: &str = "docs/SPECIFICATION.md";

    /// A promise: its number, and the lines that belong to it.
    struct Promise {
        number: String,
        text: String,
    }

    /// An item of a list that begins with a number goes on in the indented lines that follow.
    fn promises(document: &str) -> Vec<Promise> {
        let mut found: Vec<Promise> = Vec::new();
        let mut inside = false;
        for line in document.lines() {
            if let Some((number, text)) = line.strip_prefix("- **").and_then(|rest| rest.split_once("** ")) {
                found.push(Promise { number: number.to_owned(), text: text.to_owned() });
                inside = true;
            } else if inside && line.starts_with("  ") {
                if let Some(last) = found.last_mut() {
                    last.text.push_str(line);
                }
            } else {
                inside = false;
            }
        }
        found
    }

    /// `XXX-12`, with 1 as the least.
    fn is_number(text: &str) -> bool {
        text.split_once('-').is_some_and(|(group, number)| {
            let digits = number.bytes().all(|byte| byte.is_ascii_digit()) && !number.starts_with('0');
            group.len() == 3 && group.bytes().all(|byte| byte.is_ascii_uppercase()) && digits && !number.is_empty()
        })
    }

    /// What stands between backticks behind the dash: a file, or a file and a test in it.
    fn references(text: &str) -> Vec<&str> {
        let behind = text.split_once(" — ").map_or("", |(_, behind)| behind);
        behind.split('`').skip(1).step_by(2).collect()
    }

    /// What is wrong with a reference, where something is.
    fn fault_of(reference: &str, file: impl Fn(&str) -> Option<String>) -> Option<String> {
        let (path, test) = reference.split_once("::").unwrap_or((reference, ""));
        let Some(source) = file(path) else { return Some(format!("there is no file `{path}`")) };
        let is_there = test.is_empty() || source.contains(&format!("fn {test}("));
        (!is_there).then(|| format!("there is no test `{test}` in `{path}`"))
    }

    fn check(document: &str, file: impl Fn(&str) -> Option<String>) -> Vec<String> {
        let mut findings = Vec::new();
        let mut numbers = BTreeSet::new();
        for Promise { number, text } in promises(document) {
            if !is_number(&number) {
                findings.push(format!("{number}: is no number"));
            }
            if !numbers.insert(number.clone()) {
                findings.push(format!("{number}: is there twice"));
            }
            let references = references(&text);
            if references.is_empty() {
                findings.push(format!("{number}: has no test"));
            }
            let faults = references.into_iter().filter_map(|reference| fault_of(reference, &file));
            findings.extend(faults.map(|fault| format!("{number}: {fault}")));
        }
        findings
    }

    #[test]
    fn every_promise_has_a_number_of_its_own_and_tests_that_are_there() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let document = fs::read_to_string(root.join(DOCUMENT)).unwrap();
        let findings = check(&document, |path| fs::read_to_string(root.join(path)).ok());
        assert!(findings.is_empty(), "\n{}", findings.join("\n"));
        for group in ["ISO", "LIM", "END", "OUT", "DUR", "API", "CFG", "OPS", "LNG", "CLI", "NET"] {
            assert!(promises(&document).iter().any(|promise| promise.number == format!("{group}-1")), "{group}");
        }
    }

    #[track_caller]
    fn expect(document: &str, findings: &[&str]) {
        let file = |path: &str| (path == "tests/a.rs").then(|| String::from("#[test]\nfn it_holds() {}\n"));
        assert_eq!(check(document, file), findings);
    }

    #[test]
    fn a_good_promise_is_fine() {
        expect("- **ISO-1** A sentence\n  of two lines.\n  — `tests/a.rs::it_holds`,\n  `tests/a.rs`\n", &[]);
        expect("- an ordinary item\n\n- **ISO-12** x `code` — `tests/a.rs`\n", &[]);
    }

    #[test]
    fn a_number_that_is_there_twice_is_found() {
        let text = "- **ISO-1** x — `tests/a.rs`\n- **ISO-1** y — `tests/a.rs`\n";
        expect(text, &["ISO-1: is there twice"]);
    }

    #[test]
    fn what_is_no_number_is_found() {
        for number in ["ISO", "ISO-", "ISO-01", "iso-1", "ISOL-1", "ISO-1a"] {
            expect(&format!("- **{number}** x — `tests/a.rs`\n"), &[&format!("{number}: is no number")]);
        }
    }

    #[test]
    fn a_promise_without_a_test_is_found() {
        expect("- **ISO-1** x `tests/a.rs`\n\n  — `tests/a.rs`\n", &["ISO-1: has no test"]);
    }

    #[test]
    fn a_file_or_a_test_that_is_not_there_is_found() {
        expect("- **ISO-1** x — `tests/b.rs`\n", &["ISO-1: there is no file `tests/b.rs`"]);
        expect("- **ISO-1** x — `tests/a.rs::it`\n", &["ISO-1: there is no test `it` in `tests/a.rs`"]);
    }
}
