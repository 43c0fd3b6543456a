//! `POST /v1/execute` and `GET /v1/jobs/{job_id}`.
use std::sync::Arc;
use std::time::Duration;

use poem::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::client::{Answer, ask_state, execute, get, hello, post, request, somebody, state};
use crate::core::FakeCore;

fn waiting() -> FakeCore {
    FakeCore { ends: false, ..FakeCore::default() }
}

/// Asks with a `Prefer` header, and says how long the core was to wait.
async fn prefer(core: FakeCore, preference: &str, body: &Value) -> (Answer, Duration) {
    let core = Arc::new(core);
    let mut state = state(FakeCore::default());
    state.core = Arc::<FakeCore>::clone(&core);
    let request = execute().header("prefer", preference).body(body.to_string());
    let answer = ask_state(state, request).await;
    let patience = core.waited.lock().unwrap()[0];
    (answer, patience)
}

#[tokio::test]
async fn an_ended_job_is_shown_whole() {
    let answer = post(FakeCore::default(), &hello()).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("content-type"), "application/json");
    let mut body = answer.body;
    let id = body["job_id"].as_str().unwrap().to_owned();
    assert!(id.starts_with("job_") && id.len() == 36, "{id}");
    assert_eq!(body["_links"]["self"], json!({"href": format!("/v1/jobs/{id}")}));
    let usage = body["usage"].take();
    assert_eq!(usage["wall_us"], 150_000);
    assert_eq!(usage["memory_peak_bytes"], 4096);
    assert_eq!(usage["io_read_bytes"], Value::Null);
    assert_eq!(usage.as_object().unwrap().len(), 9);
    for gone in ["job_id", "_links", "usage"] {
        body.as_object_mut().unwrap().remove(gone);
    }
    assert_eq!(
        body,
        json!({
            "status": "completed", "language": "python", "version": "3.11.2", "image": "host",
            "timeout": 30, "memory_limit": 128, "created_at": "2023-01-01T12:00:00Z",
            "started_at": "2023-01-01T12:00:00Z", "completed_at": "2023-01-01T12:00:01Z",
            "duration": "150ms", "exit_code": 0, "stdout": "Hello, World!\n", "stdout_bytes": 14,
            "stdout_truncated": false, "stderr": "", "stderr_bytes": 0, "stderr_truncated": false,
            "termination": {"reason": "exited", "exit_code": 0, "signal": null, "limits_hit": []}
        })
    );
}

#[tokio::test]
async fn the_compile_phase_has_a_place_of_its_own() {
    let core = FakeCore { compiled: true, ..FakeCore::default() };
    let answer = post(core, &hello()).await;
    let compile = &answer.body["compile"];
    assert_eq!(compile["stderr"], "warning");
    assert_eq!(compile["exit_code"], 1);
    assert_eq!(compile["termination"]["reason"], "exited");
    assert_eq!(compile["usage"]["wall_us"], 150_000);
}

#[tokio::test]
async fn output_that_is_not_utf_8_is_kept_exactly() {
    let core = FakeCore { stdout: vec![b'a', 0xff, 0], ..FakeCore::default() };
    let answer = post(core, &hello()).await;
    assert_eq!(answer.body["stdout"], "a\u{fffd}\0");
    assert_eq!(answer.body["stdout_base64"], "Yf8A");
    assert_eq!(answer.body["stdout_bytes"], 3);
}

#[tokio::test]
async fn long_output_says_that_it_is_cut() {
    let core = FakeCore { stdout: vec![b'x'; 2 << 20], ..FakeCore::default() };
    let answer = post(core, &hello()).await;
    assert_eq!(answer.body["stdout_truncated"], true);
    assert_eq!(answer.body["stdout_bytes"], 2 << 20);
    assert_eq!(answer.body["stdout"].as_str().unwrap().len(), 1 << 20);
}

#[tokio::test]
async fn a_job_is_waited_for_as_long_as_its_limits_allow() {
    let (_, patience) = prefer(FakeCore::default(), "", &hello()).await;
    assert_eq!(patience, Duration::from_secs(100 + 30 + 30 + 10));
}

#[tokio::test]
async fn who_prefers_it_is_answered_at_once() {
    let (answer, patience) = prefer(waiting(), "respond-async", &hello()).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    assert_eq!(patience, Duration::ZERO);
    assert_eq!(answer.header("preference-applied"), "respond-async");
    let id = answer.body["job_id"].as_str().unwrap();
    assert_eq!(answer.header("location"), format!("/v1/jobs/{id}"));
    assert_eq!(answer.body["status"], "pending");
    for absent in ["stdout", "exit_code", "termination", "usage", "completed_at", "duration"] {
        assert!(answer.body.get(absent).is_none(), "{absent}");
    }
}

#[tokio::test]
async fn a_body_can_ask_for_it_too() {
    let mut body = hello();
    body["async"] = json!(true);
    let (answer, patience) = prefer(waiting(), "", &body).await;
    assert_eq!((answer.status, patience), (StatusCode::ACCEPTED, Duration::ZERO));
    assert!(answer.headers.get("preference-applied").is_none());
}

#[tokio::test]
async fn a_wait_that_ends_in_time_is_200() {
    let (answer, patience) = prefer(FakeCore::default(), "wait=5", &hello()).await;
    assert_eq!((answer.status, patience), (StatusCode::OK, Duration::from_secs(5)));
    assert_eq!(answer.header("preference-applied"), "wait=5");
    let (answer, _) = prefer(waiting(), "respond-async, wait=5", &hello()).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_job_is_found_by_either_form_of_its_id() {
    let state = state(FakeCore::default());
    let made = ask_state(state.clone(), execute().body(hello().to_string())).await;
    let id = made.body["job_id"].as_str().unwrap();
    let hex = id.strip_prefix("job_").unwrap();
    let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
    for text in [id.to_owned(), id.to_uppercase(), parts.join("-")] {
        let answer = ask_state(state.clone(), get(&format!("/v1/jobs/{text}")).finish()).await;
        assert_eq!(answer.status, StatusCode::OK, "{text}");
        assert_eq!(answer.body, made.body);
    }
}

#[tokio::test]
async fn somebody_elses_job_is_not_there() {
    let mut state = state(FakeCore::default());
    let made = ask_state(state.clone(), execute().body(hello().to_string())).await;
    state.everybody = somebody();
    let path = made.body["_links"]["self"]["href"].as_str().unwrap();
    let answer = ask_state(state, get(path).finish()).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert_eq!(answer.code(), "NOT_FOUND");
}

#[tokio::test]
async fn head_has_the_headers_of_get_and_no_body() {
    let answer = ask_state(state(FakeCore::default()), request(Method::HEAD, "/v1/status").finish()).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.text, "");
}

#[tokio::test]
async fn a_key_gives_the_same_job_again_and_another_request_is_409() {
    let state = state(FakeCore::default());
    let send = async |key: &str, body: &Value| {
        ask_state(state.clone(), execute().header("idempotency-key", key).body(body.to_string())).await
    };
    let first = send("once", &hello()).await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (StatusCode::OK, ""));
    let second = send("once", &hello()).await;
    assert_eq!((second.status, second.header("idempotency-replayed")), (StatusCode::OK, "true"));
    assert_eq!(first.body, second.body);
    let other = send("once", &json!({"language": "bash", "code": ""})).await;
    assert_eq!((other.status, other.code()), (StatusCode::CONFLICT, "CONFLICT"));
    for key in ["a b", &"x".repeat(256)] {
        let answer = send(key, &hello()).await;
        assert_eq!((answer.status, answer.fields()), (StatusCode::BAD_REQUEST, vec!["Idempotency-Key"]), "{key}");
    }
}
