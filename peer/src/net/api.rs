//! Client of the server's HTTP interface (PROTOCOL §5).
//!
//! Failures that may pass (no connection, 5xx, 429) are tried again with growing waits; each try carries a proof of
//! its own, since a proof is accepted once. What moves money or opens a view carries one `Idempotency-Key` for all
//! its tries, so that none counts twice.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use bytes::{Bytes, BytesMut};
use matinee_protocol::api::{
    AccountSummary, EntitlementSummary, LeaseAnswer, LeaseRequest, LicenseAnswer, LicenseRequest,
    OpenViewRequest, Opening, Problem, PurchaseAnswer, Renewal, TitleSummary,
};
use matinee_protocol::encoding::b64u;
use matinee_protocol::id::{EntitlementId, LeaseId, PlanId, ReleaseId, TitleId, ViewId};
use matinee_protocol::jws::KeySet;
use matinee_protocol::license::License;
use reqwest::{Method, RequestBuilder, Response, StatusCode, header};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::proof::{About, Prover};
use crate::clock;

/// Rows asked for in one page of a listing.
const PAGE_ROWS: u32 = 500;
/// Rows of a listing that are read.
const LISTED_MAX: usize = 10_000;
/// Largest JSON answer that is read (16 MiB: a listing of titles).
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Largest problem answer that is read.
const PROBLEM_BYTES_MAX: usize = 64 * 1024;
/// Time for a connection.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// Silence after which an answer is given up.
const READ_WAIT: Duration = Duration::from_secs(15);
/// Tries after the first.
const RETRIES_MAX: usize = 4;
/// First wait between tries, doubled each time.
const RETRY_WAIT_MIN: Duration = Duration::from_millis(200);
/// Longest wait between tries.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(5);

/// Why a request got no good answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server said no, with a stable code.
    #[error("{detail} ({code})")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Stable code of the problem.
        code: String,
        /// What to do.
        detail: String,
        /// When to ask again, if the server said so.
        retry_after: Option<Duration>,
    },
    /// The server was not reached, or the connection broke.
    #[error("cannot reach {server}: {reason}")]
    Network {
        /// Base URL.
        server: String,
        /// What went wrong.
        reason: String,
    },
    /// The answer is not of the known form.
    #[error("the server's answer to {path} is not of the known form ({reason}); is this a matinee server?")]
    Malformed {
        /// What was asked.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The server's address is not an http(s) URL.
    #[error("{0} is not an http or https URL")]
    Url(String),
}

impl Error {
    /// The stable code; `network`, `malformed_answer` and `url_malformed` for failures that no server named.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Refused { code, .. } => code,
            Self::Network { .. } => "network",
            Self::Malformed { .. } => "malformed_answer",
            Self::Url(_) => "url_malformed",
        }
    }

    /// Whether trying again may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Refused { status, .. } => *status >= 500 || *status == 429,
            Self::Network { .. } => true,
            Self::Malformed { .. } | Self::Url(_) => false,
        }
    }

    /// Whether the view token was refused, so that renewing it may help.
    #[must_use]
    pub fn is_authorization(&self) -> bool {
        matches!(self, Self::Refused { status: 401, .. })
    }
}

/// A server and, where signed in, the account's session.
#[derive(Clone)]
pub struct Api {
    http: reqwest::Client,
    base: String,
    session: Option<String>,
    prover: Prover,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").field("base", &self.base).finish_non_exhaustive()
    }
}

/// How a request shows its right.
#[derive(Clone, Copy)]
enum Authority<'a> {
    None,
    Session,
    SessionAndProof,
    View(&'a str),
}

/// Answer of `POST /v1/sessions`.
#[derive(Debug, Deserialize)]
pub struct SignedIn {
    /// The account.
    pub account: AccountSummary,
    /// Bearer token.
    pub session_token: Option<String>,
}

/// A base URL without trailing slash; http and https only.
///
/// # Errors
/// [`Error::Url`].
pub fn normalize_server(url: &str) -> Result<String, Error> {
    let refused = || Error::Url(url.to_owned());
    let parsed = reqwest::Url::parse(url).map_err(|_| refused())?;
    let plain = matches!(parsed.scheme(), "http" | "https") && parsed.query().is_none() && parsed.has_host();
    if !plain || !parsed.username().is_empty() || parsed.password().is_some() || parsed.fragment().is_some() {
        return Err(refused());
    }
    Ok(parsed.as_str().trim_end_matches('/').to_owned())
}

impl Api {
    /// A client of the server at `base`.
    ///
    /// # Errors
    /// [`Error::Url`], or no TLS can be set up.
    pub fn new(base: &str, session: Option<String>, prover: Prover) -> Result<Self, Error> {
        let base = normalize_server(base)?;
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_WAIT)
            .read_timeout(READ_WAIT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("matinee-peer/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| network(&base, &error))?;
        Ok(Self { http, base, session, prover })
    }

    /// The server's base URL.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Makes this device's proofs.
    #[must_use]
    pub fn prover(&self) -> &Prover {
        &self.prover
    }

    /// Signs in; gives the bearer token.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn sign_in(&self, email: &str, password: &str) -> Result<SignedIn, Error> {
        let body = serde_json::json!({"email": email, "password": password, "bearer": true});
        self.json(Method::POST, "/v1/sessions", Authority::None, Some(&body), None).await
    }

    /// Ends the session.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn sign_out(&self) -> Result<(), Error> {
        self.send(Method::DELETE, "/v1/sessions/current", Authority::Session, None, None).await.map(drop)
    }

    /// The account.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn account(&self) -> Result<AccountSummary, Error> {
        #[derive(Deserialize)]
        struct Answer {
            account: AccountSummary,
        }
        let answer: Answer =
            self.json(Method::GET, "/v1/account", Authority::Session, None::<&()>, None).await?;
        Ok(answer.account)
    }

    /// What the server sells.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn titles(&self) -> Result<Vec<TitleSummary>, Error> {
        #[derive(Deserialize)]
        struct Answer {
            titles: Vec<TitleSummary>,
            next: Option<String>,
        }
        let (mut titles, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/v1/titles?limit={PAGE_ROWS}&cursor={cursor}");
            let answer: Answer = self.json(Method::GET, &path, Authority::None, None::<&()>, None).await?;
            titles.extend(answer.titles);
            match answer.next {
                Some(next) if titles.len() < LISTED_MAX => cursor = next,
                _ => return Ok(titles),
            }
        }
    }

    /// One title.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn title(&self, title: TitleId) -> Result<TitleSummary, Error> {
        #[derive(Deserialize)]
        struct Answer {
            title: TitleSummary,
        }
        let path = format!("/v1/titles/{title}");
        let answer: Answer = self.json(Method::GET, &path, Authority::None, None::<&()>, None).await?;
        Ok(answer.title)
    }

    /// Buys a plan, once.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn buy(&self, plan: PlanId) -> Result<PurchaseAnswer, Error> {
        let body = serde_json::json!({"plan": plan});
        let key = idempotency_key();
        self.json(Method::POST, "/v1/purchases", Authority::Session, Some(&body), Some(&key)).await
    }

    /// What the account is entitled to.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn entitlements(&self) -> Result<Vec<EntitlementSummary>, Error> {
        #[derive(Deserialize)]
        struct Answer {
            entitlements: Vec<EntitlementSummary>,
            next: Option<String>,
        }
        let (mut entitlements, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/v1/entitlements?limit={PAGE_ROWS}&cursor={cursor}");
            let answer: Answer = self.json(Method::GET, &path, Authority::Session, None::<&()>, None).await?;
            entitlements.extend(answer.entitlements);
            match answer.next {
                Some(next) if entitlements.len() < LISTED_MAX => cursor = next,
                _ => return Ok(entitlements),
            }
        }
    }

    /// Opens a view on this device, or goes on with the one that is open.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn open_view(&self, entitlement: EntitlementId, title: TitleId) -> Result<Opening, Error> {
        let agreement_key = b64u(&self.prover.device().agreement().public());
        let body = OpenViewRequest { entitlement, title: Some(title), agreement_key };
        let key = idempotency_key();
        self.json(Method::POST, "/v1/views", Authority::SessionAndProof, Some(&body), Some(&key)).await
    }

    /// Takes a lease on this device, or renews the one that it has.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn take_lease(&self, entitlement: EntitlementId, title: TitleId) -> Result<LeaseAnswer, Error> {
        let path = format!("/v1/entitlements/{entitlement}/leases");
        let agreement_key = b64u(&self.prover.device().agreement().public());
        let body = LeaseRequest { title: Some(title), agreement_key };
        let key = idempotency_key();
        self.json(Method::POST, &path, Authority::SessionAndProof, Some(&body), Some(&key)).await
    }

    /// Gives a lease back.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn return_lease(&self, lease: LeaseId) -> Result<(), Error> {
        let path = format!("/v1/leases/{lease}");
        self.send(Method::DELETE, &path, Authority::SessionAndProof, None, None).await.map(drop)
    }

    /// Opens a carry: membership without keys.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn open_carry(&self, release: ReleaseId) -> Result<Opening, Error> {
        let path = format!("/v1/releases/{release}/carries");
        let body = serde_json::json!({});
        let key = idempotency_key();
        self.json(Method::POST, &path, Authority::SessionAndProof, Some(&body), Some(&key)).await
    }

    /// Content keys from `epoch` on.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn license(&self, view: ViewId, token: &str, file: u32, epoch: u32) -> Result<License, Error> {
        let path = format!("/v1/views/{view}/licenses");
        let body = LicenseRequest { file, epoch };
        let authority = Authority::View(token);
        let answer: LicenseAnswer = self.json(Method::POST, &path, authority, Some(&body), None).await?;
        Ok(answer.license)
    }

    /// The next view token.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn renew(&self, view: ViewId, token: &str) -> Result<Renewal, Error> {
        let path = format!("/v1/views/{view}/renewals");
        let body = serde_json::json!({});
        self.json(Method::POST, &path, Authority::View(token), Some(&body), None).await
    }

    /// Ends a view.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn end_view(&self, view: ViewId, token: &str) -> Result<(), Error> {
        let path = format!("/v1/views/{view}");
        self.send(Method::DELETE, &path, Authority::View(token), None, None).await.map(drop)
    }

    /// Hands in receipts; gives the bytes credited.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn receipts(&self, token: &str, receipts: &[String]) -> Result<u64, Error> {
        #[derive(Deserialize)]
        struct Answer {
            credited_bytes: u64,
        }
        let body = serde_json::json!({"receipts": receipts});
        let authority = Authority::View(token);
        let answer: Answer = self.json(Method::POST, "/v1/receipts", authority, Some(&body), None).await?;
        Ok(answer.credited_bytes)
    }

    /// The server's public keys.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn keys(&self) -> Result<KeySet, Error> {
        let path = "/v1/jwks";
        let response = self.send(Method::GET, path, Authority::None, None, None).await?;
        let bytes = self.limited(response, ANSWER_BYTES_MAX).await?;
        KeySet::from_jwks(&bytes)
            .map_err(|error| Error::Malformed { path: path.to_owned(), reason: error.to_string() })
    }

    /// One try of a request with a view token; the body is the caller's to read. `range` is inclusive.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn fetch(&self, path: &str, token: &str, range: Option<(u64, u64)>) -> Result<Response, Error> {
        let mut request = self.request(&Method::GET, path, Authority::View(token), &[]);
        if let Some((first, last)) = range {
            request = request.header(header::RANGE, format!("bytes={first}-{last}"));
        }
        self.answer(request).await
    }

    /// As [`Api::fetch`], tried again where that may help, and read whole.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn fetch_whole(&self, path: &str, token: &str, bytes_max: usize) -> Result<Bytes, Error> {
        let fetch = || async { self.limited(self.fetch(path, token, None).await?, bytes_max).await };
        fetch.retry(retries()).when(Error::is_transient).await
    }

    /// The error of a connection that broke while a body was read.
    #[must_use]
    pub fn broken(&self, error: &reqwest::Error) -> Error {
        network(&self.base, error)
    }

    async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        authority: Authority<'_>,
        body: Option<&(impl Serialize + Sync)>,
        idempotency_key: Option<&str>,
    ) -> Result<T, Error> {
        let malformed =
            |error: serde_json::Error| Error::Malformed { path: path.to_owned(), reason: error.to_string() };
        let body = body.map(serde_json::to_vec).transpose().map_err(malformed)?;
        let response = self.send(method, path, authority, body, idempotency_key).await?;
        let bytes = self.limited(response, ANSWER_BYTES_MAX).await?;
        serde_json::from_slice(&bytes).map_err(malformed)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        authority: Authority<'_>,
        body: Option<Vec<u8>>,
        idempotency_key: Option<&str>,
    ) -> Result<Response, Error> {
        let body = body.map(Bytes::from);
        let attempt = || async {
            let mut request = self.request(&method, path, authority, body.as_deref().unwrap_or_default());
            if let Some(body) = &body {
                request = request.header(header::CONTENT_TYPE, "application/json").body(body.clone());
            }
            if let Some(key) = idempotency_key {
                request = request.header("Idempotency-Key", key);
            }
            self.answer(request).await
        };
        // A license is not asked again at once when the server says slow down: the key ring waits as told.
        let again =
            |error: &Error| error.is_transient() && !matches!(error, Error::Refused { status: 429, .. });
        attempt.retry(retries()).when(again).await
    }

    fn request(&self, method: &Method, path: &str, authority: Authority<'_>, body: &[u8]) -> RequestBuilder {
        let url = format!("{}{path}", self.base);
        let about = About { method: method.as_str(), url: &url, body, ..About::default() };
        let request = self.http.request(method.clone(), &url);
        let session = |request: RequestBuilder| match &self.session {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        match authority {
            Authority::None => request,
            Authority::Session => session(request),
            Authority::SessionAndProof => session(request).header("DPoP", self.prover.proof(&about)),
            Authority::View(token) => request
                .header(header::AUTHORIZATION, format!("DPoP {token}"))
                .header("DPoP", self.prover.proof(&About { token: Some(token), ..about })),
        }
    }

    async fn answer(&self, request: RequestBuilder) -> Result<Response, Error> {
        let response = request.send().await.map_err(|error| network(&self.base, &error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let retry_after = response.headers().get(header::RETRY_AFTER);
        let retry_after =
            retry_after.and_then(|value| value.to_str().ok()?.parse().ok()).map(Duration::from_secs);
        let body = self.limited(response, PROBLEM_BYTES_MAX).await.unwrap_or_default();
        Err(refused(status, &body, retry_after))
    }

    async fn limited(&self, mut response: Response, bytes_max: usize) -> Result<Bytes, Error> {
        let path = response.url().path().to_owned();
        let mut whole = BytesMut::new();
        while let Some(part) = response.chunk().await.map_err(|error| network(&self.base, &error))? {
            if whole.len() + part.len() > bytes_max {
                return Err(Error::Malformed { path, reason: format!("more than {bytes_max} bytes") });
            }
            whole.extend_from_slice(&part);
        }
        Ok(whole.freeze())
    }
}

fn retries() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(RETRY_WAIT_MIN)
        .with_max_delay(RETRY_WAIT_MAX)
        .with_max_times(RETRIES_MAX)
        .with_jitter()
}

fn refused(status: StatusCode, body: &[u8], retry_after: Option<Duration>) -> Error {
    let problem = serde_json::from_slice::<Problem>(body).ok();
    let (code, detail) = match problem {
        Some(Problem { code, title, detail, .. }) => (code, if detail.is_empty() { title } else { detail }),
        None => (format!("http_{}", status.as_u16()), format!("the server answered {status}")),
    };
    Error::Refused { status: status.as_u16(), code, detail, retry_after }
}

fn network(base: &str, error: &reqwest::Error) -> Error {
    // reqwest's own text repeats the URL; the innermost cause is what a person needs.
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    Error::Network { server: base.to_owned(), reason: cause.to_string() }
}

fn idempotency_key() -> String {
    b64u(&clock::random::<16>())
}

#[cfg(test)]
mod tests;
