//! `PATCH /v1/releases/{release}/files/{file}/upload`: the next bytes of a file.
//!
//! What arrives in whole segments stays, whatever happens to the rest of the request.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use matinee_protocol::id::{FileIndex, ReleaseId};

use super::authority::Publisher;
use super::doc::Doc;
use super::json::Path;
use super::problem::Problem;
use super::release_create::UPLOAD_OFFSET;
use crate::app::App;
use crate::publish::Intake;
use crate::publish::intake::Error;

/// How long an upload may pause.
const IDLE_MS_MAX: u64 = 30_000;
/// The media type of upload bodies (RFC draft of resumable uploads, tus).
const OFFSET_STREAM: &str = "application/offset+octet-stream";

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("The next bytes of a file")
        .bytes(OFFSET_STREAM)
        .header(
            "Upload-Offset",
            "where they begin, as HEAD gives it",
            true,
            serde_json::json!({ "type": "integer", "minimum": 0 }),
        )
        .bare(204)
        .problem(408, "upload_stalled")
        .problems(
            409,
            &["release_published", "upload_in_progress", "upload_offset_conflict", "upload_superseded"],
        )
        .problem(413, "upload_too_long")
        .problem(415, "upload_media_type")
        .problem(503, "uploads_busy")
}

/// Takes bytes in from the offset named, which must be the one the server has.
pub async fn handle(
    State(app): State<App>,
    Path((release, file)): Path<(ReleaseId, FileIndex)>,
    Publisher(session): Publisher,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let found = app.desk.release_of(session.account, release).await?;
    if headers.get(header::CONTENT_TYPE).is_none_or(|kind| kind != OFFSET_STREAM) {
        let detail = format!("send the bytes as {OFFSET_STREAM}");
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "upload_media_type", detail));
    }
    let offset = number(&headers, UPLOAD_OFFSET.as_str())
        .ok_or_else(|| Problem::malformed("send Upload-Offset, as HEAD gives it"))?;
    let size_bytes = app.desk.file(found.id, file).await?.size_bytes;
    let length = number(&headers, header::CONTENT_LENGTH.as_str());
    if length.is_some_and(|length| length > size_bytes.saturating_sub(offset)) {
        return Err(Error::TooLong(size_bytes).into());
    }
    let Some(slot) = app.desk.upload_slot() else {
        let detail = "too many uploads at once; try again shortly";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "uploads_busy", detail)
            .with(header::RETRY_AFTER, HeaderValue::from_static("2")));
    };
    let intake = app.desk.intake(&found, file, Some(offset)).await?;
    // In a task of its own: when the client goes away, what has arrived is still acknowledged.
    let taken = tokio::spawn(async move {
        let _slot = slot;
        take_in(intake, body.into_data_stream()).await
    });
    let acknowledged = taken.await.map_err(|error| Problem::internal(&error))??;
    Ok((StatusCode::NO_CONTENT, [(UPLOAD_OFFSET, HeaderValue::from(acknowledged))]).into_response())
}

/// Feeds the body to the intake and gives the bytes acknowledged.
async fn take_in(mut intake: Intake, mut body: BodyDataStream) -> Result<u64, Problem> {
    let refusal = loop {
        let frame = tokio::select! {
            biased;
            () = intake.cancelled() => break Problem::from(Error::Superseded),
            frame = tokio::time::timeout(Duration::from_millis(IDLE_MS_MAX), body.next()) => frame,
        };
        match frame {
            Ok(None) => return Ok(intake.finish(true).await?),
            Ok(Some(Ok(bytes))) => match intake.write(&bytes).await {
                Ok(()) => {}
                Err(error) => break error.into(),
            },
            Ok(Some(Err(_))) => {
                break Problem::malformed("the upload was cut; ask for the offset and go on there");
            }
            Err(_) => {
                let detail = "nothing arrived for 30 s; ask for the offset and go on there";
                break Problem::new(StatusCode::REQUEST_TIMEOUT, "upload_stalled", detail);
            }
        }
    };
    let acknowledged = intake.finish(false).await?;
    Err(refusal.with(UPLOAD_OFFSET, HeaderValue::from(acknowledged)))
}

/// A header that is a plain number.
fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    let text = headers.get(name)?.to_str().ok()?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}
