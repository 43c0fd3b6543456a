//! The language of a file, by how its name ends.
use serde_json::Value;

/// For a daemon that does not say how the files of its languages end.
const USUAL: &[(&str, &str)] = &[
    (".py", "python"),
    (".sh", "bash"),
    (".bash", "bash"),
    (".c", "c"),
    (".cpp", "cpp"),
    (".cc", "cpp"),
    (".js", "javascript"),
    (".mjs", "javascript"),
    (".ts", "typescript"),
    (".go", "go"),
    (".rs", "rust"),
    (".java", "java"),
    (".rb", "ruby"),
    (".php", "php"),
    (".pl", "perl"),
    (".lua", "lua"),
];

/// The id of the language, by the answer to `GET /v1/languages`; nothing where the name does not tell.
pub(super) fn of(name: &str, known: &Value) -> Option<String> {
    let runtimes = known.get("runtimes").and_then(Value::as_array);
    let mut said = runtimes.into_iter().flatten().filter(|runtime| runtime.get("extensions").is_some()).peekable();
    if said.peek().is_none() {
        let usual = USUAL.iter().find(|(end, _)| ends(name, end));
        return usual.map(|(_, language)| (*language).to_owned());
    }
    let found = said.find(|runtime| is_of(name, runtime))?;
    found.get("language").and_then(Value::as_str).map(str::to_owned)
}

/// The ids that there are, for people.
pub(super) fn ids(known: &Value) -> String {
    let ids = known.get("languages").and_then(Value::as_array).into_iter().flatten();
    ids.filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}

fn is_of(name: &str, runtime: &Value) -> bool {
    let extensions = runtime.get("extensions").and_then(Value::as_array).into_iter().flatten();
    extensions.filter_map(Value::as_str).any(|end| ends(name, end))
}

/// A name that is nothing but an ending has none.
fn ends(name: &str, end: &str) -> bool {
    name.len() > end.len() && !end.is_empty() && name.ends_with(end)
}

#[cfg(test)]
mod test {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_daemon_says_which_ending_is_whose() {
        let known = json!({"languages": ["c", "q"], "runtimes": [
            {"language": "c", "extensions": [".c"]}, {"language": "q", "extensions": [".q", ".qq"]}]});
        let of = |name| of(name, &known);
        assert_eq!(of("a.c").as_deref(), Some("c"));
        assert_eq!(of("a.qq").as_deref(), Some("q"));
        for name in ["a.py", "a", ".c", "ac"] {
            assert_eq!(of(name), None, "{name}");
        }
        assert_eq!(ids(&known), "c, q");
    }

    #[test]
    fn a_daemon_that_does_not_say_has_the_usual_endings() {
        let known = json!({"languages": ["python"], "runtimes": [{"language": "python"}]});
        assert_eq!(of("a.py", &known).as_deref(), Some("python"));
        assert_eq!(of("a.xyz", &known), None);
    }
}
