//! Devices of an account: those that opened views, and were not removed since.

use matinee_protocol::id::{AccountId, Thumbprint};

use super::{Error, Tx};

/// Notes that an account used a device.
pub async fn seen(tx: &mut Tx, account: AccountId, device: Thumbprint, now_ms: i64) -> Result<(), Error> {
    on!(tx, |db| sqlx::query(
        "insert into devices (account_id, jkt, first_seen_at_ms, last_seen_at_ms) values ($1, $2, $3, $3) \
         on conflict (account_id, jkt) do update set last_seen_at_ms = excluded.last_seen_at_ms"
    )
    .bind(account.to_string())
    .bind(device.to_string())
    .bind(now_ms)
    .execute(db)
    .await
    .map(drop))?;
    Ok(())
}

/// How many devices an account has.
pub async fn count(tx: &mut Tx, account: AccountId) -> Result<i64, Error> {
    let (count,): (i64,) =
        on!(tx, |db| sqlx::query_as("select count(*) from devices where account_id = $1")
            .bind(account.to_string())
            .fetch_one(db)
            .await)?;
    Ok(count)
}

/// Whether a device is one of an account's, and how many others it has.
///
/// Under [`super::account::hold`] it is exact: nobody else adds a device to this account meanwhile.
pub async fn among(tx: &mut Tx, account: AccountId, device: Thumbprint) -> Result<(bool, u32), Error> {
    let (own, others): (i64, i64) = on!(tx, |db| {
        sqlx::query_as(
            "select count(case when jkt = $2 then 1 end), count(case when jkt <> $2 then 1 end) \
         from devices where account_id = $1",
        )
        .bind(account.to_string())
        .bind(device.to_string())
        .fetch_one(db)
        .await
    })?;
    Ok((own > 0, super::index(others)?))
}
