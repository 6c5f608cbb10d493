//! `GET /v1/releases/{release}/files/{file}/pages/{page}`: a page of chunk hashes.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use matinee_protocol::id::{FileIndex, PageIndex, ReleaseId};

use super::authority::SwarmAuthority;
use super::doc::Doc;
use super::json::Path;
use super::manifest::KEEP;
use super::problem::Problem;
use crate::app::App;
use crate::origin::{self, Object};
use crate::store::release::{self, State as Stand};

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("A page of chunk hashes").media(200, "application/octet-stream")
}

/// At most 32 KiB, whole.
pub async fn handle(
    State(app): State<App>,
    Path((release, file, page)): Path<(ReleaseId, FileIndex, PageIndex)>,
    member: SwarmAuthority,
) -> Result<Response, Problem> {
    member.require_member_of(&app, release)?;
    let mut tx = app.store.read().await?;
    let found = release::by_id(&mut tx, release).await?;
    drop(tx);
    found.filter(|found| found.state == Stand::Published).ok_or_else(|| Problem::not_found("release"))?;
    let bytes = match app.origin.get(Object::Page(release, file, page)).await {
        Ok(bytes) => bytes,
        Err(origin::Error::Missing) => return Err(Problem::not_found("page")),
        Err(error) => return Err(Problem::internal(&error)),
    };
    let headers = [(header::CONTENT_TYPE, "application/octet-stream"), (header::CACHE_CONTROL, KEEP)];
    Ok((headers, bytes).into_response())
}
