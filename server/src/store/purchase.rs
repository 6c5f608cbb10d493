//! Purchases: plans bought.

use matinee_protocol::api::{Money, PurchaseSummary};
use matinee_protocol::id::{AccountId, EntitlementId, PurchaseId};

use super::coupon::{self, Redeemed};
use super::entitlement::{self, Entitlement};
use super::ledger::{self, Holder, Journal};
use super::plan::Plan;
use super::{Error, Tx, unsigned};
use crate::license::plan::Scope;

/// A purchase with what it gives, not yet settled.
#[derive(Debug, Clone)]
pub struct Sale {
    /// The purchase.
    pub summary: PurchaseSummary,
    /// What it gives, one for each scope of the plan, in its order.
    pub entitlements: Vec<Entitlement>,
    /// The coupon that lowered the price.
    pub coupon: Option<String>,
    /// Whether it begins with the plan's trial.
    pub trial: bool,
}

impl Sale {
    /// The first thing that it gives.
    pub fn entitlement(&self) -> &Entitlement {
        self.entitlements.first().expect("a sale gives something")
    }
}

/// How a sale went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// Everything is done.
    Yes,
    /// Nothing is: there is too little in the wallet.
    WalletTooLow,
    /// Nothing is: the coupon is used up, has run out, or was used by this account before.
    CouponRefused,
    /// Nothing is: the account has tried this plan before.
    TrialUsed,
}

/// What a purchase is made of, beside the plan.
#[derive(Debug, Clone, Default)]
pub struct Conditions {
    /// What is paid now, where it is not the plan's price.
    pub amount: Option<Money>,
    /// The coupon that made it so.
    pub coupon: Option<String>,
    /// Whether it begins with the plan's trial, for nothing.
    pub trial: bool,
}

/// What buying a plan would be. `fresh` makes the ids of its entitlements. None if the plan gives nothing, or for longer
/// than a calendar holds.
pub fn draft(
    account: AccountId,
    plan: &Plan,
    purchase: PurchaseId,
    mut fresh: impl FnMut() -> EntitlementId,
    conditions: Conditions,
    now_ms: i64,
) -> Option<Sale> {
    let Conditions { amount, coupon, trial } = conditions;
    let nothing = Money { minor: 0, currency: plan.price.currency.clone() };
    let amount = if trial { nothing } else { amount.unwrap_or_else(|| plan.price.clone()) };
    let bought = |scope: &Scope| {
        let bought = Entitlement::bought(plan, *scope, (fresh(), account), trial, now_ms)?;
        Some(Entitlement { purchase_id: Some(purchase), ..bought })
    };
    let entitlements: Vec<Entitlement> = plan.scopes.iter().map(bought).collect::<Option<_>>()?;
    if entitlements.is_empty() {
        return None;
    }
    let summary = PurchaseSummary { id: purchase, plan: plan.id, amount, created_at_ms: unsigned(now_ms) };
    Some(Sale { summary, entitlements, coupon, trial })
}

/// Whose sales a plan's money is: those of the one title, or the plan's own where it is for several.
pub fn seller(plan: &Plan) -> Holder {
    match plan.scopes.as_slice() {
        [Scope::Title(title)] => Holder::Sales(*title),
        _ => Holder::PlanSales(plan.id),
    }
}

/// Takes the coupon and the trial, debits the wallet, credits the sales, and creates the purchase and its entitlements.
/// Unless it says yes, the transaction must be dropped; a sale without coupon and trial has changed nothing then.
pub async fn settle(tx: &mut Tx, plan: &Plan, sale: &Sale) -> Result<Settled, Error> {
    let account = sale.entitlement().account_id;
    let at_ms = sale.entitlement().created_at_ms;
    let reference = sale.summary.id.to_string();
    if sale.trial && !coupon::take_trial(tx, account, plan.id, at_ms).await? {
        return Ok(Settled::TrialUsed);
    }
    if let Some(code) = &sale.coupon {
        let asked = (account, sale.summary.id);
        if coupon::redeem(tx, code, asked, at_ms).await? != Redeemed::Yes {
            return Ok(Settled::CouponRefused);
        }
    }
    let amount = &sale.summary.amount;
    let free = amount.minor == 0;
    if !free {
        // The journal carries the purchase's own id: there is exactly one.
        let journal = Journal { id: &reference, kind: "purchase", reference: &reference, at_ms };
        if !ledger::transfer(tx, journal, &Holder::Wallet(account), &seller(plan), amount).await? {
            return Ok(Settled::WalletTooLow);
        }
    }
    on!(tx, |db| {
        sqlx::query(
        "insert into purchases (id, account_id, plan_id, price_minor, currency, journal_id, created_at_ms, coupon) \
         values ($1, $2, $3, $4, $5, $6, $7, $8)"
    )
    .bind(&reference)
    .bind(account.to_string())
    .bind(plan.id.to_string())
    .bind(amount.minor)
    .bind(&amount.currency)
    .bind((!free).then_some(reference.as_str()))
    .bind(at_ms)
    .bind(sale.coupon.as_deref())
    .execute(db)
    .await
    .map(drop)
    })?;
    for entitlement in &sale.entitlements {
        entitlement::insert(tx, entitlement).await?;
    }
    Ok(Settled::Yes)
}
