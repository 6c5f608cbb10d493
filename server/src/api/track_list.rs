//! `GET /v1/tracks`: every track, the most popular first.

use axum::Json;
use axum::extract::State;
use serde_json::Value;

use super::authority::Session;
use super::browse;
use super::cursor::Paging;
use super::doc::Doc;
use super::problem::Problem;
use crate::app::App;
use crate::store::catalogue::{self, Of};

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    browse::paged_doc("Every track, the most popular first")
}

/// Answers with a page.
pub async fn handle(
    State(app): State<App>,
    session: Option<Session>,
    Paging(asked): Paging,
) -> Result<Json<Value>, Problem> {
    let (after, rows) = browse::asked(&asked)?;
    let mut tx = app.store.read().await?;
    let tracks =
        catalogue::by_popularity(&mut tx, session.map(|own| own.account), Of::All, after, rows).await?;
    Ok(Json(browse::page(tracks, &asked)))
}
