//! `GET /v1/genres`: every genre by name.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::problem::Problem;
use crate::app::App;
use crate::store::catalogue::{self, Named};

/// Genres told.
const GENRES_MAX: i64 = 1000;

/// Genres.
#[derive(Debug, Serialize)]
pub struct Answer {
    genres: Vec<Named>,
}

/// Answers with all of them.
pub async fn handle(State(app): State<App>) -> Result<Json<Answer>, Problem> {
    let genres = catalogue::genres(&mut app.store.read().await?, GENRES_MAX).await?;
    Ok(Json(Answer { genres }))
}
