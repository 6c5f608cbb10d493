//! Devices of an account: those that opened views, and were not removed since.

use matinee_protocol::id::{AccountId, Thumbprint, ViewId};

use super::{Error, Tx, id};

/// Notes that an account used a device.
pub async fn seen(tx: &mut Tx, account: AccountId, device: Thumbprint, now_ms: i64) -> Result<(), Error> {
    later!(
        tx,
        "insert into devices (account_id, jkt, first_seen_at_ms, last_seen_at_ms) values ($1, $2, $3, $3) \
         on conflict (account_id, jkt) do update set last_seen_at_ms = excluded.last_seen_at_ms",
        account.to_string(),
        device.to_string(),
        now_ms,
    );
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

/// Devices in one listing.
pub const DEVICES_LISTED_MAX: i64 = 200;

/// A device of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The thumbprint of its signing key, which is its name for programs.
    pub id: Thumbprint,
    /// Its name for people, if they gave it one.
    pub name: Option<String>,
    /// When it opened its first view.
    pub first_seen_at_ms: i64,
    /// When it opened its last.
    pub last_seen_at_ms: i64,
}

/// The devices of an account, the one used last in front, at most [`DEVICES_LISTED_MAX`].
pub async fn by_account(tx: &mut Tx, account: AccountId) -> Result<Vec<Device>, Error> {
    let rows: Vec<(String, Option<String>, i64, i64)> = on!(tx, |db| sqlx::query_as(
        "select jkt, name, first_seen_at_ms, last_seen_at_ms from devices where account_id = $1 \
         order by last_seen_at_ms desc, jkt limit $2"
    )
    .bind(account.to_string())
    .bind(DEVICES_LISTED_MAX)
    .fetch_all(db)
    .await)?;
    let device = |(jkt, name, first_seen_at_ms, last_seen_at_ms): (String, _, _, _)| {
        Ok(Device { id: id(&jkt)?, name, first_seen_at_ms, last_seen_at_ms })
    };
    rows.into_iter().map(device).collect()
}

/// Names a device. False if it is not the account's.
pub async fn rename(tx: &mut Tx, account: AccountId, device: Thumbprint, name: &str) -> Result<bool, Error> {
    let changed =
        on!(tx, |db| sqlx::query("update devices set name = $1 where account_id = $2 and jkt = $3")
            .bind(name)
            .bind(account.to_string())
            .bind(device.to_string())
            .execute(db)
            .await?
            .rows_affected());
    Ok(changed == 1)
}

/// What came of a removal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// The device is removed, and these views of it ended.
    Yes(Vec<ViewId>),
    /// It is not the account's.
    NotThere,
    /// As many were removed as may be for now. Nothing is changed.
    TooMany,
}

/// Removes a device and ends its views, unless so many were removed since then. The account must be held
/// ([`super::account::hold`]), so that no two removals are counted as one.
pub async fn remove(
    tx: &mut Tx,
    account: AccountId,
    device: Thumbprint,
    swaps: Option<(u32, i64)>,
    now_ms: i64,
) -> Result<Removed, Error> {
    let (max, since_ms) = swaps.unwrap_or((u32::MAX, i64::MAX));
    let removed = on!(tx, |db| {
        sqlx::query(
            "delete from devices where account_id = $1 and jkt = $2 \
         and (select count(*) from device_removals r where r.account_id = $1 and r.at_ms > $3) < $4",
        )
        .bind(account.to_string())
        .bind(device.to_string())
        .bind(since_ms)
        .bind(i64::from(max))
        .execute(db)
        .await?
        .rows_affected()
    });
    if removed == 0 {
        let (own, _) = among(tx, account, device).await?;
        return Ok(if own { Removed::TooMany } else { Removed::NotThere });
    }
    on!(tx, |db| sqlx::query("insert into device_removals (account_id, jkt, at_ms) values ($1, $2, $3)")
        .bind(account.to_string())
        .bind(device.to_string())
        .bind(now_ms)
        .execute(db)
        .await
        .map(drop))?;
    let rows: Vec<(String,)> = on!(tx, |db| sqlx::query_as(
        "update views set state = 'revoked', end_reason = 'this device was removed', ended_at_ms = $1 \
         where account_id = $2 and jkt = $3 and state = 'active' returning id"
    )
    .bind(now_ms)
    .bind(account.to_string())
    .bind(device.to_string())
    .fetch_all(db)
    .await)?;
    Ok(Removed::Yes(rows.iter().map(|(view,)| id(view)).collect::<Result<_, _>>()?))
}

/// Removes every device of an account, counts none of it as a removal, and ends its views and carries.
pub async fn remove_all(
    tx: &mut Tx,
    account: AccountId,
    reason: &str,
    now_ms: i64,
) -> Result<Vec<ViewId>, Error> {
    for sql in [
        "delete from devices where account_id = $1",
        "update carries set state = 'ended' where account_id = $1 and state = 'active'",
    ] {
        on!(tx, |db| sqlx::query(sql).bind(account.to_string()).execute(db).await.map(drop))?;
    }
    let rows: Vec<(String,)> = on!(tx, |db| sqlx::query_as(
        "update views set state = 'revoked', end_reason = $1, ended_at_ms = $2 \
         where account_id = $3 and state = 'active' returning id"
    )
    .bind(reason)
    .bind(now_ms)
    .bind(account.to_string())
    .fetch_all(db)
    .await)?;
    rows.iter().map(|(view,)| id(view)).collect()
}
