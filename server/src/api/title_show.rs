//! `GET /v1/titles/{title}`: a title, its plans and its newest published release.

use axum::Json;
use axum::extract::State;
use matinee_protocol::api::{FileSummary, ReleaseSummary, TitleSummary};
use matinee_protocol::id::TitleId;
use serde_json::{Value, json};

use super::authority::Session;
use super::doc::Doc;
use super::json::Path;
use super::problem::Problem;
use crate::app::App;
use crate::store::title::{self, Title};
use crate::store::{self, Tx, collection, group, plan, release};

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("A title, its plans and its newest release").object(200, |it| it.field::<TitleSummary>("title"))
}

/// Answers; a private title is there for its publisher and its group only.
pub async fn handle(
    State(app): State<App>,
    session: Option<Session>,
    Path(title): Path<TitleId>,
) -> Result<Json<Value>, Problem> {
    let mut tx = app.store.read().await?;
    if !group::may_see(&mut tx, title, session.map(|session| session.account)).await? {
        return Err(Problem::not_found("title"));
    }
    let found = title::by_id(&mut tx, title).await?.ok_or_else(|| Problem::not_found("title"))?;
    Ok(Json(json!({ "title": summary(&mut tx, found).await? })))
}

/// A title as the interface shows it.
pub async fn summary(tx: &mut Tx, found: Title) -> Result<TitleSummary, store::Error> {
    let plans = plan::by_title(tx, found.id).await?;
    let time = |ms: Option<i64>| ms.and_then(|ms| u64::try_from(ms).ok());
    let release = match release::latest_published(tx, found.id).await? {
        Some(published) => {
            let files = release::files(tx, published.id).await?;
            let files = files.into_iter().map(|file| FileSummary {
                name: file.name,
                media_type: file.media_type,
                size_bytes: file.size_bytes,
                duration_ms: file.duration_ms,
            });
            Some(ReleaseSummary { id: published.id, sealed: published.sealed, files: files.collect() })
        }
        None => None,
    };
    Ok(TitleSummary {
        id: found.id,
        name: found.name,
        publisher: found.publisher_name,
        plans: plans.iter().map(plan::Plan::summary).collect(),
        release,
        available_from_ms: time(found.available_from_ms),
        available_until_ms: time(found.available_until_ms),
        preview_ms: time(found.preview_ms),
        countries: found.countries.summary(),
        private: found.private,
        collections: collection::of_title(tx, found.id).await?,
    })
}
