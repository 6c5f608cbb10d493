//! `DELETE /v1/collections/{collection}/titles/{title}`: takes a title out of a collection. Views that are open go on.

use axum::extract::State;
use axum::http::StatusCode;
use matinee_protocol::id::{CollectionId, TitleId};
use serde_json::json;

use super::authority::Publisher;
use super::collection_title_put::own;
use super::doc::Doc;
use super::json::Path;
use super::problem::Problem;
use super::trail::note;
use crate::app::App;
use crate::store::collection;

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Takes a title out of a collection").bare(204)
}

/// Answers 204, also if it was not in it.
pub async fn handle(
    State(app): State<App>,
    Publisher(session): Publisher,
    Path((collection, title)): Path<(CollectionId, TitleId)>,
) -> Result<StatusCode, Problem> {
    let mut tx = app.store.write().await?;
    own(&mut tx, collection, session.account).await?;
    collection::remove_title(&mut tx, collection, title).await?;
    let detail = json!({ "title": title });
    note(&mut tx, &session, "collection.remove", &collection, detail, app.clock.now_ms()).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
