//! `GET /v1/titles`: what the shop shows.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::problem::Problem;
use super::title_show::summary;
use crate::app::App;
use crate::store::title;

/// Answers.
pub async fn handle(State(app): State<App>) -> Result<Json<Value>, Problem> {
    let mut tx = app.store.read().await?;
    let mut titles = Vec::new();
    for found in title::listed(&mut tx).await? {
        titles.push(summary(&mut tx, found).await?);
    }
    Ok(Json(json!({ "titles": titles })))
}
