//! `DELETE /v1/sessions/current`: signs out.

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::authority::Session;
use super::doc::Doc;
use super::problem::Problem;
use super::session_create::cookie;
use crate::app::App;
use crate::store::session;

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Signs out").bare(204)
}

/// Answers 204 and takes the cookie back.
pub async fn handle(State(app): State<App>, login: Session) -> Result<Response, Problem> {
    let mut tx = app.store.write().await?;
    session::delete(&mut tx, &login.token_hash).await?;
    tx.commit().await?;
    signed_out(&app)
}

/// 204, and the cookie taken back.
pub fn signed_out(app: &App) -> Result<Response, Problem> {
    let mut cookie = cookie(app, "");
    cookie.make_removal();
    let value = HeaderValue::from_str(&cookie.to_string()).map_err(|error| Problem::internal(&error))?;
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, value)]).into_response())
}
