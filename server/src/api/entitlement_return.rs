//! `POST /v1/entitlements/{entitlement}/return`: gives an entitlement back before its time; nothing is paid back for it.

use axum::Json;
use axum::extract::State;
use matinee_protocol::id::{AccountId, EntitlementId};
use serde_json::Value;

use super::authority::Session;
use super::doc::Doc;
use super::entitlement_status::{document, fields};
use super::json::Path;
use super::problem::Problem;
use crate::app::App;
use crate::license::entitlement::Entitlement;
use crate::license::status::{Event, Status};
use crate::store::{Tx, entitlement, view};

const REASON: &str = "given back by its viewer";

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Gives an entitlement back before its time")
        .empty_body()
        .object(200, fields)
        .problem(409, "entitlement_over")
}

/// Answers with the status document; its views end. Giving back again changes nothing; 409 `entitlement_over` if it
/// ended otherwise.
pub async fn handle(
    State(app): State<App>,
    session: Session,
    Path(id): Path<EntitlementId>,
) -> Result<Json<Value>, Problem> {
    let now_ms = app.clock.now_ms();
    let mut tx = app.store.write().await?;
    entitlement::hold(&mut tx, id).await?;
    let found = own(&mut tx, id, session.account).await?;
    // What time has ended is over, whatever stands on the record.
    if found.status_at(now_ms).is_open() {
        entitlement::apply(&mut tx, id, Event::Return, REASON, now_ms).await?;
    } else if found.status != Status::Returned {
        return Err(Problem::conflict("entitlement_over", "this entitlement has ended otherwise"));
    }
    let found = own(&mut tx, id, session.account).await?;
    let ended = view::revoke_all(&mut tx, id, REASON, now_ms).await?;
    let answer = document(&mut tx, &found, now_ms).await?;
    tx.commit().await?;
    for view in ended {
        app.hub.revoke_view(view, REASON);
    }
    Ok(Json(answer))
}

/// An entitlement, if it is the account's.
pub async fn own(tx: &mut Tx, id: EntitlementId, account: AccountId) -> Result<Entitlement, Problem> {
    let found = entitlement::by_id(tx, id).await?.filter(|found| found.account_id == account);
    found.ok_or_else(|| Problem::not_found("entitlement"))
}
