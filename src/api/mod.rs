//! HTTP in, HTTP out: the execution family of the contract.
//!
//! A request goes through the envelope (name, version, bounded body, error format), the routes,
//! and a handler that translates and does nothing else. Not here: any decision about jobs, who a
//! caller is, TLS.
mod amount;
mod body;
mod caller;
mod capabilities;
pub mod core;
mod document;
mod ending;
mod envelope;
pub mod error;
mod execution;
pub mod form;
mod head;
mod images;
mod jobs;
pub mod json;
mod lookup;
mod pages;
mod payload;
pub mod peer;
mod prefer;
mod query;
mod range;
pub mod request_id;
mod routes;
mod schema;
mod selftest;
pub mod serve;
pub mod state;
mod system;
mod version;
mod view;

use std::marker::PhantomData;

use poem::{Endpoint, EndpointExt as _, Response, Route};
use poem_openapi::{OpenApi, OpenApiService};
use serde_json::Value;

use crate::api::capabilities::Capabilities;
use crate::api::envelope::Envelope;
use crate::api::execution::Execution;
use crate::api::images::Images;
use crate::api::jobs::Jobs;
use crate::api::pages::Pages;
use crate::api::routes::{Allowed, Described, Routes};
use crate::api::selftest::SelfTest;
use crate::api::state::ApiState;
use crate::api::system::System;

type Operations = (Execution, Jobs, Capabilities, System, SelfTest, Images);

/// Everything that is served over HTTP. It never fails: every error is an answer.
pub fn endpoint(state: ApiState) -> impl Endpoint<Output = Response> {
    let execution = Execution { state: state.clone() };
    let jobs = Jobs { state: state.clone() };
    let capabilities = Capabilities { state: state.clone() };
    let system = System { state: state.clone() };
    let selftest = SelfTest { state: state.clone() };
    let images = Images { state: state.clone() };
    let service = described(Routes((execution, jobs, capabilities, system, selftest, images)));
    let routes = pages::add(Route::new(), &Pages::written()).nest("/", service);
    let allowed = Allowed::of::<Operations>(&pages::PAGES);
    Envelope { inner: routes.map_to_response(), state, allowed }
}

/// The `OpenAPI` document.
pub fn document() -> Value {
    let text = described(Described::<Operations>(PhantomData)).spec();
    // poem-openapi writes JSON; a test reads every operation of it.
    document::fixed(&text).unwrap_or_default()
}

impl Pages {
    fn written() -> Self {
        let service = described(Described::<Operations>(PhantomData));
        let (document, raw) = (document(), service.spec());
        Self::of(&document, &raw, &service.swagger_ui_html(), &service.redoc_html())
    }
}

fn described<T: OpenApi>(operations: T) -> OpenApiService<T, ()> {
    OpenApiService::new(operations, "kiln", env!("CARGO_PKG_VERSION"))
        .description("Runs untrusted code in raw Linux isolation.")
        .server("/")
}
