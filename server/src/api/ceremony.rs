//! Sign-ins in two steps: what is remembered in between, and how recently somebody must have signed in to change how they do.

use axum::http::StatusCode;
use matinee_protocol::encoding::b64u;
use matinee_protocol::id::AccountId;
use zeroize::Zeroizing;

use super::authority::Session;
use super::problem::Problem;
use crate::app::App;
use crate::passkey::{self, Passkeys};
use crate::random;
use crate::store::account::Role;
use crate::store::ceremony::{self, Ceremony, Kind};
use crate::store::{Tx, account, session, viewer};

/// How long a ceremony may take: what WebAuthn level 3 recommends for its timeout.
pub const CEREMONY_MS_MAX: i64 = 5 * 60 * 1000;
/// How old a login may be that changes how one signs in.
pub const LOGIN_AGE_MS_MAX: i64 = 60 * 60 * 1000;
/// Seconds that a refused client is asked to wait.
const RETRY_AFTER_S: u64 = 60;

/// Begins a ceremony and gives the token that ends it.
pub async fn begin(app: &App, ceremony: Ceremony) -> Result<Zeroizing<String>, Problem> {
    let token = Zeroizing::new(b64u(&random::bytes::<32>()));
    begin_as(app, &token, ceremony, CEREMONY_MS_MAX).await?;
    Ok(token)
}

/// The same under a token that is there already, with a time of its own.
pub async fn begin_as(app: &App, token: &str, ceremony: Ceremony, lasts_ms: i64) -> Result<(), Problem> {
    let now_ms = app.clock.now_ms();
    let times = (now_ms, now_ms.saturating_add(lasts_ms));
    let mut tx = app.store.write().await?;
    if !ceremony::insert(&mut tx, &ceremony::hash(token), &ceremony, times).await? {
        let detail = "too many sign-ins are under way; wait a minute";
        return Err(Problem::too_many("sign_in_too_fast", detail, RETRY_AFTER_S));
    }
    tx.commit().await?;
    Ok(())
}

/// Ends a ceremony: whatever comes of it, it is taken. 401 `ceremony_over` for one that was taken, has run out or never was.
pub async fn end(app: &App, token: &str, kind: Kind) -> Result<Ceremony, Problem> {
    let mut tx = app.store.write().await?;
    let taken = ceremony::take(&mut tx, &ceremony::hash(token), kind, app.clock.now_ms()).await?;
    tx.commit().await?;
    taken.ok_or_else(over)
}

/// 401: begin again.
pub fn over() -> Problem {
    let detail = "this took too long or was done before; begin again";
    Problem::new(StatusCode::UNAUTHORIZED, "ceremony_over", detail)
}

/// The server's passkeys, or 403 `passkeys_off`.
pub fn passkeys(app: &App) -> Result<&Passkeys, Problem> {
    app.passkeys.as_ref().ok_or_else(|| {
        let detail = "there are no passkeys here: they need a public URL with a host name and TLS";
        Problem::forbidden("passkeys_off", detail)
    })
}

/// Refuses logins that are not fresh, guests, and viewers that an integrator brings, which an embed token must not outlive: 403
/// `login_too_old`, `account_required`.
pub async fn require_fresh(app: &App, login: &Session) -> Result<(), Problem> {
    let mut tx = app.store.read().await?;
    if login.has(Role::Guest) || viewer::is_integrators(&mut tx, login.account).await? {
        let detail = "nobody signs in to this account: open one of your own";
        return Err(Problem::forbidden("account_required", detail));
    }
    let created_at_ms = session::created_at_ms(&mut tx, &login.token_hash).await?;
    let age_ms = created_at_ms.map(|created_at_ms| app.clock.now_ms().saturating_sub(created_at_ms));
    match age_ms {
        Some(age_ms) if age_ms <= LOGIN_AGE_MS_MAX => Ok(()),
        _ => Err(Problem::forbidden("login_too_old", "sign in again, then change how you sign in")),
    }
}

/// Refuses to take away the last way in: 409 `last_way_in`. A passkey where there are none any more, and an identity at a
/// provider that is not configured any more, let nobody in. Under [`account::hold`] and after the removal.
pub async fn require_way_in(app: &App, tx: &mut Tx, owner: AccountId) -> Result<(), Problem> {
    let ways = account::ways_in(tx, owner).await?;
    let by_provider = || ways.issuers.iter().any(|issuer| app.providers.of_issuer(issuer).is_some());
    if ways.password || (ways.passkey && app.passkeys.is_some()) || by_provider() {
        return Ok(());
    }
    Err(Problem::conflict("last_way_in", "nothing else opens the account: add another way to sign in first"))
}

impl From<passkey::Error> for Problem {
    fn from(error: passkey::Error) -> Self {
        match error {
            passkey::Error::Refused(_) | passkey::Error::Copied => {
                tracing::warn!(%error, "passkey refused");
                Self::new(
                    StatusCode::UNAUTHORIZED,
                    "passkey_refused",
                    "this passkey does not open an account here",
                )
            }
            passkey::Error::NotDiscoverable => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "passkey_not_discoverable",
                "this authenticator keeps no passkeys of its own; use another",
            ),
            passkey::Error::Form(_) | passkey::Error::Library(_) => Self::internal(&error),
        }
    }
}
