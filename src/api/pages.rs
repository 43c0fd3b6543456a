//! `/openapi.json`, `/openapi.yaml`, `/docs` and `/redoc`: the document, and pages that show it without
//! any other host.
use bytes::Bytes;
use poem::endpoint::make_sync;
use poem::{Endpoint, IntoResponse as _, Response, Route, get};
use serde_json::Value;

/// Paths of the pages.
pub(super) const PAGES: [&str; 5] = ["/openapi.json", "/openapi.yaml", "/docs", "/redoc", "/favicon.ico"];

/// What browsers ask for beside every page.
const ICON: &str = include_str!("../../web/favicon.svg");

/// Each page is one file with everything inside; it may speak to this server only. `ReDoc` searches in
/// a worker that it makes of its own text.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
    img-src 'self' data:; font-src data:; connect-src 'self'; worker-src blob:; frame-ancestors 'none'";

/// What begins and ends the one line of `ReDoc`'s page that names another host.
const FONTS: (&str, &str) = ("<link href=\"https://fonts.", ">");

/// The pages as they are served.
pub(super) struct Pages {
    json: String,
    yaml: String,
    swagger: String,
    redoc: String,
}

impl Pages {
    /// Of the document. `raw` is the document as the two pages hold it.
    pub(super) fn of(document: &Value, raw: &str, swagger: &str, redoc: &str) -> Self {
        let json = document.to_string();
        // Inside a script element `</` would end it (HTML, section 4.12.1.3).
        let inside = json.replace("</", "<\\/");
        // A JSON value is a YAML value (YAML 1.2, section 1.2).
        let yaml = serde_yaml::to_string(document).unwrap_or_else(|_never| json.clone());
        let swagger = swagger.replace(raw, &inside);
        let redoc = without(redoc, FONTS).replace(raw, &inside);
        Self { json, yaml, swagger, redoc }
    }
}

/// Adds the pages to the routes.
pub(super) fn add(routes: Route, pages: &Pages) -> Route {
    let html = "text/html; charset=utf-8";
    let [openapi, yaml, docs, redoc, icon] = PAGES;
    let all = [
        (openapi, "application/json", pages.json.as_str()),
        (yaml, "application/yaml", &pages.yaml),
        (docs, html, &pages.swagger),
        (redoc, html, &pages.redoc),
        (icon, "image/svg+xml", ICON),
    ];
    all.into_iter().fold(routes, |routes, (path, content_type, text)| {
        let body = Bytes::from(text.to_owned());
        let routes = routes.at(path, get(page(content_type, body.clone())));
        routes.at(format!("{path}/"), get(page(content_type, body)))
    })
}

fn page(content_type: &'static str, body: Bytes) -> impl Endpoint<Output = Response> {
    make_sync(move |_request| {
        let policy = ("content-security-policy", POLICY);
        let response = Response::builder().content_type(content_type).header(policy.0, policy.1);
        response.body(body.clone()).into_response()
    })
}

/// The text without the first piece from `begin` to `end`.
fn without(text: &str, (begin, end): (&str, &str)) -> String {
    let piece = text.split_once(begin).and_then(|(before, rest)| Some((before, rest.split_once(end)?.1)));
    piece.map_or_else(|| text.to_owned(), |(before, after)| format!("{before}{after}"))
}
