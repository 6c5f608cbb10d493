//! `GET /healthz`: whether the server answers and reaches its database.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::problem::Problem;
use crate::app::App;

/// Answers.
pub async fn handle(State(app): State<App>) -> Result<Json<Value>, Problem> {
    drop(app.store.read().await?);
    Ok(Json(json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") })))
}
