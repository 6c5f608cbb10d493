//! Purchases: plans bought.

use matinee_protocol::api::PurchaseSummary;
use matinee_protocol::id::{AccountId, EntitlementId, PurchaseId};

use super::entitlement::{self, Entitlement};
use super::ledger::{self, Holder, Journal};
use super::plan::Plan;
use super::{Error, Tx, signed, unsigned};

/// A purchase with what it gives, not yet settled.
#[derive(Debug, Clone)]
pub struct Sale {
    /// The purchase.
    pub summary: PurchaseSummary,
    /// What it gives.
    pub entitlement: Entitlement,
}

/// What buying a plan would be.
pub fn draft(
    account: AccountId,
    plan: &Plan,
    purchase: PurchaseId,
    entitlement: EntitlementId,
    now_ms: i64,
) -> Sale {
    let entitlement = Entitlement {
        id: entitlement,
        account_id: account,
        title_id: plan.title_id,
        plan_id: Some(plan.id),
        purchase_id: Some(purchase),
        revoked: false,
        start_by_ms: now_ms.checked_add(signed(plan.start_within_ms)),
        play_within_ms: Some(signed(plan.play_within_ms)),
        play_until_ms: None,
        views_left: plan.views,
        views_used: 0,
        created_at_ms: now_ms,
    };
    let summary = PurchaseSummary {
        id: purchase,
        plan: plan.id,
        amount: plan.price.clone(),
        created_at_ms: unsigned(now_ms),
    };
    Sale { summary, entitlement }
}

/// Debits the wallet, credits the title's sales, and creates the purchase and its entitlement. False, with nothing
/// changed, if the wallet holds too little.
pub async fn settle(tx: &mut Tx, plan: &Plan, sale: &Sale) -> Result<bool, Error> {
    let account = sale.entitlement.account_id;
    let at_ms = sale.entitlement.created_at_ms;
    let reference = sale.summary.id.to_string();
    let free = plan.price.minor == 0;
    if !free {
        // The journal carries the purchase's own id: there is exactly one.
        let journal = Journal { id: &reference, kind: "purchase", reference: &reference, at_ms };
        let (from, to) = (Holder::Wallet(account), Holder::Sales(plan.title_id));
        if !ledger::transfer(tx, journal, &from, &to, &plan.price).await? {
            return Ok(false);
        }
    }
    on!(tx, |db| sqlx::query(
        "insert into purchases (id, account_id, plan_id, price_minor, currency, journal_id, created_at_ms) \
         values ($1, $2, $3, $4, $5, $6, $7)"
    )
    .bind(&reference)
    .bind(account.to_string())
    .bind(plan.id.to_string())
    .bind(plan.price.minor)
    .bind(&plan.price.currency)
    .bind((!free).then_some(reference.as_str()))
    .bind(at_ms)
    .execute(db)
    .await
    .map(drop))?;
    entitlement::insert(tx, &sale.entitlement).await?;
    Ok(true)
}
