//! `GET /v1/collections/{collection}`: a collection, its plans, and a page of its titles.

use axum::Json;
use axum::extract::State;
use matinee_protocol::api::PlanSummary;
use matinee_protocol::id::{CollectionId, TitleId};
use serde_json::{Value, json};

use super::authority::Session;
use super::cursor::{self, Paging};
use super::doc::Doc;
use super::json::Path;
use super::problem::Problem;
use crate::app::App;
use crate::store::{account, collection, plan};

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("A collection, its plans, and a page of its titles").paged(cursor::PAGE_ROWS_MAX).object(
        200,
        |it| {
            it.object("collection", |it| {
                it.field::<CollectionId>("id").field::<String>("name").field::<String>("publisher")
            })
            .list::<PlanSummary>("plans")
            .list_of("titles", |it| {
                it.field::<TitleId>("title")
                    .field::<String>("name")
                    .field::<u32>("tier")
                    .field::<Option<i64>>("available_from_ms")
            })
            .field::<Option<String>>("next")
        },
    )
}

/// Answers; `next` is there if more titles follow.
pub async fn handle(
    State(app): State<App>,
    session: Option<Session>,
    Path(id): Path<CollectionId>,
    Paging(asked): Paging,
) -> Result<Json<Value>, Problem> {
    let mut tx = app.store.read().await?;
    let found = collection::by_id(&mut tx, id).await?.ok_or_else(|| Problem::not_found("collection"))?;
    let plans = plan::by_collection(&mut tx, id).await?;
    let publisher = account::by_id(&mut tx, found.publisher_id).await?;
    let publisher = publisher.map(|publisher| publisher.name).unwrap_or_default();
    let account = session.map(|session| session.account);
    let page = collection::titles(&mut tx, id, account, &asked).await?;
    let titles = page.rows.iter().map(|held| {
        json!({
            "title": held.title, "name": held.name, "tier": held.tier,
            "available_from_ms": held.available_from_ms,
        })
    });
    let titles: Vec<Value> = titles.collect();
    let plans: Vec<_> = plans.iter().map(plan::Plan::summary).collect();
    Ok(Json(json!({
        "collection": { "id": found.id, "name": found.name, "publisher": publisher }, "plans": plans, "titles": titles,
        "next": page.next.as_ref().map(cursor::write),
    })))
}
