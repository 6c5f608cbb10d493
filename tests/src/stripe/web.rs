//! The stand-in's HTTP side: authentication, `Idempotency-Key`, errors, and the hosted page.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::book::{Book, Form};
use super::{At, Desk, SECRET_KEY};

/// An error of the interface.
#[derive(Debug)]
pub(super) struct Wrong {
    status: StatusCode,
    kind: &'static str,
    message: String,
    /// The code and the payment intent of a card that was declined.
    card: Option<(&'static str, Value)>,
}

impl Wrong {
    fn new(status: StatusCode, kind: &'static str, message: String) -> Self {
        Self { status, kind, message, card: None }
    }

    pub(super) fn request(message: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", message)
    }

    pub(super) fn card(code: &'static str, message: &str, intent: Value) -> Self {
        let card = Some((code, intent));
        Self { card, ..Self::new(StatusCode::PAYMENT_REQUIRED, "card_error", message.to_owned()) }
    }

    fn parts(self) -> (StatusCode, Value) {
        let mut error = json!({ "type": self.kind, "message": self.message });
        if let Some((code, intent)) = self.card {
            error["code"] = json!(code);
            error["payment_intent"] = intent;
        }
        (self.status, json!({ "error": error }))
    }
}

/// How long a key is remembered.
const KEY_KEPT_S: u64 = 24 * 60 * 60;

/// What a key stands for: the form it came with, when, and what was answered.
#[derive(Clone)]
struct Kept {
    form: Form,
    at_s: u64,
    answer: Option<(StatusCode, Value)>,
}

type Keys = Arc<Mutex<HashMap<String, Kept>>>;

#[derive(Clone)]
struct Web {
    desk: Arc<Desk>,
    keys: Keys,
}

pub(super) fn router(desk: Arc<Desk>) -> Router {
    Router::new()
        .route("/v1/checkout/sessions", post(session))
        .route("/v1/checkout/sessions/{id}", get(session_show))
        .route("/v1/payment_intents", get(intents_list).post(intent))
        .route("/v1/payment_intents/{id}", get(intent_show))
        .route("/v1/payment_methods/{id}/detach", post(detach))
        .route("/v1/refunds", get(refunds_list).post(refund))
        .route("/v1/refunds/{id}", get(refund_show))
        .route("/pay/{id}", get(page).post(paid))
        .with_state(Web { desk, keys: Keys::default() })
}

fn allowed(headers: &HeaderMap, book: &Book) -> Result<(), Wrong> {
    if book.down {
        let message = "Something went wrong on our end.".to_owned();
        return Err(Wrong::new(StatusCode::INTERNAL_SERVER_ERROR, "api_error", message));
    }
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if given != Some(&format!("Bearer {SECRET_KEY}")) {
        let message = "Invalid API Key provided".to_owned();
        return Err(Wrong::new(StatusCode::UNAUTHORIZED, "invalid_request_error", message));
    }
    if !headers.contains_key("stripe-version") {
        return Err(Wrong::request("this stand-in wants the version named".to_owned()));
    }
    Ok(())
}

/// Marks a key as being worked on, until it is answered or the request is cut off.
struct Working {
    keys: Keys,
    key: String,
    answered: bool,
}

impl Drop for Working {
    fn drop(&mut self) {
        if !self.answered {
            self.keys.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
        }
    }
}

async fn once(
    web: Web,
    path: &'static str,
    headers: HeaderMap,
    body: Bytes,
    work: impl FnOnce(&mut Book, &Form) -> Result<Value, Wrong>,
) -> Response {
    if let Err(wrong) = allowed(&headers, &web.desk.lock()) {
        let (status, answer) = wrong.parts();
        return (status, Json(answer)).into_response();
    }
    let form: Form = url_decoded(&body);
    let key = headers.get("idempotency-key").and_then(|value| value.to_str().ok()).unwrap_or("").to_owned();
    assert!(!key.is_empty(), "a POST to {path} without an Idempotency-Key");
    let now_s = web.desk.now_s();
    let seen = web.keys.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
    match seen.filter(|seen| now_s < seen.at_s + KEY_KEPT_S) {
        Some(before) if before.form != form => {
            let message = "Keys for idempotent requests can only be used with the same parameters".to_owned();
            let wrong = Wrong::new(StatusCode::BAD_REQUEST, "idempotency_error", message);
            let (status, answer) = wrong.parts();
            return (status, Json(answer)).into_response();
        }
        Some(Kept { answer: Some((status, answer)), .. }) => {
            return sent(&web, (status, [("idempotent-replayed", "true")], Json(answer)).into_response());
        }
        Some(_) => {
            let message = "There is currently another in-progress request using this key".to_owned();
            let wrong = Wrong::new(StatusCode::CONFLICT, "idempotency_error", message);
            let (status, answer) = wrong.parts();
            return (status, Json(answer)).into_response();
        }
        None => {}
    }
    let kept = Kept { form, at_s: now_s, answer: None };
    web.keys.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), kept.clone());
    let mut working = Working { keys: Arc::clone(&web.keys), key: key.clone(), answered: false };
    web.desk.hold(path, At::Arrival).await;
    let made = work(&mut web.desk.lock(), &kept.form);
    let (status, answer) = made.map_or_else(Wrong::parts, |answer| (StatusCode::OK, answer));
    let kept = Kept { answer: Some((status, answer.clone())), ..kept };
    web.keys.lock().unwrap_or_else(PoisonError::into_inner).insert(key, kept);
    working.answered = true;
    web.desk.hold(path, At::Answer).await;
    sent(&web, (status, Json(answer)).into_response())
}

/// An answer, unless it is one of those that are lost.
fn sent(web: &Web, answer: Response) -> Response {
    let mut book = web.desk.lock();
    if book.loses_answers == 0 {
        return answer;
    }
    book.loses_answers -= 1;
    StatusCode::BAD_GATEWAY.into_response()
}

fn url_decoded(body: &[u8]) -> Form {
    form_urlencoded::parse(body).map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

async fn session(State(web): State<Web>, headers: HeaderMap, body: Bytes) -> Response {
    once(web, "/v1/checkout/sessions", headers, body, Book::session).await
}

async fn refund(State(web): State<Web>, headers: HeaderMap, body: Bytes) -> Response {
    once(web, "/v1/refunds", headers, body, Book::refund).await
}

async fn intent(State(web): State<Web>, headers: HeaderMap, body: Bytes) -> Response {
    once(web, "/v1/payment_intents", headers, body, Book::intent).await
}

async fn intents_list(
    State(web): State<Web>,
    headers: HeaderMap,
    Query(asked): Query<HashMap<String, String>>,
) -> Response {
    let book = web.desk.lock();
    let found = asked.get("customer").map(|customer| book.intents_of(customer));
    shown(&headers, &book, found.as_ref())
}

async fn refunds_list(
    State(web): State<Web>,
    headers: HeaderMap,
    Query(asked): Query<HashMap<String, String>>,
) -> Response {
    let book = web.desk.lock();
    let found = asked.get("payment_intent").map(|intent| book.refunds_of(intent));
    shown(&headers, &book, found.as_ref())
}

async fn detach(State(web): State<Web>, headers: HeaderMap, Path(id): Path<String>, body: Bytes) -> Response {
    once(web, "/v1/payment_methods/detach", headers, body, |book, _| book.detach(&id)).await
}

fn shown(headers: &HeaderMap, book: &Book, found: Option<&Value>) -> Response {
    let found = allowed(headers, book).and_then(|()| {
        let message = "No such object".to_owned();
        let missing = Wrong::new(StatusCode::NOT_FOUND, "invalid_request_error", message);
        found.cloned().ok_or(missing)
    });
    let (status, answer) = found.map_or_else(Wrong::parts, |found| (StatusCode::OK, found));
    (status, Json(answer)).into_response()
}

async fn session_show(State(web): State<Web>, headers: HeaderMap, Path(id): Path<String>) -> Response {
    let book = web.desk.lock();
    shown(&headers, &book, book.sessions.get(&id))
}

async fn intent_show(State(web): State<Web>, headers: HeaderMap, Path(id): Path<String>) -> Response {
    let book = web.desk.lock();
    shown(&headers, &book, book.intents.get(&id))
}

async fn refund_show(State(web): State<Web>, headers: HeaderMap, Path(id): Path<String>) -> Response {
    let book = web.desk.lock();
    shown(&headers, &book, book.refunds.get(&id))
}

async fn page(State(web): State<Web>, Path(id): Path<String>) -> Response {
    let book = web.desk.lock();
    match book.sessions.get(&id).filter(|session| session["status"] == "open") {
        None => StatusCode::GONE.into_response(),
        Some(session) => {
            let amount = format!("{} {}", session["amount_total"], session["currency"]);
            Html(format!("<form method=\"post\"><button>Pay {amount}</button></form>")).into_response()
        }
    }
}

/// Takes the payment and sends the payer back, as the real page does.
async fn paid(State(web): State<Web>, Path(id): Path<String>) -> Response {
    let mut book = web.desk.lock();
    if !book.pay(&id, true) {
        return StatusCode::GONE.into_response();
    }
    let back = book.sessions.get(&id).and_then(|session| session["success_url"].as_str()).unwrap_or_default();
    Redirect::to(back).into_response()
}
