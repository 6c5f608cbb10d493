//! The usage ledger: which epochs' keys were released to which view, and when. A view of an open release, which has no
//! keys, is taken to have used all of it when it was opened.

use std::collections::BTreeMap;

use matinee_protocol::id::{EntitlementId, LicenseId, ReleaseId, ViewId};
use matinee_protocol::license::EpochRange;

use super::{Error, Tx, id, index, unsigned};
use crate::license::epochs::epochs_of;
use crate::royalty::usage::Released;

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

/// A run of epochs that was released to a view; of an open release a file, and no epochs.
#[derive(sqlx::FromRow)]
pub(super) struct Row {
    pub(super) entitlement_id: String,
    pub(super) title_id: String,
    release_id: String,
    pub(super) plan_id: Option<String>,
    pub(super) opened_at_ms: i64,
    file: i64,
    size_bytes: Option<i64>,
    epoch_chunks: Option<i64>,
    first_epoch: Option<i64>,
    epochs: Option<i64>,
    at_ms: i64,
}

/// Reads what was released to views `v`: which of them says a join, then a condition.
macro_rules! released {
    ($join:literal, $condition:literal) => {
        concat!(
            "select v.entitlement_id, v.title_id, v.release_id, n.plan_id, v.opened_at_ms, \
             coalesce(k.file, f.file) as file, f.size_bytes, f.epoch_chunks, k.first_epoch, k.epochs, \
             coalesce(k.at_ms, v.opened_at_ms) as at_ms from views v join entitlements n on n.id = v.entitlement_id \
             join releases r on r.id = v.release_id left join key_releases k on k.view_id = v.id \
             left join files f on f.release_id = v.release_id and not r.sealed ",
            $join,
            " where (k.view_id is not null or f.release_id is not null) and ",
            $condition
        )
    };
}
pub(super) use released;

impl Row {
    pub(super) fn released(&self) -> Result<Released, Error> {
        let (first_epoch, epochs) = match self.first_epoch.zip(self.epochs) {
            Some(run) => run,
            None => {
                let epoch_chunks = self.epoch_chunks.ok_or(Error::Corrupt("key release"))?;
                let size_bytes = unsigned(self.size_bytes.unwrap_or(0));
                (0, i64::from(epochs_of(size_bytes, index(epoch_chunks)?)))
            }
        };
        Ok(Released {
            release: id(&self.release_id)?,
            file: self.file,
            first_epoch,
            epochs,
            at_ms: self.at_ms,
        })
    }
}

/// Everything that was released to an entitlement's views, by release.
pub async fn of_entitlement(
    tx: &mut Tx,
    entitlement: EntitlementId,
) -> Result<BTreeMap<ReleaseId, Vec<Released>>, Error> {
    let rows: Vec<Row> = on!(tx, |db| sqlx::query_as(released!("", "v.entitlement_id = $1"))
        .bind(entitlement.to_string())
        .fetch_all(db)
        .await)?;
    let mut given: BTreeMap<ReleaseId, Vec<Released>> = BTreeMap::new();
    for row in rows {
        let released = row.released()?;
        given.entry(released.release).or_default().push(released);
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
