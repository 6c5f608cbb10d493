//! `GET /v1/webhooks`: the account's webhooks, at most 20.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::doc::Doc;
use super::integrator::Integrator;
use super::problem::Problem;
use crate::app::App;
use crate::store::webhook::{Webhook, by_account};

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("The account's webhooks, newest first, at most 20")
        .object(200, |it| it.list::<Webhook>("webhooks"))
}

/// Answers.
pub async fn handle(State(app): State<App>, Integrator(session): Integrator) -> Result<Json<Value>, Problem> {
    let webhooks = by_account(&mut app.store.read().await?, session.account).await?;
    Ok(Json(json!({ "webhooks": webhooks })))
}
