//! Asks an endpoint in process.
use std::sync::Arc;
use std::time::Duration;

use kiln::access::{Principal, Role};
use kiln::api::state::{ApiState, Settings};
use kiln::base::size::ByteSize;
use kiln::base::time::{Clock, Timestamp};
use kiln::job::limits::{Limits, Policy};
use poem::http::{HeaderMap, Method, StatusCode};
use poem::{Endpoint, Request, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::core::{FakeCore, NOW};

/// Largest body of the tests.
pub(crate) const BODY_AT_MOST: ByteSize = ByteSize::kib(64);

struct StoppedClock;

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        NOW
    }
}

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

/// An API on this core that waits half a second for a whole request.
pub(crate) fn state(core: FakeCore) -> ApiState {
    state_with(core, Duration::from_millis(500))
}

/// An API on this core.
pub(crate) fn state_with(core: FakeCore, request_time: Duration) -> ApiState {
    ApiState {
        core: Arc::new(core),
        clock: Arc::new(StoppedClock),
        started: Timestamp(NOW.0 - 9_000_000_000),
        policy: Policy { default: limits(1), ceiling: limits(4) },
        settings: Settings {
            max_request_size: BODY_AT_MOST,
            request_time,
            queue_time: Duration::from_secs(100),
            network_access: false,
        },
        everybody: Principal::unauthenticated_admin(),
    }
}

/// Somebody without rights.
pub(crate) fn somebody() -> Principal {
    Principal { name: "somebody".to_owned(), role: Role::User }
}

/// What came back.
pub(crate) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
    pub text: String,
}

impl Answer {
    async fn of(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let text = body.into_string().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or_default();
        Self { status: parts.status, headers: parts.headers, body, text }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The code of an error that has every part of its format.
    #[track_caller]
    pub(crate) fn code(&self) -> &str {
        assert_eq!(self.header("content-type"), "application/json", "{}", self.text);
        let error = &self.body["error"];
        assert_eq!(error["request_id"], self.header("x-request-id"));
        assert_eq!(error["timestamp"], "2023-01-01T14:30:00Z");
        assert!(error["details"].is_array() && error["message"].is_string());
        error["code"].as_str().unwrap()
    }

    /// The fields that an error names.
    pub(crate) fn fields(&self) -> Vec<&str> {
        let details = self.body["error"]["details"].as_array().unwrap();
        details.iter().map(|detail| detail["field"].as_str().unwrap()).collect()
    }
}

/// Asks a new API on `core`.
pub(crate) async fn ask(core: FakeCore, request: RequestBuilder) -> Answer {
    ask_state(state(core), request.finish()).await
}

/// Asks an API.
pub(crate) async fn ask_state(state: ApiState, request: Request) -> Answer {
    Answer::of(kiln::api::endpoint(state).call(request).await.unwrap()).await
}

pub(crate) fn get(uri: &str) -> RequestBuilder {
    request(Method::GET, uri)
}

pub(crate) fn request(method: Method, uri: &str) -> RequestBuilder {
    Request::builder().method(method).uri_str(uri)
}

pub(crate) fn execute() -> RequestBuilder {
    request(Method::POST, "/v1/execute").content_type("application/json")
}

/// Makes a job; gives its path.
pub(crate) async fn made(state: &ApiState) -> String {
    let answer = ask_state(state.clone(), execute().body(hello().to_string())).await;
    answer.body["_links"]["self"]["href"].as_str().unwrap().to_owned()
}

/// Posts a body to `/v1/execute`.
pub(crate) async fn post(core: FakeCore, body: &Value) -> Answer {
    let request = execute().body(body.to_string());
    ask_state(state(core), request).await
}

/// The smallest job.
pub(crate) fn hello() -> Value {
    json!({"language": "python", "code": "print('Hello, World!')"})
}
