//! `GET /v1/account`: the signed-in account and what is in its wallet.

use axum::Json;
use axum::extract::State;
use matinee_protocol::api::AccountSummary;
use serde_json::{Value, json};

use super::authority::{Session, summary};
use super::doc::Doc;
use super::problem::Problem;
use crate::app::App;

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("The signed-in account and its wallet").object(200, |it| it.field::<AccountSummary>("account"))
}

/// Answers.
pub async fn handle(State(app): State<App>, session: Session) -> Result<Json<Value>, Problem> {
    let mut tx = app.store.read().await?;
    Ok(Json(json!({ "account": summary(&app, &mut tx, session.account).await? })))
}
