//! Whether whoever is signed in is the account's owner: by the password once more or, where there is none, by a fresh login.
//! And whether there is an owner: guests have none.

use std::net::IpAddr;

use axum::http::StatusCode;

use super::authority::Session;
use super::ceremony::require_fresh;
use super::problem::Problem;
use crate::app::App;
use crate::password::Password;
use crate::store::account::Role;
use crate::store::plan::Plan;
use crate::store::{Tx, account, session};

/// Refuses others: 401 `wrong_credentials`, 403 `login_too_old` and `account_required`, 429 `sign_in_too_fast`.
pub async fn require_owner(
    app: &App,
    login: &Session,
    address: IpAddr,
    password: Option<Password>,
) -> Result<(), Problem> {
    app.sign_ins.guess(&login.account.to_string(), address)?;
    let mut tx = app.store.read().await?;
    let found = account::by_id(&mut tx, login.account).await?.ok_or_else(Problem::unauthenticated)?;
    let hash = account::password_hash(&mut tx, &found.email).await?.map(|(_, hash)| hash);
    drop(tx);
    let proven = match (password, hash) {
        (Some(password), hash) => app.passwords.verify(password, hash).await?,
        (None, Some(_)) => false,
        (None, None) => return require_fresh(app, login).await,
    };
    if proven {
        return Ok(());
    }
    Err(Problem::new(StatusCode::UNAUTHORIZED, "wrong_credentials", "this is not the account's password"))
}

/// Refuses guests: nobody signs in to a guest's account again, and what is paid into it would be lost.
pub fn require_account(login: &Session, detail: &'static str) -> Result<(), Problem> {
    if login.has(Role::Guest) { Err(Problem::forbidden("account_required", detail)) } else { Ok(()) }
}

/// Refuses guests a plan that is not for them, however it is to be had.
pub fn require_account_for(login: &Session, plan: &Plan) -> Result<(), Problem> {
    if plan.terms.guests() {
        return Ok(());
    }
    require_account(login, "this plan is not for guests: open an account first")
}

/// Holds the account until the transaction ends, and refuses a login that has ended since it was looked at: whoever ended it
/// has ended what it was about to do.
pub async fn hold(app: &App, tx: &mut Tx, login: &Session) -> Result<(), Problem> {
    account::hold(tx, login.account).await?;
    match session::by_hash(tx, &login.token_hash, app.clock.now_ms()).await? {
        Some(_) => Ok(()),
        None => Err(Problem::unauthenticated()),
    }
}
