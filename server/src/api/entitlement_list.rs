//! `GET /v1/entitlements`: what the account may play.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::authority::Session;
use super::problem::Problem;
use crate::app::App;
use crate::store::entitlement;

/// Answers.
pub async fn handle(State(app): State<App>, session: Session) -> Result<Json<Value>, Problem> {
    let mut tx = app.store.read().await?;
    let now_ms = app.clock.now_ms();
    let found = entitlement::by_account(&mut tx, session.account).await?;
    let entitlements: Vec<_> = found.iter().map(|found| found.summary(now_ms)).collect();
    Ok(Json(json!({ "entitlements": entitlements })))
}
