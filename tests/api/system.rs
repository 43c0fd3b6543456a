//! Languages, status, probes, the document and its page.
use poem::http::StatusCode;
use serde_json::{Value, json};

use crate::client::{ask, get};
use crate::core::FakeCore;

#[tokio::test]
async fn languages_are_listed_as_documented_with_versions_beside() {
    let answer = ask(FakeCore::default(), get("/v1/languages")).await;
    assert_eq!(answer.body["languages"], json!(["python", "bash", "c"]));
    assert_eq!(answer.body["timestamp"], "2023-01-01T14:30:00Z");
    let python = json!({"language": "python", "name": "PYTHON", "aliases": ["pythonx"], "version": "3.11.2",
        "file": "main.python", "extensions": [".python"], "digest": null, "compiled": false, "image": "host"});
    assert_eq!(answer.body["runtimes"][0], python);
    assert_eq!(answer.body["runtimes"][1]["version"], Value::Null);
    assert_eq!(answer.body["runtimes"][2]["compiled"], true);
}

#[tokio::test]
async fn the_status_has_the_documented_figures() {
    let answer = ask(FakeCore::default(), get("/v1/status")).await;
    let expected = json!({"version": env!("CARGO_PKG_VERSION"), "uptime": "2h30m0s",
        "jobs_running": 5, "jobs_queued": 2, "cpu_usage": 45.5, "memory_usage": 1024,
        "disk_usage": null});
    assert_eq!(answer.body, expected);
}

#[tokio::test]
async fn a_daemon_that_lives_is_healthy_even_when_it_is_not_ready() {
    let core = || FakeCore { ready: Err("the spawner is gone".to_owned()), ..FakeCore::default() };
    assert_eq!(ask(core(), get("/healthz")).await.body["status"], "healthy");
    let answer = ask(core(), get("/readyz")).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.code(), "SERVICE_UNAVAILABLE");
    assert_eq!(answer.header("retry-after"), "1");
    assert!(answer.text.contains("the spawner is gone"));
    assert_eq!(ask(FakeCore::default(), get("/readyz")).await.body["status"], "ready");
}

#[tokio::test]
async fn every_path_answers_with_a_slash_at_its_end() {
    for path in [
        "/v1/languages",
        "/v1/status",
        "/healthz",
        "/readyz",
        "/healthz/detail",
        "/v1/capabilities",
        "/v1/jobs",
        "/openapi.json",
        "/openapi.yaml",
        "/docs",
        "/redoc",
    ] {
        let plain = ask(FakeCore::default(), get(path)).await;
        let slash = ask(FakeCore::default(), get(&format!("{path}/"))).await;
        assert_eq!((plain.status, slash.status), (StatusCode::OK, StatusCode::OK), "{path}");
        assert_eq!(plain.text, slash.text);
    }
    let answer = ask(FakeCore::default(), get("/v1/jobs/x/")).await;
    assert_eq!(answer.code(), "NOT_FOUND");
    assert!(answer.text.contains("no such job"));
}

#[tokio::test]
async fn the_document_is_served() {
    let answer = ask(FakeCore::default(), get("/openapi.json")).await;
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.body, kiln::api::document());
}

#[tokio::test]
async fn the_document_is_served_as_yaml_too() {
    let answer = ask(FakeCore::default(), get("/openapi.yaml")).await;
    assert_eq!(answer.header("content-type"), "application/yaml");
    let document: Value = serde_yaml::from_str(&answer.text).unwrap();
    assert_eq!(document, kiln::api::document());
}

#[tokio::test]
async fn the_detail_of_health_is_that_of_the_worst_part() {
    let answer = ask(FakeCore::default(), get("/healthz/detail")).await;
    assert_eq!((answer.status, &answer.body["status"]), (StatusCode::OK, &json!("degraded")));
    assert_eq!(answer.body["checks"]["queue"], json!({"status": "degraded", "message": "full"}));
    assert_eq!(answer.body["uptime"], "2h30m0s");
    let core = FakeCore { ready: Err("gone".to_owned()), ..FakeCore::default() };
    let answer = ask(core, get("/healthz/detail")).await;
    assert_eq!((answer.status, &answer.body["status"]), (StatusCode::OK, &json!("unhealthy")));
}

#[tokio::test]
async fn the_detail_of_health_tells_how_long_the_parts_of_a_job_take() {
    let answer = ask(FakeCore::default(), get("/healthz/detail")).await;
    let setup = json!({"count": 3, "mean_us": 10, "p50_us": 10, "p95_us": 10, "p99_us": 10, "max_us": 10,
        "buckets": [{"us": 10, "count": 3}]});
    assert_eq!(answer.body["times"], json!({"setup": setup}));
}

#[tokio::test]
async fn capabilities_name_every_limit_with_its_ceiling() {
    let answer = ask(FakeCore::default(), get("/v1/capabilities")).await;
    let limits = answer.body["limits"].as_array().unwrap();
    let names: Vec<&str> = limits.iter().map(|limit| limit["name"].as_str().unwrap()).collect();
    let inside = kiln::job::request::LIMITS.iter().map(|name| format!("limits.{name}"));
    let expected: Vec<String> = ["timeout", "memory_limit"].map(String::from).into_iter().chain(inside).collect();
    assert_eq!(names, expected);
    assert_eq!(limits[0], json!({"name": "timeout", "unit": "s", "default": 30, "ceiling": 120}));
    assert_eq!(limits[3], json!({"name": "limits.cpus", "unit": "", "default": 1, "ceiling": 4}));
    assert_eq!(answer.body["isolation"]["cgroups"], "cgroup v2");
    assert_eq!(answer.body["isolation"]["landlock"], 7);
    assert_eq!(answer.body["capacity"]["queued_jobs"], 100);
}

#[tokio::test]
async fn a_vendor_type_that_was_asked_for_is_the_answers_type() {
    for (accept, expected) in [
        ("application/vnd.forgeai.v1+json", "application/vnd.forgeai.v1+json"),
        ("application/vnd.kiln.v1+json;q=0.9", "application/vnd.kiln.v1+json"),
        ("application/vnd.kiln.v1+json, application/json", "application/json"),
        ("*/*", "application/json"),
    ] {
        let answer = ask(FakeCore::default(), get("/v1/status").header("accept", accept)).await;
        assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, expected), "{accept}");
    }
}

#[tokio::test]
async fn redoc_holds_the_document_and_names_no_other_host() {
    let answer = ask(FakeCore::default(), get("/redoc")).await;
    assert!(answer.text.contains(r#""openapi":"3.0.3""#));
    assert!(!answer.text.contains("<script src") && !answer.text.contains("<link "));
    assert!(answer.header("content-security-policy").contains("worker-src blob:"));
}

#[tokio::test]
async fn swagger_ui_holds_the_document_and_names_no_other_host() {
    let answer = ask(FakeCore::default(), get("/docs")).await;
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    assert!(answer.text.contains(r#""openapi":"3.0.3""#));
    assert!(!answer.text.contains(r#""openapi": "3.0.0""#));
    assert!(!answer.text.contains("<script src") && !answer.text.contains("<link "));
    assert!(answer.header("content-security-policy").contains("connect-src 'self'"));
}
