//! `POST /v1/sign-in-links`: sends a link to sign in with to the address of an account.

use axum::Json as JsonResponse;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum_extra::extract::cookie::{Cookie, SameSite};
use matinee_protocol::encoding::b64u;
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::attempt::Address;
use super::authority::refuse_foreign_origin;
use super::doc::Doc;
use super::json::Json;
use super::oidc_start::text;
use super::problem::Problem;
use crate::app::App;
use crate::random;
use crate::store::account::{self, Role, canonical_email};
use crate::store::{outbox, sign_in_link};

/// How long a link is good for.
pub const LINK_MS_MAX: i64 = 15 * 60 * 1000;
/// Links that an account is sent in that time: nobody's mailbox is filled by somebody else.
const LINKS_MAX: i64 = 3;
/// The cookie that ties a link to the browser that asked for it.
const BROWSER_COOKIE: &str = "matinee_link";
/// Where the cookie goes.
const BROWSER_PATH: &str = "/v1/sign-in-link-sessions";

/// Body.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    email: String,
}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Sends a link to sign in with, good once and for fifteen minutes, if there is such an account")
        .body::<Body>()
        .object(202, |it| it)
        .problems(403, &["origin_mismatch", "mail_off"])
        .problem(429, "sign_in_too_fast")
}

/// Answers 202, whether there is such an account or not, before it is looked for: nothing in the answer or its time tells.
pub async fn handle(
    State(app): State<App>,
    address: Address,
    headers: HeaderMap,
    Json { value: body, .. }: Json<Body>,
) -> Result<Response, Problem> {
    refuse_foreign_origin(&headers, &app)?;
    if app.letters.is_silent() {
        return Err(Problem::forbidden("mail_off", "no mail is sent from here; sign in another way"));
    }
    let email = canonical_email(&body.email);
    app.sign_ins.attempt(&email, address.0)?;
    let under_way = app.sign_ins.link()?;
    let browser = fresh_token();
    let cookie = format!("{}; Max-Age={}", browser_cookie(&app, &browser), LINK_MS_MAX / 1000);
    let browser_hash = sign_in_link::hash(&browser);
    tokio::spawn(async move {
        if let Err(problem) = send(&app, &email, &browser_hash).await {
            tracing::warn!(code = problem.code, "no sign-in link was sent");
        }
        drop(under_way);
    });
    let headers = [(header::SET_COOKIE, text(&cookie)?)];
    Ok((StatusCode::ACCEPTED, headers, JsonResponse(json!({}))).into_response())
}

/// Writes the link into the outbox in the transaction that makes it good. Whoever has no account is not written to, and
/// operators are not either: a mailbox does not open the house.
async fn send(app: &App, email: &str, browser_hash: &[u8; 32]) -> Result<(), Problem> {
    let mut tx = app.store.write().await?;
    let Some(found) = account::by_email(&mut tx, email).await? else { return Ok(()) };
    if found.roles.contains(&Role::Operator) {
        return Ok(());
    }
    account::hold(&mut tx, found.id).await?;
    let now_ms = app.clock.now_ms();
    if sign_in_link::asked_since(&mut tx, found.id, now_ms.saturating_sub(LINK_MS_MAX)).await? >= LINKS_MAX {
        return Ok(());
    }
    let token = fresh_token();
    let times = (now_ms, now_ms.saturating_add(LINK_MS_MAX));
    sign_in_link::insert(&mut tx, &sign_in_link::hash(&token), found.id, browser_hash, times).await?;
    let letter = app.letters.sign_in_link(&token, found.created_at_ms, LINK_MS_MAX);
    outbox::mail(&mut tx, found.id, letter.as_ref(), now_ms).await?;
    Ok(tx.commit().await?)
}

fn fresh_token() -> Zeroizing<String> {
    Zeroizing::new(b64u(&random::bytes::<32>()))
}

/// The cookie with this value. Strict: it is read by a request of our own page only.
fn browser_cookie(app: &App, value: &str) -> Cookie<'static> {
    Cookie::build((BROWSER_COOKIE, value.to_owned()))
        .path(BROWSER_PATH)
        .http_only(true)
        .same_site(SameSite::Strict)
        .secure(app.public_url.starts_with("https://"))
        .build()
}

/// What the browser's cookie holds, hashed.
pub fn browser_of(headers: &HeaderMap) -> Option<[u8; 32]> {
    let jar = axum_extra::extract::CookieJar::from_headers(headers);
    jar.get(BROWSER_COOKIE).map(|cookie| sign_in_link::hash(cookie.value()))
}
