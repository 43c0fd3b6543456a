//! Languages that an operator adds: what is there is listed and runs, what is not is left out, and a
//! table with a fault stops the start.
use std::fs;

use serde_json::{Value, json};

use crate::harness::{Daemon, data_directory, printed, serve, with};

/// A table with one language that Python runs, under another name.
fn language(id: &str, more: &str) -> String {
    format!(
        "[[language]]\nid = \"{id}\"\nname = \"Of {id}\"\naliases = [\"{id}-alias\"]\nfile = \"{id}.py\"\n\
         run = [\"/usr/bin/python3\", \"{{file}}\"]\n{more}\n"
    )
}

const MINE: &str = r#"
[[language]]
id = "mine"
name = "Of mine"
aliases = ["mine-alias"]
file = "mine.py"
extensions = [".mine"]
at = ["/usr/bin/not-there", "/usr/bin/python3"]
run = ["{at}", "{file}"]
run_environment = { ROOM = "{memory} {cpus}" }
version = { command = ["{at}", "--version"], after = "Python " }
limits = { memory = 160, processes = 70 }
"#;

const VERSION: &str = "version = { command = [\"/usr/bin/python3\", \"--version\"], after = \"Python \" }";

#[expect(clippy::disallowed_methods, reason = "a file of the test's own, which no daemon reads yet")]
fn directory(tables: &[(&str, String)]) -> tempfile::TempDir {
    let directory = data_directory();
    for (name, text) in tables {
        fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

fn started(directory: &tempfile::TempDir) -> Daemon {
    Daemon::start(&[("KILN_LANGUAGES_DIR", directory.path().to_str().unwrap())])
}

fn ids(daemon: &Daemon) -> Vec<String> {
    serde_json::from_value(daemon.get("/v1/languages").body["languages"].take()).unwrap()
}

#[test]
fn only_what_is_there_is_listed_and_the_rest_is_refused_by_name() {
    let missing = "version = { command = [\"/usr/bin/not-there\"], after = \"\" }";
    let silent = "version = { command = [\"/bin/bash\", \"-c\", \"exit 1\"], after = \"\" }";
    let old = VERSION.replace("after", "at_least = \"99\", after");
    let directory = directory(&[
        ("missing.toml", language("missing", missing)),
        ("silent.toml", language("silent", silent)),
        ("old.toml", language("old", &old)),
        ("there.toml", language("there", VERSION)),
    ]);
    let daemon = started(&directory);
    let ids = ids(&daemon);
    assert!(ids.contains(&String::from("there")) && ids.contains(&String::from("python")), "{ids:?}");
    for id in ["missing", "silent", "old"] {
        assert!(!ids.contains(&String::from(id)), "{ids:?}");
        let answer = daemon.post(&json!({"language": id, "code": ""}));
        assert_eq!(answer.status, 400, "{:#}", answer.body);
        let told = answer.body["error"]["details"][0]["message"].as_str().unwrap();
        assert!(told.starts_with(&format!("unknown language `{id}`; known: python")), "{told}");
    }
    assert!(daemon.log().contains("is too old, 99 or newer will do"), "{}", daemon.log());
}

#[test]
fn an_added_language_is_listed_with_what_clients_need_and_runs() {
    let directory = directory(&[("mine.toml", MINE.to_owned())]);
    let daemon = started(&directory);
    let runtimes = daemon.get("/v1/languages").body["runtimes"].take();
    let mine = runtimes.as_array().unwrap().iter().find(|runtime| runtime["language"] == "mine").unwrap();
    let version = mine["version"].as_str().unwrap();
    assert!(version.starts_with("3."), "{version}");
    let expected = json!({"language": "mine", "name": "Of mine", "aliases": ["mine-alias"], "version": version,
        "file": "mine.py", "extensions": [".mine"], "compiled": false, "image": "host", "digest": null});
    assert_eq!(*mine, expected);
    let code = "import os, sys\nprint(os.environ['ROOM'], sys.argv[0])";
    let job = daemon.execute(&json!({"language": "mine-alias", "code": code}));
    assert_eq!(printed(&job), "160 1 /work/mine.py\n");
    assert_eq!((&job["language"], &job["memory_limit"]), (&json!("mine"), &json!(160)), "the default is raised");
    let below = json!({"language": "mine", "code": code, "memory_limit": 128, "limits": {"processes": 69}});
    let answer = daemon.post(&below);
    assert_eq!(answer.status, 400, "{:#}", answer.body);
    let told: Vec<&Value> = answer.body["error"]["details"].as_array().unwrap().iter().map(|d| &d["field"]).collect();
    assert_eq!(told, ["memory_limit", "limits.processes"]);
    let above = with(below, json!({"memory_limit": 161, "limits": {"processes": 71, "cpus": 2}}));
    assert_eq!(printed(&daemon.execute(&above)), "161 2 /work/mine.py\n");
}

#[test]
fn an_id_that_exists_replaces_that_language() {
    let directory = directory(&[("python.toml", language("python", VERSION))]);
    let daemon = started(&directory);
    assert_eq!(ids(&daemon).first().map(String::as_str), Some("python"));
    let code = json!({"code": "import sys\nprint(sys.argv[0])"});
    let job = daemon.execute(&with(json!({"language": "python-alias"}), code.clone()));
    assert_eq!(printed(&job), "/work/python.py\n");
    assert_eq!(daemon.post(&with(json!({"language": "py"}), code)).status, 400, "its aliases are gone");
}

#[test]
fn every_fault_of_every_table_is_told_with_its_file_and_the_daemon_does_not_start() {
    let directory = directory(&[
        ("a.toml", String::from("[[language]\n")),
        ("b.toml", language("B", "version = 1")),
        ("c.toml", language("c-alias", VERSION).replace("c-alias-alias", "js")),
    ]);
    let data = data_directory();
    let path = directory.path().to_str().unwrap();
    let output = serve(data.path(), &[("KILN_LANGUAGES_DIR", path)]).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(78), "{told}");
    let lines = [
        "a.toml: table: ",
        "b.toml: language[0].id: \"B\" is no name",
        "b.toml: language[0].aliases: \"B-alias\" is no name",
        "b.toml: language[0].version: a table is expected, not integer",
        "c.toml: language[0]: the name \"js\" is taken by the language \"javascript\"",
    ];
    for line in lines {
        assert!(told.contains(&format!("kiln: {path}/{line}")), "{line} is not in {told}");
    }
    assert_eq!(fs::read_dir(data.path()).unwrap().count(), 0, "nothing was begun");
}

#[test]
fn a_directory_that_was_named_and_is_not_there_is_a_fault() {
    let data = data_directory();
    let output = serve(data.path(), &[("KILN_LANGUAGES_DIR", "/nowhere/languages.d")]).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(78), "{told}");
    assert!(told.contains("kiln: languages_dir: /nowhere/languages.d: No such file or directory"), "{told}");
}
