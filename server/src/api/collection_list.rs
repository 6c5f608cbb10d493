//! `GET /v1/collections`: the collections that can be bought.

use axum::Json;
use axum::extract::State;
use matinee_protocol::api::{CollectionSummary, PlanSummary};
use serde_json::{Value, json};

use super::cursor::{self, Paging};
use super::doc::Doc;
use super::problem::Problem;
use crate::app::App;
use crate::store::{collection, plan};

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("The collections that can be bought, newest first").paged(cursor::PAGE_ROWS_MAX).object(
        200,
        |it| {
            it.list_of("collections", |it| {
                it.field::<CollectionSummary>("collection").list::<PlanSummary>("plans")
            })
            .field::<Option<String>>("next")
        },
    )
}

/// Answers.
pub async fn handle(State(app): State<App>, Paging(asked): Paging) -> Result<Json<Value>, Problem> {
    let mut tx = app.store.read().await?;
    let page = collection::listed(&mut tx, true, &asked).await?;
    let mut collections = Vec::with_capacity(page.rows.len());
    for found in page.rows {
        let plans = plan::by_collection(&mut tx, found.id).await?;
        let plans: Vec<_> = plans.iter().map(plan::Plan::summary).collect();
        collections.push(json!({ "collection": found, "plans": plans }));
    }
    Ok(Json(json!({ "collections": collections, "next": page.next.as_ref().map(cursor::write) })))
}
