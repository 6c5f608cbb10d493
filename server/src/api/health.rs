//! `GET /healthz`: whether the server answers and reaches its database.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::doc::Doc;
use super::problem::Problem;
use crate::app::App;

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Whether the server answers and reaches its database")
        .object(200, |it| it.field::<String>("status").field::<String>("version"))
}

/// Answers.
pub async fn handle(State(app): State<App>) -> Result<Json<Value>, Problem> {
    drop(app.store.read().await?);
    Ok(Json(json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") })))
}
