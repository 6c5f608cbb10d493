//! Whether whoever is signed in is the account's owner: by the password once more or, where there is none, by a fresh login.

use std::net::IpAddr;

use axum::http::StatusCode;

use super::authority::Session;
use super::ceremony::require_fresh;
use super::problem::Problem;
use crate::app::App;
use crate::password::Password;
use crate::store::account;

/// Refuses others: 401 `wrong_credentials`, 403 `login_too_old` and `account_required`, 429 `sign_in_too_fast`.
pub async fn require_owner(
    app: &App,
    login: &Session,
    address: IpAddr,
    password: Option<Password>,
) -> Result<(), Problem> {
    app.sign_ins.attempt(&login.account.to_string(), address)?;
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
