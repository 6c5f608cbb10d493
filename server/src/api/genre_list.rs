//! `GET /v1/genres`: every genre by name.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::doc::Doc;
use super::problem::Problem;
use crate::app::App;
use crate::store::catalogue::{self, Named};

/// Genres told.
const GENRES_MAX: i64 = 1000;

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Every genre by name").object(200, |it| it.list::<Named>("genres"))
}

/// Answers with all of them.
pub async fn handle(State(app): State<App>) -> Result<Json<Value>, Problem> {
    let genres = catalogue::genres(&mut app.store.read().await?, GENRES_MAX).await?;
    Ok(Json(json!({ "genres": genres })))
}
