//! `GET /v1/leases`: the account's leases.

use axum::Json;
use axum::extract::State;
use matinee_protocol::api::LeaseSummary;
use serde_json::{Value, json};

use super::authority::Session;
use super::doc::Doc;
use super::leasing::summary;
use super::problem::Problem;
use crate::app::App;
use crate::store::lease;

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Lists the account's leases, the one taken last in front")
        .object(200, |it| it.list::<LeaseSummary>("leases"))
}

/// Answers with the newest 500.
pub async fn handle(State(app): State<App>, session: Session) -> Result<Json<Value>, Problem> {
    let now_ms = app.clock.now_ms();
    let mut tx = app.store.read().await?;
    let leases = lease::by_account(&mut tx, session.account).await?;
    let leases: Vec<LeaseSummary> = leases.iter().map(|lease| summary(lease, now_ms)).collect();
    Ok(Json(json!({ "leases": leases })))
}
