//! `DELETE /v1/sessions/{session}`: signs out another browser or program of the account.

use axum::extract::State;
use axum::http::StatusCode;

use super::authority::Session;
use super::doc::Doc;
use super::json::Path;
use super::problem::Problem;
use crate::app::App;
use crate::store::session;

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Signs out another browser or program of the account").bare(204)
}

/// Answers 204; 404 for a session that is not the account's.
pub async fn handle(
    State(app): State<App>,
    login: Session,
    Path(named): Path<String>,
) -> Result<StatusCode, Problem> {
    let mut tx = app.store.write().await?;
    let all = session::by_account(&mut tx, login.account, app.clock.now_ms()).await?;
    let found = all.into_iter().find(|one| one.id() == named).ok_or_else(|| Problem::not_found("session"))?;
    session::delete(&mut tx, &found.token_hash).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
