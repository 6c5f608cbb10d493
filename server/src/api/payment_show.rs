//! `GET /v1/payments/{payment}`: how a payment stands.

use axum::Json;
use axum::extract::State;
use matinee_protocol::id::PaymentId;
use serde_json::{Value, json};

use super::authority::Session;
use super::doc::Doc;
use super::json::Path;
use super::paying;
use super::problem::Problem;
use crate::app::App;
use crate::store::account::Role;
use crate::store::payment;

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("How a payment stands").object(200, |it| it.object("payment", paying::shown))
}

/// Answers; another account's payment is not found, except by an operator.
pub async fn handle(
    State(app): State<App>,
    session: Session,
    Path(payment): Path<PaymentId>,
) -> Result<Json<Value>, Problem> {
    let found = payment::by_id(&mut app.store.read().await?, payment).await?;
    let found = found.filter(|found| found.account_id == session.account || session.has(Role::Operator));
    let found = found.ok_or_else(|| Problem::not_found("payment"))?;
    Ok(Json(json!({ "payment": paying::summary(&app, &found) })))
}
