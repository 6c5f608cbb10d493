//! Leases. Who takes one holds the account's row, so that no two are counted at once.

use matinee_protocol::id::{AccountId, EntitlementId, LeaseId, ReleaseId, Thumbprint, TitleId};

use super::{Error, Tx, id, index};
use crate::license::lease::Others;

pub use crate::license::lease::Lease;

/// Leases in one listing.
pub const LEASES_LISTED_MAX: i64 = 500;

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    entitlement_id: String,
    account_id: String,
    title_id: String,
    release_id: String,
    view_id: String,
    jkt: String,
    issued_at_ms: i64,
    expires_at_ms: i64,
    returned_at_ms: Option<i64>,
}

impl TryFrom<Row> for Lease {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(Self {
            id: id(&row.id)?,
            entitlement_id: id(&row.entitlement_id)?,
            account_id: id(&row.account_id)?,
            title_id: id(&row.title_id)?,
            release_id: id(&row.release_id)?,
            view_id: id(&row.view_id)?,
            device: id(&row.jkt)?,
            returned: row.returned_at_ms.is_some(),
            issued_at_ms: row.issued_at_ms,
            expires_at_ms: row.expires_at_ms,
        })
    }
}

/// Adds a lease.
pub async fn insert(tx: &mut Tx, lease: &Lease) -> Result<(), Error> {
    on!(tx, |db| {
        sqlx::query(
        "insert into leases (id, entitlement_id, account_id, title_id, release_id, view_id, jkt, issued_at_ms, \
         expires_at_ms) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
    )
    .bind(lease.id.to_string())
    .bind(lease.entitlement_id.to_string())
    .bind(lease.account_id.to_string())
    .bind(lease.title_id.to_string())
    .bind(lease.release_id.to_string())
    .bind(lease.view_id.to_string())
    .bind(lease.device.to_string())
    .bind(lease.issued_at_ms)
    .bind(lease.expires_at_ms)
    .execute(db)
    .await
    .map(drop)
    })?;
    Ok(())
}

/// The lease with this id.
pub async fn by_id(tx: &mut Tx, lease: LeaseId) -> Result<Option<Lease>, Error> {
    let row: Option<Row> = on!(tx, |db| sqlx::query_as("select * from leases where id = $1")
        .bind(lease.to_string())
        .fetch_optional(db)
        .await)?;
    row.map(Lease::try_from).transpose()
}

/// The lease that a device has out on an entitlement, for a release.
pub async fn out_on(
    tx: &mut Tx,
    entitlement: EntitlementId,
    device: Thumbprint,
    (title, release): (TitleId, ReleaseId),
    now_ms: i64,
) -> Result<Option<Lease>, Error> {
    let row: Option<Row> = on!(tx, |db| {
        sqlx::query_as(
        "select * from leases where entitlement_id = $1 and jkt = $2 and title_id = $3 and release_id = $4 \
         and returned_at_ms is null and expires_at_ms > $5 order by id limit 1"
    )
    .bind(entitlement.to_string())
    .bind(device.to_string())
    .bind(title.to_string())
    .bind(release.to_string())
    .bind(now_ms)
    .fetch_optional(db)
    .await
    })?;
    row.map(Lease::try_from).transpose()
}

/// How many leases are out on an entitlement, and of its account.
pub async fn out(
    tx: &mut Tx,
    entitlement: EntitlementId,
    account: AccountId,
    now_ms: i64,
) -> Result<Others, Error> {
    let (of_entitlement, of_account): (i64, i64) = on!(tx, |db| sqlx::query_as(
        "select count(case when entitlement_id = $1 then 1 end), count(*) from leases \
         where account_id = $2 and returned_at_ms is null and expires_at_ms > $3"
    )
    .bind(entitlement.to_string())
    .bind(account.to_string())
    .bind(now_ms)
    .fetch_one(db)
    .await)?;
    Ok(Others { of_entitlement: index(of_entitlement)?, of_account: index(of_account)? })
}

/// Whether a device of an account has a lease of a release out.
pub async fn holds(
    tx: &mut Tx,
    account: AccountId,
    device: Thumbprint,
    release: ReleaseId,
    now_ms: i64,
) -> Result<bool, Error> {
    let (count,): (i64,) = on!(tx, |db| sqlx::query_as(
        "select count(*) from leases where account_id = $1 and jkt = $2 and release_id = $3 \
         and returned_at_ms is null and expires_at_ms > $4"
    )
    .bind(account.to_string())
    .bind(device.to_string())
    .bind(release.to_string())
    .bind(now_ms)
    .fetch_one(db)
    .await)?;
    Ok(count > 0)
}

/// The leases of an account, the one taken last in front, at most [`LEASES_LISTED_MAX`].
pub async fn by_account(tx: &mut Tx, account: AccountId) -> Result<Vec<Lease>, Error> {
    let rows: Vec<Row> = on!(tx, |db| sqlx::query_as(
        "select * from leases where account_id = $1 order by issued_at_ms desc, id desc limit $2"
    )
    .bind(account.to_string())
    .bind(LEASES_LISTED_MAX)
    .fetch_all(db)
    .await)?;
    rows.into_iter().map(Lease::try_from).collect()
}

/// Renews a lease that is out. False if it is not.
pub async fn renew(tx: &mut Tx, lease: LeaseId, expires_at_ms: i64, now_ms: i64) -> Result<bool, Error> {
    let changed = on!(tx, |db| {
        sqlx::query(
        "update leases set expires_at_ms = $1 where id = $2 and returned_at_ms is null and expires_at_ms > $3"
    )
    .bind(expires_at_ms)
    .bind(lease.to_string())
    .bind(now_ms)
    .execute(db)
    .await?
    .rows_affected()
    });
    Ok(changed == 1)
}

/// Gives a lease back. False if it was before.
pub async fn give_back(tx: &mut Tx, lease: LeaseId, now_ms: i64) -> Result<bool, Error> {
    let changed = on!(tx, |db| sqlx::query(
        "update leases set returned_at_ms = $1 where id = $2 and returned_at_ms is null"
    )
    .bind(now_ms)
    .bind(lease.to_string())
    .execute(db)
    .await?
    .rows_affected());
    Ok(changed == 1)
}
