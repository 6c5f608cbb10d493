//! `POST /v1/embed-sessions`: the player's page exchanges an embed token for a login session, once.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;

use super::authority::refuse_foreign_origin;
use super::doc::Doc;
use super::json::Json;
use super::problem::Problem;
use super::session_create::{SignedIn, respond_for};
use crate::app::App;
use crate::store::viewer;

/// How long the session lasts: an evening.
const EMBED_SESSION_MS: i64 = 12 * 60 * 60 * 1000;

/// Body.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    /// The token.
    token: String,
    /// Whether the session is wanted in the answer rather than in a cookie.
    #[serde(default)]
    bearer: bool,
}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Exchanges an embed token for a login session of twelve hours, once")
        .body::<Body>()
        .signs_in()
        .problem(401, "embed_token_invalid")
        .problem(403, "origin_mismatch")
}

/// Answers as signing in does; 401 for a token that was used, has run out or never was.
pub async fn handle(
    State(app): State<App>,
    headers: HeaderMap,
    Json { value: body, .. }: Json<Body>,
) -> Result<Response, Problem> {
    refuse_foreign_origin(&headers, &app)?;
    let mut tx = app.store.write().await?;
    let taken = viewer::take_token(&mut tx, &viewer::token_hash(&body.token), app.clock.now_ms()).await?;
    let Some((account, _)) = taken else {
        let detail = "this way in was used or has run out; go back to where it came from";
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "embed_token_invalid", detail));
    };
    let signed_in = SignedIn::new(account, body.bearer, &headers);
    respond_for(&app, tx, signed_in, StatusCode::CREATED, EMBED_SESSION_MS).await
}
