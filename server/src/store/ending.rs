//! Rights that end by themselves, and of whose end their owners are told before.

use matinee_protocol::id::EntitlementId;
use serde_json::json;

use super::entitlement::{self, Entitlement};
use super::{Error, Tx, id, outbox};

/// Endings looked for in one pass.
pub const ENDINGS_LISTED_MAX: i64 = 500;

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
pub async fn soon(tx: &mut Tx, notice_ms: i64, now_ms: i64) -> Result<Vec<Ending>, Error> {
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
pub async fn tell(tx: &mut Tx, ending: &Ending, now_ms: i64) -> Result<Option<Entitlement>, Error> {
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
