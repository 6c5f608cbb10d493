//! Errors as problem JSON (RFC 9457) with a stable `code`.
//!
//! The cause of a failure is logged once, here, and never sent.

use std::borrow::Cow;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use matinee_protocol::api;

use crate::payment::cashier::Failure;
use crate::{keyring, license, password, payment, store, vault};

/// Seconds that a client waits for a payment provider that does not answer.
const PROVIDER_RETRY_AFTER_S: u64 = 5;
/// Seconds that a client waits before it tries again while the database cannot be reached or is full.
const STORE_RETRY_AFTER_S: u64 = 5;

tokio::task_local! {
    /// The id of the request that is being answered.
    static REQUEST_ID: Arc<str>;
}

/// Answers a request that has this id: problems name it.
pub async fn named<F: Future>(request_id: Arc<str>, answer: F) -> F::Output {
    REQUEST_ID.scope(request_id, answer).await
}

/// The id of the request that is being answered; none outside of one.
pub fn request_id() -> Option<Arc<str>> {
    REQUEST_ID.try_with(Arc::clone).ok()
}

/// A refusal, as the client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// HTTP status.
    pub status: StatusCode,
    /// Stable code.
    pub code: &'static str,
    /// What to do, lower case.
    pub detail: Cow<'static, str>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A refusal.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, detail: detail.into(), headers: Vec::new() }
    }

    /// 400: the request is not of the known form.
    pub fn malformed(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed_request", detail)
    }

    /// 404: there is no such thing, or it is not the caller's to see.
    pub fn not_found(what: &'static str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("there is no such {what}"))
    }

    /// 401: sign in.
    pub fn unauthenticated() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "session_required", "sign in first")
            .with(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    /// 401: the view token or its proof does not hold (RFC 9449 §7.1).
    pub fn token(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, code, detail)
            .with(header::WWW_AUTHENTICATE, HeaderValue::from_static("DPoP algs=\"EdDSA\""))
    }

    /// 403: signed in, but not allowed.
    pub fn forbidden(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, detail)
    }

    /// 409: not in this state.
    pub fn conflict(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    /// 413: too large.
    pub fn too_large(bytes_max: usize) -> Self {
        let detail = format!("the body may have at most {bytes_max} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
    }

    /// 429: slower.
    pub fn too_many(code: &'static str, detail: impl Into<Cow<'static, str>>, retry_after_s: u64) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, code, detail)
            .with(header::RETRY_AFTER, HeaderValue::from(retry_after_s.max(1)))
    }

    /// 500, with the cause in the log.
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "request failed");
        let detail = "the server failed; try again, and tell the operator the request id";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The body.
    pub fn body(&self) -> api::Problem {
        api::Problem {
            kind: format!("urn:matinee:problem:{}", self.code),
            title: self.status.canonical_reason().unwrap_or_default().to_owned(),
            status: self.status.as_u16(),
            detail: self.detail.clone().into_owned(),
            code: self.code.to_owned(),
            request_id: request_id().map(|id| id.to_string()),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self.body()).unwrap_or_default();
        let mut headers: HeaderMap = self.headers.into_iter().collect();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        (self.status, headers, body).into_response()
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        match error {
            // Nobody hears of it: what presumed is done again in a transaction that asks.
            store::Error::Presumed => {
                Self::conflict("presumed", "what was presumed was otherwise; ask again")
            }
            error if error.is_passing() => {
                tracing::error!(%error, "the database does not take a request");
                let detail = "the database does not take this at the moment; send the same request again";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", detail)
                    .with(header::RETRY_AFTER, HeaderValue::from(STORE_RETRY_AFTER_S))
            }
            error => Self::internal(&error),
        }
    }
}

impl From<vault::Error> for Problem {
    fn from(error: vault::Error) -> Self {
        Self::internal(&error)
    }
}

impl From<password::Error> for Problem {
    fn from(error: password::Error) -> Self {
        match error {
            password::Error::Length => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "password_length",
                format!(
                    "a password has {} to {} bytes",
                    password::PASSWORD_BYTES_MIN,
                    password::PASSWORD_BYTES_MAX
                ),
            ),
            password::Error::Hash => Self::internal(&error),
        }
    }
}

impl From<payment::Error> for Problem {
    fn from(error: payment::Error) -> Self {
        match error {
            payment::Error::Refused(_) => {
                tracing::error!(%error, "the payment provider refused");
                let detail =
                    "the payment provider does not take the request; tell the operator the request id";
                Self::new(StatusCode::BAD_GATEWAY, "provider_refused", detail)
            }
            payment::Error::Unreachable(_) => {
                tracing::warn!(%error, "the payment provider did not answer");
                let detail = "the payment provider did not answer; send the same request again";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "provider_unreachable", detail)
                    .with(header::RETRY_AFTER, HeaderValue::from(PROVIDER_RETRY_AFTER_S))
            }
            payment::Error::InFlight => {
                let detail = "the same request is under way; send it again in a moment";
                Self::conflict("idempotency_key_in_flight", detail)
                    .with(header::RETRY_AFTER, HeaderValue::from(1_u64))
            }
        }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Store(error) => error.into(),
            Failure::Provider(error) => error.into(),
            Failure::Amount { .. } => Self::internal(&failure),
        }
    }
}

impl From<keyring::Error> for Problem {
    fn from(error: keyring::Error) -> Self {
        match error {
            keyring::Error::Token => Self::token("view_token_invalid", "the view token is not valid here"),
            keyring::Error::Expired => {
                Self::token("view_token_expired", "renew the view and use the new token")
            }
            other => Self::internal(&other),
        }
    }
}

impl From<license::Refusal> for Problem {
    fn from(refusal: license::Refusal) -> Self {
        Self::forbidden(refusal.code(), refusal.to_string())
    }
}
