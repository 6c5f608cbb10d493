//! `GET /v1/viewers/{account}`: a viewer of an integrator's, and what it may play.

use axum::Json;
use axum::extract::State;
use matinee_protocol::api::EntitlementSummary;
use matinee_protocol::id::AccountId;
use serde_json::{Value, json};

use super::cursor::{self, Paging};
use super::doc::Doc;
use super::integrator::Caller;
use super::json::Path;
use super::problem::Problem;
use crate::app::App;
use crate::store::api_key::Scope;
use crate::store::entitlement;

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("A viewer, and what it may play, newest first").paged(cursor::PAGE_ROWS_MAX).object(200, |it| {
        it.object("viewer", |it| it.field::<AccountId>("id").field::<String>("reference"))
            .list::<EntitlementSummary>("entitlements")
            .field::<Option<String>>("next")
    })
}

/// Answers.
pub async fn handle(
    State(app): State<App>,
    caller: Caller,
    Path(account): Path<AccountId>,
    Paging(asked): Paging,
) -> Result<Json<Value>, Problem> {
    caller.require(Scope::Viewers)?;
    let mut tx = app.store.read().await?;
    let reference = caller.require_own(&mut tx, account).await?;
    let page = entitlement::by_account(&mut tx, account, &asked).await?;
    let now_ms = app.clock.now_ms();
    let entitlements: Vec<_> = page.rows.iter().map(|found| found.summary(now_ms)).collect();
    Ok(Json(json!({
        "viewer": { "id": account, "reference": reference },
        "entitlements": entitlements,
        "next": page.next.as_ref().map(cursor::write),
    })))
}
