//! `GET /v1/reference`: the interface, for people.

use axum::Extension;
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use matinee_protocol::encoding::sha256;

use super::doc::Doc;
use super::openapi::{Document, STYLE};

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("This document as a page").media(200, "text/html")
}

/// Answers.
pub async fn handle(Extension(document): Extension<Document>) -> Response {
    let style = STANDARD.encode(sha256(STYLE.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    );
    let headers: [(HeaderName, String); 2] = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
        (header::CONTENT_SECURITY_POLICY, policy),
    ];
    (headers, document.html.to_string()).into_response()
}
