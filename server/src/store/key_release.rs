//! The usage ledger: which epochs' keys were released to which view, and when.

use std::collections::BTreeMap;

use matinee_protocol::id::{EntitlementId, LicenseId, ReleaseId, ViewId};
use matinee_protocol::license::EpochRange;

use super::{Error, Tx, id, unsigned};
use crate::royalty::usage::Release;

/// Keeps what a license releases.
pub async fn insert(
    tx: &mut Tx,
    license: LicenseId,
    view: ViewId,
    ranges: &[EpochRange],
    now_ms: i64,
) -> Result<(), Error> {
    for range in ranges {
        later!(
            tx,
            "insert into key_releases (license_id, view_id, file, first_epoch, epochs, at_ms) \
             values ($1, $2, $3, $4, $5, $6)",
            license.to_string(),
            view.to_string(),
            i64::from(range.file.get()),
            i64::from(range.first.get()),
            i64::from(range.count),
            now_ms,
        );
    }
    Ok(())
}

/// Every key that an entitlement was given, by release.
pub async fn of_entitlement(
    tx: &mut Tx,
    entitlement: EntitlementId,
) -> Result<BTreeMap<ReleaseId, Vec<Release>>, Error> {
    let rows: Vec<(String, i64, i64, i64, i64)> = on!(tx, |db| sqlx::query_as(
        "select v.release_id, k.file, k.first_epoch, k.epochs, k.at_ms from key_releases k \
         join views v on v.id = k.view_id where v.entitlement_id = $1"
    )
    .bind(entitlement.to_string())
    .fetch_all(db)
    .await)?;
    let mut given: BTreeMap<ReleaseId, Vec<Release>> = BTreeMap::new();
    for (release, file, first_epoch, epochs, at_ms) in rows {
        given.entry(id(&release)?).or_default().push(Release { file, first_epoch, epochs, at_ms });
    }
    Ok(given)
}

/// Epochs released to a view since then.
pub async fn epochs_since(tx: &mut Tx, view: ViewId, since_ms: i64) -> Result<u64, Error> {
    let (sum,): (i64,) = on!(tx, |db| {
        sqlx::query_as(
        "select cast(coalesce(sum(epochs), 0) as bigint) from key_releases where view_id = $1 and at_ms > $2"
    )
    .bind(view.to_string())
    .bind(since_ms)
    .fetch_one(db)
    .await
    })?;
    Ok(unsigned(sum))
}
