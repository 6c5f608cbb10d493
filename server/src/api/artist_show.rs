//! `GET /v1/artists/{artist}`: an artist with the albums.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::doc::Doc;
use super::json::Path;
use super::problem::Problem;
use crate::app::App;
use crate::store::catalogue::{self, Album, Named};

/// Albums told of one artist.
const ALBUMS_MAX: i64 = 500;

/// An artist.
#[derive(Debug, Serialize, ToSchema)]
pub struct ArtistAnswer {
    artist: Named,
    albums: Vec<Album>,
}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("An artist with the albums").answer::<ArtistAnswer>(200)
}

/// Answers with the artist.
pub async fn handle(State(app): State<App>, Path(artist): Path<i32>) -> Result<Json<ArtistAnswer>, Problem> {
    let mut tx = app.store.read().await?;
    let found = catalogue::artist(&mut tx, artist).await?.ok_or_else(|| Problem::not_found("artist"))?;
    let albums = catalogue::albums_by(&mut tx, artist, ALBUMS_MAX).await?;
    Ok(Json(ArtistAnswer { artist: found, albums }))
}
