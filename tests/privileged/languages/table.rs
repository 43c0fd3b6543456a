//! The corpus of `tests/languages` as values: for each language its cases, each a request and how it must end.
//!
//! `cases.toml` says what is tried everywhere; the table of a language brings the programs, and what is another there.
//! A case that a language has no program for must say why. Not here: running them.
use serde::Deserialize;
use serde_json::{Value, json};

const SHARED: &str = include_str!("../../languages/cases.toml");

/// The languages that have a table, by their ids.
pub(super) const TABLES: &[(&str, &str)] = &[
    ("python", include_str!("../../languages/python.toml")),
    ("javascript", include_str!("../../languages/javascript.toml")),
    ("typescript", include_str!("../../languages/typescript.toml")),
    ("bash", include_str!("../../languages/bash.toml")),
    ("c", include_str!("../../languages/c.toml")),
    ("cpp", include_str!("../../languages/cpp.toml")),
    ("go", include_str!("../../languages/go.toml")),
    ("rust", include_str!("../../languages/rust.toml")),
    ("java", include_str!("../../languages/java.toml")),
    ("ruby", include_str!("../../languages/ruby.toml")),
    ("php", include_str!("../../languages/php.toml")),
    ("perl", include_str!("../../languages/perl.toml")),
    ("lua", include_str!("../../languages/lua.toml")),
    ("r", include_str!("../../languages/r.toml")),
    ("sqlite", include_str!("../../languages/sqlite.toml")),
];

/// One program of one language.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) request: Value,
    expectation: Expectation,
    /// Where the image compiles what another one interprets.
    compiled: Option<Expectation>,
}

impl Case {
    /// How it must end, in an image that compiles the language or in one that does not.
    pub(super) fn expectation(&self, is_compiled: bool) -> &Expectation {
        self.compiled.as_ref().filter(|_| is_compiled).unwrap_or(&self.expectation)
    }
}

/// How a job must end.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expectation {
    #[serde(default = "completed")]
    pub(super) status: String,
    #[serde(default = "exited")]
    pub(super) reason: String,
    /// Counts where the program exits.
    #[serde(default)]
    pub(super) exit_code: i64,
    pub(super) signal: Option<String>,
    pub(super) stdout: Option<String>,
    pub(super) repeated: Option<Repeated>,
    /// Where there is something, more than `stdout` may be printed.
    #[serde(default)]
    pub(super) says: Vec<String>,
}

/// A line, so many times.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Repeated {
    line: String,
    count: usize,
}

/// A case of `cases.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shared {
    #[serde(rename = "about")]
    _about: String,
    #[serde(default = "nothing")]
    request: Value,
    #[serde(default = "nothing")]
    expect: Value,
}

/// A case of a language.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Own {
    code: Option<String>,
    #[serde(default)]
    files: serde_json::Map<String, Value>,
    #[serde(default = "nothing")]
    request: Value,
    #[serde(default = "nothing")]
    expect: Value,
    /// Laid over `expect` where the job has a compile phase.
    compiled: Option<Value>,
}

fn completed() -> String {
    String::from("completed")
}

fn exited() -> String {
    String::from("exited")
}

fn nothing() -> Value {
    json!({})
}

impl Expectation {
    /// All of stdout, where it is known.
    pub(super) fn printed(&self) -> Option<String> {
        let repeated = self.repeated.as_ref().map(|Repeated { line, count }| format!("{line}\n").repeat(*count));
        let quiet = self.says.is_empty().then(String::new);
        self.stdout.clone().or(repeated).or(quiet)
    }
}

/// The cases of a language.
pub(super) fn cases(language: &str) -> Vec<Case> {
    let (_id, text) = TABLES.iter().find(|(id, _)| *id == language).expect("a language with a table");
    read(SHARED, language, text).unwrap_or_else(|fault| panic!("tests/languages/{language}.toml: {fault}"))
}

fn read(shared: &str, language: &str, own: &str) -> Result<Vec<Case>, String> {
    let told = |error: toml::de::Error| error.to_string();
    let shared: toml::Table = toml::from_str(shared).map_err(told)?;
    let mut own: toml::Table = toml::from_str(own).map_err(told)?;
    let without = own.remove("without").unwrap_or_else(|| toml::Table::new().into());
    let mut cases = Vec::new();
    for (name, all) in shared {
        let all: Shared = all.try_into().map_err(|error| format!("{name}: {error}"))?;
        match (own.remove(&name), without.get(&name).and_then(toml::Value::as_str)) {
            (Some(own), None) => {
                let own: Own = own.try_into().map_err(|error| format!("{name}: {error}"))?;
                cases.push(case(language, name, all, own)?);
            }
            (None, Some(reason)) if !reason.is_empty() => {}
            (_both_or_none, _) => return Err(format!("{name}: has either a program or a reason in [without]")),
        }
    }
    match own.keys().next() {
        Some(unknown) => Err(format!("{unknown}: is not in cases.toml")),
        None => Ok(cases),
    }
}

fn case(language: &str, name: String, shared: Shared, own: Own) -> Result<Case, String> {
    let program = match (own.code, own.files.is_empty()) {
        (Some(code), true) => json!({ "code": code }),
        (None, false) => {
            let file = |(path, content)| json!({"path": path, "content": content});
            json!({ "files": own.files.into_iter().map(file).collect::<Vec<Value>>() })
        }
        (Some(_), false) | (None, true) => return Err(format!("{name}: has either code or files")),
    };
    let mut request = json!({ "language": language });
    for part in [shared.request, own.request, program] {
        lay_over(&mut request, part);
    }
    let mut expect = shared.expect;
    lay_over(&mut expect, own.expect);
    let compiled = own.compiled.map(|compiled| {
        let mut expect = expect.clone();
        lay_over(&mut expect, compiled);
        expect
    });
    let read = |expect| serde_json::from_value(expect).map_err(|error| format!("{name}: {error}"));
    let (expectation, compiled) = (read(expect)?, compiled.map(read).transpose()?);
    Ok(Case { name, request, expectation, compiled })
}

/// Members of the second take the place of those of the first; objects are merged.
pub(super) fn lay_over(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            over.into_iter().for_each(|(name, value)| lay_over(base.entry(name).or_insert(Value::Null), value));
        }
        (base, over) => *base = over,
    }
}

mod test {
    use super::*;

    const ALL: &str = "[one]\nabout = ''\nexpect = { stdout = 'x', exit_code = 1 }\n[two]\nabout = ''\n";

    fn fault(own: &str) -> String {
        read(ALL, "any", own).unwrap_err()
    }

    #[test]
    fn what_a_language_says_is_laid_over_what_all_say() {
        let own = "[one]\ncode = 'c'\nrequest = { timeout = 2 }\nexpect = { exit_code = 3 }\ncompiled = { exit_code = 4 }\n\
                   [without]\ntwo = 'why'\n";
        let cases = read(ALL, "any", own).unwrap();
        let [case] = cases.as_slice() else { panic!("{cases:?}") };
        assert_eq!(
            (case.name.as_str(), &case.request),
            ("one", &json!({"language": "any", "timeout": 2, "code": "c"}))
        );
        let expectation = case.expectation(false);
        assert_eq!(
            (case.expectation(true).exit_code, expectation.exit_code, expectation.printed().as_deref()),
            (4, 3, Some("x"))
        );
        assert_eq!((expectation.status.as_str(), expectation.reason.as_str()), ("completed", "exited"));
    }

    #[test]
    fn a_case_cannot_be_left_out_without_a_reason_or_be_invented() {
        let either = "has either a program or a reason in [without]";
        assert_eq!(fault("[one]\ncode = ''\n"), format!("two: {either}"));
        assert_eq!(fault("[one]\ncode = ''\n[without]\ntwo = ''\n"), format!("two: {either}"));
        assert_eq!(fault("[one]\ncode = ''\n[without]\none = 'x'\n"), format!("one: {either}"));
        let both = "[one]\ncode = ''\n[two]\ncode = ''\n";
        assert_eq!(fault(&format!("{both}[three]\ncode = ''\n")), "three: is not in cases.toml");
        assert_eq!(fault(&both.replace("code = ''\n[two]", "[two]")), "one: has either code or files");
        assert!(fault(&both.replacen("code = ''", "code = ''\nexpect = { exit = 1 }", 1)).contains("unknown field"));
    }
}
