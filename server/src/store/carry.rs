//! Carries: a device that holds and serves a release without a license.

use matinee_protocol::id::{AccountId, ReleaseId, Thumbprint, ViewId};

use super::{Error, Tx, id};

/// Opens a carry, or goes on with the one this device has. Gives its id and whether it is new.
pub async fn open(
    tx: &mut Tx,
    carry: ViewId,
    account: AccountId,
    release: ReleaseId,
    device: Thumbprint,
    now_ms: i64,
) -> Result<(ViewId, bool), Error> {
    let (kept,): (String,) = on!(tx, |db| sqlx::query_as(
        "insert into carries (id, account_id, release_id, jkt, state, opened_at_ms, last_seen_at_ms) \
         values ($1, $2, $3, $4, 'active', $5, $5) on conflict (account_id, release_id, jkt) \
         do update set last_seen_at_ms = excluded.last_seen_at_ms, state = 'active' returning id"
    )
    .bind(carry.to_string())
    .bind(account.to_string())
    .bind(release.to_string())
    .bind(device.to_string())
    .bind(now_ms)
    .fetch_one(db)
    .await)?;
    let kept: ViewId = id(&kept)?;
    Ok((kept, kept == carry))
}

/// What the subject of a view token is about, be it a view or a carry: the release, while it is active.
pub async fn active_release(tx: &mut Tx, member: ViewId) -> Result<Option<ReleaseId>, Error> {
    let row: Option<(String,)> = on!(tx, |db| sqlx::query_as(
        "select release_id from views where id = $1 and state = 'active' \
         union all select release_id from carries where id = $1 and state = 'active'"
    )
    .bind(member.to_string())
    .fetch_optional(db)
    .await)?;
    row.map(|(release,)| id(&release)).transpose()
}

/// Whether a device ever had a view or a carry of a release.
pub async fn was_member(tx: &mut Tx, release: ReleaseId, device: Thumbprint) -> Result<bool, Error> {
    let row: Option<(i64,)> = on!(tx, |db| sqlx::query_as(
        "select cast(1 as bigint) from views where release_id = $1 and jkt = $2 \
         union all select cast(1 as bigint) from carries where release_id = $1 and jkt = $2 limit 1"
    )
    .bind(release.to_string())
    .bind(device.to_string())
    .fetch_optional(db)
    .await)?;
    Ok(row.is_some())
}
