//! `GET /v1/tracks/{track}`.

use axum::Json;
use axum::extract::State;

use super::authority::Session;
use super::doc::Doc;
use super::json::Path;
use super::problem::Problem;
use crate::app::App;
use crate::store::catalogue::{self, Track};

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("A track").answer::<Track>(200)
}

/// Answers with the track.
pub async fn handle(
    State(app): State<App>,
    session: Option<Session>,
    Path(track): Path<i32>,
) -> Result<Json<Track>, Problem> {
    let mut tx = app.store.read().await?;
    let found = catalogue::track(&mut tx, session.map(|own| own.account), track).await?;
    found.map(Json).ok_or_else(|| Problem::not_found("track"))
}
