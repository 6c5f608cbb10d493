//! `GET /v1/openapi.json`: the interface, for programs.

use std::sync::Arc;

use axum::Extension;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::doc::Doc;

/// The style of the page, told to the browser by its hash.
pub const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;margin:0;background:#fff;color:#1b1b1f}\
    main{max-width:60rem;margin:0 auto;padding:1rem}section{border-top:1px solid #ccc;padding:.5rem 0}\
    h3{margin:.5rem 0;font-weight:400}code,pre{font:14px/1.4 ui-monospace,monospace}pre{background:#f3f3f6;\
    padding:.5rem;overflow:auto}@media(prefers-color-scheme:dark){body{background:#16161a;color:#e8e8ee}\
    pre{background:#24242b}a{color:#9db7ff}}";

/// The document as it is served; the router makes it out of its table.
#[derive(Debug, Clone)]
pub struct Document {
    json: Arc<str>,
    pub(super) html: Arc<str>,
}

impl Document {
    /// The document as JSON and as a page.
    pub fn new(whole: &serde_json::Value, html: String) -> Self {
        Self { json: whole.to_string().into(), html: html.into() }
    }
}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("This document (OpenAPI 3.1)").answer::<serde_json::Value>(200)
}

/// Answers.
pub async fn handle(Extension(document): Extension<Document>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], document.json.to_string()).into_response()
}
