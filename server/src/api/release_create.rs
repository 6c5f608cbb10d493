//! `POST /v1/titles/{title}/releases`: announces the files of a new release.

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use matinee_protocol::id::{FileIndex, ReleaseId, TitleId};
use serde::{Deserialize, Serialize};

use super::authority::Publisher;
use super::doc::Doc;
use super::json::Path;
use super::problem::Problem;
use super::trail::by;
use crate::app::App;
use crate::publish::{self, NewFile};
use crate::store::title;

/// Bytes of the announcement: room for 65,536 files of moderate names.
const ANNOUNCEMENT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Where an upload goes on.
pub(super) const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
/// How long the file is.
pub(super) const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Announcement {
    sealed: bool,
    files: Vec<NewFile>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Answer {
    release: ReleaseId,
    files: Vec<Upload>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Upload {
    file: FileIndex,
    upload_offset: u64,
}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Announces the files of a new release")
        .body::<Announcement>()
        .answer::<Answer>(201)
        .problems(422, &["file_count", "file_size", "file_name", "manifest_too_large"])
}

/// Creates the release, empty.
pub async fn handle(
    State(app): State<App>,
    Path(title): Path<TitleId>,
    Publisher(session): Publisher,
    body: axum::body::Body,
) -> Result<Response, Problem> {
    let mut tx = app.store.read().await?;
    let found = title::by_id(&mut tx, title).await?;
    drop(tx);
    found.filter(|found| found.publisher_id == session.account).ok_or_else(|| Problem::not_found("title"))?;
    let bytes = axum::body::to_bytes(body, ANNOUNCEMENT_BYTES_MAX)
        .await
        .map_err(|_| Problem::too_large(ANNOUNCEMENT_BYTES_MAX))?;
    let announced: Announcement = super::json::parse(&bytes)?;
    let now_ms = app.clock.now_ms();
    let release = app.desk.create(title, announced.sealed, &announced.files, &by(&session), now_ms).await?;
    let files = (0..).zip(&announced.files).map(|(at, _)| Upload { file: FileIndex(at), upload_offset: 0 });
    let answer = Answer { release, files: files.collect() };
    Ok((StatusCode::CREATED, axum::Json(answer)).into_response())
}

impl From<publish::Error> for Problem {
    fn from(error: publish::Error) -> Self {
        use publish::Error;
        let detail = error.to_string();
        let unprocessable = |code, detail| Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail);
        match error {
            Error::NoRelease => Self::not_found("release"),
            Error::NoFile => Self::not_found("file"),
            Error::FileCount => unprocessable("file_count", detail),
            Error::FileSize => unprocessable("file_size", detail),
            Error::Name(_) => unprocessable("file_name", detail),
            Error::ManifestSize => unprocessable("manifest_too_large", detail),
            Error::Published => Self::conflict("release_published", detail),
            Error::UploadInProgress => Self::conflict("upload_in_progress", detail)
                .with(header::RETRY_AFTER, HeaderValue::from_static("1")),
            Error::OffsetConflict(offset) => Self::conflict("upload_offset_conflict", detail)
                .with(UPLOAD_OFFSET, HeaderValue::from(offset)),
            Error::Incomplete(..) => Self::conflict("release_incomplete", detail),
            Error::Damaged(_) => Self::conflict("release_damaged", detail),
            Error::Origin(_) | Error::Store(_) | Error::Vault(_) => Self::internal(&detail),
        }
    }
}

impl From<publish::intake::Error> for Problem {
    fn from(error: publish::intake::Error) -> Self {
        use publish::intake::Error;
        let detail = error.to_string();
        match error {
            Error::TooLong(_) => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "upload_too_long", detail),
            Error::Superseded => Self::conflict("upload_superseded", detail),
            Error::Read(_) => Self::malformed(detail),
            Error::Origin(_) | Error::Store(_) | Error::Seal => Self::internal(&detail),
        }
    }
}
