//! `POST /v1/purchases`: buys a plan out of the wallet.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use matinee_protocol::api::PurchaseAnswer;
use matinee_protocol::id::{AccountId, EntitlementId, PlanId, PurchaseId};
use serde::Deserialize;

use super::authority::Session;
use super::idempotent::{self, Begin, Key, Once};
use super::json::Json;
use super::problem::Problem;
use crate::app::App;
use crate::store::idempotency::Kept;
use crate::store::plan::{self, Plan};
use crate::store::purchase::{self, Sale};
use crate::{license, random};

/// Body.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Body {
    plan: PlanId,
}

/// Answers 201 with the purchase and its entitlement; 402 `wallet_too_low`. Debit, credit, entitlement and the kept
/// answer are one transaction.
pub async fn handle(
    State(app): State<App>,
    session: Session,
    key: Key,
    Json { value: body, bytes }: Json<Body>,
) -> Result<Response, Problem> {
    let now_ms = app.clock.now_ms();
    // A plan never changes: it is read outside the transaction, of which SQLite runs one at a time.
    let mut tx = app.store.read().await?;
    let plan = plan::by_id(&mut tx, body.plan).await?;
    drop(tx);
    let drafted = plan.as_ref().map(|plan| draft(session.account, plan, now_ms)).transpose()?;
    let tx = app.store.write().await?;
    let foreseen = drafted.as_ref().map(|(_, _, kept)| kept.clone());
    let named = (session.account, "purchase", key);
    let mut once = match Once::begin(tx, named, &[&bytes], foreseen, now_ms).await? {
        Begin::Do(once) => once,
        Begin::Replay(response) => return Ok(response),
    };
    let (plan, (sale, answer, _)) = plan.zip(drafted).ok_or_else(|| Problem::not_found("plan"))?;
    if !purchase::settle(&mut once.tx, &plan, &sale).await? {
        return Err(Problem::new(
            StatusCode::PAYMENT_REQUIRED,
            "wallet_too_low",
            "there is too little in the wallet; top it up first",
        ));
    }
    once.answer(StatusCode::CREATED, &answer).await
}

/// What the purchase would be, and its answer.
fn draft(account: AccountId, plan: &Plan, now_ms: i64) -> Result<(Sale, PurchaseAnswer, Kept), Problem> {
    let purchase = PurchaseId::from_bytes(random::id(now_ms));
    let entitlement = EntitlementId::from_bytes(random::id(now_ms));
    let sale = purchase::draft(account, plan, purchase, entitlement, now_ms);
    let answer = PurchaseAnswer {
        purchase: sale.summary.clone(),
        entitlement: license::summary(&sale.entitlement, now_ms),
    };
    let kept = idempotent::kept(StatusCode::CREATED, &answer)?;
    Ok((sale, answer, kept))
}
