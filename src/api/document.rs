//! The `OpenAPI` document: what poem-openapi writes, made valid and complete.
//!
//! It writes 3.0.0 with a `webhooks` member that 3.0 does not have, header names in capitals, and
//! nothing about unknown members. Not here: which operations there are.
use serde_json::{Map, Value, json};

use crate::api::jobs;

/// Schemas whose unknown members are refused.
const CLOSED: [&str; 4] = ["ExecuteRequest", "ExecuteFile", "ExecuteForm", "ExecuteLimits"];

/// Errors that few operations have, and which ones do. Every other error can come from anywhere: from
/// the connection, the path, or a part that fails.
const RARE: [(&str, &[&str]); 3] = [
    (
        "409",
        &[
            "create_execution",
            "create_file_execution",
            "cancel_job",
            "delete_job_data",
            "get_job_spec",
            "run_selftest",
            "delete_image",
        ],
    ),
    ("415", &["create_execution", "create_file_execution"]),
    ("416", &["get_job_output"]),
];

/// Puts a document right.
///
/// # Errors
/// When the text is not JSON.
pub(super) fn fixed(text: &str) -> Result<Value, serde_json::Error> {
    let mut document: Value = serde_json::from_str(text)?;
    if let Some(members) = document.as_object_mut() {
        members.insert(String::from("openapi"), json!("3.0.3"));
        members.remove("webhooks");
    }
    fix(&mut document);
    for name in CLOSED {
        if let Some(schema) = document.pointer_mut(&format!("/components/schemas/{name}")) {
            schema["additionalProperties"] = json!(false);
        }
    }
    leave_out_rare(&mut document);
    describe_parameters(&mut document);
    if let Some(file) = document.pointer_mut("/components/schemas/ExecuteForm/properties/file/items") {
        file["format"] = json!("binary");
    }
    let body = "/paths/~1v1~1execute/post/requestBody/content/application~1json";
    if let Some(content) = document.pointer_mut(body) {
        content["examples"] = examples();
    }
    Ok(document)
}

fn fix(value: &mut Value) {
    match value {
        Value::Object(members) => {
            if let Some(Value::Object(headers)) = members.get_mut("headers") {
                let capitals = std::mem::take(headers);
                *headers = capitals.into_iter().map(|(name, it)| (train_case(&name), it)).collect();
            }
            fix_integer(members);
            members.values_mut().for_each(fix);
        }
        Value::Array(items) => items.iter_mut().for_each(fix),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Gives parameters that are read as text (`query`) the types that they have.
fn describe_parameters(document: &mut Value) {
    fn words<T>(words: &[(&str, T)]) -> Value {
        json!({"type": "string", "enum": words.iter().map(|(word, _)| *word).collect::<Vec<_>>()})
    }
    let number = |least: u64, most: u64| json!({"type": "integer", "minimum": least, "maximum": most});
    let types = [
        ("/v1/jobs", "status", words(&jobs::STATUSES)),
        ("/v1/jobs", "limit", number(1, jobs::PAGE_AT_MOST)),
        ("/v1/jobs", "offset", number(0, jobs::OFFSET_AT_MOST)),
        ("/v1/jobs/{job_id}/output", "stream", words(&jobs::STREAMS)),
        ("/v1/jobs/{job_id}/output", "phase", words(&jobs::PHASES)),
        ("/v1/jobs/{job_id}/spec", "phase", words(&jobs::PHASES)),
    ];
    for (path, name, schema) in types {
        let place = format!("/paths/{}/get/parameters", path.replace('/', "~1"));
        let parameters = document.pointer_mut(&place).and_then(Value::as_array_mut).into_iter().flatten();
        for parameter in parameters.filter(|parameter| parameter["name"] == name) {
            parameter["schema"] = schema.clone();
        }
    }
}

/// Takes the rare errors from the operations that do not have them.
fn leave_out_rare(document: &mut Value) {
    let paths = document["paths"].as_object_mut().into_iter().flat_map(Map::values_mut);
    let operations = paths.filter_map(Value::as_object_mut).flat_map(Map::values_mut);
    for operation in operations {
        let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
        let Some(responses) = operation["responses"].as_object_mut() else { continue };
        for (status, _) in RARE.iter().filter(|(_, operations)| !operations.contains(&id.as_str())) {
            responses.remove(*status);
        }
    }
}

/// An integer's bounds are integers, and an unsigned one has a bound below.
fn fix_integer(schema: &mut Map<String, Value>) {
    if schema.get("type").and_then(Value::as_str) != Some("integer") {
        return;
    }
    let format = schema.get("format").and_then(Value::as_str).unwrap_or_default();
    if format.starts_with("uint") && !schema.contains_key("minimum") {
        schema.insert(String::from("minimum"), json!(0));
    }
    for bound in ["minimum", "maximum"] {
        let number = schema.get(bound).and_then(Value::as_f64);
        let whole = number.and_then(|number| format!("{number}").parse::<i64>().ok());
        if let Some(whole) = whole {
            schema.insert(bound.to_owned(), json!(whole));
        }
    }
}

fn train_case(name: &str) -> String {
    let word = |word: &str| {
        let (first, rest) = word.split_at_checked(1).unwrap_or((word, ""));
        first.to_ascii_uppercase() + &rest.to_ascii_lowercase()
    };
    name.split('-').map(word).collect::<Vec<_>>().join("-")
}

/// Bodies that run at once, on an installation without anything added. Members sort by name, and pages offer the
/// first one.
fn examples() -> Value {
    json!({
        "1_python": {
            "summary": "Python",
            "value": {"language": "python", "code": "print('Hello, World!')"}
        },
        "2_bash": {
            "summary": "Bash with arguments, input and variables",
            "value": {
                "language": "bash",
                "code": "read -r line; echo \"$GREETING $1 $line\"",
                "args": ["dear"],
                "stdin": "reader\n",
                "environment": {"GREETING": "Hello"}
            }
        },
        "3_c": {
            "summary": "C: a compile phase and a run phase",
            "value": {
                "language": "c",
                "code": "#include <stdio.h>\nint main(void) { puts(\"Hello from C\"); return 3; }\n"
            }
        },
        "4_files": {
            "summary": "C in two files",
            "value": {
                "language": "c",
                "files": [
                    {"path": "main.c", "content": "#include \"greet.h\"\nint main(void) { greet(\"kiln\"); }\n"},
                    {"path": "greet.h", "content": "void greet(const char *);\n"},
                    {
                        "path": "greet.c",
                        "content": "#include <stdio.h>\nvoid greet(const char *name) { printf(\"Hello, %s\\n\", name); }\n"
                    }
                ]
            }
        },
        "5_command": {
            "summary": "A program of the host image, as it is",
            "value": {"image": "host", "command": ["/bin/uname", "-a"]}
        },
        "6_limits": {
            "summary": "An endless loop against its limits",
            "value": {
                "language": "python",
                "code": "while True: pass",
                "timeout": 5,
                "memory_limit": 64,
                "limits": {"cpu_time": 0.5, "processes": 8}
            }
        },
        "7_asynchronous": {
            "summary": "Answered at once with 202",
            "value": {"language": "python", "code": "import time; time.sleep(2)", "async": true}
        }
    })
}
