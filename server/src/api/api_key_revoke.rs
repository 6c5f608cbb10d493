//! `DELETE /v1/api-keys/{key}`: revokes an API key. From then on it opens nothing.

use axum::extract::State;
use axum::http::StatusCode;
use serde_json::json;

use super::doc::Doc;
use super::integrator::Integrator;
use super::json::Path;
use super::problem::Problem;
use super::trail::note;
use crate::app::App;
use crate::store::api_key;

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Revokes an API key").bare(204)
}

/// Answers 204; 404 for a key that is not the account's or was revoked before.
pub async fn handle(
    State(app): State<App>,
    Integrator(session): Integrator,
    Path(key): Path<String>,
) -> Result<StatusCode, Problem> {
    let now_ms = app.clock.now_ms();
    let mut tx = app.store.write().await?;
    if !api_key::revoke(&mut tx, session.account, &key, now_ms).await? {
        return Err(Problem::not_found("API key"));
    }
    note(&mut tx, &session, "api_key.revoke", &key, json!({}), now_ms).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
