//! `DELETE /v1/viewers/{account}`: closes a viewer of an integrator's.

use axum::extract::State;
use axum::http::StatusCode;
use matinee_protocol::id::AccountId;

use super::account_close::{close, tell};
use super::doc::Doc;
use super::integrator::Caller;
use super::json::Path;
use super::problem::Problem;
use crate::app::App;
use crate::store::api_key::Scope;

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Closes a viewer; the books keep what it used, under an id that names nobody")
        .bare(204)
        .problems(409, &["wallet_not_empty", "account_needed"])
}

/// Answers 204.
pub async fn handle(
    State(app): State<App>,
    caller: Caller,
    Path(account): Path<AccountId>,
) -> Result<StatusCode, Problem> {
    caller.require(Scope::Viewers)?;
    let mut tx = app.store.write().await?;
    caller.require_own(&mut tx, account).await?;
    let here = (app.config.payment.currency.as_str(), app.clock.now_ms());
    let ended = close(&mut tx, account, (&caller).into(), here).await?;
    tx.commit().await?;
    tell(&app, &ended);
    Ok(StatusCode::NO_CONTENT)
}
