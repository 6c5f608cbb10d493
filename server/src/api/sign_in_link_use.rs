//! `POST /v1/sign-in-link-sessions`: signs in whoever has the link, and sets another password if one is given.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;

use super::attempt::Address;
use super::authority::refuse_foreign_origin;
use super::doc::Doc;
use super::json::Json;
use super::problem::Problem;
use super::session_create::{SignedIn, agent, respond};
use super::sign_in_link_create::browser_of;
use crate::app::App;
use crate::password::Password;
use crate::store::account::{self, canonical_email};
use crate::store::sign_in_link::{self, Link, Standing};
use crate::store::{Tx, session};

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
        .signs_in()
        .problems(401, &["link_unknown", "link_used", "link_replaced", "link_expired"])
        .problems(403, &["origin_mismatch", "link_elsewhere"])
        .problem(422, "password_length")
        .problem(429, "sign_in_too_fast")
}

/// Answers as signing in does. Nothing but this uses a link: what looks at links in mailboxes sends no such request.
pub async fn handle(
    State(app): State<App>,
    address: Address,
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
    let now_ms = app.clock.now_ms();
    if !sign_in_link::take(&mut tx, &token_hash, now_ms).await? {
        good(&app, &mut tx, &token_hash).await?;
        return Err(unknown());
    }
    if let Some(hash) = hash {
        account::set_password(&mut tx, link.account, &hash).await?;
        session::delete_all(&mut tx, link.account).await?;
        sign_in_link::replace(&mut tx, link.account, now_ms).await?;
    }
    let signed_in = SignedIn { account: link.account, bearer: body.bearer, agent: agent(&headers) };
    respond(&app, tx, signed_in, StatusCode::CREATED).await
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
