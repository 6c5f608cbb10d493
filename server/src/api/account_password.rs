//! `PUT /v1/account/password`: another password, or the first.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;

use super::attempt::Address;
use super::authority::Session;
use super::doc::Doc;
use super::json::Json;
use super::ownership::{hold, require_owner};
use super::problem::Problem;
use crate::app::App;
use crate::password::Password;
use crate::store::{account, session, sign_in_link};

/// Body.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    /// The password until now. An account without one is given its first by a fresh login.
    #[serde(default)]
    password: Option<Password>,
    /// The password from now on.
    new_password: Password,
}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Sets another password, or the first; every other login session of the account ends")
        .body::<Body>()
        .bare(204)
        .problem(401, "wrong_credentials")
        .problems(403, &["account_required", "login_too_old"])
        .problem(422, "password_length")
        .problem(429, "sign_in_too_fast")
}

/// Answers 204. Whoever knew the old password is out, and links that were sent before are good no more, once somebody has
/// shown that they read them.
pub async fn handle(
    State(app): State<App>,
    login: Session,
    address: Address,
    Json { value: body, .. }: Json<Body>,
) -> Result<StatusCode, Problem> {
    require_owner(&app, &login, address.0, body.password).await?;
    let hash = app.passwords.hash(body.new_password).await?;
    let mut tx = app.store.write().await?;
    hold(&app, &mut tx, &login).await?;
    if !account::set_password(&mut tx, login.account, &hash).await? {
        return Err(Problem::unauthenticated());
    }
    session::delete_others(&mut tx, login.account, &login.token_hash).await?;
    sign_in_link::replace_if_verified(&mut tx, login.account, app.clock.now_ms()).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
