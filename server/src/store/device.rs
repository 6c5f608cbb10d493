//! Devices that opened views.

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

/// How many devices an account has used.
pub async fn count(tx: &mut Tx, account: AccountId) -> Result<i64, Error> {
    let (count,): (i64,) =
        on!(tx, |db| sqlx::query_as("select count(*) from devices where account_id = $1")
            .bind(account.to_string())
            .fetch_one(db)
            .await)?;
    Ok(count)
}
