//! `GET /v1/albums/{album}`: an album with its tracks.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::authority::Session;
use super::doc::Doc;
use super::json::Path;
use super::problem::Problem;
use crate::app::App;
use crate::store::catalogue::{self, Album, Track};

/// Tracks told of one album.
const TRACKS_MAX: i64 = 500;

/// An album.
#[derive(Debug, Serialize, ToSchema)]
pub struct AlbumAnswer {
    album: Album,
    tracks: Vec<Track>,
}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("An album with its tracks").answer::<AlbumAnswer>(200)
}

/// Answers with the album.
pub async fn handle(
    State(app): State<App>,
    session: Option<Session>,
    Path(album): Path<i32>,
) -> Result<Json<AlbumAnswer>, Problem> {
    let mut tx = app.store.read().await?;
    let found = catalogue::album(&mut tx, album).await?.ok_or_else(|| Problem::not_found("album"))?;
    let viewer = session.map(|own| own.account);
    let tracks = catalogue::on_album(&mut tx, viewer, album, TRACKS_MAX).await?;
    Ok(Json(AlbumAnswer { album: found, tracks }))
}
