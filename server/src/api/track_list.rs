//! `GET /v1/tracks`: every track, the most popular first.

use axum::Json;
use axum::extract::State;
use axum::http::Uri;

use super::browse::{self, PageQuery, TrackPage};
use super::problem::Problem;
use crate::app::App;
use crate::store::catalogue::{self, Of};

/// Answers with a page.
pub async fn handle(State(app): State<App>, uri: Uri) -> Result<Json<TrackPage>, Problem> {
    let asked: PageQuery = browse::query(&uri)?;
    let (after, limit) = (asked.after_track()?, asked.limit());
    let mut tx = app.store.read().await?;
    let tracks = catalogue::by_popularity(&mut tx, Of::All, after, limit).await?;
    Ok(Json(browse::page(tracks, limit)))
}
