//! `POST /v1/sign-in-link-sessions`: signs in whoever has the link, and sets another password if one is given.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use matinee_protocol::api::AccountSummary;
use serde::Deserialize;

use super::attempt::Address;
use super::authority::{Session, refuse_foreign_origin};
use super::doc::Doc;
use super::json::Json;
use super::problem::Problem;
use super::session_create::{SignedIn, respond};
use super::sign_in_link_create::browser_of;
use crate::app::App;
use crate::password::Password;
use crate::store::account::{self, canonical_email};
use crate::store::sign_in_link::{self, Link, Standing};
use crate::store::{Tx, device, session};

/// Why views end with the first link.
const PLAYED_BEFORE: &str = "the account is its owner's now";

/// Body.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    /// What stands behind the `#` of the link.
    token: String,
    /// The address that the link was sent to, from a browser or program that did not ask for it.
    #[serde(default)]
    email: Option<String>,
    /// The password from now on; every other login session of the account ends.
    #[serde(default)]
    new_password: Option<Password>,
    /// Whether the session is wanted in the answer rather than in a cookie.
    #[serde(default)]
    bearer: bool,
}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Signs in with a link that was sent, and sets another password if one is given")
        .body::<Body>()
        .object(201, |it| {
            it.field::<AccountSummary>("account")
                .optional::<String>("session_token")
                .optional::<bool>("ways_ended")
        })
        .problems(401, &["link_unknown", "link_used", "link_replaced", "link_expired"])
        .problems(403, &["origin_mismatch", "link_elsewhere"])
        .problem(422, "password_length")
        .problem(429, "sign_in_too_fast")
}

/// Answers as signing in does. Nothing but this uses a link: what looks at links in mailboxes sends no such request.
///
/// The first link that is used shows whose the address is. Whoever opened the account may have been somebody else, who left
/// a password and waits: so whatever opened it before ends, and whatever plays on it, unless it is signed in here already.
/// `ways_ended` says so.
pub async fn handle(
    State(app): State<App>,
    address: Address,
    login: Option<Session>,
    headers: HeaderMap,
    Json { value: body, .. }: Json<Body>,
) -> Result<Response, Problem> {
    refuse_foreign_origin(&headers, &app)?;
    app.sign_ins.attempt(&body.token, address.0)?;
    let token_hash = sign_in_link::hash(&body.token);
    let mut tx = app.store.read().await?;
    let link = good(&app, &mut tx, &token_hash).await?;
    require_asker(&mut tx, &link, &headers, body.email.as_deref()).await?;
    drop(tx);
    // Before the link is taken: a password that is too short costs no link.
    let hash = match body.new_password {
        Some(password) => Some(app.passwords.hash(password).await?),
        None => None,
    };
    let mut tx = app.store.write().await?;
    // In the order of everybody else who holds both: the account, then its links.
    account::hold(&mut tx, link.account).await?;
    let now_ms = app.clock.now_ms();
    if !sign_in_link::take(&mut tx, &token_hash, now_ms).await? {
        good(&app, &mut tx, &token_hash).await?;
        return Err(unknown());
    }
    let is_first = account::verify_email(&mut tx, link.account, now_ms).await?;
    let is_known = login.is_some_and(|login| login.account == link.account);
    let (mut ways_ended, mut views) = (false, Vec::new());
    if is_first && !is_known {
        ways_ended = account::end_ways_in(&mut tx, link.account).await?;
        views = device::remove_all(&mut tx, link.account, PLAYED_BEFORE, now_ms).await?;
    }
    if let Some(hash) = hash {
        account::set_password(&mut tx, link.account, &hash).await?;
        session::delete_all(&mut tx, link.account).await?;
        sign_in_link::replace(&mut tx, link.account, now_ms).await?;
    }
    let signed_in = SignedIn::new(link.account, body.bearer, &headers).ways_ended(ways_ended);
    let response = respond(&app, tx, signed_in, StatusCode::CREATED).await?;
    for view in views {
        app.hub.revoke_view(view, PLAYED_BEFORE);
    }
    Ok(response)
}

/// The link with this token, if it is good.
async fn good(app: &App, tx: &mut Tx, token_hash: &[u8; 32]) -> Result<Link, Problem> {
    let link = sign_in_link::find(tx, token_hash, app.clock.now_ms()).await?.ok_or_else(unknown)?;
    let (code, detail) = match link.standing {
        Standing::Good => return Ok(link),
        Standing::Used => ("link_used", "this link was used before; ask for another"),
        Standing::Replaced => ("link_replaced", "there is a newer link; open that one, or ask for another"),
        Standing::Expired => ("link_expired", "this link is too old; ask for another"),
    };
    Err(Problem::new(StatusCode::UNAUTHORIZED, code, detail))
}

fn unknown() -> Problem {
    let detail = "there is no such link any more; ask for another";
    Problem::new(StatusCode::UNAUTHORIZED, "link_unknown", detail)
}

/// Refuses browsers that did not ask for the link, unless the address is named that it was sent to: whoever is sent
/// somebody else's link is not signed in to that account by pressing a button.
async fn require_asker(
    tx: &mut Tx,
    link: &Link,
    headers: &HeaderMap,
    email: Option<&str>,
) -> Result<(), Problem> {
    if browser_of(headers).is_some_and(|browser| link.browser == browser) {
        return Ok(());
    }
    let detail = match email {
        None => "this link was asked for in another browser; name the address that it was sent to",
        Some(email) => {
            let owner = account::by_id(tx, link.account).await?;
            if owner.is_some_and(|owner| owner.email == canonical_email(email)) {
                return Ok(());
            }
            "this link was not sent to this address"
        }
    };
    Err(Problem::forbidden("link_elsewhere", detail))
}
