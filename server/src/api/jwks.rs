//! `GET /v1/jwks`: the public keys, the next ones too.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use crate::app::App;

/// How long others may keep the set; shorter than a next key waits before it signs.
const CACHE: &str = "public, max-age=60";

/// Answers.
pub async fn handle(State(app): State<App>) -> Response {
    ([(header::CACHE_CONTROL, CACHE)], Json(app.keyring.key_set().to_jwks())).into_response()
}
