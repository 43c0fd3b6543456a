//! `POST /v1/execute/file`: the same as JSON, as a form.
use kiln::api::state::ApiState;
use kiln::job::request::{SourceFile, Work};
use poem::http::{Method, StatusCode};
use serde_json::json;

use crate::client::{Answer, BODY_AT_MOST, ask_state, request, state};
use crate::core::FakeCore;

const TYPE: &str = "multipart/form-data; boundary=cut";

/// A part: the text after its name in the head, and its content.
type Part<'a> = (&'a str, &'a [u8]);

const MAIN: Part<'_> = ("\"file\"; filename=\"main.py\"", b"print('Hello')");
const PYTHON: Part<'_> = ("\"language\"", b"python");

fn form(parts: &[Part<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, content) in parts {
        bytes.extend(format!("--cut\r\nContent-Disposition: form-data; name={name}\r\n\r\n").bytes());
        bytes.extend(*content);
        bytes.extend(b"\r\n");
    }
    bytes.extend(b"--cut--\r\n");
    bytes
}

async fn send(state: &ApiState, content_type: &str, body: Vec<u8>) -> Answer {
    let request = request(Method::POST, "/v1/execute/file").content_type(content_type).body(body);
    ask_state(state.clone(), request).await
}

async fn post(parts: &[Part<'_>]) -> Answer {
    send(&state(FakeCore::default()), TYPE, form(parts)).await
}

#[track_caller]
fn refused(answer: &Answer, expected: &[(&str, &str)]) {
    assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, "INVALID_REQUEST"), "{}", answer.text);
    assert_eq!(answer.fields(), expected.iter().map(|(field, _)| *field).collect::<Vec<_>>(), "{}", answer.text);
    for (detail, (_, part)) in answer.body["error"]["details"].as_array().unwrap().iter().zip(expected) {
        assert!(detail["message"].as_str().unwrap().contains(part), "{detail} does not say `{part}`");
    }
}

async fn work(parts: &[Part<'_>]) -> Work {
    let core = std::sync::Arc::new(FakeCore::default());
    let state = ApiState { core: std::sync::Arc::<FakeCore>::clone(&core), ..state(FakeCore::default()) };
    let answer = send(&state, TYPE, form(parts)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let jobs = core.jobs.lock().unwrap();
    jobs[0].request.work.clone()
}

#[tokio::test]
async fn the_documented_form_runs_its_file() {
    let fields: [Part<'_>; 4] =
        [PYTHON, ("\"timeout\"", b"30"), ("\"memory_limit\"", b"128"), ("\"network_access\"", b"false")];
    let answer = post(&[fields.as_slice(), &[MAIN]].concat()).await;
    assert_eq!((answer.status, &answer.body["status"]), (StatusCode::OK, &json!("completed")), "{}", answer.text);
    assert_eq!((&answer.body["timeout"], &answer.body["memory_limit"]), (&json!(30), &json!(128)));
}

#[tokio::test]
async fn files_keep_their_paths_bytes_and_order() {
    let parts: [Part<'_>; 3] = [PYTHON, ("\"file\"; filename=\"a/b.py\"", b"\xff\0\r\n"), MAIN];
    let file =
        |path: &str, content: &[u8]| SourceFile { path: path.to_owned(), content: content.to_vec(), executable: false };
    let files = vec![file("a/b.py", b"\xff\0\r\n"), file("main.py", b"print('Hello')")];
    let of = |entrypoint: &str| Work::Files {
        language: "python".to_owned(),
        files: files.clone(),
        entrypoint: entrypoint.to_owned(),
    };
    assert_eq!(work(&parts).await, of("a/b.py"));
    let chosen = [parts.as_slice(), &[("\"entrypoint\"", b"main.py")]].concat();
    assert_eq!(work(&chosen).await, of("main.py"));
}

#[tokio::test]
async fn structured_fields_are_json_and_async_is_202() {
    let state = state(FakeCore { ends: false, ..FakeCore::default() });
    let parts: [Part<'_>; 7] = [
        PYTHON,
        MAIN,
        ("\"args\"", br#"["a", "b"]"#),
        ("\"environment\"", br#"{"A": "1"}"#),
        ("\"limits\"", br#"{"cpu_time": 1}"#),
        ("\"stdin\"", b"in"),
        ("\"async\"", b"true"),
    ];
    let answer = send(&state, TYPE, form(&parts)).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
}

#[tokio::test]
async fn every_fault_of_a_form_is_named() {
    refused(&post(&[PYTHON]).await, &[("file", "at least one part")]);
    refused(&post(&[MAIN]).await, &[("language", "Language is required")]);
    refused(&post(&[]).await, &[("file", "at least one part")]);
    let elsewhere: [Part<'_>; 3] = [PYTHON, MAIN, ("\"code\"", b"1")];
    refused(&post(&elsewhere).await, &[("code", "goes with POST /v1/execute")]);
    let parts: [Part<'_>; 6] =
        [PYTHON, PYTHON, ("\"file\"", b"x"), ("\"limits\"", b"{"), ("\"files\"", b"[]"), ("\"stdin\"", b"\xff")];
    let expected = [
        ("language", "is given twice"),
        ("file[0]", "needs a filename"),
        ("limits", "not JSON"),
        ("files", "parts named `file`"),
        ("stdin", "is not UTF-8"),
    ];
    refused(&post(&parts).await, &expected);
    let parts: [Part<'_>; 4] = [PYTHON, MAIN, ("\"colour\"", b"red"), ("\"timeout\"", b"\"30\"")];
    refused(&post(&parts).await, &[("colour", "unknown field"), ("timeout", "a number is expected")]);
}

#[tokio::test]
async fn paths_that_lead_out_or_collide_are_refused() {
    for (name, message) in [
        ("../x", "has a part `.` or `..`"),
        ("/etc/passwd", "is absolute"),
        ("", "is empty"),
        ("a//b", "has an empty part"),
    ] {
        let part = format!("\"file\"; filename=\"{name}\"");
        refused(&post(&[PYTHON, (&part, b"")]).await, &[("files[0].path", message)]);
    }
    refused(&post(&[PYTHON, MAIN, MAIN]).await, &[("files[1].path", "is the path of files[0] too")]);
}

#[tokio::test]
async fn a_form_that_breaks_off_is_refused() {
    let whole = form(&[PYTHON, MAIN]);
    for length in [0, 1, 20, 60, whole.len() - 30, whole.len() - 9] {
        let answer = send(&state(FakeCore::default()), TYPE, whole[..length].to_vec()).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, "INVALID_REQUEST"), "{length}");
    }
    let answer = send(&state(FakeCore::default()), "multipart/form-data; boundary=other", whole.clone()).await;
    refused(&answer, &[("body", "cannot be read")]);
    let answer = send(&state(FakeCore::default()), "multipart/form-data", whole).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, "INVALID_REQUEST"));
}

#[tokio::test]
async fn a_form_with_too_many_parts_is_refused() {
    let names: Vec<String> = (0..1100).map(|number| format!("\"n{number}\"")).collect();
    let parts: Vec<Part<'_>> = names.iter().map(|name| (name.as_str(), b"1".as_slice())).collect();
    let mut state = state(FakeCore::default());
    state.settings.max_request_size = kiln::base::size::ByteSize::mib(1);
    refused(&send(&state, TYPE, form(&parts)).await, &[("body", "more than 1064 parts")]);
}

#[tokio::test]
async fn a_form_that_is_too_large_is_413_and_another_type_415() {
    let large = vec![b'x'; usize::try_from(BODY_AT_MOST.bytes()).unwrap()];
    let answer = post(&[PYTHON, ("\"file\"; filename=\"x\"", &large)]).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE"));
    let answer = send(&state(FakeCore::default()), "application/json", b"{}".to_vec()).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE"));
}
