//! `DELETE /v1/webhooks/{webhook}`: removes a webhook; what waits for it is not sent.

use axum::extract::State;
use axum::http::StatusCode;
use serde_json::json;

use super::doc::Doc;
use super::integrator::Integrator;
use super::json::Path;
use super::problem::Problem;
use super::trail::note;
use crate::app::App;
use crate::store::webhook::remove;

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Removes a webhook; what waits for it is not sent").bare(204)
}

/// Answers 204.
pub async fn handle(
    State(app): State<App>,
    Integrator(session): Integrator,
    Path(webhook): Path<String>,
) -> Result<StatusCode, Problem> {
    let now_ms = app.clock.now_ms();
    let mut tx = app.store.write().await?;
    if !remove(&mut tx, session.account, &webhook, now_ms).await? {
        return Err(Problem::not_found("webhook"));
    }
    note(&mut tx, &session, "webhook.remove", &webhook, json!({}), now_ms).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
