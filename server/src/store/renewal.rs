//! Renewals: the next period of a subscription or a quota is charged when the last one ends, to the wallet, or to the
//! payment method that was saved with its purchase.
//!
//! Out of the wallet, each is one transaction that holds the entitlement's row first, so that two servers charge a period
//! once. By a saved method, that transaction writes a payment and asks nobody; what becomes of the payment is booked by
//! [`pay`] or [`declined`], which hold the same row. Either way a period that was paid for is a purchase of its own, which
//! can be refunded, and the journal that pays for it carries its number.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use matinee_protocol::api::Money;
use matinee_protocol::id::{EntitlementId, PlanId, PurchaseId};
use serde_json::json;

use super::entitlement::{self, Entitlement, Row};
use super::ledger::Journal;
use super::payment::{self, Payment, Renews};
use super::plan::{self, Plan};
use super::purchase::{Billed, TaxLine};
use super::{Error, Tx, outbox, purchase, saved_method};
use crate::license::entitlement::Billing;
use crate::license::status::Event;

/// Renewals looked for in one pass.
pub const RENEWALS_LISTED_MAX: i64 = 500;
/// After how long a charge that failed is tried again, within the grace.
pub const RETRY_AFTER_MS: i64 = 12 * 60 * 60 * 1000;
/// Why a period out of the wallet was not paid for.
const TOO_LITTLE: &str = "there was too little in the wallet";

/// What came of a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewed {
    /// Another period is paid.
    Yes,
    /// It could not be charged; it is tried again within the grace.
    Failed,
    /// It still does.
    FailedAgain,
    /// The grace is over, or the period to be paid for is: the entitlement has expired.
    Lapsed,
    /// A charge to the saved method is under way.
    Begun,
    /// There was nothing to do: another server did it, or it was given up.
    NotDue,
}

/// An entitlement whose next period is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// As it was read.
    pub entitlement: Entitlement,
    /// Since when.
    pub since_ms: i64,
}

#[derive(sqlx::FromRow)]
struct DueRow {
    #[sqlx(flatten)]
    entitlement: Row,
    renew_at_ms: i64,
}

impl TryFrom<DueRow> for Due {
    type Error = Error;

    fn try_from(row: DueRow) -> Result<Self, Error> {
        Ok(Self { entitlement: row.entitlement.try_into()?, since_ms: row.renew_at_ms })
    }
}

/// Entitlements whose next period is due, those that wait longest first.
pub async fn due(tx: &mut Tx, now_ms: i64) -> Result<Vec<Due>, Error> {
    let rows: Vec<DueRow> = on!(tx, |db| {
        sqlx::query_as(
            "select * from entitlements where renews and renew_at_ms <= $1 and state in ('ready', 'active') \
         order by renew_at_ms, id limit $2",
        )
        .bind(now_ms)
        .bind(RENEWALS_LISTED_MAX)
        .fetch_all(db)
        .await
    })?;
    rows.into_iter().map(Due::try_from).collect()
}

/// Plans read in one pass: they never change, and many subscribers have the same.
#[derive(Debug, Default)]
pub struct Plans(Mutex<HashMap<PlanId, Arc<Plan>>>);

impl Plans {
    async fn get(&self, tx: &mut Tx, id: PlanId) -> Result<Arc<Plan>, Error> {
        let read = |plans: &Self| plans.0.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        if let Some(plan) = read(self) {
            return Ok(plan);
        }
        let found = plan::by_id(tx, id).await?.ok_or(Error::Corrupt("entitlement without its plan"))?;
        let found = Arc::new(found);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id, Arc::clone(&found));
        Ok(found)
    }
}

/// The tax rates of the day.
pub trait Taxes: Send + Sync {
    /// The tax inside a price of a payer in a country; none where that has no rate.
    fn inside(&self, price: &Money, country: Option<&str>) -> Option<TaxLine>;
}

/// What renewals go by, beside the entitlement.
pub struct Rules<'a> {
    /// Plans that were read.
    pub plans: &'a Plans,
    /// The tax inside a price.
    pub tax: &'a dyn Taxes,
    /// Whom saved methods are charged through.
    pub provider: &'a str,
}

impl std::fmt::Debug for Rules<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rules").field("plans", self.plans).finish_non_exhaustive()
    }
}

/// The next period of an entitlement, with its plan. None if it may not be renewed, or if that period is over already:
/// nobody pays for what is past.
fn next_period(found: &Entitlement, now_ms: i64) -> Option<(Entitlement, PlanId)> {
    let (next, plan_id) = found.renewed().zip(found.plan_id)?;
    (next.billing?.end_ms > now_ms).then_some((next, plan_id))
}

/// Charges the next period of one entitlement, if it is due: `purchase` is the id of what the wallet pays for.
pub async fn renew(
    tx: &mut Tx,
    entitlement: EntitlementId,
    purchase: PurchaseId,
    rules: &Rules<'_>,
    now_ms: i64,
) -> Result<Renewed, Error> {
    match hold_due(tx, entitlement, now_ms).await? {
        Some(due) => charge(tx, &due, purchase, rules, now_ms).await,
        None => Ok(Renewed::NotDue),
    }
}

/// The same where nothing but what was found could change it. A transaction that presumes, presumes that nothing did.
pub async fn renew_as_found(
    tx: &mut Tx,
    due: &Due,
    purchase: PurchaseId,
    rules: &Rules<'_>,
    now_ms: i64,
) -> Result<Renewed, Error> {
    let found = &due.entitlement;
    if !tx.presumes() {
        return renew(tx, found.id, purchase, rules, now_ms).await;
    }
    let as_found = guarded!(
        tx,
        "update entitlements set state = state where id = $1 and renews and renew_at_ms = $2 and state = $3 \
         and period_index = $4 and saved_method = $5",
        found.id.to_string(),
        due.since_ms,
        found.status.text(),
        found.billing.map(|billing| i64::from(billing.index)),
        found.saved_method,
    );
    if as_found { charge(tx, due, purchase, rules, now_ms).await } else { Ok(Renewed::NotDue) }
}

/// Charges the next period of an entitlement whose row is held.
async fn charge(
    tx: &mut Tx,
    due: &Due,
    purchase: PurchaseId,
    rules: &Rules<'_>,
    now_ms: i64,
) -> Result<Renewed, Error> {
    let Due { entitlement: found, since_ms } = due;
    let Some(billing) = found.billing else { return Ok(Renewed::NotDue) };
    if found.saved_method && payment::is_renewing(tx, found.id).await? {
        // Whatever time it is: what becomes of the charge decides.
        look_again(tx, found, now_ms.saturating_add(RETRY_AFTER_MS), now_ms).await?;
        return Ok(Renewed::NotDue);
    }
    // The first charge is always tried: a server that was down charges late, not never.
    let first = *since_ms <= billing.end_ms;
    let next = next_period(found, now_ms).filter(|_| first || now_ms < billing.valid_until_ms());
    if let Some((next, plan_id)) = &next {
        let plan = rules.plans.get(tx, *plan_id).await?;
        if found.saved_method && begin(tx, found, next, &plan, rules, now_ms).await? {
            return Ok(Renewed::Begun);
        }
        let tax = rules.tax.inside(&plan.price, found.tax_country.as_deref());
        if pay_for(tx, (purchase, next), &plan, tax.as_ref(), now_ms).await? {
            return Ok(Renewed::Yes);
        }
    }
    let tried = next.is_some();
    not_paid(tx, found, &billing, (tried, first), TOO_LITTLE, now_ms).await
}

/// Writes the payment that charges a period to the saved method; reconciliation asks for it. False if there is none.
async fn begin(
    tx: &mut Tx,
    found: &Entitlement,
    next: &Entitlement,
    plan: &Plan,
    rules: &Rules<'_>,
    now_ms: i64,
) -> Result<bool, Error> {
    let (Some(purchase), Some(billing)) = (found.purchase_id, next.billing) else { return Ok(false) };
    let with = payment::by_purchase(tx, purchase).await?;
    let with = with.filter(|with| with.saves_method && with.provider == rules.provider);
    let Some(method) = with.and_then(|with| with.charge_reference) else { return Ok(false) };
    if plan.price.minor == 0 {
        return Ok(false);
    }
    let renews = Renews { entitlement: found.id, period: billing.index };
    let id = renews.payment(payment::attempts(tx, renews).await?);
    let charge = Payment {
        plan_id: Some(plan.id),
        renews: Some(renews),
        method_reference: Some(method),
        country: found.tax_country.clone(),
        check_at_ms: Some(now_ms),
        ..Payment::new(id, found.account_id, rules.provider, plan.price.clone(), now_ms)
    };
    payment::insert(tx, &charge).await?;
    look_again(tx, found, now_ms.saturating_add(RETRY_AFTER_MS), now_ms).await?;
    Ok(true)
}

/// Pays for a period out of the wallet: a purchase of its own, which can be refunded, if it costs something. False, with
/// nothing changed, if the wallet holds too little. The journal carries the period: there is exactly one.
async fn pay_for(
    tx: &mut Tx,
    (purchase, next): (PurchaseId, &Entitlement),
    plan: &Plan,
    tax: Option<&TaxLine>,
    now_ms: i64,
) -> Result<bool, Error> {
    let period = next.billing.ok_or(Error::Corrupt("billing"))?.index;
    let (name, reference) = (journal(next.id, period), next.id.to_string());
    let bill = Billed {
        id: purchase,
        account: next.account_id,
        plan,
        amount: &plan.price,
        tax,
        coupon: None,
        renews: Some(Renews { entitlement: next.id, period }),
        journal: Journal { id: &name, kind: "renewal", reference: &reference, at_ms: now_ms },
    };
    let paid = plan.price.minor > 0;
    if paid && !purchase::charge(tx, &bill).await? {
        return Ok(false);
    }
    extend(tx, next, plan, paid.then_some(purchase), now_ms).await?;
    Ok(true)
}

/// Pays for a period with the money of its payment, which is in the wallet. The entitlement's row is held. False, with
/// nothing changed, if nothing is to be paid for: it ended or was given up, or another payment was earlier.
pub async fn pay(
    tx: &mut Tx,
    payment: &Payment,
    purchase: PurchaseId,
    rules: &Rules<'_>,
    now_ms: i64,
) -> Result<bool, Error> {
    let Some(renews) = payment.renews else { return Ok(false) };
    let Some(found) = entitlement::by_id(tx, renews.entitlement).await? else { return Ok(false) };
    let next = next_period(&found, now_ms).filter(|_| found.billing.is_some_and(|billing| billing.renews));
    let next = next.filter(|(next, _)| next.billing.is_some_and(|billing| billing.index == renews.period));
    let Some((next, plan_id)) = next else { return Ok(false) };
    let plan = rules.plans.get(tx, plan_id).await?;
    let tax = rules.tax.inside(&plan.price, payment.country.as_deref());
    let paid =
        plan.price == payment.amount && pay_for(tx, (purchase, &next), &plan, tax.as_ref(), now_ms).await?;
    if paid {
        payment::note_purchase(tx, payment.id, purchase).await?;
    }
    Ok(paid)
}

/// No money came of a payment for a period: the wallet is tried instead, which pays for `purchase`, then what holds for a
/// wallet that holds too little holds here. The entitlement's row is held.
pub async fn declined(
    tx: &mut Tx,
    (payment, reason): (&Payment, &str),
    purchase: PurchaseId,
    rules: &Rules<'_>,
    now_ms: i64,
) -> Result<Renewed, Error> {
    let Some(renews) = payment.renews else { return Ok(Renewed::NotDue) };
    let Some(found) = entitlement::by_id(tx, renews.entitlement).await? else { return Ok(Renewed::NotDue) };
    let billing = found.billing.filter(|billing| {
        found.status.is_open() && billing.renews && billing.index.checked_add(1) == Some(renews.period)
    });
    let Some(billing) = billing else { return Ok(Renewed::NotDue) };
    let first = payment::attempts(tx, renews).await? == 1;
    let next = next_period(&found, now_ms).filter(|_| first || now_ms < billing.valid_until_ms());
    if let Some((next, plan_id)) = &next {
        let plan = rules.plans.get(tx, *plan_id).await?;
        let tax = rules.tax.inside(&plan.price, found.tax_country.as_deref());
        if pay_for(tx, (purchase, next), &plan, tax.as_ref(), now_ms).await? {
            return Ok(Renewed::Yes);
        }
    }
    not_paid(tx, &found, &billing, (next.is_some(), first), reason, now_ms).await
}

/// A period was not paid for: tried again within the grace, expired after it.
async fn not_paid(
    tx: &mut Tx,
    found: &Entitlement,
    billing: &Billing,
    (tried, first): (bool, bool),
    reason: &str,
    now_ms: i64,
) -> Result<Renewed, Error> {
    if tried && now_ms < billing.valid_until_ms() {
        put_off(tx, found, billing, first.then_some(reason), now_ms).await?;
        return Ok(if first { Renewed::Failed } else { Renewed::FailedAgain });
    }
    entitlement::apply(tx, found.id, Event::Expire, "it was not paid for", now_ms).await?;
    Ok(Renewed::Lapsed)
}

/// Another period is paid for.
async fn extend(
    tx: &mut Tx,
    next: &Entitlement,
    plan: &Plan,
    purchase: Option<PurchaseId>,
    now_ms: i64,
) -> Result<(), Error> {
    write(tx, next, now_ms).await?;
    entitlement::record(tx, next.id, Event::Renew.text(), "", now_ms).await?;
    let mut data = json!({
        "account": next.account_id, "entitlement": next.id, "amount": plan.price,
        "paid_until_ms": next.billing.map(|billing| billing.end_ms),
    });
    if let Some(purchase) = purchase {
        data["purchase"] = json!(purchase);
    }
    outbox::post(tx, "entitlement.renewed", next.account_id, &data, now_ms).await.map(drop)
}

/// Holds an entitlement's row until the transaction ends, if a charge is due.
async fn hold_due(tx: &mut Tx, entitlement: EntitlementId, now_ms: i64) -> Result<Option<Due>, Error> {
    let row: Option<DueRow> = on!(tx, |db| {
        sqlx::query_as(
            "update entitlements set state = state where id = $1 and renews and renew_at_ms <= $2 \
             and state in ('ready', 'active') returning *",
        )
        .bind(entitlement.to_string())
        .bind(now_ms)
        .fetch_optional(db)
        .await
    })?;
    row.map(Due::try_from).transpose()
}

/// The name of the journal that pays for a period.
fn journal(entitlement: EntitlementId, period: u32) -> String {
    format!("{entitlement}/{period}")
}

async fn write(tx: &mut Tx, next: &Entitlement, now_ms: i64) -> Result<(), Error> {
    let billing = next.billing.ok_or(Error::Corrupt("billing"))?;
    later!(
        tx,
        "update entitlements set state = $1, period_index = $2, period_end_ms = $3, renew_at_ms = $3, \
         valid_until_ms = $4, quota_used = 0, updated_at_ms = $5 where id = $6",
        next.status.text(),
        i64::from(billing.index),
        billing.end_ms,
        next.valid_until_ms,
        now_ms,
        next.id.to_string(),
    );
    Ok(())
}

/// Sets when a renewal is looked at next. Later than the period's end says that it was tried.
async fn look_again(tx: &mut Tx, found: &Entitlement, at_ms: i64, now_ms: i64) -> Result<(), Error> {
    let after_ms = found.billing.map_or(0, |billing| billing.end_ms.saturating_add(1));
    on!(tx, |db| sqlx::query("update entitlements set renew_at_ms = $1, updated_at_ms = $2 where id = $3")
        .bind(at_ms.max(after_ms))
        .bind(now_ms)
        .bind(found.id.to_string())
        .execute(db)
        .await
        .map(drop))?;
    Ok(())
}

/// Notes that a charge failed, and when the next is tried: once more when the grace ends at the latest. The first of a
/// period is told.
async fn put_off(
    tx: &mut Tx,
    found: &Entitlement,
    billing: &Billing,
    told: Option<&str>,
    now_ms: i64,
) -> Result<(), Error> {
    let again_ms = now_ms.saturating_add(RETRY_AFTER_MS).min(billing.valid_until_ms());
    look_again(tx, found, again_ms, now_ms).await?;
    if let Some(reason) = told {
        entitlement::record(tx, found.id, "renewal_failed", reason, now_ms).await?;
        let ends_at_ms = billing.valid_until_ms();
        let data = json!({
            "account": found.account_id, "entitlement": found.id, "ends_at_ms": ends_at_ms, "reason": reason,
        });
        outbox::post(tx, "entitlement.renewal_failed", found.account_id, &data, now_ms).await?;
    }
    Ok(())
}

/// Says whether the next period is to be charged. Given up, it holds until what is paid for ends, and its saved method is
/// forgotten: taken back, it is charged to the wallet. False, with nothing
/// changed, if it is not paid for by the period or has ended.
pub async fn set(tx: &mut Tx, entitlement: EntitlementId, renews: bool, now_ms: i64) -> Result<bool, Error> {
    let changed: Option<(Option<String>,)> = on!(tx, |db| {
        sqlx::query_as(
        "update entitlements set renews = $1, saved_method = saved_method and $1, updated_at_ms = $2, \
         valid_until_ms = period_end_ms + case when $1 then grace_ms else 0 end \
         where id = $3 and state in ('ready', 'active') and period_end_ms is not null and valid_until_ms > $2 \
         returning purchase_id"
    )
    .bind(renews)
    .bind(now_ms)
    .bind(entitlement.to_string())
    .fetch_optional(db)
    .await
    })?;
    let Some((purchase,)) = changed else { return Ok(false) };
    if let Some(purchase) = purchase.filter(|_| !renews) {
        saved_method::forget(tx, &purchase, now_ms).await?;
    }
    let event = if renews { "renewal_resumed" } else { "renewal_given_up" };
    entitlement::record(tx, entitlement, event, "", now_ms).await?;
    Ok(true)
}
