//! `HEAD /v1/releases/{release}/files/{file}/upload`: where an upload goes on.

use axum::extract::State;
use axum::http::HeaderValue;
use axum::response::{IntoResponse, Response};
use matinee_protocol::id::{FileIndex, ReleaseId};

use super::authority::Publisher;
use super::doc::Doc;
use super::json::Path;
use super::problem::Problem;
use super::release_create::{UPLOAD_LENGTH, UPLOAD_OFFSET};
use crate::app::App;

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Where an upload goes on").bare(200)
}

/// Tells the offset, a multiple of a segment or the end.
pub async fn handle(
    State(app): State<App>,
    Path((release, file)): Path<(ReleaseId, FileIndex)>,
    Publisher(session): Publisher,
) -> Result<Response, Problem> {
    let found = app.desk.release_of(session.account, release).await?;
    let file = app.desk.file(found.id, file).await?;
    let headers = [
        (UPLOAD_OFFSET, HeaderValue::from(file.uploaded_bytes)),
        (UPLOAD_LENGTH, HeaderValue::from(file.size_bytes)),
    ];
    Ok(headers.into_response())
}
