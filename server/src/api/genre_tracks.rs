//! `GET /v1/genres/{genre}/tracks`: a genre's tracks, the most popular first.

use axum::Json;
use axum::extract::State;
use axum::http::Uri;

use super::browse::{self, PageQuery, TrackPage};
use super::json::Path;
use super::problem::Problem;
use crate::app::App;
use crate::store::catalogue::{self, Of};

/// Answers with a page.
pub async fn handle(
    State(app): State<App>,
    Path(genre): Path<i32>,
    uri: Uri,
) -> Result<Json<TrackPage>, Problem> {
    let asked: PageQuery = browse::query(&uri)?;
    let (after, limit) = (asked.after_track()?, asked.limit());
    let mut tx = app.store.read().await?;
    catalogue::genre(&mut tx, genre).await?.ok_or_else(|| Problem::not_found("genre"))?;
    let tracks = catalogue::by_popularity(&mut tx, Of::Genre(genre), after, limit).await?;
    Ok(Json(browse::page(tracks, limit)))
}
