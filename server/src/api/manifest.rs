//! `GET /v1/releases/{release}/manifest`: the signed description of a release.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use matinee_protocol::id::ReleaseId;

use super::authority::SwarmAuthority;
use super::doc::Doc;
use super::json::Path;
use super::problem::Problem;
use crate::app::App;
use crate::store::release;

/// What never changes may be kept by the device that asked for it, and by nobody between.
pub(super) const KEEP: &str = "private, max-age=31536000, immutable";

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("The signed description of a release").media(200, "application/jose")
}

/// The compact JWS.
pub async fn handle(
    State(app): State<App>,
    Path(release): Path<ReleaseId>,
    member: SwarmAuthority,
) -> Result<Response, Problem> {
    member.require_member_of(&app, release)?;
    let mut tx = app.store.read().await?;
    let manifest = release::manifest(&mut tx, release).await?.ok_or_else(|| Problem::not_found("release"))?;
    Ok(([(header::CONTENT_TYPE, "application/jose"), (header::CACHE_CONTROL, KEEP)], manifest)
        .into_response())
}
