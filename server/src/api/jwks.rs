//! `GET /v1/jwks`: the public keys, the next ones too.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::doc::Doc;
use crate::app::App;

/// How long others may keep the set; shorter than a next key waits before it signs.
const CACHE: &str = "public, max-age=60";

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("The public signing keys, the next ones too (RFC 7517)")
        .object(200, |it| it.list::<serde_json::Value>("keys"))
}

/// Answers.
pub async fn handle(State(app): State<App>) -> Response {
    ([(header::CACHE_CONTROL, CACHE)], Json(app.keyring.key_set().to_jwks())).into_response()
}
