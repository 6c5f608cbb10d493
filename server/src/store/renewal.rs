//! Renewals: the next period of a subscription or a quota is charged to the wallet when the last one ends.
//!
//! Each is one transaction that holds the entitlement's row first, so that two servers charge a period once.

use matinee_protocol::id::EntitlementId;

use super::entitlement::{self, Entitlement};
use super::ledger::{self, Holder, Journal};
use super::{Error, Tx, id, plan, purchase};
use crate::license::entitlement::Billing;
use crate::license::status::Event;

/// Renewals looked for in one pass.
pub const RENEWALS_LISTED_MAX: i64 = 500;
/// After how long a charge that failed is tried again, within the grace.
pub const RETRY_AFTER_MS: i64 = 12 * 60 * 60 * 1000;

/// What came of a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewed {
    /// Another period is paid.
    Yes,
    /// The wallet holds too little; it is tried again within the grace.
    Failed,
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

/// Charges the next period of one entitlement, if it is due.
pub async fn renew(tx: &mut Tx, entitlement: EntitlementId, now_ms: i64) -> Result<Renewed, Error> {
    entitlement::hold(tx, entitlement).await?;
    let (Some(found), Some(due_at_ms)) =
        (entitlement::by_id(tx, entitlement).await?, renew_at(tx, entitlement).await?)
    else {
        return Ok(Renewed::NotDue);
    };
    let Some(billing) = found.billing.filter(|billing| billing.renews && due_at_ms <= now_ms) else {
        return Ok(Renewed::NotDue);
    };
    // The first charge is always tried: a server that was down charges late, not never.
    let first = due_at_ms <= billing.end_ms;
    let next = found.renewed().zip(found.plan_id);
    // But nobody pays for a period that is over already.
    let next = next.filter(|(next, _)| next.billing.is_some_and(|billing| billing.end_ms > now_ms));
    let next = next.filter(|_| first || now_ms < billing.valid_until_ms());
    if let Some((next, plan_id)) = &next {
        let plan = plan::by_id(tx, *plan_id).await?.ok_or(Error::Corrupt("entitlement without its plan"))?;
        let index = next.billing.map_or(0, |billing| billing.index);
        // The journal carries the period: there is exactly one.
        let (journal, reference) = (format!("{entitlement}/{index}"), entitlement.to_string());
        let journal = Journal { id: &journal, kind: "renewal", reference: &reference, at_ms: now_ms };
        let (from, to) = (Holder::Wallet(found.account_id), purchase::seller(&plan));
        let free = plan.price.minor == 0;
        if free || ledger::transfer(tx, journal, &from, &to, &plan.price).await? {
            write(tx, next, now_ms).await?;
            entitlement::record(tx, entitlement, Event::Renew.text(), "", now_ms).await?;
            return Ok(Renewed::Yes);
        }
        if now_ms < billing.valid_until_ms() {
            put_off(tx, &found, &billing, first, now_ms).await?;
            return Ok(Renewed::Failed);
        }
    }
    entitlement::apply(tx, entitlement, Event::Expire, "it was not paid for", now_ms).await?;
    Ok(Renewed::Lapsed)
}

async fn renew_at(tx: &mut Tx, entitlement: EntitlementId) -> Result<Option<i64>, Error> {
    let row: Option<(Option<i64>,)> = on!(tx, |db| sqlx::query_as(
        "select renew_at_ms from entitlements where id = $1 and renews and state in ('ready', 'active')"
    )
    .bind(entitlement.to_string())
    .fetch_optional(db)
    .await)?;
    Ok(row.and_then(|(at_ms,)| at_ms))
}

async fn write(tx: &mut Tx, next: &Entitlement, now_ms: i64) -> Result<(), Error> {
    let billing = next.billing.ok_or(Error::Corrupt("billing"))?;
    on!(tx, |db| sqlx::query(
        "update entitlements set state = $1, period_index = $2, period_end_ms = $3, renew_at_ms = $3, \
         valid_until_ms = $4, quota_used = 0, updated_at_ms = $5 where id = $6"
    )
    .bind(next.status.text())
    .bind(i64::from(billing.index))
    .bind(billing.end_ms)
    .bind(next.valid_until_ms)
    .bind(now_ms)
    .bind(next.id.to_string())
    .execute(db)
    .await
    .map(drop))?;
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
    }
    Ok(())
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
