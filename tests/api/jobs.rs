//! `/v1/jobs`: list, look, end, remove.
use kiln::api::state::ApiState;
use poem::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::client::{Answer, ask, ask_state, execute, get, hello, made, post, request, somebody, state};
use crate::core::FakeCore;

async fn delete(state: &ApiState, path: &str) -> Answer {
    ask_state(state.clone(), request(Method::DELETE, path).finish()).await
}

fn waiting() -> FakeCore {
    FakeCore { ends: false, ..FakeCore::default() }
}

async fn post_to(state: &ApiState, body: &Value) {
    let answer = ask_state(state.clone(), execute().body(body.to_string())).await;
    assert!(answer.status.is_success(), "{}", answer.text);
}

#[tokio::test]
async fn an_empty_list_is_a_list() {
    let answer = ask(FakeCore::default(), get("/v1/jobs")).await;
    assert_eq!(answer.body, json!({"jobs": [], "total": 0, "limit": 100, "offset": 0}));
}

#[tokio::test]
async fn jobs_are_listed_newest_first_without_their_output() {
    let state = state(FakeCore::default());
    let paths = [made(&state).await, made(&state).await, made(&state).await];
    let answer = ask_state(state.clone(), get("/v1/jobs?limit=2&offset=1").finish()).await;
    let listed: Vec<&str> = answer.body["jobs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|job| job["_links"]["self"]["href"].as_str().unwrap())
        .collect();
    assert_eq!(listed, [&paths[1], &paths[0]]);
    assert_eq!(
        (&answer.body["total"], &answer.body["limit"], &answer.body["offset"]),
        (&json!(3), &json!(2), &json!(1))
    );
    let job = &answer.body["jobs"][0];
    assert_eq!((&job["status"], &job["exit_code"]), (&json!("completed"), &json!(0)));
    for absent in ["stdout", "stderr", "stdout_bytes", "compile"] {
        assert!(job.get(absent).is_none(), "{absent}");
    }
}

#[tokio::test]
async fn a_list_is_filtered_by_status_and_language() {
    let state = state(FakeCore::default());
    made(&state).await;
    post_to(&state, &json!({"language": "bash", "code": ""})).await;
    post_to(&state, &json!({"image": "host", "command": ["/bin/true"]})).await;
    for (query, total) in [
        ("status=completed", 3),
        ("status=failed", 0),
        ("language=python", 1),
        ("language=bashx", 1),
        ("language=c", 0),
        ("language=bash&status=completed", 1),
    ] {
        let answer = ask_state(state.clone(), get(&format!("/v1/jobs?{query}")).finish()).await;
        assert_eq!(answer.body["total"], total, "{query}");
    }
}

#[tokio::test]
async fn a_list_holds_own_jobs_only() {
    let mut state = state(FakeCore::default());
    made(&state).await;
    state.everybody = somebody();
    assert_eq!(ask_state(state, get("/v1/jobs").finish()).await.body["total"], 0);
}

#[tokio::test]
async fn a_page_out_of_bounds_is_refused_with_its_ceiling() {
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=-1", "limit"),
        ("limit=x", "limit"),
        ("limit=1e3", "limit"),
        ("limit=99999999999999999999", "limit"),
        ("offset=100001", "offset"),
        ("offset=-1", "offset"),
        ("status=done", "status"),
        ("language=perl", "language"),
        ("language=", "language"),
    ] {
        let answer = ask(FakeCore::default(), get(&format!("/v1/jobs?{query}"))).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, "INVALID_REQUEST"), "{query}");
        assert_eq!(answer.fields(), [field], "{query}");
    }
}

#[tokio::test]
async fn links_are_those_of_the_state() {
    let links = post(FakeCore::default(), &hello()).await.body["_links"].clone();
    let path = links["self"]["href"].as_str().unwrap();
    let data = json!({"href": format!("{path}/data"), "method": "DELETE"});
    assert_eq!((&links["data"], links.get("cancel")), (&data, None));
    let links = post(waiting(), &hello()).await.body["_links"].clone();
    let cancel = json!({"href": links["self"]["href"], "method": "DELETE"});
    assert_eq!((&links["cancel"], links.get("data")), (&cancel, None));
}

#[tokio::test]
async fn a_job_that_ends_in_time_is_cancelled_with_200() {
    let state = state(waiting());
    let path = made(&state).await;
    let answer = delete(&state, &path).await;
    assert_eq!((answer.status, &answer.body["status"]), (StatusCode::OK, &json!("cancelled")), "{}", answer.text);
    assert_eq!(answer.body["termination"]["reason"], "cancelled");
    let again = delete(&state, &path).await;
    assert_eq!((again.status, again.code()), (StatusCode::CONFLICT, "CONFLICT"));
}

#[tokio::test]
async fn a_job_that_is_still_ending_is_202() {
    let state = state(FakeCore { keeps_running: true, ..waiting() });
    let answer = delete(&state, &made(&state).await).await;
    assert_eq!((answer.status, &answer.body["status"]), (StatusCode::ACCEPTED, &json!("pending")));
}

#[tokio::test]
async fn an_ended_job_is_not_cancelled() {
    let state = state(FakeCore::default());
    let path = made(&state).await;
    let answer = delete(&state, &path).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::CONFLICT, "CONFLICT"));
    assert_eq!(ask_state(state, get(&path).finish()).await.body["status"], "completed");
}

#[tokio::test]
async fn an_ended_job_is_removed_and_then_not_there() {
    let state = state(FakeCore::default());
    let path = made(&state).await;
    let answer = delete(&state, &format!("{path}/data")).await;
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::NO_CONTENT, ""));
    for path in [path.clone(), format!("{path}/output")] {
        assert_eq!(ask_state(state.clone(), get(&path).finish()).await.status, StatusCode::NOT_FOUND);
    }
    assert_eq!(delete(&state, &format!("{path}/data")).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_job_that_has_not_ended_is_not_removed() {
    let state = state(waiting());
    let answer = delete(&state, &format!("{}/data", made(&state).await)).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::CONFLICT, "CONFLICT"));
    assert!(answer.text.contains("cancel it first"));
}

#[tokio::test]
async fn the_spec_of_a_phase_is_shown() {
    let state = state(FakeCore::default());
    let path = made(&state).await;
    let answer = ask_state(state.clone(), get(&format!("{path}/spec?phase=run")).finish()).await;
    assert_eq!((answer.status, &answer.body), (StatusCode::OK, &json!({"hostname": "here"})));
    let answer = ask_state(state.clone(), get(&format!("{path}/spec?phase=compile")).finish()).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::NOT_FOUND, "NOT_FOUND"));
    let mut state = state;
    state.everybody = somebody();
    assert_eq!(ask_state(state, get(&format!("{path}/spec")).finish()).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn somebody_elses_job_is_not_there_to_be_ended_or_removed() {
    let mut state = state(waiting());
    let path = made(&state).await;
    state.everybody = somebody();
    for path in [path.clone(), format!("{path}/data"), String::from("/v1/jobs/abc"), String::from("/v1/jobs/abc/data")]
    {
        assert_eq!(delete(&state, &path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}
