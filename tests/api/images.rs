//! The images of the store: what is listed, and who may remove one.
use std::sync::Arc;

use kiln::api::core::RemoveError;
use kiln::api::state::ApiState;
use kiln::base::digest::Digest;
use kiln::job::request::offer::{KnownImage, UsedImage};
use poem::http::{Method, StatusCode};
use serde_json::json;

use crate::client::{ask, ask_state, get, post, request, somebody, state};
use crate::core::FakeCore;

const DIGEST: Digest = Digest([0xab; 32]);

fn with_an_image() -> FakeCore {
    let image = UsedImage::Stored { name: "python:3.13".to_owned(), digest: DIGEST };
    let references = vec!["python:3.13".to_owned(), "python:latest".to_owned()];
    let (created, architecture) = ("2026-01-01T00:00:00Z".to_owned(), "x86_64".to_owned());
    let known = KnownImage { image, references, size: 1_048_577, created, architecture, recipe: None };
    FakeCore { images: vec![known], ..FakeCore::default() }
}

#[tokio::test]
async fn an_image_is_listed_with_all_that_a_request_may_call_it() {
    let answer = ask(with_an_image(), get("/v1/images")).await;
    let image = json!({"name": "python:3.13", "digest": DIGEST.to_string(), "tags": ["python:3.13", "python:latest"],
        "size": 2, "created_at": "2026-01-01T00:00:00Z", "architecture": "x86_64", "recipe_digest": null,
        "languages": []});
    assert_eq!((answer.status, &answer.body), (StatusCode::OK, &json!({"images": [image], "total": 1})));
    let same = ask(with_an_image(), get("/v1/admin/images")).await;
    assert_eq!(same.body, answer.body);
    let capabilities = ask(with_an_image(), get("/v1/capabilities")).await;
    assert_eq!(capabilities.body["images"], json!(["host", "python:3.13"]));
}

#[tokio::test]
async fn a_job_shows_the_image_that_was_meant_and_its_digest() {
    let body = json!({"image": "python", "command": ["/bin/true"]});
    let answer = post(with_an_image(), &body).await;
    assert_eq!(
        (&answer.body["image"], &answer.body["image_digest"]),
        (&json!("python:3.13"), &json!(DIGEST.to_string()))
    );
    let answer = post(with_an_image(), &json!({"language": "python", "code": ""})).await;
    assert_eq!((&answer.body["image"], answer.body.get("image_digest")), (&json!("host"), None));
}

#[tokio::test]
async fn a_name_or_a_digest_is_removed_as_it_was_given() {
    let others = state(with_an_image());
    for (path, name) in [("python:3.13", "python:3.13"), ("team%2Ftool:1", "team/tool:1"), ("sha256:ab", "sha256:ab")] {
        let core = Arc::new(with_an_image());
        let kept: Arc<FakeCore> = Arc::clone(&core);
        let state = ApiState { core: kept, ..others.clone() };
        let answer = ask_state(state, request(Method::DELETE, &format!("/v1/admin/images/{path}")).finish()).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
        assert_eq!(*core.removed.lock().unwrap(), [name]);
    }
}

#[tokio::test]
async fn why_an_image_is_kept_has_a_status_of_its_own() {
    for (error, status, code) in [
        (RemoveError::Unknown, StatusCode::NOT_FOUND, "NOT_FOUND"),
        (RemoveError::InUse, StatusCode::CONFLICT, "CONFLICT"),
        (RemoveError::Failed("a secret".to_owned()), StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR"),
    ] {
        let core = FakeCore { kept: Some(error), ..with_an_image() };
        let answer = ask(core, request(Method::DELETE, "/v1/admin/images/python")).await;
        assert_eq!((answer.status, answer.code()), (status, code));
        assert!(!answer.body.to_string().contains("secret"));
    }
}

#[tokio::test]
async fn who_only_runs_code_may_see_images_and_not_manage_them() {
    for (method, path, status) in [
        (Method::GET, "/v1/images", StatusCode::OK),
        (Method::GET, "/v1/admin/images", StatusCode::FORBIDDEN),
        (Method::DELETE, "/v1/admin/images/python", StatusCode::FORBIDDEN),
    ] {
        let state = ApiState { everybody: somebody(), ..state(with_an_image()) };
        let answer = ask_state(state, request(method, path).finish()).await;
        assert_eq!(answer.status, status, "{path}");
    }
}
