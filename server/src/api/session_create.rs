//! `POST /v1/sessions`: signs an account in.

use axum::Json as JsonResponse;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum_extra::extract::cookie::{Cookie, SameSite};
use matinee_protocol::encoding::b64u;
use matinee_protocol::id::AccountId;
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::attempt::Address;
use super::authority::{COOKIE, refuse_foreign_origin, summary};
use super::doc::Doc;
use super::json::Json;
use super::problem::Problem;
use crate::app::App;
use crate::password::Password;
use crate::random;
use crate::store::account::canonical_email;
use crate::store::{Tx, account, session};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// Characters kept of what a browser or program calls itself.
const AGENT_CHARS_MAX: usize = 200;

/// Body.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    email: String,
    password: Password,
    #[serde(default)]
    bearer: bool,
}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Signs an account in")
        .body::<Body>()
        .signs_in()
        .problem(401, "wrong_credentials")
        .problem(403, "origin_mismatch")
        .problem(429, "sign_in_too_fast")
}

/// Answers 201; 401 `wrong_credentials` for an unknown account and a wrong password alike, after the same work.
pub async fn handle(
    State(app): State<App>,
    address: Address,
    headers: HeaderMap,
    Json { value: body, .. }: Json<Body>,
) -> Result<Response, Problem> {
    refuse_foreign_origin(&headers, &app)?;
    app.sign_ins.guess(&canonical_email(&body.email), address.0)?;
    let mut tx = app.store.read().await?;
    let found = account::password_hash(&mut tx, &body.email).await?;
    drop(tx);
    let (account, hash) = found.unzip();
    let right = app.passwords.verify(body.password, hash.clone()).await?;
    let Some((account, hash)) = account.zip(hash).filter(|_| right) else { return Err(wrong_credentials()) };
    let mut tx = app.store.write().await?;
    // It may have been changed while it was looked at, by somebody who wants whoever knew it out.
    if !account::hold_with_password(&mut tx, account, &hash).await? {
        return Err(wrong_credentials());
    }
    respond(&app, tx, SignedIn::new(account, body.bearer, &headers), StatusCode::CREATED).await
}

fn wrong_credentials() -> Problem {
    let detail = "no account has this email and password";
    Problem::new(StatusCode::UNAUTHORIZED, "wrong_credentials", detail)
}

/// Who signed in, and how the login is handed over.
pub struct SignedIn {
    account: AccountId,
    bearer: bool,
    agent: Option<String>,
    ways_ended: bool,
}

impl SignedIn {
    /// Somebody, whose token is wanted in the answer (`bearer`) rather than in a cookie.
    pub fn new(account: AccountId, bearer: bool, headers: &HeaderMap) -> Self {
        Self { account, bearer, agent: agent(headers), ways_ended: false }
    }

    /// The same, who is told whether passwords and the like from before ended with it.
    #[must_use]
    pub fn ways_ended(self, ways_ended: bool) -> Self {
        Self { ways_ended, ..self }
    }
}

/// What a browser or program calls itself, for the list of sessions.
pub fn agent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::USER_AGENT)?.to_str().ok()?;
    Some(text.chars().take(AGENT_CHARS_MAX).collect())
}

/// Makes a login and hands it over.
pub async fn respond(
    app: &App,
    tx: Tx,
    signed_in: SignedIn,
    status: StatusCode,
) -> Result<Response, Problem> {
    respond_for(app, tx, signed_in, status, session_ms(app)).await
}

/// How long a login lasts.
pub fn session_ms(app: &App) -> i64 {
    i64::from(app.config.account.session_days).saturating_mul(DAY_MS)
}

/// Makes a login that lasts so long and hands it over.
pub async fn respond_for(
    app: &App,
    mut tx: Tx,
    signed_in: SignedIn,
    status: StatusCode,
    lasts_ms: i64,
) -> Result<Response, Problem> {
    let token = open_session(app, &mut tx, signed_in.account, signed_in.agent, lasts_ms).await?;
    let mut body = json!({ "account": summary(app, &mut tx, signed_in.account).await? });
    tx.commit().await?;
    if signed_in.ways_ended {
        body["ways_ended"] = json!(true);
    }
    if signed_in.bearer {
        body["session_token"] = json!(*token);
        return Ok((status, JsonResponse(body)).into_response());
    }
    let mut response = (status, JsonResponse(body)).into_response();
    let value = HeaderValue::from_str(&login_cookie(app, &token, lasts_ms))
        .map_err(|error| Problem::internal(&error))?;
    response.headers_mut().insert(header::SET_COOKIE, value);
    Ok(response)
}

/// Makes a login and gives its token.
pub async fn open_session(
    app: &App,
    tx: &mut Tx,
    account: AccountId,
    agent: Option<String>,
    lasts_ms: i64,
) -> Result<Zeroizing<String>, Problem> {
    let token = Zeroizing::new(b64u(&random::bytes::<32>()));
    let now_ms = app.clock.now_ms();
    let hash = session::hash(&token);
    session::insert(tx, &hash, account, now_ms, now_ms.saturating_add(lasts_ms)).await?;
    if let Some(agent) = &agent {
        session::describe(tx, &hash, agent).await?;
    }
    Ok(token)
}

/// The login cookie with its time, as a header says it.
pub fn login_cookie(app: &App, token: &str, lasts_ms: i64) -> String {
    format!("{}; Max-Age={}", cookie(app, token), lasts_ms / 1000)
}

/// The login cookie with this value.
pub fn cookie(app: &App, value: &str) -> Cookie<'static> {
    Cookie::build((COOKIE, value.to_owned()))
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(app.public_url.starts_with("https://"))
        .build()
}
