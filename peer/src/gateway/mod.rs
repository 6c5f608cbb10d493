//! The loopback HTTP gateway that players read from.
//!
//! `GET /play/<release>/<file>/<name>?access=<secret>`: opened on the fly from verified chunks. A page of the web
//! that guesses the port is stopped twice: by the secret, and, if it rebinds a name of its own to loopback, by the
//! `Host` check.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use bytes::Bytes;
use matinee_protocol::id::{ChunkIndex, FileIndex, ReleaseId};
use matinee_protocol::limit::CHUNK_BYTES;
use serde::Deserialize;
use subtle::ConstantTimeEq as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::clock;

mod range;

pub use range::{Wanted, wanted};

/// What a file is to an HTTP client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileAbout {
    /// Plaintext bytes.
    pub size_bytes: u64,
    /// As in the manifest.
    pub media_type: String,
}

/// Why a chunk's plaintext cannot be had: a status and a stable code for the player's log.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{detail}")]
pub struct ReadError {
    /// HTTP status.
    pub status: StatusCode,
    /// Stable code.
    pub code: String,
    /// What to do about it.
    pub detail: String,
}

/// Where plaintext comes from.
pub trait Library: Send + Sync + 'static {
    /// One reader of one file; dropping it ends the reading.
    type Reader: Reader;

    /// What is known of a file, if it is served here.
    fn about(&self, release: ReleaseId, file: FileIndex) -> Option<FileAbout>;

    /// Begins to read a file that [`Library::about`] knows.
    fn reader(&self, release: ReleaseId, file: FileIndex) -> Option<Self::Reader>;
}

/// Reads one file, chunk by chunk, at a place of its own.
pub trait Reader: Send + 'static {
    /// The plaintext of a chunk, waiting for it to arrive.
    fn read(&mut self, chunk: ChunkIndex) -> impl Future<Output = Result<Bytes, ReadError>> + Send;
}

/// The secret that a play URL carries.
#[derive(Clone)]
pub struct Access(String);

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Access(hidden)")
    }
}

/// A gateway that listens.
#[derive(Debug)]
pub struct Gateway {
    address: SocketAddr,
    access: Access,
    serving: tokio::task::JoinHandle<()>,
    stop: CancellationToken,
}

struct Inner<L> {
    library: Arc<L>,
    access: Access,
    hosts: [String; 2],
}

impl Gateway {
    /// Listens on 127.0.0.1 at `port` (0: any free one) and serves the files of `library`.
    ///
    /// # Errors
    /// The port is taken.
    pub async fn start<L: Library>(library: Arc<L>, port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let access = Access(hex::encode(clock::random::<32>()));
        let hosts = [format!("127.0.0.1:{}", address.port()), format!("localhost:{}", address.port())];
        let inner = Arc::new(Inner { library, access: access.clone(), hosts });
        let router = Router::new()
            .route("/play/{release}/{file}/{name}", get(play::<L>))
            .layer(middleware::from_fn_with_state(Arc::clone(&inner), guard::<L>))
            .with_state(inner);
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let serving = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stopped).await {
                tracing::warn!(%error, "the gateway ended");
            }
        });
        Ok(Self { address, access, serving, stop })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a file, secret included.
    #[must_use]
    pub fn url(&self, release: ReleaseId, file: FileIndex, name: &str) -> String {
        let base = name.rsplit('/').next().unwrap_or(name);
        let mut url = format!("http://{}/play/{release}/{file}/", self.address);
        for byte in if base.is_empty() { "file" } else { base }.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    url.push(char::from(byte))
                }
                byte => url.push_str(&format!("%{byte:02X}")),
            }
        }
        url.push_str("?access=");
        url.push_str(&self.access.0);
        url
    }

    /// Stops listening and cuts what is being read.
    pub fn stop(&self) {
        self.stop.cancel();
        self.serving.abort();
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.stop();
    }
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    access: String,
}

/// Host and secret, before anything else is looked at.
async fn guard<L: Library>(State(inner): State<Arc<Inner<L>>>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
    if !inner.hosts.iter().any(|own| own.eq_ignore_ascii_case(host)) {
        return problem(StatusCode::FORBIDDEN, "host_not_allowed", "use the play URL as it was printed");
    }
    let asked = Query::<Asked>::try_from_uri(request.uri());
    let access = asked.map(|Query(asked)| asked.access).unwrap_or_default();
    if !bool::from(access.as_bytes().ct_eq(inner.access.0.as_bytes())) {
        return problem(StatusCode::FORBIDDEN, "access_refused", "use the play URL as it was printed");
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    // What a publisher names text/html must not run as a page of loopback.
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn play<L: Library>(
    State(inner): State<Arc<Inner<L>>>,
    Path((release, file, _name)): Path<(String, u32, String)>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let file = FileIndex(file);
    let found = release.parse::<ReleaseId>().ok();
    let about = found.and_then(|release| Some((release, inner.library.about(release, file)?)));
    let Some((release, about)) = about else {
        return problem(StatusCode::NOT_FOUND, "file_not_found", "this peer does not play that file");
    };
    let tag = format!("\"{release}-{file}\"");
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let range = text(header::RANGE).filter(|_| text(header::IF_RANGE).is_none_or(|seen| seen == tag));
    let (status, first, end) = match wanted(range, about.size_bytes) {
        Wanted::Whole => (StatusCode::OK, 0, about.size_bytes),
        Wanted::Part { first, last } => (StatusCode::PARTIAL_CONTENT, first, last + 1),
        Wanted::Unsatisfiable => {
            let mut response = problem(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "range_not_satisfiable",
                "ask for bytes of the file",
            );
            set(&mut response, header::CONTENT_RANGE, &format!("bytes */{}", about.size_bytes));
            return response;
        }
    };
    let body = if method == Method::HEAD || first == end {
        Body::empty()
    } else {
        let Some(reader) = inner.library.reader(release, file) else {
            return problem(StatusCode::GONE, "view_ended", "open the title again");
        };
        match stream(reader, first, end).await {
            Ok(body) => body,
            Err(error) => return problem(error.status, &error.code, &error.detail),
        }
    };
    let mut response = (status, body).into_response();
    let media_type = if about.media_type.is_empty() { "application/octet-stream" } else { &about.media_type };
    set(&mut response, header::CONTENT_TYPE, media_type);
    set(&mut response, header::CONTENT_LENGTH, &(end - first).to_string());
    set(&mut response, header::ACCEPT_RANGES, "bytes");
    set(&mut response, header::ETAG, &tag);
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {first}-{}/{}", end - 1, about.size_bytes);
        set(&mut response, header::CONTENT_RANGE, &range);
    }
    response
}

/// A body of bytes `next..end`, read chunk by chunk as the client takes them: one chunk in memory at a time.
///
/// The first chunk is read before the answer begins, so that a refusal has a status of its own.
async fn stream<R: Reader>(mut reader: R, next: u64, end: u64) -> Result<Body, ReadError> {
    let first = part(&mut reader, next, end).await?;
    let after = next + first.len() as u64;
    let rest = futures_util::stream::try_unfold((reader, after), move |(mut reader, next)| async move {
        if next >= end {
            return Ok(None);
        }
        let bytes = part(&mut reader, next, end).await?;
        let after = next + bytes.len() as u64;
        Ok::<_, ReadError>(Some((bytes, (reader, after))))
    });
    let first = futures_util::stream::once(async move { Ok::<_, ReadError>(first) });
    Ok(Body::from_stream(futures_util::StreamExt::chain(first, rest)))
}

/// The bytes from `next` to the end of its chunk, at most to `end`.
async fn part<R: Reader>(reader: &mut R, next: u64, end: u64) -> Result<Bytes, ReadError> {
    let malformed = || ReadError {
        status: StatusCode::INTERNAL_SERVER_ERROR,
        code: "chunk_too_short".to_owned(),
        detail: "a chunk is shorter than the manifest says".to_owned(),
    };
    let chunk = u32::try_from(next / u64::from(CHUNK_BYTES)).map_err(|_| malformed())?;
    let bytes = reader.read(ChunkIndex(chunk)).await?;
    let from = (next % u64::from(CHUNK_BYTES)) as usize;
    let to = bytes.len().min(from.saturating_add(usize::try_from(end - next).unwrap_or(usize::MAX)));
    if from >= to {
        return Err(malformed());
    }
    Ok(bytes.slice(from..to))
}

fn set(response: &mut Response, name: header::HeaderName, value: &str) {
    // A media type of the manifest may hold what no header can.
    let value = HeaderValue::from_str(value).unwrap_or(HeaderValue::from_static("application/octet-stream"));
    response.headers_mut().insert(name, value);
}

fn problem(status: StatusCode, code: &str, detail: &str) -> Response {
    let body = serde_json::json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or("refused"),
        "status": status.as_u16(),
        "code": code,
        "detail": detail,
    });
    let headers = [(header::CONTENT_TYPE, "application/problem+json")];
    (status, headers, body.to_string()).into_response()
}

#[cfg(test)]
mod tests;
