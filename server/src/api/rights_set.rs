//! `PUT /v1/titles/{title}/rights`: when, where and for whom a title may be played, and how much of it is free.

use axum::extract::State;
use axum::http::StatusCode;
use matinee_protocol::id::{GroupId, TitleId};
use serde::Deserialize;
use serde_json::json;

use super::authority::Publisher;
use super::countries::CountriesBody;
use super::doc::Doc;
use super::group_member_add;
use super::json::{Json, Path};
use super::plan_terms::WINDOW_MS_MAX;
use super::problem::Problem;
use super::trail::note;
use crate::app::App;
use crate::license::NO_LIMIT_MS;
use crate::license::epochs::{Extent, Open};
use crate::license::place::Countries;
use crate::store::release::{self, File};
use crate::store::right::{self, Rights};
use crate::store::{Tx, title};

/// Body: all of it; what is absent is no limit.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    /// From when it may be played: its premiere.
    available_from_ms: Option<i64>,
    /// Until when.
    available_until_ms: Option<i64>,
    /// The group that it is for.
    group: Option<GroupId>,
    /// How much of it is free, from its beginning.
    preview_ms: Option<u64>,
    /// In which countries.
    countries: Option<CountriesBody>,
    /// What is shown in the breaks of ad-supported views: an https URL, or a path of this server; a plain card if not given.
    ad_clip_url: Option<String>,
}

/// Bytes of a clip's address.
const CLIP_URL_BYTES_MAX: usize = 1000;

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Says when, where and for whom a title may be played, and how much of it is free")
        .body::<Body>()
        .bare(204)
        .problems(422, &["window_out_of_range", "preview_too_short", "countries_invalid", "clip_url_invalid"])
}

/// Answers 204; 422 for times out of range, a preview that would give nothing and countries that there are not. Views that are
/// open feel it at their next license.
pub async fn handle(
    State(app): State<App>,
    Publisher(session): Publisher,
    Path(title): Path<TitleId>,
    body: Result<Json<Body>, Problem>,
) -> Result<StatusCode, Problem> {
    let mut tx = app.store.write().await?;
    let found = title::by_id(&mut tx, title).await?.filter(|found| found.publisher_id == session.account);
    found.ok_or_else(|| Problem::not_found("title"))?;
    let Json { value: body, .. } = body?;
    let times = [body.available_from_ms, body.available_until_ms];
    let ordered = times[0].zip(times[1]).is_none_or(|(from, until)| from < until);
    let in_range = times.iter().flatten().all(|at_ms| (0..=NO_LIMIT_MS).contains(at_ms));
    if !ordered || !in_range || body.preview_ms.is_some_and(|preview| !(1..=WINDOW_MS_MAX).contains(&preview))
    {
        return Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "window_out_of_range",
            "a title opens before it closes, and its preview is of at least a millisecond",
        ));
    }
    if let Some(group) = body.group {
        group_member_add::own(&mut tx, group, session.account).await?;
    }
    if let Some(preview_ms) = body.preview_ms {
        require_an_epoch(&mut tx, title, preview_ms).await?;
    }
    if body.ad_clip_url.as_ref().is_some_and(|url| !is_clip(url)) {
        return Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "clip_url_invalid",
            "a clip is at an https URL, or at a path of this server",
        ));
    }
    let rights = Rights {
        available_from_ms: body.available_from_ms,
        available_until_ms: body.available_until_ms,
        group: body.group,
        preview_ms: body.preview_ms,
        countries: body.countries.map_or(Ok(Countries::All), |countries| countries.rule())?,
        ad_clip_url: body.ad_clip_url,
    };
    right::set(&mut tx, title, &rights).await?;
    let detail = json!({
        "available_from_ms": rights.available_from_ms, "available_until_ms": rights.available_until_ms,
        "group": rights.group, "preview_ms": rights.preview_ms,
    });
    note(&mut tx, &session, "rights.set", &title, detail, app.clock.now_ms()).await?;
    tx.commit().await?;
    app.catalog.forget_offers();
    Ok(StatusCode::NO_CONTENT)
}

fn is_clip(url: &str) -> bool {
    let known = url.starts_with("https://") || (url.starts_with('/') && !url.starts_with("//"));
    known && url.len() <= CLIP_URL_BYTES_MAX && url.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Refuses a preview in which no epoch of what would play is whole: keys are released by the epoch. Of what is not published
/// yet nobody knows.
async fn require_an_epoch(tx: &mut Tx, title: TitleId, preview_ms: u64) -> Result<(), Problem> {
    let Some(release) = release::latest_published(tx, title).await? else { return Ok(()) };
    let opens = |file: &File| {
        let extent = Extent::of(file.size_bytes, file.epoch_chunks, file.duration_ms);
        Open::Preview(preview_ms).permits(0, &extent).is_ok()
    };
    if !release.sealed || release::files(tx, release.id).await?.iter().any(opens) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "preview_too_short",
        "a preview ends with its last whole epoch, about a minute, and this one has none; make it longer. Files whose \
         duration is not known have no preview",
    ))
}
