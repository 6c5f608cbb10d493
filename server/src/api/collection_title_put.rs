//! `PUT /v1/collections/{collection}/titles/{title}`: puts a title into a collection, or moves it to another tier.

use axum::extract::State;
use axum::http::StatusCode;
use matinee_protocol::id::{AccountId, CollectionId, TitleId};
use serde::Deserialize;
use serde_json::json;

use super::authority::Publisher;
use super::doc::Doc;
use super::json::{Json, Path};
use super::plan_terms::TIER_MAX;
use super::problem::Problem;
use super::trail::note;
use crate::app::App;
use crate::store::{Tx, collection, title};

/// Body.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    tier: u32,
}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Puts a title into a collection, or moves it to another tier")
        .body::<Body>()
        .bare(204)
        .problem(422, "tier_out_of_range")
}

/// Answers 204. Both must be the publisher's own.
pub async fn handle(
    State(app): State<App>,
    Publisher(session): Publisher,
    Path((collection, title)): Path<(CollectionId, TitleId)>,
    body: Result<Json<Body>, Problem>,
) -> Result<StatusCode, Problem> {
    let mut tx = app.store.write().await?;
    own(&mut tx, collection, session.account).await?;
    let found = title::by_id(&mut tx, title).await?.filter(|found| found.publisher_id == session.account);
    found.ok_or_else(|| Problem::not_found("title"))?;
    let tier = body?.value.tier;
    if !(1..=TIER_MAX).contains(&tier) {
        let detail = format!("a tier is of 1 to {TIER_MAX}");
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "tier_out_of_range", detail));
    }
    let now_ms = app.clock.now_ms();
    collection::put_title(&mut tx, collection, title, tier, now_ms).await?;
    let detail = json!({ "title": title, "tier": tier });
    note(&mut tx, &session, "collection.put", &collection, detail, now_ms).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Refuses collections of others.
pub async fn own(tx: &mut Tx, collection: CollectionId, account: AccountId) -> Result<(), Problem> {
    let found = collection::by_id(tx, collection).await?;
    let found = found.filter(|found| found.publisher_id == account);
    found.map(drop).ok_or_else(|| Problem::not_found("collection"))
}
