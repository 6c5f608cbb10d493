//! `DELETE /v1/viewers/{account}/entitlements/{entitlement}`: takes back what was given to a viewer of an integrator's.

use axum::extract::State;
use axum::http::StatusCode;
use matinee_protocol::id::{AccountId, EntitlementId};
use serde_json::json;

use super::doc::Doc;
use super::integrator::Caller;
use super::json::Path;
use super::problem::Problem;
use super::trail::note;
use crate::app::App;
use crate::store::api_key::Scope;
use crate::store::{entitlement, view};

/// Why it ends, as the viewer is told.
const REASON: &str = "the shop took it back";

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Takes back a right that was given to a viewer; its views end")
        .bare(204)
        .problem(409, "entitlement_bought")
}

/// Answers 204. Taking back again changes nothing. What the viewer paid for is refunded, not taken.
pub async fn handle(
    State(app): State<App>,
    caller: Caller,
    Path((account, entitlement)): Path<(AccountId, EntitlementId)>,
) -> Result<StatusCode, Problem> {
    caller.require(Scope::Entitlements)?;
    let now_ms = app.clock.now_ms();
    let mut tx = app.store.write().await?;
    caller.require_own(&mut tx, account).await?;
    let found = entitlement::by_id(&mut tx, entitlement).await?;
    let found = found.filter(|found| found.account_id == account);
    let found = found.ok_or_else(|| Problem::not_found("entitlement"))?;
    if found.purchase_id.is_some() {
        let detail = "the viewer paid for this here: ask the operator for a refund";
        return Err(Problem::conflict("entitlement_bought", detail));
    }
    let taken = entitlement::revoke(&mut tx, entitlement, REASON, now_ms).await?;
    let ended = view::revoke_all(&mut tx, entitlement, REASON, now_ms).await?;
    if taken || !ended.is_empty() {
        let detail = json!({ "account": account, "views_ended": ended.len() });
        note(&mut tx, &caller, "entitlement.revoke", &entitlement, detail, now_ms).await?;
    }
    tx.commit().await?;
    for view in &ended {
        app.hub.revoke_view(*view, REASON);
    }
    Ok(StatusCode::NO_CONTENT)
}
