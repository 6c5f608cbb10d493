//! `GET /v1/artists/{artist}`: an artist with the albums.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::json::Path;
use super::problem::Problem;
use crate::app::App;
use crate::store::catalogue::{self, Album, Named};

/// Albums told of one artist.
const ALBUMS_MAX: i64 = 500;

/// An artist.
#[derive(Debug, Serialize)]
pub struct Answer {
    artist: Named,
    albums: Vec<Album>,
}

/// Answers with the artist.
pub async fn handle(State(app): State<App>, Path(artist): Path<i32>) -> Result<Json<Answer>, Problem> {
    let mut tx = app.store.read().await?;
    let found = catalogue::artist(&mut tx, artist).await?.ok_or_else(|| Problem::not_found("artist"))?;
    let albums = catalogue::albums_by(&mut tx, artist, ALBUMS_MAX).await?;
    Ok(Json(Answer { artist: found, albums }))
}
