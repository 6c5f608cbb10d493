//! `GET /v1/collections/{collection}`: a collection, its plans, and a page of its titles.

use axum::Json;
use axum::extract::{Query, State};
use matinee_protocol::id::{CollectionId, TitleId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::json::Path;
use super::problem::Problem;
use crate::app::App;
use crate::store::collection::TITLES_LISTED_MAX;
use crate::store::{collection, plan};

/// Query.
#[derive(Deserialize)]
pub struct Page {
    /// The title after which the page begins, as the page before says.
    after: Option<String>,
}

/// Answers; `next` is there if more titles follow.
pub async fn handle(
    State(app): State<App>,
    Path(id): Path<CollectionId>,
    Query(page): Query<Page>,
) -> Result<Json<Value>, Problem> {
    let after: Option<TitleId> = match page.after {
        Some(text) => Some(text.parse().map_err(|_| Problem::malformed("after must be a title's id"))?),
        None => None,
    };
    let mut tx = app.store.read().await?;
    let found = collection::by_id(&mut tx, id).await?.ok_or_else(|| Problem::not_found("collection"))?;
    let plans = plan::by_collection(&mut tx, id).await?;
    let titles = collection::titles(&mut tx, id, after).await?;
    let more = i64::try_from(titles.len()).is_ok_and(|count| count == TITLES_LISTED_MAX);
    let next = titles.last().filter(|_| more).map(|(title, _)| *title);
    let titles: Vec<Value> =
        titles.iter().map(|(title, tier)| json!({ "title": title, "tier": tier })).collect();
    let plans: Vec<_> = plans.iter().map(plan::Plan::summary).collect();
    Ok(Json(json!({
        "collection": { "id": found.id, "name": found.name }, "plans": plans, "titles": titles, "next": next,
    })))
}
