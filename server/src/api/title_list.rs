//! `GET /v1/titles`: what the shop shows.

use axum::Json;
use axum::extract::State;
use matinee_protocol::api::TitleSummary;
use serde_json::{Value, json};

use super::cursor::{self, Paging};
use super::doc::Doc;
use super::problem::Problem;
use super::title_show::summary;
use crate::app::App;
use crate::store::title;

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("What the shop shows, newest first")
        .paged(cursor::PAGE_ROWS_MAX)
        .object(200, |it| it.list::<TitleSummary>("titles").field::<Option<String>>("next"))
}

/// Answers.
pub async fn handle(State(app): State<App>, Paging(asked): Paging) -> Result<Json<Value>, Problem> {
    let mut tx = app.store.read().await?;
    let mut titles = Vec::new();
    let page = title::listed(&mut tx, &asked).await?;
    for found in page.rows {
        titles.push(summary(&mut tx, found).await?);
    }
    Ok(Json(json!({ "titles": titles, "next": page.next.as_ref().map(cursor::write) })))
}
