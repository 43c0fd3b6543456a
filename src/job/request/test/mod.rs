//! Every rule of the body of `POST /v1/execute`.
mod images;

use serde_json::json;

use super::offer::{KnownLanguage, Least};
use super::*;
use crate::base::size::ByteSize;
use std::time::Duration;

fn limits(scale: u32) -> Limits {
    let mib = |count: u64| ByteSize::mib(count * u64::from(scale));
    Limits {
        wall: Duration::from_secs(30) * scale,
        cpu_time: Duration::from_secs(30) * scale,
        milli_cpus: 1000 * scale,
        memory: mib(128),
        processes: 64 * scale,
        open_files: 256 * scale,
        file_size: mib(32),
        disk: mib(64),
        output: mib(16),
        compile_wall: Duration::from_secs(30) * scale,
        compile_memory: mib(512),
    }
}

/// Ceilings are four times the defaults.
fn policy() -> Policy {
    Policy { default: limits(1), ceiling: limits(4) }
}

fn languages() -> Offer {
    let known = |id: &str, alias: &str, version: Option<&str>| KnownLanguage {
        id: id.to_owned(),
        name: id.to_uppercase(),
        aliases: vec![alias.to_owned()],
        version: version.map(str::to_owned),
        file: format!("main.{alias}"),
        extensions: vec![format!(".{alias}")],
        reserved: (id == "c").then(|| String::from("program")),
        least: Least::default(),
        image: UsedImage::Host,
    };
    let languages = vec![known("python", "py", Some("3.11.2")), known("bash", "sh", None), known("c", "gcc", None)];
    Offer { languages, images: Vec::new() }
}

fn accepted(body: &Value) -> Submission {
    read(body, &policy(), &languages()).unwrap()
}

/// The body with `language` and `code`, and the members of `more`.
fn python(more: &Value) -> Value {
    let mut body = json!({"language": "python", "code": "print()"});
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

#[track_caller]
fn refused(body: &Value, expected: &[(&str, &str)]) {
    let faults = read(body, &policy(), &languages()).unwrap_err().into_vec();
    let fields: Vec<&str> = faults.iter().map(|fault| fault.field.as_str()).collect();
    let wanted: Vec<&str> = expected.iter().map(|(field, _)| *field).collect();
    assert_eq!(fields, wanted, "{faults:?}");
    for (fault, (_, part)) in faults.iter().zip(expected) {
        assert!(fault.message.contains(part), "{fault:?} does not say `{part}`");
    }
}

#[test]
fn the_smallest_body_has_every_default() {
    let submission = accepted(&python(&json!({})));
    assert_eq!(submission.answer, Answer::AtTheEnd);
    assert_eq!(
        submission.request,
        Request {
            work: Work::Source { language: "python".to_owned(), code: "print()".to_owned() },
            image: UsedImage::Host,
            args: Vec::new(),
            stdin: Vec::new(),
            environment: Vec::new(),
            limits: limits(1),
            reach: Reach::Nothing,
        }
    );
}

#[test]
fn the_documented_example_is_accepted() {
    let body = json!({"language": "python", "code": "print('Hello, World!')", "timeout": 30,
        "memory_limit": 128, "network_access": false, "environment": {"ENV_VAR": "value"}});
    let request = accepted(&body).request;
    assert_eq!(request.environment, [("ENV_VAR".to_owned(), "value".to_owned())]);
    assert_eq!(request.limits, limits(1));
}

#[test]
fn a_full_body_is_read_to_the_last_member() {
    let request = accepted(&python(&json!({
        "args": ["a", ""], "stdin": "in\0put", "environment": {"B": "2", "A": ""}, "async": true,
        "timeout": 0.25, "memory_limit": 200,
        "limits": {"cpu_time": 1.5, "cpus": 0.5, "processes": 1, "open_files": 17, "file_size": 4,
            "disk": 5, "output": 6, "compile_timeout": 7, "compile_memory": 8}})));
    assert_eq!(request.answer, Answer::AtOnce);
    let request = request.request;
    assert_eq!(request.args, ["a", ""]);
    assert_eq!(request.stdin, b"in\0put");
    assert_eq!(request.environment[0].0, "A");
    assert_eq!(
        request.limits,
        Limits {
            wall: Duration::from_millis(250),
            cpu_time: Duration::from_millis(1500),
            milli_cpus: 500,
            memory: ByteSize::mib(200),
            processes: 1,
            open_files: 17,
            file_size: ByteSize::mib(4),
            disk: ByteSize::mib(5),
            output: ByteSize::mib(6),
            compile_wall: Duration::from_secs(7),
            compile_memory: ByteSize::mib(8),
        }
    );
}

#[test]
fn an_alias_becomes_the_id() {
    let request = accepted(&json!({"language": "py", "code": ""})).request;
    let code = String::new();
    assert_eq!(request.work, Work::Source { language: "python".to_owned(), code });
}

#[test]
fn a_command_of_the_host_image_is_accepted() {
    let request = accepted(&json!({"image": "host", "command": ["/bin/true", "x"]})).request;
    let command = vec!["/bin/true".to_owned(), "x".to_owned()];
    assert_eq!(request.work, Work::Command { command });
}

#[test]
fn base64_is_exact() {
    assert_eq!(accepted(&python(&json!({"stdin_base64": "AP8="}))).request.stdin, [0, 255]);
}

#[test]
fn a_body_that_is_no_object_has_one_fault() {
    refused(&json!([1]), &[("body", "an object is expected, not a list")]);
    refused(&json!(null), &[("body", "not null")]);
}

#[test]
fn an_empty_body_names_what_is_required() {
    refused(&json!({}), &[("language", "Language is required"), ("code", "required")]);
}

#[test]
fn every_fault_is_named_at_once() {
    let body = json!({"language": "perl", "code": 5, "timeout": "1", "memory_limit": 0, "extra": 1,
        "args": ["a", 1, "b\0"], "environment": {"A=B": "x", "C": 3}, "async": "yes",
        "network_access": 1, "limits": {"memory": 5, "processes": -1, "cpus": 9}});
    refused(
        &body,
        &[
            ("extra", "unknown field; known: language, "),
            ("language", "unknown language `perl`; known: python, bash, c"),
            ("code", "a string is expected, not a number"),
            ("args[1]", "a string is expected"),
            ("args[2]", "NUL"),
            ("environment.C", "a string is expected, not a number"),
            ("environment.A=B", "a name has letters"),
            ("async", "true or false is expected, not a string"),
            ("network_access", "true or false is expected, not a number"),
            ("timeout", "a number is expected, not a string"),
            ("memory_limit", "0 MiB was asked for, the ceiling is 512 MiB and the least is 4 MiB"),
            ("limits.memory", "unknown field; known: cpu_time, "),
            ("limits.cpus", "9 was asked for, the ceiling is 4"),
            ("limits.processes", "-1 was asked for, the ceiling is 256 and the least is 1"),
        ],
    );
}

#[test]
fn a_limit_above_its_ceiling_names_limit_asked_and_ceiling() {
    refused(&python(&json!({"timeout": 120.5})), &[("timeout", "120.5 s was asked for, the ceiling is 120 s")]);
    refused(&python(&json!({"timeout": 1e300})), &[("timeout", "the ceiling is 120 s")]);
    refused(
        &python(&json!({"memory_limit": 513})),
        &[("memory_limit", "513 MiB was asked for, the ceiling is 512 MiB")],
    );
}

#[test]
fn every_limit_refuses_zero_negative_null_and_more_than_its_ceiling() {
    for name in LIMITS {
        for wrong in [json!(0), json!(-1), json!(null), json!(1e12), json!(u64::MAX), json!("1")] {
            let body = python(&json!({"limits": {*name: wrong}}));
            refused(&body, &[(&format!("limits.{name}"), "")]);
        }
    }
}

#[test]
fn the_ceiling_itself_is_allowed() {
    let request = accepted(&python(&json!({"timeout": 120, "memory_limit": 512,
        "limits": {"cpu_time": 120, "cpus": 4, "processes": 256, "open_files": 1024,
            "file_size": 128, "disk": 256, "output": 64, "compile_timeout": 120,
            "compile_memory": 2048}})));
    assert_eq!(request.request.limits, limits(4));
}

#[test]
fn a_time_too_short_to_measure_is_refused() {
    refused(&python(&json!({"timeout": 0.0001})), &[("timeout", "the least is 0.001 s")]);
}

#[test]
fn whole_numbers_have_no_fraction() {
    refused(&python(&json!({"memory_limit": 1.5})), &[("memory_limit", "a whole number is expected, 1.5")]);
}

#[test]
fn unasked_limits_follow_those_that_were_asked_for() {
    let limits = accepted(&python(&json!({"timeout": 60, "memory_limit": 32}))).request.limits;
    assert_eq!(limits.cpu_time, Duration::from_mins(1));
    assert_eq!(limits.disk, ByteSize::mib(16));
}

#[test]
fn the_two_pairs_exclude_each_other() {
    let message = "give language and code, or image and command, not both";
    let image = json!({"image": "host", "command": ["/bin/true"]});
    refused(&python(&image), &[("command", message)]);
    refused(&json!({"language": "python", "command": ["x"]}), &[("command", message), ("image", "required")]);
}

#[test]
fn half_a_pair_names_the_other_half() {
    refused(&json!({"language": "python"}), &[("code", "required with language")]);
    refused(&json!({"code": ""}), &[("language", "Language is required")]);
    refused(&json!({"image": "host"}), &[("command", "required with image")]);
    refused(&json!({"command": ["x"]}), &[("image", "required with command; known: host")]);
}

#[test]
fn an_unknown_image_and_an_empty_command_are_refused() {
    let body = json!({"image": "nginx", "command": []});
    refused(&body, &[("image", "unknown image `nginx`; known: host"), ("command", "the program")]);
    refused(&json!({"image": "host", "command": [""]}), &[("command", "must not be empty")]);
    refused(&json!({"image": "host", "command": ["a\0"]}), &[("command[0]", "NUL")]);
    refused(&json!({"image": "host", "command": "ls"}), &[("command", "a list of strings")]);
}

#[test]
fn a_version_must_be_the_one_that_is_here() {
    for version in ["3", "3.11", "3.11.2"] {
        accepted(&python(&json!({"version": version})));
    }
    for version in ["3.1", "2", "", "3.11.2.0"] {
        let message = "is not here; python 3.11.2 is";
        refused(&python(&json!({"version": version})), &[("version", message)]);
    }
    let body = json!({"language": "bash", "code": "", "version": "5"});
    refused(&body, &[("version", "the version of bash is not known")]);
    let body = json!({"image": "host", "command": ["x"], "version": "1"});
    refused(&body, &[("version", "goes with language")]);
}

#[test]
fn standard_input_is_given_once_and_is_base64_where_it_says_so() {
    let both = json!({"stdin": "a", "stdin_base64": "YQ=="});
    refused(&python(&both), &[("stdin_base64", "not both")]);
    refused(&python(&json!({"stdin_base64": "?"})), &[("stdin_base64", "not base64")]);
}

#[test]
fn words_that_no_program_can_be_given_are_refused() {
    refused(&python(&json!({"args": ["a", "b\0c"]})), &[("args[1]", "NUL")]);
    refused(&python(&json!({"environment": {"A": "\0"}})), &[("environment.A", "NUL")]);
    let long = "x".repeat(128 << 10);
    refused(&python(&json!({"args": [long]})), &[("args[0]", "the ceiling is 131071")]);
    refused(&python(&json!({"environment": {"A": long}})), &[("environment.A", "the ceiling is")]);
    let many = vec!["x".repeat(100_000); 20];
    refused(&python(&json!({"args": many})), &[("args", "the ceiling is 1966080")]);
}

#[test]
fn arguments_and_variables_share_their_space() {
    let half = vec!["x".repeat(100_000); 10];
    let variables: Value = (0..10).map(|i| (format!("V{i}"), json!("x".repeat(100_000)))).collect();
    let body = python(&json!({"args": half, "environment": variables}));
    refused(&body, &[("environment", "with args")]);
}

#[test]
fn a_hundred_thousand_variables_are_not_too_many() {
    let variables: Value = (0..100_000).map(|i| (format!("V{i}"), json!("1"))).collect();
    let request = accepted(&python(&json!({"environment": variables}))).request;
    assert_eq!(request.environment.len(), 100_000);
}

#[test]
fn a_variable_name_is_a_shell_name() {
    for name in ["", "1A", "A B", "A=B", "Ä", "A\0"] {
        let body = python(&json!({"environment": {name: "x"}}));
        let faults = read(&body, &policy(), &languages()).unwrap_err().into_vec();
        assert_eq!(faults.len(), 1, "{name:?}");
    }
}

fn project(files: &Value) -> Value {
    json!({"language": "c", "files": files})
}

#[test]
fn a_program_of_files_has_the_first_as_its_entry_point_unless_it_says_otherwise() {
    let files = json!([{"path": "a.c", "content": "ä"},
        {"path": "lib/b.h", "content_base64": "AP8=", "executable": true}]);
    let file = |path: &str, content: &[u8], executable: bool| SourceFile {
        path: path.to_owned(),
        content: content.to_vec(),
        executable,
    };
    let expected = vec![file("a.c", "ä".as_bytes(), false), file("lib/b.h", &[0, 255], true)];
    for (asked, entrypoint) in [(None, "a.c"), (Some("lib/b.h"), "lib/b.h")] {
        let mut body = project(&files);
        if let Some(asked) = asked {
            body["entrypoint"] = json!(asked);
        }
        let (language, files, entrypoint) = ("c".to_owned(), expected.clone(), entrypoint.to_owned());
        assert_eq!(accepted(&body).request.work, Work::Files { language, files, entrypoint });
    }
}

#[test]
fn a_path_that_init_would_not_write_is_refused() {
    let long = "x".repeat(256);
    for (path, message) in [
        ("", "is empty"),
        ("/etc/passwd", "is absolute"),
        ("../x", "has a part `.` or `..`"),
        ("a/../b", "has a part `.` or `..`"),
        ("./a", "has a part `.` or `..`"),
        ("a//b", "has an empty part"),
        ("a/", "has an empty part"),
        ("a\0b", "holds a NUL"),
        (&long, "longer than 255"),
        (&"x/".repeat(600), "longer than 1024"),
        ("program", "is where the compiler writes"),
        ("program/x", "is where the compiler writes"),
    ] {
        refused(&project(&json!([{"path": path, "content": ""}])), &[("files[0].path", message)]);
    }
    let file = json!([{"path": "program", "content": ""}]);
    accepted(&json!({"language": "python", "files": file}));
}

#[test]
fn files_that_collide_are_refused() {
    let file = |path: &str| json!({"path": path, "content": ""});
    refused(&project(&json!([file("a"), file("a")])), &[("files[1].path", "is the path of files[0] too")]);
    let below = [("files[0].path", "lies below files[1]")];
    refused(&project(&json!([file("a/b/c"), file("a")])), &below);
    accepted(&project(&json!([file("a/b"), file("a/c"), file("a.b"), file("programs")])));
}

#[test]
fn every_fault_of_every_file_is_named() {
    let files = json!([
        5,
        {"path": 1, "content": "", "mode": 7},
        {"content": "", "content_base64": ""},
        {"path": "x", "executable": 1},
        {"path": "y", "content_base64": "?"},
    ]);
    refused(
        &project(&files),
        &[
            ("files[0]", "an object is expected, not a number"),
            ("files[1].mode", "unknown field; known: path"),
            ("files[1].path", "a string is expected"),
            ("files[2].path", "required"),
            ("files[2].content_base64", "not both"),
            ("files[3].content", "required"),
            ("files[3].executable", "true or false"),
            ("files[4].content_base64", "not base64"),
        ],
    );
}

#[test]
fn files_have_bounds_and_go_with_a_language() {
    refused(&project(&json!([])), &[("files", "holds 0 files; 1 to 1000")]);
    refused(&project(&json!(vec![1; 1001])), &[("files", "holds 1001 files")]);
    refused(&project(&json!({})), &[("files", "a list is expected")]);
    let file = json!([{"path": "a", "content": ""}]);
    refused(&json!({"files": file}), &[("language", "Language is required")]);
    refused(&python(&json!({"files": file})), &[("files", "give code or files, not both")]);
    refused(&python(&json!({"entrypoint": "a"})), &[("entrypoint", "goes with files")]);
    let body = json!({"language": "c", "files": file, "entrypoint": "b"});
    refused(&body, &[("entrypoint", "`b` is none of the files")]);
    let body = json!({"image": "host", "command": ["x"], "files": file});
    refused(&body, &[("command", "not both")]);
}

#[test]
fn faults_are_bounded_and_foreign_names_are_shortened() {
    let body: Value = (0..1000).map(|i| (format!("{i:0>200}\n"), json!(1))).collect();
    let faults = read(&body, &policy(), &languages()).unwrap_err().into_vec();
    assert_eq!(faults.len(), fields::FAULTS_AT_MOST);
    assert!(faults[0].field.chars().count() < 70);
}

/// A language that needs more than the default of one limit and less than that of the others.
fn needy() -> Offer {
    let least = Least { memory: ByteSize::mib(160), processes: 8, compile_memory: ByteSize::mib(64) };
    let mut offer = languages();
    offer.languages[2].least = least;
    offer
}

#[test]
fn what_a_language_needs_is_its_default_and_the_least_that_may_be_asked_for() {
    let body = |more: Value| {
        let mut body = json!({"language": "gcc", "code": "x"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        read(&body, &policy(), &needy())
    };
    let limits = body(json!({})).unwrap().request.limits;
    assert_eq!((limits.memory, limits.processes), (ByteSize::mib(160), 64));
    let least = json!({"memory_limit": 160, "limits": {"processes": 8, "compile_memory": 64}});
    let limits = body(least).unwrap().request.limits;
    assert_eq!((limits.memory, limits.processes, limits.compile_memory), (ByteSize::mib(160), 8, ByteSize::mib(64)));
    let below = json!({"memory_limit": 159, "limits": {"processes": 7, "compile_memory": 63}});
    let faults = body(below).unwrap_err().into_vec();
    let told: Vec<_> = faults.iter().map(|fault| (fault.field.as_str(), fault.message.as_str())).collect();
    let memory = "159 MiB was asked for, the ceiling is 512 MiB and the least of c is 160 MiB";
    let processes = "7 was asked for, the ceiling is 256 and the least of c is 8";
    let compile = "63 MiB was asked for, the ceiling is 2048 MiB and the least of c is 64 MiB";
    let expected = [("memory_limit", memory), ("limits.processes", processes), ("limits.compile_memory", compile)];
    assert_eq!(told, expected);
}

#[test]
fn a_language_that_needs_more_than_the_ceiling_is_refused_by_name() {
    let mut policy = policy();
    policy.ceiling.memory = ByteSize::mib(100);
    let faults = read(&json!({"language": "c", "code": "x"}), &policy, &needy()).unwrap_err().into_vec();
    let told: Vec<_> = faults.iter().map(|fault| (fault.field.as_str(), fault.message.as_str())).collect();
    assert_eq!(told, [("language", "c needs a memory_limit of 160 MiB, the ceiling is 100 MiB")]);
}
