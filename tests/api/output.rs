//! `GET /v1/jobs/{job_id}/output`: every byte, or a range.
use kiln::api::state::ApiState;
use poem::Request;
use poem::http::{Method, StatusCode};

use crate::client::{Answer, ask_state, get, made, request, somebody, state};
use crate::core::FakeCore;

const TEXT: &str = "0123456789";

fn core() -> FakeCore {
    FakeCore { stdout: TEXT.as_bytes().to_vec(), ..FakeCore::default() }
}

async fn with(header: &str, value: &str) -> Answer {
    let state = state(core());
    let path = format!("{}/output", made(&state).await);
    ask_state(state, get(&path).header(header, value).finish()).await
}

async fn part(range: &str) -> (StatusCode, String, String) {
    let answer = with("range", range).await;
    (answer.status, answer.header("content-range").to_owned(), answer.text)
}

async fn output(state: &ApiState, query: &str) -> Answer {
    let path = made(state).await;
    ask_state(state.clone(), get(&format!("{path}/output{query}")).finish()).await
}

#[tokio::test]
async fn the_whole_output_is_given_as_bytes() {
    let answer = output(&state(core()), "").await;
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, TEXT));
    assert_eq!(answer.header("content-type"), "application/octet-stream");
    assert_eq!((answer.header("content-length"), answer.header("accept-ranges")), ("10", "bytes"));
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
}

#[tokio::test]
async fn streams_and_phases_are_chosen() {
    let state = state(core());
    for (query, expected) in [
        ("?stream=both", TEXT),
        ("?stream=stdout", TEXT),
        ("?stream=stderr", ""),
        ("?phase=compile", "warning"),
        ("?phase=compile&stream=stdout", ""),
        ("?phase=run&stream=stdout&v=1", TEXT),
    ] {
        assert_eq!(output(&state, query).await.text, expected, "{query}");
    }
    for (query, field) in [("?stream=stdin", "stream"), ("?stream=", "stream"), ("?phase=link", "phase")] {
        let answer = output(&state, query).await;
        assert_eq!((answer.status, answer.fields()), (StatusCode::BAD_REQUEST, vec![field]), "{query}");
    }
}

#[tokio::test]
async fn a_range_is_cut_out() {
    let part_of = |range: &str, text: &str| (StatusCode::PARTIAL_CONTENT, format!("bytes {range}/10"), text.to_owned());
    assert_eq!(part("bytes=0-3").await, part_of("0-3", "0123"));
    assert_eq!(part("bytes=8-").await, part_of("8-9", "89"));
    assert_eq!(part("bytes=-1").await, part_of("9-9", "9"));
    assert_eq!(part("bytes=5-1000").await, part_of("5-9", "56789"));
}

#[tokio::test]
async fn a_range_that_is_not_understood_is_no_range() {
    for range in ["lines=0-1", "bytes=0-1,3-4", "bytes=x-", "bytes=4-2"] {
        assert_eq!(part(range).await, (StatusCode::OK, String::new(), TEXT.to_owned()), "{range}");
    }
}

#[tokio::test]
async fn a_range_beyond_the_end_is_416_and_says_where_the_end_is() {
    let answer = with("range", "bytes=10-").await;
    assert_eq!((answer.status, answer.code()), (StatusCode::RANGE_NOT_SATISFIABLE, "RANGE_NOT_SATISFIABLE"));
    assert_eq!(answer.header("content-range"), "bytes */10");
}

#[tokio::test]
async fn an_entity_tag_names_the_bytes() {
    let state = state(core());
    let path = format!("{}/output", made(&state).await);
    let ask = async |name: &str, value: &str, range: &str| {
        let request: Request = get(&path).header(name, value).header("range", range).finish();
        ask_state(state.clone(), request).await
    };
    let tag = ask("x-nothing", "", "").await.header("etag").to_owned();
    assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 10, "{tag}");
    for (value, status) in [(tag.as_str(), 304), (&format!("\"x\", W/{tag}"), 304), ("*", 304), ("\"x\"", 200)] {
        let answer = ask("if-none-match", value, "").await;
        assert_eq!((answer.status.as_u16(), answer.header("etag")), (status, tag.as_str()), "{value}");
        assert_eq!(answer.text, if status == 304 { "" } else { TEXT });
    }
    assert_eq!(ask("if-range", &tag, "bytes=1-1").await.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(ask("if-range", "\"x\"", "bytes=1-1").await.status, StatusCode::OK);
}

#[tokio::test]
async fn head_tells_the_length_and_gives_nothing() {
    let state = state(core());
    let path = format!("{}/output", made(&state).await);
    let answer = ask_state(state, request(Method::HEAD, &path).finish()).await;
    assert_eq!((answer.status, answer.header("content-length"), answer.text.as_str()), (StatusCode::OK, "10", ""));
}

#[tokio::test]
async fn somebody_elses_output_is_not_there() {
    let mut state = state(core());
    let path = made(&state).await;
    state.everybody = somebody();
    let answer = ask_state(state, get(&format!("{path}/output")).finish()).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::NOT_FOUND, "NOT_FOUND"));
}
