//! What surrounds every route: request ids, tracing without secrets, panics and unknown methods as problem JSON, and the
//! headers of a page that may share memory between its workers.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use matinee_protocol::encoding::{b64u, sha256};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, NotForContentType, Predicate as _};
use tracing::Instrument as _;

use crate::api::attempt::Address;
use crate::api::problem::{self, Problem};
use crate::app::App;
use crate::random;

/// The header that names a request in the log and in the answer.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Characters taken over from a request id that a proxy set.
const REQUEST_ID_CHARS_MAX: usize = 64;
/// Bytes of an answer that is given an `ETag`; longer ones have their own or none.
const TAGGED_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Wraps the routes.
pub(super) fn around(router: Router) -> Router {
    // Ciphertext and hash pages do not compress, and a range answer must not be recoded.
    let compress = DefaultPredicate::new().and(NotForContentType::const_new("application/octet-stream"));
    router
        .layer(CompressionLayer::new().compress_when(compress))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn(traced))
}

/// Names the request, logs its outcome. Only method and path are logged: never a query, a header or a body.
#[expect(clippy::disallowed_methods, reason = "a stopwatch for the log")]
async fn traced(request: Request, next: Next) -> Response {
    let given = request.headers().get(&REQUEST_ID).and_then(|value| value.to_str().ok());
    let plain = |id: &&str| {
        (1..=REQUEST_ID_CHARS_MAX).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let id = given.filter(plain).map_or_else(|| hex::encode(random::bytes::<8>()), str::to_owned);
    let id: Arc<str> = id.into();
    let span =
        tracing::info_span!("request", id = %id, method = %request.method(), path = %request.uri().path());
    let started = tokio::time::Instant::now();
    let mut response = problem::named(Arc::clone(&id), next.run(request).instrument(span.clone())).await;
    let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    span.in_scope(|| tracing::debug!(status = response.status().as_u16(), took_ms, "answered"));
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let headers = response.headers_mut();
    headers.entry(header::X_CONTENT_TYPE_OPTIONS).or_insert(HeaderValue::from_static("nosniff"));
    headers.entry(header::REFERRER_POLICY).or_insert(HeaderValue::from_static("no-referrer"));
    headers
        .entry(HeaderName::from_static("cross-origin-resource-policy"))
        .or_insert(HeaderValue::from_static("same-origin"));
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// Counts requests below `/v1`, and says how they stand against the limit.
pub(super) async fn limited(
    State(app): State<App>,
    Address(address): Address,
    request: Request,
    next: Next,
) -> Response {
    if !request.uri().path().starts_with("/v1/") {
        return next.run(request).await;
    }
    let matched = request.extensions().get::<MatchedPath>();
    let by_view = matched.is_some_and(|path| super::is_by_view(request.method().as_str(), path.as_str()));
    match app.request_limits.count(request.headers(), address, by_view) {
        Err(problem) => problem.into_response(),
        Ok(standing) => {
            let mut response = next.run(request).await;
            response.headers_mut().extend(standing.map(|standing| standing.headers()).unwrap_or_default());
            response
        }
    }
}

/// Gives JSON that was read an `ETag`, and answers 304 to whoever has it already.
pub(super) async fn tagged(request: Request, next: Next) -> Response {
    let reads = request.method() == Method::GET && request.uri().path().starts_with("/v1/");
    let known = request.headers().get(header::IF_NONE_MATCH).cloned();
    let response = next.run(request).await;
    let json = |headers: &HeaderMap| {
        headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json")
    };
    let short = response.body().size_hint().exact().is_some_and(|bytes| bytes <= TAGGED_BYTES_MAX);
    let fit = response.status() == StatusCode::OK && !response.headers().contains_key(header::ETAG);
    if !reads || !fit || !short || !json(response.headers()) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let bytes = match axum::body::to_bytes(body, usize::MAX).await {
        Ok(bytes) => bytes,
        Err(error) => return Problem::internal(&error).into_response(),
    };
    // Weak: what is compressed on its way is the same answer in other bytes.
    let tag = format!("W/\"{}\"", b64u(&sha256(&bytes)[..16]));
    if let Ok(value) = HeaderValue::from_str(&tag) {
        parts.headers.insert(header::ETAG, value);
    }
    // To be kept by the one who asked, and asked about again each time.
    parts.headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("private, no-cache"));
    if known.is_some_and(|known| is_known(&known, &tag)) {
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(header::CONTENT_TYPE);
        parts.headers.remove(header::CONTENT_LENGTH);
        return Response::from_parts(parts, Body::empty());
    }
    Response::from_parts(parts, Body::from(bytes))
}

/// Whether `If-None-Match` names the tag (RFC 9110 §13.1.2, weak comparison).
fn is_known(known: &HeaderValue, tag: &str) -> bool {
    let opaque = tag.trim_start_matches("W/");
    let Ok(known) = known.to_str() else { return false };
    known.split(',').map(str::trim).any(|one| one == "*" || one.trim_start_matches("W/") == opaque)
}

fn panicked(cause: Box<dyn Any + Send + 'static>) -> Response {
    let text = cause.downcast_ref::<&str>().copied().map(str::to_owned);
    let text = text.or_else(|| cause.downcast_ref::<String>().cloned()).unwrap_or_default();
    Problem::internal(&format!("panic: {text}")).into_response()
}

/// 404 below `/v1`.
pub(super) async fn unknown_endpoint() -> Problem {
    Problem::not_found("endpoint")
}

/// 405, where the path is known.
pub(super) async fn wrong_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this path does not take this method")
}

/// How long requests under way may take after the server was asked to stop.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_problem_and_says_nothing_of_its_cause() {
        async fn broken() -> &'static str {
            panic!("a secret cause")
        }
        let router = around(Router::new().route("/", get(broken)));
        let response = router.oneshot(Request::get("/").body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        assert!(response.headers().contains_key(REQUEST_ID));
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert!(text.contains("\"code\":\"internal\"") && !text.contains("secret"), "{text}");
    }
}
