use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode as Status};
use axum::response::{IntoResponse as _, Response as Answer};
use matinee_protocol::dpop::{self, Expectation};

use super::*;
use crate::device::Device;

/// What came in, and what to answer next.
#[derive(Default)]
struct Seen {
    count: AtomicU32,
    requests: std::sync::Mutex<Vec<(String, HeaderMap, Bytes)>>,
}

async fn server(answers: fn(u32) -> Answer) -> (Api, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    let handle = move |State(seen): State<Arc<Seen>>, request: Request| async move {
        let path = request.uri().to_string();
        let headers = request.headers().clone();
        let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
        seen.requests.lock().unwrap().push((path, headers, body));
        answers(seen.count.fetch_add(1, Ordering::Relaxed))
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(handle).with_state(Arc::clone(&seen));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let prover = Prover::new(Arc::new(Device::from_secrets([1; 32], [2; 32])));
    (Api::new(&base, Some("session".into()), prover).unwrap(), seen)
}

fn problem(status: u16, code: &str) -> Answer {
    let body = serde_json::json!({"type": "about:blank", "title": "No", "status": status, "detail": "do this", "code": code});
    let status = Status::from_u16(status).unwrap();
    (status, [("content-type", "application/problem+json"), ("retry-after", "3")], body.to_string())
        .into_response()
}

#[tokio::test]
async fn problems_keep_their_code_and_are_not_tried_again() {
    let (api, seen) = server(|_| problem(403, "entitlement_expired")).await;
    let error =
        api.open_view(EntitlementId::from_bytes([3; 16]), TitleId::from_bytes([4; 16])).await.unwrap_err();
    let Error::Refused { status: 403, code, detail, .. } = &error else { panic!("{error:?}") };
    assert_eq!((code.as_str(), detail.as_str()), ("entitlement_expired", "do this"));
    assert_eq!(error.to_string(), "do this (entitlement_expired)");
    assert!(!error.is_transient());
    assert_eq!(seen.count.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn passing_failures_are_tried_again_with_one_key_and_fresh_proofs() {
    let (api, seen) = server(|count| match count {
        0 => problem(503, "starting"),
        1 => Status::BAD_GATEWAY.into_response(),
        _ => problem(409, "view_limit"),
    })
    .await;
    let error =
        api.open_view(EntitlementId::from_bytes([3; 16]), TitleId::from_bytes([4; 16])).await.unwrap_err();
    assert_eq!(error.code(), "view_limit");
    let requests = seen.requests.lock().unwrap();
    assert_eq!(requests.len(), 3);
    let header = |index: usize, name: &str| requests[index].1[name].to_str().unwrap().to_owned();
    assert_eq!(header(0, "idempotency-key"), header(2, "idempotency-key"));
    assert_ne!(header(0, "dpop"), header(2, "dpop"));
    assert_eq!(header(0, "authorization"), "Bearer session");
    let url = format!("{}/v1/views", api.base());
    let expected = Expectation {
        method: "POST",
        url: &url,
        token: None,
        body: &requests[2].2,
        nonce: None,
        now_s: clock::now_s(),
    };
    let verified = dpop::verify(&header(2, "dpop"), &expected).unwrap();
    assert_eq!(verified.thumbprint, api.prover().device().thumbprint());
}

#[tokio::test]
async fn view_requests_carry_token_and_bound_proof() {
    let (api, seen) = server(|_| problem(429, "keys_too_fast")).await;
    let view = ViewId::from_bytes([4; 16]);
    let error = api.license(view, "token", 0, 3).await.unwrap_err();
    let Error::Refused { retry_after, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*retry_after, Some(Duration::from_secs(3)));
    assert_eq!(seen.count.load(Ordering::Relaxed), 1, "the key ring waits, the client does not insist");
    let requests = seen.requests.lock().unwrap();
    let (path, headers, body) = &requests[0];
    assert_eq!(path, &format!("/v1/views/{view}/licenses"));
    assert_eq!(headers["authorization"], "DPoP token");
    let url = format!("{}{path}", api.base());
    let expected = Expectation {
        method: "POST",
        url: &url,
        token: Some("token"),
        body,
        nonce: None,
        now_s: clock::now_s(),
    };
    assert!(dpop::verify(headers["dpop"].to_str().unwrap(), &expected).is_ok());
}

#[tokio::test]
async fn answers_of_another_form_and_dead_servers_are_told_apart() {
    let (api, _) = server(|_| "<html>".into_response()).await;
    assert_eq!(api.titles().await.unwrap_err().code(), "malformed_answer");
    let (api, _) = server(|_| (Status::NOT_FOUND, "plain").into_response()).await;
    assert_eq!(api.titles().await.unwrap_err().code(), "http_404");

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let prover = api.prover().clone();
    let error = Api::new(&base, None, prover.clone()).unwrap().titles().await.unwrap_err();
    assert_eq!(error.code(), "network");
    assert!(error.is_transient());
    for bad in ["ftp://x", "x", "http://", "http://u:p@x", "http://x/?q", "http://x/#f"] {
        assert!(matches!(Api::new(bad, None, prover.clone()), Err(Error::Url(_))), "{bad}");
    }
    assert_eq!(normalize_server("https://X.example/").unwrap(), "https://x.example");
}
