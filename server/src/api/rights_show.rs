//! `GET /v1/titles/{title}/rights`: the rights of a title, as its publisher set them.

use axum::Json;
use axum::extract::State;
use matinee_protocol::api::CountryRule;
use matinee_protocol::id::{GroupId, TitleId};
use serde::Serialize;

use super::authority::Publisher;
use super::doc::Doc;
use super::json::Path;
use super::problem::Problem;
use crate::app::App;
use crate::store::{right, title};

/// What was set; what is absent is no limit. Sent back, it changes nothing.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = TitleRights)]
pub struct Shown {
    #[serde(skip_serializing_if = "Option::is_none")]
    available_from_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    available_until_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<GroupId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    preview_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    countries: Option<CountryRule>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ad_clip_url: Option<String>,
}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("The rights of a title, as they were set").answer::<Shown>(200)
}

/// Answers the title's publisher.
pub async fn handle(
    State(app): State<App>,
    Publisher(session): Publisher,
    Path(title): Path<TitleId>,
) -> Result<Json<Shown>, Problem> {
    let mut tx = app.store.read().await?;
    let own = title::by_id(&mut tx, title).await?.filter(|found| found.publisher_id == session.account);
    own.ok_or_else(|| Problem::not_found("title"))?;
    let rights = right::of_title(&mut tx, title).await?.ok_or_else(|| Problem::not_found("title"))?;
    Ok(Json(Shown {
        available_from_ms: rights.available_from_ms,
        available_until_ms: rights.available_until_ms,
        group: rights.group,
        preview_ms: rights.preview_ms,
        countries: rights.countries.summary(),
        ad_clip_url: rights.ad_clip_url,
    }))
}
