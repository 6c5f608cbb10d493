//! Publishing through a server's HTTP interface: cut at any byte, it goes on where the server says.

use std::time::Duration;

use futures_util::StreamExt as _;
use indicatif::ProgressBar;
use matinee_protocol::api::Problem;
use matinee_protocol::id::{PlanId, ReleaseId, TitleId};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::io::AsyncSeekExt as _;

use super::plan::Source;
use super::{Args, Error, Published};

/// Attempts in a row that brought nothing before an upload is given up.
const ATTEMPTS_MAX: u32 = 8;
/// The first pause after a failed attempt; it doubles each time.
const PAUSE_MS: u64 = 250;
/// The longest pause.
const PAUSE_MS_MAX: u64 = 8_000;
/// Bytes read from the file at once.
const READ_BYTES: usize = 1024 * 1024;
/// How long a connection may take to come up.
const CONNECT_S_MAX: u64 = 10;
/// How long a request without an upload may take; a publication writes pages and flushes.
const REQUEST_S_MAX: u64 = 300;

/// A server and a login there.
#[derive(Clone, Debug)]
pub(super) struct Remote {
    http: reqwest::Client,
    url: String,
    token: String,
}

/// How a login is had.
pub(super) enum Login {
    /// A token that was made before.
    Token(String),
    /// E-mail address and password.
    Password(String, zeroize::Zeroizing<String>),
}

#[derive(Deserialize)]
struct Session {
    session_token: String,
}

impl Remote {
    /// Signs in.
    pub(super) async fn connect(url: &str, login: Login) -> Result<Self, Error> {
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(CONNECT_S_MAX))
            .build()
            .map_err(|error| Error::Http(error.to_string()))?;
        let mut remote = Self { http, url: url.trim_end_matches('/').to_owned(), token: String::new() };
        remote.token = match login {
            Login::Token(token) => token,
            Login::Password(email, password) => {
                let body = json!({"email": email, "password": &*password, "bearer": true});
                let session: Session = remote.json(Method::POST, "/v1/sessions", Some(&body)).await?;
                session.session_token
            }
        };
        Ok(remote)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        if self.token.is_empty() { request } else { request.bearer_auth(&self.token) }
    }

    async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, Error> {
        let request = self.request(method, path).timeout(Duration::from_secs(REQUEST_S_MAX));
        let request = if let Some(body) = body { request.json(body) } else { request };
        let response = accepted(request.send().await?).await?;
        Ok(response.json().await?)
    }

    /// Creates title, plan and release, and tells which they are.
    pub(super) async fn create(&self, args: &Args, sources: &[Source]) -> Result<Published, Error> {
        #[derive(Deserialize)]
        struct Id<T> {
            id: T,
        }
        #[derive(Deserialize)]
        struct Created {
            release: ReleaseId,
        }
        #[derive(Deserialize)]
        struct Title {
            title: Id<TitleId>,
        }
        #[derive(Deserialize)]
        struct Plan {
            plan: Id<PlanId>,
        }
        let title = match args.title_id {
            Some(title) => title,
            None => {
                let body = json!({"name": args.title.as_deref().unwrap_or_default()});
                self.json::<Title>(Method::POST, "/v1/titles", Some(&body)).await?.title.id
            }
        };
        let files: Vec<_> = sources.iter().map(|source| &source.announced).collect();
        let body = json!({"sealed": !args.open, "files": files});
        let created: Created =
            self.json(Method::POST, &format!("/v1/titles/{title}/releases"), Some(&body)).await?;
        let plan = match &args.rental {
            None => None,
            Some(price) => {
                let body = json!({
                    "kind": "rental", "price": price, "views": args.views,
                    "start_within_ms": args.start_within, "play_within_ms": args.play_within,
                });
                let path = format!("/v1/titles/{title}/plans");
                Some(self.json::<Plan>(Method::POST, &path, Some(&body)).await?.plan.id)
            }
        };
        Ok(Published { title: Some(title), release: created.release, plan, bytes: 0 })
    }

    /// Uploads one file from where the server has it, through cuts.
    pub(super) async fn upload(
        &self,
        release: ReleaseId,
        file: usize,
        source: &Source,
        bar: &ProgressBar,
        before: u64,
    ) -> Result<(), Error> {
        let path = format!("/v1/releases/{release}/files/{file}/upload");
        let size = source.announced.size_bytes;
        let mut reached = None;
        let mut attempts = 0;
        loop {
            let attempt = async {
                let offset = self.offset(&path, size).await?;
                bar.set_position(before + offset);
                if offset < size {
                    self.append(&path, source, offset, bar).await?;
                }
                self.offset(&path, size).await
            };
            let failure = match attempt.await {
                Ok(offset) if offset == size => return Ok(()),
                Ok(offset) if reached.is_none_or(|reached| offset > reached) => {
                    (reached, attempts) = (Some(offset), 0);
                    continue;
                }
                Ok(_) => Error::Http("the server takes no more bytes".to_owned()),
                Err(failure) if !failure.is_passing() => return Err(failure),
                Err(failure) => failure,
            };
            attempts += 1;
            if let Ok(offset) = self.offset(&path, size).await
                && reached.is_none_or(|reached| offset > reached)
            {
                (reached, attempts) = (Some(offset), 1);
            }
            if attempts >= ATTEMPTS_MAX {
                return Err(failure);
            }
            let pause = PAUSE_MS.saturating_mul(1 << attempts.min(10)).min(PAUSE_MS_MAX);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }

    async fn offset(&self, path: &str, size: u64) -> Result<u64, Error> {
        let request = self.request(Method::HEAD, path).timeout(Duration::from_secs(REQUEST_S_MAX));
        let response = accepted(request.send().await?).await?;
        let header = |name: &str| response.headers().get(name)?.to_str().ok()?.parse::<u64>().ok();
        match (header("upload-offset"), header("upload-length")) {
            (Some(offset), Some(length)) if length == size && offset <= size => Ok(offset),
            (_, Some(length)) if length != size => Err(Error::Changed(length, size)),
            _ => Err(Error::Http("the server gave no upload offset".to_owned())),
        }
    }

    async fn append(&self, path: &str, source: &Source, offset: u64, bar: &ProgressBar) -> Result<(), Error> {
        let unreadable = |error| Error::File { path: source.path.clone(), source: error };
        let mut file = tokio::fs::File::open(&source.path).await.map_err(unreadable)?;
        file.seek(std::io::SeekFrom::Start(offset)).await.map_err(unreadable)?;
        let left = source.announced.size_bytes - offset;
        let reader = tokio_util::io::ReaderStream::with_capacity(
            tokio::io::AsyncReadExt::take(file, left),
            READ_BYTES,
        );
        let bar = bar.clone();
        let counted =
            reader.inspect(move |read| bar.inc(read.as_ref().map_or(0, |bytes| bytes.len() as u64)));
        let request = self
            .request(Method::PATCH, path)
            .header("upload-offset", offset)
            .header("content-type", "application/offset+octet-stream")
            .header("content-length", left)
            .body(reqwest::Body::wrap_stream(counted));
        accepted(request.send().await?).await?;
        Ok(())
    }

    /// Publishes the whole release.
    pub(super) async fn publish(&self, release: ReleaseId) -> Result<(), Error> {
        let request = self.request(Method::POST, &format!("/v1/releases/{release}/publication"));
        accepted(request.timeout(Duration::from_secs(REQUEST_S_MAX)).send().await?).await?;
        Ok(())
    }

    /// Removes the release; a server that still winds up the upload is asked again.
    pub(super) async fn remove(&self, release: ReleaseId) -> Result<(), Error> {
        let mut attempt = 0;
        loop {
            let request = self.request(Method::DELETE, &format!("/v1/releases/{release}"));
            let removed = async { accepted(request.send().await?).await };
            match removed.await {
                Err(error) if error.is_passing() && attempt < ATTEMPTS_MAX => attempt += 1,
                other => return other.map(drop),
            }
            tokio::time::sleep(Duration::from_millis(PAUSE_MS)).await;
        }
    }
}

/// The answer, or the problem it tells of.
async fn accepted(response: Response) -> Result<Response, Error> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    match response.json::<Problem>().await {
        Ok(problem) => Err(Error::Refused { status, code: problem.code, detail: problem.detail }),
        Err(_) => Err(Error::Refused { status, code: String::new(), detail: status.to_string() }),
    }
}

impl Error {
    /// Whether trying again can help.
    fn is_passing(&self) -> bool {
        match self {
            Self::Http(_) => true,
            Self::Refused { status, code, .. } => {
                status.is_server_error()
                    || matches!(*status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
                    || matches!(
                        code.as_str(),
                        "upload_in_progress"
                            | "upload_offset_conflict"
                            | "upload_superseded"
                            | "malformed_request"
                    )
            }
            _ => false,
        }
    }
}
