//! Every error has the format of the execution family.
use kiln::api::core::SubmitError;
use poem::Body;
use poem::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::client::{Answer, BODY_AT_MOST, ask, ask_state, execute, get, hello, post, request, state};
use crate::core::FakeCore;

#[track_caller]
fn check(answer: &Answer, status: StatusCode, code: &str) {
    assert_eq!((answer.status, answer.code()), (status, code), "{}", answer.text);
}

async fn post_text(text: &str) -> Answer {
    ask_state(state(FakeCore::default()), execute().body(text.to_owned())).await
}

#[tokio::test]
async fn an_unknown_path_is_404() {
    for path in ["/", "/v1", "/v1/job/x", "/nothing", "/v1/jobs/x/y"] {
        check(&ask(FakeCore::default(), get(path)).await, StatusCode::NOT_FOUND, "NOT_FOUND");
    }
}

#[tokio::test]
async fn an_unknown_or_malformed_job_is_404() {
    for id in ["abc123", "job_01890000000070008000000000000000", "%00", "job_%20"] {
        let answer = ask(FakeCore::default(), get(&format!("/v1/jobs/{id}"))).await;
        check(&answer, StatusCode::NOT_FOUND, "NOT_FOUND");
    }
}

#[tokio::test]
async fn a_wrong_method_is_405_and_names_the_right_ones() {
    let cases = [
        (Method::GET, "/v1/execute", "POST"),
        (Method::DELETE, "/v1/execute/", "POST"),
        (Method::POST, "/v1/jobs/x", "DELETE, GET, HEAD"),
        (Method::POST, "/v1/jobs", "GET, HEAD"),
        (Method::GET, "/v1/jobs/x/data", "DELETE"),
        (Method::GET, "/v1/execute/file/", "POST"),
        (Method::PUT, "/healthz", "GET, HEAD"),
        (Method::POST, "/openapi.json", "GET, HEAD"),
        (Method::POST, "/docs/", "GET, HEAD"),
        (Method::OPTIONS, "/v1/status", "GET, HEAD"),
        (Method::TRACE, "/v1/status", "GET, HEAD"),
    ];
    for (method, path, allow) in cases {
        let answer = ask(FakeCore::default(), request(method, path)).await;
        check(&answer, StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED");
        assert_eq!(answer.header("allow"), allow);
    }
}

#[tokio::test]
async fn every_fault_of_a_body_is_named() {
    let body = json!({"language": "perl", "timeout": 1000, "x": 1, "limits": {"cpu_time": "1"}});
    let answer = post(FakeCore::default(), &body).await;
    check(&answer, StatusCode::BAD_REQUEST, "INVALID_REQUEST");
    assert_eq!(answer.fields(), ["x", "language", "code", "timeout", "limits.cpu_time"]);
}

#[tokio::test]
async fn what_is_not_json_is_400() {
    for text in ["", "{", "not json", "\"", "{\"a\": 1}}"] {
        let answer = post_text(text).await;
        check(&answer, StatusCode::BAD_REQUEST, "INVALID_REQUEST");
        assert_eq!(answer.fields(), ["body"], "{text}");
    }
    let answer = post_text("[]").await;
    assert_eq!(answer.fields(), ["body"]);
}

#[tokio::test]
async fn a_member_given_twice_is_400() {
    let answer = post_text(r#"{"language": "python", "code": "1", "code": "2"}"#).await;
    check(&answer, StatusCode::BAD_REQUEST, "INVALID_REQUEST");
    assert_eq!(answer.fields(), ["code"]);
}

#[tokio::test]
async fn a_body_of_another_type_is_415() {
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "json", ""] {
        let request = execute().content_type(content_type).body(hello().to_string());
        let answer = ask_state(state(FakeCore::default()), request).await;
        check(&answer, StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE");
    }
    let bare = request(Method::POST, "/v1/execute").body(hello().to_string());
    let answer = ask_state(state(FakeCore::default()), bare).await;
    check(&answer, StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE");
}

#[tokio::test]
async fn json_types_are_read() {
    for content_type in ["application/json", "application/json; charset=utf-8", "application/vnd.forgeai.v1+json"] {
        let request = execute().content_type(content_type).body(hello().to_string());
        let answer = ask_state(state(FakeCore::default()), request).await;
        assert_eq!(answer.status, StatusCode::OK, "{content_type}");
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_413_with_and_without_a_length() {
    let large = "x".repeat(usize::try_from(BODY_AT_MOST.bytes()).unwrap() + 1);
    let declared = execute().header("content-length", large.len().to_string());
    for request in [declared, execute()] {
        let request = request.body(Body::from_string(large.clone()));
        let answer = ask_state(state(FakeCore::default()), request).await;
        check(&answer, StatusCode::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE");
        assert!(answer.text.contains("64 KiB"));
    }
}

#[tokio::test]
async fn the_largest_body_is_read() {
    let mut body = hello();
    let room = usize::try_from(BODY_AT_MOST.bytes()).unwrap() - body.to_string().len();
    body["code"] = Value::String("x".repeat(22 + room));
    let text = body.to_string();
    assert_eq!(text.len(), usize::try_from(BODY_AT_MOST.bytes()).unwrap());
    assert_eq!(post_text(&text).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_408() {
    let (writer, reader) = tokio::io::duplex(16);
    let request = execute().body(Body::from_async_read(reader));
    let answer = ask_state(state(FakeCore::default()), request).await;
    check(&answer, StatusCode::REQUEST_TIMEOUT, "TIMEOUT");
    drop(writer);
}

#[tokio::test]
async fn a_version_that_is_not_served_is_406() {
    for path in ["/v1/status?v=2", "/v1/status?v=", "/v1/status?x=1&v=01"] {
        let answer = ask(FakeCore::default(), get(path)).await;
        check(&answer, StatusCode::NOT_ACCEPTABLE, "NOT_ACCEPTABLE");
    }
    for accept in ["application/vnd.forgeai.v2+json", "application/vnd.other+json;q=0.5"] {
        let answer = ask(FakeCore::default(), get("/v1/status").header("accept", accept)).await;
        check(&answer, StatusCode::NOT_ACCEPTABLE, "NOT_ACCEPTABLE");
    }
}

#[tokio::test]
async fn a_version_that_is_served_is_accepted() {
    for accept in [
        "*/*",
        "application/vnd.forgeai.v1+json",
        "application/vnd.kiln.v1+json",
        "application/vnd.forgeai.v2+json, application/json",
        "text/html",
    ] {
        let answer = ask(FakeCore::default(), get("/v1/status?v=1").header("accept", accept)).await;
        assert_eq!(answer.status, StatusCode::OK, "{accept}");
    }
    assert_eq!(ask(FakeCore::default(), get("/healthz?v=2")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_full_queue_is_503_and_says_when_to_come_back() {
    let refusal = Some(SubmitError::Full { retry_after_s: 7 });
    let answer = post(FakeCore { refusal, ..FakeCore::default() }, &hello()).await;
    check(&answer, StatusCode::SERVICE_UNAVAILABLE, "SERVICE_UNAVAILABLE");
    assert_eq!(answer.header("retry-after"), "7");
}

#[tokio::test]
async fn a_daemon_that_stops_is_503() {
    let refusal = Some(SubmitError::Stopping);
    let answer = post(FakeCore { refusal, ..FakeCore::default() }, &hello()).await;
    check(&answer, StatusCode::SERVICE_UNAVAILABLE, "SERVICE_UNAVAILABLE");
}

#[tokio::test]
async fn a_store_that_fails_is_500_without_its_reason() {
    let refusal = Some(SubmitError::Store("disk sda1 is full".to_owned()));
    let answer = post(FakeCore { refusal, ..FakeCore::default() }, &hello()).await;
    check(&answer, StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR");
    assert!(!answer.text.contains("sda1"));
}

#[tokio::test]
async fn a_panic_is_500_without_its_reason() {
    let core = FakeCore { panics: true, ..FakeCore::default() };
    let answer = post(core, &hello()).await;
    check(&answer, StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR");
    assert!(!answer.text.contains("secret"));
}

#[tokio::test]
async fn a_well_formed_request_id_is_kept() {
    let request = get("/v1/nothing").header("x-request-id", "my-id_1.2:3");
    let answer = ask(FakeCore::default(), request).await;
    assert_eq!(answer.header("x-request-id"), "my-id_1.2:3");
    check(&answer, StatusCode::NOT_FOUND, "NOT_FOUND");
}

#[tokio::test]
async fn another_request_id_is_replaced() {
    for id in ["", "a b", "\"", &"x".repeat(129)] {
        let answer = ask(FakeCore::default(), get("/healthz").header("x-request-id", id)).await;
        let made = answer.header("x-request-id");
        assert!(made.starts_with("req_") && made.len() == 20, "{made}");
    }
}
