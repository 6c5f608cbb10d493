//! `POST /v1/accounts`: opens an account of role viewer and signs it in.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use matinee_protocol::id::AccountId;
use serde::Deserialize;

use super::attempt::Address;
use super::authority::refuse_foreign_origin;
use super::doc::Doc;
use super::json::Json;
use super::problem::Problem;
use super::session_create::{SignedIn, respond};
use crate::app::App;
use crate::password::Password;
use crate::random;
use crate::store::account::{self, Account, Role, canonical_email};

/// Characters of an email address (RFC 5321).
pub const EMAIL_CHARS_MAX: usize = 254;
/// Characters of a name.
pub const NAME_CHARS_MAX: usize = 100;

/// Body.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    email: String,
    password: Password,
    name: String,
    #[serde(default)]
    bearer: bool,
}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Opens an account and signs it in")
        .body::<Body>()
        .signs_in()
        .problems(403, &["origin_mismatch", "accounts_closed"])
        .problem(409, "email_taken")
        .problems(422, &["email_invalid", "name_invalid", "password_length"])
        .problem(429, "sign_in_too_fast")
}

/// Answers 201 with the account; 409 `email_taken`.
pub async fn handle(
    State(app): State<App>,
    address: Address,
    headers: HeaderMap,
    Json { value: body, .. }: Json<Body>,
) -> Result<Response, Problem> {
    refuse_foreign_origin(&headers, &app)?;
    if !app.config.account.open {
        return Err(Problem::forbidden("accounts_closed", "ask the operator for an account"));
    }
    app.sign_ins.attempt(&canonical_email(&body.email), address.0)?;
    check_own(&body.email, &body.name)?;
    let hash = app.passwords.hash(body.password).await?;
    let now_ms = app.clock.now_ms();
    let opened = Account {
        id: AccountId::from_bytes(random::id(now_ms)),
        email: canonical_email(&body.email),
        name: body.name.trim().to_owned(),
        roles: vec![Role::Viewer],
        created_at_ms: now_ms,
    };
    let mut tx = app.store.write().await?;
    if !account::insert(&mut tx, &opened, &hash).await? {
        return Err(Problem::conflict("email_taken", "there is an account with this email; sign in instead"));
    }
    let signed_in = SignedIn::new(opened.id, body.bearer, &headers);
    respond(&app, tx, signed_in, StatusCode::CREATED).await
}

/// Refuses what cannot be an email address or a name, and names under `.invalid` (RFC 2606): those the server gives to
/// accounts that nobody writes to, and nobody else may have them.
pub fn check_own(email: &str, name: &str) -> Result<(), Problem> {
    check(email, name)?;
    let host = canonical_email(email);
    match host.trim_end_matches('.').rsplit(['.', '@']).next() {
        Some("invalid") => refuse("email_invalid", "write an address at which you read mail"),
        _ => Ok(()),
    }
}

fn refuse(code: &'static str, detail: &'static str) -> Result<(), Problem> {
    Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail))
}

/// Refuses what cannot be an email address or a name.
pub fn check(email: &str, name: &str) -> Result<(), Problem> {
    let email = canonical_email(email);
    let parts = email.split_once('@').filter(|(local, host)| !local.is_empty() && !host.is_empty());
    if parts.is_none()
        || email.chars().count() > EMAIL_CHARS_MAX
        || email.chars().any(|char| char.is_whitespace() || char.is_control())
    {
        return refuse("email_invalid", "write an email address");
    }
    let name = name.trim();
    if name.is_empty() || name.chars().count() > NAME_CHARS_MAX || name.chars().any(char::is_control) {
        return refuse("name_invalid", "write a name of 1 to 100 characters");
    }
    Ok(())
}
