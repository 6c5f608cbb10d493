//! `GET /v1/artists/{artist}/tracks`: an artist's tracks, the most popular first.

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
    Path(artist): Path<i32>,
    uri: Uri,
) -> Result<Json<TrackPage>, Problem> {
    let asked: PageQuery = browse::query(&uri)?;
    let (after, limit) = (asked.after_track()?, asked.limit());
    let mut tx = app.store.read().await?;
    catalogue::artist(&mut tx, artist).await?.ok_or_else(|| Problem::not_found("artist"))?;
    let tracks = catalogue::by_popularity(&mut tx, Of::Artist(artist), after, limit).await?;
    Ok(Json(browse::page(tracks, limit)))
}
