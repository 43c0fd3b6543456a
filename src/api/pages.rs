//! `/openapi.json` and `/docs`: the document, and Swagger UI that shows it without any other host.
use bytes::Bytes;
use poem::endpoint::make_sync;
use poem::{Endpoint, IntoResponse as _, Response, Route, get};

/// Paths of the pages.
pub(super) const PAGES: [&str; 2] = ["/openapi.json", "/docs"];

/// Swagger UI is one page with everything inside; it may speak to this server only.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
    img-src 'self' data:; font-src data:; connect-src 'self'; frame-ancestors 'none'";

/// Adds the pages to the routes.
pub(super) fn add(routes: Route, document: String, swagger: String) -> Route {
    let [openapi, docs] = PAGES;
    let document = Bytes::from(document);
    let swagger = Bytes::from(swagger);
    routes
        .at(openapi, get(page("application/json", document.clone())))
        .at(format!("{openapi}/"), get(page("application/json", document)))
        .at(docs, get(page("text/html; charset=utf-8", swagger.clone())))
        .at(format!("{docs}/"), get(page("text/html; charset=utf-8", swagger)))
}

fn page(content_type: &'static str, body: Bytes) -> impl Endpoint<Output = Response> {
    make_sync(move |_request| {
        let policy = ("content-security-policy", POLICY);
        let response = Response::builder().content_type(content_type).header(policy.0, policy.1);
        response.body(body.clone()).into_response()
    })
}

/// Swagger UI with the document inside. `raw` is the document as `html` holds it.
pub(super) fn swagger(html: &str, raw: &str, document: &str) -> String {
    // Inside a script element `</` would end it (HTML, section 4.12.1.3).
    html.replace(raw, &document.replace("</", "<\\/"))
}
