//! Requests that happen once: `Idempotency-Key`.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use matinee_protocol::encoding::sha256;
use matinee_protocol::id::AccountId;
use serde::Serialize;

use super::authority::login_token;
use super::in_flight::Held;
use super::problem::Problem;
use crate::app::App;
use crate::store::Tx;
use crate::store::idempotency::{self, Begun, Kept, Name};

/// Characters of a key.
pub const KEY_CHARS_MAX: usize = 64;
/// Says that an answer was given before.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The key of a request, and its turn: of two requests with one key at once the second waits for the first.
#[derive(Debug, Clone)]
pub struct Key {
    text: String,
    _held: Arc<Held>,
}

impl FromRequestParts<App> for Key {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let value = parts.headers.get("idempotency-key").ok_or_else(|| {
            Problem::new(StatusCode::BAD_REQUEST, "idempotency_key_missing", "send an Idempotency-Key header")
        })?;
        let text = value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()));
        let text = text.filter(|text| (1..=KEY_CHARS_MAX).contains(&text.len())).ok_or_else(|| {
            let detail = format!("an Idempotency-Key has 1 to {KEY_CHARS_MAX} visible ASCII characters");
            Problem::new(StatusCode::BAD_REQUEST, "idempotency_key_invalid", detail)
        })?;
        let login = login_token(&parts.headers).map(|(token, _)| token).unwrap_or_default();
        let name = digest(&[login.as_bytes(), parts.uri.path().as_bytes(), text.as_bytes()]);
        let held = app.in_flight.take(name).await.ok_or_else(|| {
            let detail = "a request with this Idempotency-Key is still under way; ask again for its answer";
            Problem::conflict("idempotency_key_in_flight", detail)
                .with(header::RETRY_AFTER, HeaderValue::from_static("1"))
        })?;
        Ok(Self { text: text.to_owned(), _held: Arc::new(held) })
    }
}

/// A request whose key is taken in a transaction. Dropped without [`Once::answer`], nothing has happened and the key
/// is free again.
#[derive(Debug)]
pub struct Once {
    /// The transaction of everything that the request does.
    pub tx: Tx,
    account: AccountId,
    operation: &'static str,
    key: Key,
    kept: Option<Kept>,
}

/// What there is to do for a request that asks somebody outside between two transactions.
pub enum Outside {
    /// Everything.
    Fresh(Once),
    /// It was begun and not answered: go on with what the text names.
    GoOn(Parked, String),
    /// Nothing: this is the first answer.
    Replay(Response),
}

/// A key whose first transaction is committed and whose answer is not there yet.
#[derive(Debug)]
pub struct Parked {
    account: AccountId,
    operation: &'static str,
    key: Key,
}

/// What there is to do for a request.
pub enum Begin {
    /// Everything.
    Do(Once),
    /// Nothing: this is the first answer.
    Replay(Response),
}

impl Once {
    /// Takes the key of `operation`, or finds its answer. `body` is all that makes the request what it is; an answer
    /// that is foreseen saves keeping it later.
    pub async fn begin(
        mut tx: Tx,
        (account, operation, key): (AccountId, &'static str, Key),
        body: &[&[u8]],
        foreseen: Option<Kept>,
        now_ms: i64,
    ) -> Result<Begin, Problem> {
        let name = Name { account, operation, key: &key.text };
        match idempotency::begin(&mut tx, name, &digest(body), foreseen.as_ref(), now_ms).await? {
            Begun::Fresh => Ok(Begin::Do(Self { tx, account, operation, key, kept: foreseen })),
            Begun::OtherBody => Err(other_body()),
            Begun::Answered(kept) => {
                // What else the transaction holds, a spent proof, is kept.
                tx.commit().await?;
                Ok(Begin::Replay(replayed(kept)))
            }
        }
    }

    /// The same for a request that asks somebody outside: its key can be found begun and not answered.
    pub async fn begin_outside(
        mut tx: Tx,
        (account, operation, key): (AccountId, &'static str, Key),
        body: &[&[u8]],
        now_ms: i64,
    ) -> Result<Outside, Problem> {
        let name = Name { account, operation, key: &key.text };
        match idempotency::begin(&mut tx, name, &digest(body), None, now_ms).await? {
            Begun::Fresh => Ok(Outside::Fresh(Self { tx, account, operation, key, kept: None })),
            Begun::OtherBody => Err(other_body()),
            Begun::Answered(Kept { status: idempotency::UNDER_WAY, answer }) => {
                Ok(Outside::GoOn(Parked { account, operation, key }, answer))
            }
            Begun::Answered(kept) => Ok(Outside::Replay(replayed(kept))),
        }
    }

    /// Commits what was done so far, and keeps the name of what to go on with.
    pub async fn park(mut self, reference: &str) -> Result<Parked, Problem> {
        let name = Name { account: self.account, operation: self.operation, key: &self.key.text };
        let kept = Kept { status: idempotency::UNDER_WAY, answer: reference.to_owned() };
        idempotency::finish(&mut self.tx, name, &kept).await?;
        self.tx.commit().await?;
        Ok(Parked { account: self.account, operation: self.operation, key: self.key })
    }

    /// Keeps the answer with everything that was done, and gives it.
    pub async fn answer(mut self, status: StatusCode, answer: &impl Serialize) -> Result<Response, Problem> {
        let given = kept(status, answer)?;
        if self.kept.as_ref() != Some(&given) {
            let name = Name { account: self.account, operation: self.operation, key: &self.key.text };
            idempotency::finish(&mut self.tx, name, &given).await?;
        }
        self.tx.commit().await?;
        Ok(json_text(status, given.answer))
    }
}

impl Parked {
    /// Keeps the answer with everything that the second transaction did, and gives it; or gives the one that a request
    /// beside this one has kept first.
    pub async fn answer(
        self,
        mut tx: Tx,
        status: StatusCode,
        answer: &impl Serialize,
    ) -> Result<Response, Problem> {
        let given = kept(status, answer)?;
        let name = Name { account: self.account, operation: self.operation, key: &self.key.text };
        let first = idempotency::finish_parked(&mut tx, name, &given).await?;
        tx.commit().await?;
        Ok(match first {
            None => json_text(status, given.answer),
            Some(first) => replayed(first),
        })
    }
}

fn other_body() -> Problem {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "idempotency_key_reused",
        "this Idempotency-Key came with another body; use a new key",
    )
}

fn replayed(kept: Kept) -> Response {
    let status = StatusCode::from_u16(kept.status).unwrap_or(StatusCode::OK);
    let mut response = json_text(status, kept.answer);
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

/// An answer as it is kept.
pub fn kept(status: StatusCode, answer: &impl Serialize) -> Result<Kept, Problem> {
    let answer = serde_json::to_string(answer).map_err(|error| Problem::internal(&error))?;
    Ok(Kept { status: status.as_u16(), answer })
}

fn json_text(status: StatusCode, text: String) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// SHA-256 over the parts, each with its length before it.
fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut all = Vec::new();
    for part in parts {
        all.extend_from_slice(&(part.len() as u64).to_be_bytes());
        all.extend_from_slice(part);
    }
    sha256(&all)
}
