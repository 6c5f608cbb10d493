//! `GET /v1/oidc/{provider}/callback`: where a provider of identities sends the browser back to.

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use matinee_protocol::id::AccountId;
use serde_json::json;
use uuid::Uuid;

use super::account_create::{EMAIL_CHARS_MAX, NAME_CHARS_MAX, check_own};
use super::attempt::Address;
use super::authority::login_token;
use super::ceremony::{end, over};
use super::doc::Doc;
use super::json::Path;
use super::oidc_start::{Trip, back, browser_of, text, without_browser};
use super::problem::Problem;
use super::session_create::{agent, login_cookie, open_session, session_ms};
use crate::app::App;
use crate::oidc::Person;
use crate::random;
use crate::store::account::{self, Account, NO_PASSWORD, Role, canonical_email};
use crate::store::ceremony::{Ceremony, Kind};
use crate::store::identity::{self, Identity};
use crate::store::{Tx, session};

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    let word = || json!({ "type": "string" });
    Doc::new("Where a provider of identities sends the browser back to; a page for people, not for programs")
        .query("code", "what is exchanged for a token", word())
        .query("state", "names the sign-in", word())
        .query("error", "why there is no code", word())
        .query("iss", "the provider, where it says so (RFC 9207)", word())
        .bare(303)
        .problem(429, "sign_in_too_fast")
}

/// What a provider sends along.
#[derive(Default)]
struct Brought {
    code: Option<String>,
    state: String,
    error: Option<String>,
    issuer: Option<String>,
}

impl Brought {
    fn read(query: &str) -> Self {
        let mut brought = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "code" => brought.code = Some(value.into_owned()),
                "state" => brought.state = value.into_owned(),
                "error" => brought.error = Some(value.into_owned()),
                "iss" => brought.issuer = Some(value.into_owned()),
                _ => {}
            }
        }
        brought
    }
}

/// Answers 303: to the page where it began, signed in, or to the sign-in page with what is wrong.
pub async fn handle(
    State(app): State<App>,
    address: Address,
    headers: HeaderMap,
    Path(provider): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    app.providers.issuer(&provider)?;
    app.sign_ins.begin(address.0)?;
    let brought = Brought::read(&query.unwrap_or_default());
    let ended = match end(&app, &brought.state, Kind::Provider).await {
        Ok(ceremony) => arrive(&app, &headers, &provider, brought, &ceremony).await,
        Err(problem) => back(&problem, "/sign-in"),
    };
    let mut response = ended?;
    let (name, gone) = without_browser(&app)?;
    response.headers_mut().append(name, gone);
    Ok(response)
}

async fn arrive(
    app: &App,
    headers: &HeaderMap,
    provider: &str,
    brought: Brought,
    ceremony: &Ceremony,
) -> Result<Response, Problem> {
    let trip: Trip = serde_json::from_str(&ceremony.state).map_err(|error| Problem::internal(&error))?;
    // Whoever brings another browser's state would sign this one in to an account that is not its person's.
    let same = browser_of(headers).is_some_and(|browser| browser == trip.browser);
    if !same || trip.provider != provider {
        return back(&over(), "/sign-in");
    }
    let next = trip.next.clone();
    match person(app, provider, brought, trip).await {
        Err(problem) => back(&problem, if ceremony.account.is_some() { "/account" } else { "/sign-in" }),
        Ok(person) => match ceremony.account {
            Some(account) => match link(app, headers, account, person).await {
                Ok(()) => Ok((StatusCode::SEE_OTHER, [(header::LOCATION, text(&next)?)]).into_response()),
                Err(problem) => back(&problem, "/account"),
            },
            None => match sign_in(app, headers, person).await {
                Ok(cookie) => {
                    let headers = AppendHeaders([
                        (header::LOCATION, text(&next)?),
                        (header::SET_COOKIE, text(&cookie)?),
                    ]);
                    Ok((StatusCode::SEE_OTHER, headers).into_response())
                }
                Err(problem) => back(&problem, "/sign-in"),
            },
        },
    }
}

async fn person(app: &App, provider: &str, brought: Brought, trip: Trip) -> Result<Person, Problem> {
    let refused = |said: &str| {
        tracing::info!(provider, said, "nobody was brought back");
        let detail = "the provider did not sign you in; begin again";
        Problem::new(StatusCode::UNAUTHORIZED, "provider_refused", detail)
    };
    if brought.issuer.as_deref().is_some_and(|issuer| app.providers.issuer(provider).ok() != Some(issuer)) {
        return Err(refused("another issuer"));
    }
    if brought.error.is_some() {
        return Err(refused("an error"));
    }
    let code = brought.code.ok_or_else(|| refused("no code"))?;
    Ok(app.providers.take(provider, code, trip.kept).await?)
}

/// Signs in whoever this is, opening an account where there is none; gives the login's cookie.
async fn sign_in(app: &App, headers: &HeaderMap, person: Person) -> Result<String, Problem> {
    let mut tx = app.store.write().await?;
    let known = identity::used(&mut tx, &person.issuer, &person.subject, app.clock.now_ms()).await?;
    let account = match known {
        Some(account) => account,
        None => open(app, &mut tx, person).await?,
    };
    let lasts_ms = session_ms(app);
    let token = open_session(app, &mut tx, account, agent(headers), lasts_ms).await?;
    tx.commit().await?;
    Ok(login_cookie(app, &token, lasts_ms))
}

/// Opens an account for somebody who is new. An address that is taken is never a reason to let somebody in.
async fn open(app: &App, tx: &mut Tx, person: Person) -> Result<AccountId, Problem> {
    if !app.config.account.open {
        return Err(Problem::forbidden("accounts_closed", "ask the operator for an account"));
    }
    let email = person.email.as_deref().map(canonical_email).filter(|email| email.len() <= EMAIL_CHARS_MAX);
    let Some(email) = email else {
        let detail = "the provider names no address that it has checked; open an account here and link it";
        return Err(Problem::forbidden("email_unverified", detail));
    };
    let name: String = person.name.as_deref().unwrap_or(&email).trim().chars().take(NAME_CHARS_MAX).collect();
    let name = if name.is_empty() || name.chars().any(char::is_control) { email.clone() } else { name };
    let name: String = name.chars().take(NAME_CHARS_MAX).collect();
    check_own(&email, &name)?;
    let now_ms = app.clock.now_ms();
    let id = AccountId::from_bytes(random::id(now_ms));
    let opened = Account { id, email, name, roles: vec![Role::Viewer], created_at_ms: now_ms };
    if !account::insert(tx, &opened, NO_PASSWORD).await? {
        let detail = "there is an account with this email; sign in to it and link the provider there";
        return Err(Problem::conflict("email_taken", detail));
    }
    account::verify_email(tx, id, now_ms).await?;
    insert(app, tx, id, person, Some(now_ms)).await?;
    Ok(id)
}

/// Links an identity to the account that asked for it and is still signed in here.
async fn link(app: &App, headers: &HeaderMap, account: AccountId, person: Person) -> Result<(), Problem> {
    let now_ms = app.clock.now_ms();
    let (token, _) = login_token(headers).ok_or_else(over)?;
    let mut tx = app.store.write().await?;
    account::hold(&mut tx, account).await?;
    let login = session::by_hash(&mut tx, &session::hash(&token), now_ms).await?;
    if login.is_none_or(|(signed_in, _)| signed_in != account) {
        return Err(over());
    }
    insert(app, &mut tx, account, person, None).await?;
    tx.commit().await?;
    Ok(())
}

async fn insert(
    app: &App,
    tx: &mut Tx,
    account: AccountId,
    person: Person,
    last_used_at_ms: Option<i64>,
) -> Result<(), Problem> {
    let now_ms = app.clock.now_ms();
    let linked = Identity {
        id: Uuid::from_bytes(random::id(now_ms)),
        issuer: person.issuer,
        subject: person.subject,
        account,
        created_at_ms: now_ms,
        last_used_at_ms,
    };
    if !identity::insert(tx, &linked).await? {
        return Err(Problem::conflict("identity_known", "this identity is linked already"));
    }
    Ok(())
}
