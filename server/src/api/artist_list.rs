//! `GET /v1/artists`: every artist by name.

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use serde::Serialize;

use super::browse::{self, PageQuery};
use super::problem::Problem;
use crate::app::App;
use crate::store::catalogue::{self, Named};

/// Artists, and the cursor of the page that follows.
#[derive(Debug, Serialize)]
pub struct Answer {
    artists: Vec<Named>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Answers with a page.
pub async fn handle(State(app): State<App>, uri: Uri) -> Result<Json<Answer>, Problem> {
    let asked: PageQuery = browse::query(&uri)?;
    let limit = asked.limit();
    let mut tx = app.store.read().await?;
    let found = catalogue::artists(&mut tx, &asked.after_text()?, limit).await?;
    let full = i64::try_from(found.len()).is_ok_and(|count| count == limit);
    let next = found.last().filter(|_| full).map(|(_, key)| browse::cursor(key));
    Ok(Json(Answer { artists: found.into_iter().map(|(artist, _)| artist).collect(), next }))
}
