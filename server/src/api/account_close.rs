//! `POST /v1/account/closure`: closes the account. The books keep what was paid, bought and used, under an id that names
//! nobody any more.

use axum::extract::State;
use axum::response::Response;
use matinee_protocol::id::{AccountId, EntitlementId, ViewId};
use serde::Deserialize;
use serde_json::json;

use super::authority::Session;
use super::doc::Doc;
use super::json::Json;
use super::ownership::{hold, require_owner};
use super::problem::Problem;
use super::session_end::signed_out;
use super::trail::note;
use crate::app::App;
use crate::password::Password;
use crate::store::audit::Actor;
use crate::store::{Tx, account, entitlement, ledger, outbox, view, whole};

/// Why entitlements and views of a closed account end.
const REASON: &str = "the account was closed";

/// Body.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    /// The account's password, once more. An account without one is closed by a fresh login.
    password: Option<Password>,
}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Closes the account; the books keep what was paid and used, under an id that names nobody")
        .body::<Body>()
        .bare(204)
        .problem(401, "wrong_credentials")
        .problems(403, &["account_required", "login_too_old"])
        .problems(409, &["wallet_not_empty", "account_needed"])
        .problem(429, "sign_in_too_fast")
}

/// Answers 204 and takes the cookie back; 409 while there is money in the wallet or the account publishes titles.
pub async fn handle(
    State(app): State<App>,
    login: Session,
    address: super::attempt::Address,
    Json { value: body, .. }: Json<Body>,
) -> Result<Response, Problem> {
    require_owner(&app, &login, address.0, body.password).await?;
    let mut tx = app.store.write().await?;
    hold(&app, &mut tx, &login).await?;
    let here = (app.config.payment.currency.as_str(), app.clock.now_ms());
    let ended = close(&mut tx, login.account, (&login).into(), here).await?;
    tx.commit().await?;
    tell(&app, &ended);
    signed_out(&app)
}

/// Closes an account and gives the views that end with it.
///
/// A wallet must be empty first: money that was paid in is the owner's, and is spent or paid back, never lost. What comes in
/// later is sent back.
pub async fn close(
    tx: &mut Tx,
    owner: AccountId,
    by: Actor,
    (currency, now_ms): (&str, i64),
) -> Result<Vec<ViewId>, Problem> {
    // Money that comes in at this moment is in the wallet before, or finds the account closed.
    account::hold(tx, owner).await?;
    if ledger::wallet(tx, owner, currency).await?.minor != 0 {
        let detail = "there is money in the wallet: spend it, or ask the operator to pay it back, then close the account";
        return Err(Problem::conflict("wallet_not_empty", detail));
    }
    if whole::is_needed(tx, owner).await? {
        let detail = "the account has titles or viewers: hand them over first";
        return Err(Problem::conflict("account_needed", detail));
    }
    let mut ended = Vec::new();
    for id in whole::standing(tx, owner).await? {
        let id: EntitlementId = id.parse().map_err(|_| Problem::not_found("entitlement"))?;
        entitlement::revoke(tx, id, REASON, now_ms).await?;
        ended.extend(view::revoke_all(tx, id, REASON, now_ms).await?);
    }
    // Before the account is nobody's: who made the viewer is told.
    outbox::post(tx, "account.closed", owner, &json!({ "account": owner }), now_ms).await?;
    if !whole::close(tx, owner, now_ms).await? {
        return Err(Problem::not_found("account"));
    }
    note(tx, by, "account.close", &owner, json!({ "views_ended": ended.len() }), now_ms).await?;
    Ok(ended)
}

/// Tells the peers of views that have ended.
pub fn tell(app: &App, ended: &[ViewId]) {
    for view in ended {
        app.hub.revoke_view(*view, REASON);
    }
}
