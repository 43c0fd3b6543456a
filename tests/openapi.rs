//! The committed document is the one that is served. `UPDATE_SNAPSHOTS=1` writes it anew.

#[cfg(test)]
mod test {
    use std::collections::BTreeSet;
    use std::fs;

    use serde_json::Value;

    const SNAPSHOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi/openapi.json");

    fn operations(document: &Value) -> Vec<(String, Value)> {
        let paths = document["paths"].as_object().unwrap();
        let of_path = |(path, item): (&String, &Value)| {
            let methods = item.as_object().unwrap().iter();
            methods.map(|(method, it)| (format!("{method} {path}"), it.clone())).collect::<Vec<_>>()
        };
        paths.iter().flat_map(of_path).collect()
    }

    fn properties(document: &Value, schema: &str) -> BTreeSet<String> {
        let schema = &document["components"]["schemas"][schema];
        assert_eq!(schema["additionalProperties"], Value::Bool(false));
        schema["properties"].as_object().unwrap().keys().cloned().collect()
    }

    fn names(list: &[&str]) -> BTreeSet<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the test's own switch, and its snapshot")]
    fn the_committed_document_is_the_one_that_is_served() {
        let text = serde_json::to_string_pretty(&kiln::api::document()).unwrap() + "\n";
        if std::env::var("UPDATE_SNAPSHOTS").is_ok_and(|value| value == "1") {
            fs::write(SNAPSHOT, &text).unwrap();
        }
        let committed = fs::read_to_string(SNAPSHOT).unwrap_or_default();
        assert!(committed == text, "run with UPDATE_SNAPSHOTS=1 and look at the difference");
    }

    #[test]
    fn the_document_shows_the_members_that_are_read() {
        let document = kiln::api::document();
        assert_eq!(properties(&document, "ExecuteRequest"), names(kiln::job::request::FIELDS));
        assert_eq!(properties(&document, "ExecuteFile"), names(kiln::job::request::files::FILE));
        assert_eq!(properties(&document, "ExecuteLimits"), names(kiln::job::request::LIMITS));
    }

    #[test]
    fn operations_have_names_of_their_own_and_list_their_errors() {
        let document = kiln::api::document();
        let mut ids = BTreeSet::new();
        for (operation, it) in operations(&document) {
            let id = it["operationId"].as_str().unwrap_or_default();
            assert!(id.contains('_') && ids.insert(id.to_owned()), "{operation}: {id}");
            let with_body = if it["requestBody"].is_object() { &["415"][..] } else { &[] };
            for status in ["400", "404", "405", "406", "408", "413", "500", "503", "504"].iter().chain(with_body) {
                let content = &it["responses"][status]["content"]["application/json"];
                assert!(content["schema"].is_object(), "{operation}: {status}");
            }
        }
        let known = ["create_execution", "get_health", "get_job", "get_readiness", "get_status"];
        assert!(known.iter().all(|id| ids.contains(*id)), "{ids:?}");
    }

    #[test]
    fn every_example_of_an_execution_is_readable() {
        let document = kiln::api::document();
        let body = &document["paths"]["/v1/execute"]["post"]["requestBody"]["content"];
        let examples = body["application/json"]["examples"].as_object().unwrap();
        let known = names(kiln::job::request::FIELDS);
        for (name, example) in examples {
            let members = example["value"].as_object().unwrap();
            assert!(members.keys().all(|member| known.contains(member)), "{name}");
        }
        assert!(examples.len() > 3);
    }
}
