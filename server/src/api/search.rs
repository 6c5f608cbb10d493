//! `GET /v1/search?q=`: tracks as somebody types.

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use serde::Deserialize;

use super::browse::{self, TrackPage};
use super::problem::Problem;
use crate::app::App;
use crate::store::catalogue;
use crate::words;

/// Characters of a query.
const QUERY_CHARS_MAX: usize = 200;
/// Tracks found where it is not said.
const FOUND_DEFAULT: u32 = 20;

/// The query.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    q: String,
    limit: Option<u32>,
}

/// Answers with the most popular tracks that have every word in their name, artist or album; the last word may have only
/// been begun.
pub async fn handle(State(app): State<App>, uri: Uri) -> Result<Json<TrackPage>, Problem> {
    let asked: Query = browse::query(&uri)?;
    if asked.q.chars().count() > QUERY_CHARS_MAX {
        return Err(Problem::malformed(format!("q has at most {QUERY_CHARS_MAX} characters")));
    }
    let limit = asked.limit.unwrap_or(FOUND_DEFAULT).clamp(1, browse::PAGE_MAX);
    let mut tx = app.store.read().await?;
    let tracks = catalogue::search(&mut tx, &words::query(&asked.q), i64::from(limit)).await?;
    Ok(Json(TrackPage { tracks, next: None }))
}
