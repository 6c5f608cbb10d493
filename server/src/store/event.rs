//! Events that payment providers sent: each is taken in once.

use super::{Error, Tx};

/// How long an event is remembered: providers send one again for days, operators by hand for a month.
pub const KEPT_MS: i64 = 90 * 24 * 60 * 60 * 1000;

/// Whether an event was taken in.
pub async fn is_known(tx: &mut Tx, provider: &str, event: &str) -> Result<bool, Error> {
    let row: Option<(i64,)> = on!(tx, |db| sqlx::query_as(
        "select at_ms from payment_events where provider = $1 and event_id = $2"
    )
    .bind(provider)
    .bind(event)
    .fetch_optional(db)
    .await)?;
    Ok(row.is_some())
}

/// Takes an event in. False if it was taken in before.
pub async fn take_in(
    tx: &mut Tx,
    provider: &str,
    event: &str,
    kind: &str,
    now_ms: i64,
) -> Result<bool, Error> {
    let taken = on!(tx, |db| sqlx::query(
        "insert into payment_events (provider, event_id, kind, at_ms) values ($1, $2, $3, $4) \
         on conflict (provider, event_id) do nothing"
    )
    .bind(provider)
    .bind(event)
    .bind(kind)
    .bind(now_ms)
    .execute(db)
    .await?
    .rows_affected());
    Ok(taken == 1)
}

/// Forgets events past their time.
pub async fn delete_expired(tx: &mut Tx, now_ms: i64) -> Result<u64, Error> {
    Ok(on!(tx, |db| sqlx::query("delete from payment_events where at_ms < $1")
        .bind(now_ms.saturating_sub(KEPT_MS))
        .execute(db)
        .await?
        .rows_affected()))
}
