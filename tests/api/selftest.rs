//! The self-test: who may have it made, and what its report says.
use std::sync::Arc;

use kiln::api::core::SelfTestError;
use kiln::selftest::{BRIEF, Finding, Verdict};
use poem::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::client::{ask, ask_state, get, request, somebody, state};
use crate::core::FakeCore;

const PATH: &str = "/v1/admin/selftest";

fn found(verdicts: &[Verdict]) -> FakeCore {
    let finding = |(attempt, verdict): (_, &Verdict)| {
        let (verdict, how) = (*verdict, String::from("refused by EPERM"));
        Finding { attempt, verdict, how, job: None }
    };
    FakeCore { findings: Ok(BRIEF.iter().zip(verdicts).map(finding).collect()), ..FakeCore::default() }
}

#[tokio::test]
async fn a_report_names_every_attempt_and_what_is_in_force() {
    let answer = ask(found(&[Verdict::Stopped, Verdict::Stopped]), request(Method::POST, PATH)).await;
    assert_eq!((answer.status, &answer.body["conclusion"]), (StatusCode::OK, &json!("holds")));
    let layers: Vec<&str> = BRIEF[0].layers.iter().map(|layer| layer.name()).collect();
    let first = json!({"name": BRIEF[0].name, "tries": BRIEF[0].tries, "verdict": "stopped",
        "how": "refused by EPERM", "layers": layers, "job_id": null});
    assert_eq!(answer.body["attempts"][0], first);
    assert_eq!(answer.body["attempts"].as_array().unwrap().len(), 2);
    assert_eq!(answer.body["counts"], json!({"stopped": 2, "not_tried": 0, "unexpected": 0, "got_through": 0}));
    let same = ask(FakeCore::default(), get("/v1/capabilities")).await;
    assert_eq!(answer.body["isolation"], same.body["isolation"]);
    assert_eq!(answer.body["completed_at"], "2023-01-01T14:30:00Z");
}

#[tokio::test]
async fn one_attempt_that_was_not_stopped_makes_the_conclusion_another() {
    let conclusion = async |verdict| -> Value {
        let answer = ask(found(&[Verdict::Stopped, verdict, Verdict::Stopped]), request(Method::POST, PATH)).await;
        assert_eq!(answer.status, StatusCode::OK);
        answer.body["conclusion"].clone()
    };
    assert_eq!(conclusion(Verdict::GotThrough).await, "broken");
    assert_eq!(conclusion(Verdict::Unexpected).await, "unproven");
    assert_eq!(conclusion(Verdict::NotTried).await, "unproven");
    let nothing = ask(found(&[]), request(Method::POST, PATH)).await;
    assert_eq!(nothing.body["conclusion"], "unproven");
}

#[tokio::test]
async fn a_second_self_test_is_a_conflict() {
    let core = FakeCore { findings: Err(SelfTestError::UnderWay), ..FakeCore::default() };
    let answer = ask(core, request(Method::POST, PATH)).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::CONFLICT, "CONFLICT"));
}

#[tokio::test]
async fn a_self_test_that_fails_itself_does_not_say_why_to_callers() {
    let core = FakeCore { findings: Err(SelfTestError::Failed("a secret".to_owned())), ..FakeCore::default() };
    let answer = ask(core, request(Method::POST, PATH)).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR"));
    assert!(!answer.text.contains("secret"));
}

#[tokio::test]
async fn who_is_no_administrator_is_refused_and_nothing_is_begun() {
    let core = Arc::new(found(&[Verdict::Stopped]));
    let mut state = state(FakeCore::default());
    state.core = Arc::<FakeCore>::clone(&core);
    state.everybody = somebody();
    let answer = ask_state(state.clone(), request(Method::POST, PATH).finish()).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::FORBIDDEN, "FORBIDDEN"));
    assert_eq!(*core.selftests.lock().unwrap(), 0);
    let answer = ask_state(state, get(PATH).finish()).await;
    assert_eq!((answer.status, answer.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, "POST"));
}
