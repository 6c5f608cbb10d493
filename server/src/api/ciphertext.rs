//! `GET /v1/releases/{release}/files/{file}/ciphertext`: a file's ciphertext, whole or one range of it (RFC 9110).

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use matinee_protocol::id::{FileIndex, ReleaseId};
use matinee_protocol::limit::{CHUNK_BYTES, TAG_BYTES};

use super::authority::SwarmAuthority;
use super::doc::Doc;
use super::json::Path;
use super::manifest::KEEP;
use super::problem::Problem;
use crate::app::App;
use crate::origin::{self, range::Asked};
use crate::store::release::{self, State as Stand};

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("A file's ciphertext, whole or one range of it")
        .media(200, "application/octet-stream")
        .media(206, "application/octet-stream")
        .bare(304)
        .problem(416, "range_not_satisfiable")
}

/// Streams out of the segments; no segment is held whole.
pub async fn handle(
    State(app): State<App>,
    Path((release, file)): Path<(ReleaseId, FileIndex)>,
    method: Method,
    member: SwarmAuthority,
) -> Result<Response, Problem> {
    member.require_member_of(&app, release)?;
    let mut tx = app.store.read().await?;
    let found = release::by_id(&mut tx, release).await?;
    let found = found.filter(|found| found.state == Stand::Published);
    let sealed = found.ok_or_else(|| Problem::not_found("release"))?.sealed;
    let described = release::file(&mut tx, release, file).await?.ok_or_else(|| Problem::not_found("file"))?;
    drop(tx);
    let tag_bytes = if sealed { u64::from(TAG_BYTES) } else { 0 };
    let chunks = described.size_bytes.div_ceil(u64::from(CHUNK_BYTES));
    let length = described.size_bytes + chunks * tag_bytes;
    // A release never changes, so its place names its bytes.
    let tag = format!("\"{release}/{file}\"");
    if member.headers.get(header::IF_NONE_MATCH).is_some_and(|known| known == tag.as_str() || known == "*") {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    let asked = origin::range::asked(range_header(&member.headers, &tag), length);
    let (status, part) = match asked {
        Asked::Whole => (StatusCode::OK, 0..length),
        Asked::Part(part) => (StatusCode::PARTIAL_CONTENT, part),
        Asked::Unsatisfiable => return Err(unsatisfiable(length)),
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(KEEP));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(part.end - part.start));
    headers.insert(header::ETAG, value(&tag)?);
    if status == StatusCode::PARTIAL_CONTENT {
        let text = format!("bytes {}-{}/{length}", part.start, part.end - 1);
        headers.insert(header::CONTENT_RANGE, value(&text)?);
    }
    if method == Method::HEAD {
        return Ok((status, headers).into_response());
    }
    let body = Body::from_stream(origin::ciphertext(app.origin.clone(), release, file, sealed, part));
    Ok((status, headers, body).into_response())
}

/// The range asked for, unless it was asked for another state of the file. Only a strong tag counts.
fn range_header<'a>(headers: &'a HeaderMap, tag: &str) -> Option<&'a str> {
    if headers.get(header::IF_RANGE).is_some_and(|known| known != tag) {
        return None;
    }
    let mut ranges = headers.get_all(header::RANGE).iter();
    let range = ranges.next()?.to_str().ok();
    if ranges.next().is_some() { None } else { range }
}

fn unsatisfiable(length: u64) -> Problem {
    let detail = format!("the file has {length} bytes of ciphertext; ask for some of them");
    let problem = Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "range_not_satisfiable", detail);
    match value(&format!("bytes */{length}")) {
        Ok(range) => problem.with(header::CONTENT_RANGE, range),
        Err(problem) => problem,
    }
}

fn value(text: &str) -> Result<HeaderValue, Problem> {
    HeaderValue::from_str(text).map_err(|error| Problem::internal(&error))
}
