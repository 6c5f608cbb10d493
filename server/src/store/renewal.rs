//! Renewals: the next period of a subscription or a quota is charged to the wallet when the last one ends.
//!
//! Each is one transaction that holds the entitlement's row first, so that two servers charge a period once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use matinee_protocol::id::{EntitlementId, PlanId};
use serde_json::json;

use super::entitlement::{self, Entitlement, Row};
use super::ledger::{self, Holder, Journal};
use super::plan::{self, Plan};
use super::{Error, Tx, id, outbox, purchase};
use crate::license::entitlement::Billing;
use crate::license::status::Event;

/// Renewals looked for in one pass.
pub const RENEWALS_LISTED_MAX: i64 = 500;
/// Endings looked for in one pass.
pub const ENDINGS_LISTED_MAX: i64 = 500;
/// After how long a charge that failed is tried again, within the grace.
pub const RETRY_AFTER_MS: i64 = 12 * 60 * 60 * 1000;

/// What came of a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewed {
    /// Another period is paid.
    Yes,
    /// The wallet holds too little; it is tried again within the grace.
    Failed,
    /// It still does.
    FailedAgain,
    /// The grace is over, or the period to be paid for is: the entitlement has expired.
    Lapsed,
    /// There was nothing to do: another server did it, or it was given up.
    NotDue,
}

/// Entitlements whose next period is due, those that wait longest first.
pub async fn due(tx: &mut Tx, now_ms: i64) -> Result<Vec<EntitlementId>, Error> {
    let rows: Vec<(String,)> = on!(tx, |db| {
        sqlx::query_as(
            "select id from entitlements where renews and renew_at_ms <= $1 and state in ('ready', 'active') \
         order by renew_at_ms, id limit $2",
        )
        .bind(now_ms)
        .bind(RENEWALS_LISTED_MAX)
        .fetch_all(db)
        .await
    })?;
    rows.iter().map(|(entitlement,)| id(entitlement)).collect()
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

/// Charges the next period of one entitlement, if it is due.
pub async fn renew(
    tx: &mut Tx,
    entitlement: EntitlementId,
    plans: &Plans,
    now_ms: i64,
) -> Result<Renewed, Error> {
    let Some((found, due_at_ms)) = hold_due(tx, entitlement, now_ms).await? else {
        return Ok(Renewed::NotDue);
    };
    let Some(billing) = found.billing else { return Ok(Renewed::NotDue) };
    // The first charge is always tried: a server that was down charges late, not never.
    let first = due_at_ms <= billing.end_ms;
    let next = found.renewed().zip(found.plan_id);
    // But nobody pays for a period that is over already.
    let next = next.filter(|(next, _)| next.billing.is_some_and(|billing| billing.end_ms > now_ms));
    let next = next.filter(|_| first || now_ms < billing.valid_until_ms());
    if let Some((next, plan_id)) = &next {
        let plan = plans.get(tx, *plan_id).await?;
        let index = next.billing.map_or(0, |billing| billing.index);
        // The journal carries the period: there is exactly one.
        let (name, reference) = (journal(entitlement, index), entitlement.to_string());
        let journal = Journal { id: &name, kind: "renewal", reference: &reference, at_ms: now_ms };
        let (from, to) = (Holder::Wallet(found.account_id), purchase::seller(&plan));
        let free = plan.price.minor == 0;
        if free || ledger::transfer(tx, journal, &from, &to, &plan.price).await? {
            write(tx, next, now_ms).await?;
            entitlement::record(tx, entitlement, Event::Renew.text(), "", now_ms).await?;
            let data = json!({
                "account": found.account_id, "entitlement": entitlement, "amount": plan.price,
                "paid_until_ms": next.billing.map(|billing| billing.end_ms),
            });
            outbox::post(tx, "entitlement.renewed", found.account_id, &data, now_ms).await?;
            return Ok(Renewed::Yes);
        }
        if now_ms < billing.valid_until_ms() {
            put_off(tx, &found, &billing, first, now_ms).await?;
            return Ok(if first { Renewed::Failed } else { Renewed::FailedAgain });
        }
    }
    entitlement::apply(tx, entitlement, Event::Expire, "it was not paid for", now_ms).await?;
    Ok(Renewed::Lapsed)
}

#[derive(sqlx::FromRow)]
struct Due {
    #[sqlx(flatten)]
    entitlement: Row,
    renew_at_ms: i64,
}

/// Holds an entitlement's row until the transaction ends, if a charge is due. Gives it and since when it is.
async fn hold_due(
    tx: &mut Tx,
    entitlement: EntitlementId,
    now_ms: i64,
) -> Result<Option<(Entitlement, i64)>, Error> {
    let row: Option<Due> = on!(tx, |db| {
        sqlx::query_as(
            "update entitlements set state = state where id = $1 and renews and renew_at_ms <= $2 \
             and state in ('ready', 'active') returning *",
        )
        .bind(entitlement.to_string())
        .bind(now_ms)
        .fetch_optional(db)
        .await
    })?;
    row.map(|row| Ok((row.entitlement.try_into()?, row.renew_at_ms))).transpose()
}

/// The name of the journal that pays for a period.
pub fn journal(entitlement: EntitlementId, period: u32) -> String {
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

/// Notes that a charge failed, and when the next is tried: once more when the grace ends at the latest.
async fn put_off(
    tx: &mut Tx,
    found: &Entitlement,
    billing: &Billing,
    first: bool,
    now_ms: i64,
) -> Result<(), Error> {
    let again_ms = now_ms.saturating_add(RETRY_AFTER_MS).min(billing.valid_until_ms());
    on!(tx, |db| sqlx::query("update entitlements set renew_at_ms = $1, updated_at_ms = $2 where id = $3")
        // Later than the period's end says that it was tried.
        .bind(again_ms.max(billing.end_ms.saturating_add(1)))
        .bind(now_ms)
        .bind(found.id.to_string())
        .execute(db)
        .await
        .map(drop))?;
    if first {
        entitlement::record(tx, found.id, "renewal_failed", "there was too little in the wallet", now_ms)
            .await?;
        let ends_at_ms = billing.valid_until_ms();
        let data = json!({ "account": found.account_id, "entitlement": found.id, "ends_at_ms": ends_at_ms });
        outbox::post(tx, "entitlement.renewal_failed", found.account_id, &data, now_ms).await?;
    }
    Ok(())
}

/// A right whose end its owner is to be told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// Which.
    pub entitlement: EntitlementId,
    /// When it ends.
    pub ends_at_ms: i64,
}

/// Rights that end within `notice_ms` and are not renewed by themselves, of whose end nobody was told yet, the next one
/// first: what is paid for by the period, and what can no longer be started then. What never held much longer than the
/// notice is not among them.
pub async fn ending(tx: &mut Tx, notice_ms: i64, now_ms: i64) -> Result<Vec<Ending>, Error> {
    let rows: Vec<(String, i64)> = on!(tx, |db| {
        sqlx::query_as(
        "select id, end_ms from (select id, created_at_ms, end_told_ms, valid_until_ms as end_ms from entitlements \
         where valid_until_ms is not null and state in ('ready', 'active') and not renews \
         and valid_until_ms > $1 and valid_until_ms <= $1 + $2 \
         union all select id, created_at_ms, end_told_ms, start_by_ms as end_ms from entitlements \
         where state = 'ready' and valid_until_ms is null and start_by_ms > $1 and start_by_ms <= $1 + $2) ends \
         where end_ms - created_at_ms >= 2 * $2 and (end_told_ms is null or end_told_ms <> end_ms) \
         order by end_ms, id limit $3"
    )
    .bind(now_ms)
    .bind(notice_ms)
    .bind(ENDINGS_LISTED_MAX)
    .fetch_all(db)
    .await
    })?;
    rows.iter()
        .map(|(entitlement, ends_at_ms)| {
            Ok(Ending { entitlement: id(entitlement)?, ends_at_ms: *ends_at_ms })
        })
        .collect()
}

/// Notes that its owner is told, and tells webhooks. None, with nothing changed, if another server has.
pub async fn tell_ending(tx: &mut Tx, ending: &Ending, now_ms: i64) -> Result<Option<Entitlement>, Error> {
    let changed = on!(tx, |db| {
        sqlx::query(
        "update entitlements set end_told_ms = $1 where id = $2 and (end_told_ms is null or end_told_ms <> $1)"
    )
    .bind(ending.ends_at_ms)
    .bind(ending.entitlement.to_string())
    .execute(db)
    .await?
    .rows_affected()
    });
    let found = entitlement::by_id(tx, ending.entitlement).await?.filter(|_| changed == 1);
    if let Some(found) = &found {
        let data =
            json!({ "account": found.account_id, "entitlement": found.id, "ends_at_ms": ending.ends_at_ms });
        outbox::post(tx, "entitlement.ending", found.account_id, &data, now_ms).await?;
    }
    Ok(found)
}

/// Says whether the next period is to be charged. Given up, it holds until what is paid for ends. False, with nothing
/// changed, if it is not paid for by the period or has ended.
pub async fn set(tx: &mut Tx, entitlement: EntitlementId, renews: bool, now_ms: i64) -> Result<bool, Error> {
    let changed = on!(tx, |db| sqlx::query(
        "update entitlements set renews = $1, updated_at_ms = $2, \
         valid_until_ms = period_end_ms + case when $1 then grace_ms else 0 end \
         where id = $3 and state in ('ready', 'active') and period_end_ms is not null and valid_until_ms > $2"
    )
    .bind(renews)
    .bind(now_ms)
    .bind(entitlement.to_string())
    .execute(db)
    .await?
    .rows_affected());
    if changed == 1 {
        let event = if renews { "renewal_resumed" } else { "renewal_given_up" };
        entitlement::record(tx, entitlement, event, "", now_ms).await?;
    }
    Ok(changed == 1)
}
