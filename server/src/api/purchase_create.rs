//! `POST /v1/purchases`: buys a plan out of the wallet.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use matinee_protocol::api::PurchaseAnswer;
use matinee_protocol::id::{EntitlementId, PlanId, PurchaseId};
use serde::Deserialize;

use super::authority::Session;
use super::idempotent::{self, Begin, Key, Once};
use super::json::Json;
use super::problem::Problem;
use crate::app::App;
use crate::store::{plan, purchase};
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
    let plan = plan::by_id(&mut tx, body.plan).await?.ok_or_else(|| Problem::not_found("plan"))?;
    drop(tx);
    let purchase = PurchaseId::from_bytes(random::id(now_ms));
    let entitlement = EntitlementId::from_bytes(random::id(now_ms));
    let sale = purchase::draft(session.account, &plan, purchase, entitlement, now_ms);
    let answer = PurchaseAnswer {
        purchase: sale.summary.clone(),
        entitlement: license::summary(&sale.entitlement, now_ms),
    };
    let foreseen = idempotent::kept(StatusCode::CREATED, &answer)?;
    let tx = app.store.write().await?;
    let named = (session.account, "purchase", key);
    let mut once = match Once::begin(tx, named, &[&bytes], Some(foreseen), now_ms).await? {
        Begin::Do(once) => once,
        Begin::Replay(response) => return Ok(response),
    };
    if !purchase::settle(&mut once.tx, &plan, &sale).await? {
        return Err(Problem::new(
            StatusCode::PAYMENT_REQUIRED,
            "wallet_too_low",
            "there is too little in the wallet; top it up first",
        ));
    }
    once.answer(StatusCode::CREATED, &answer).await
}
