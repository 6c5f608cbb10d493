//! `GET /v1/ledger/balance`: every ledger account, and the sum that must be zero.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::authority::Operator;
use super::doc::Doc;
use super::problem::Problem;
use crate::app::App;
use crate::store::ledger;

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Every ledger account, and the sum that must be zero").object(200, |it| {
        it.field::<i64>("sum_minor").list_of("accounts", |it| {
            it.field::<String>("name").field::<i64>("minor").field::<String>("currency")
        })
    })
}

/// Answers.
pub async fn handle(State(app): State<App>, _: Operator) -> Result<Json<Value>, Problem> {
    let mut tx = app.store.read().await?;
    // One statement: the balances are of one moment, and so is their sum.
    let balances = ledger::balances(&mut tx).await?;
    let sum_minor: i64 = balances.iter().map(|(_, minor, _)| minor).sum();
    let accounts: Vec<_> = balances
        .into_iter()
        .map(|(name, minor, currency)| json!({ "name": name, "minor": minor, "currency": currency }))
        .collect();
    Ok(Json(json!({ "accounts": accounts, "sum_minor": sum_minor })))
}
