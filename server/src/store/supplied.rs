//! Titles that came in by a supplier's list, under the supplier's own names for them.

use matinee_protocol::id::{AccountId, ReleaseId, TitleId};

use super::{Error, Tx, id};

/// What became of a row of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Supplied {
    /// The title.
    pub title: TitleId,
    /// The release that came with it.
    pub release: ReleaseId,
    /// When all that the row asks for was done.
    pub finished_at_ms: Option<i64>,
}

/// What came in under this reference of a publisher's.
pub async fn by_reference(
    tx: &mut Tx,
    publisher: AccountId,
    reference: &str,
) -> Result<Option<Supplied>, Error> {
    let row: Option<(String, String, Option<i64>)> = on!(tx, |db| sqlx::query_as(
        "select title_id, release_id, finished_at_ms from supplied_titles \
         where publisher_id = $1 and reference = $2"
    )
    .bind(publisher.to_string())
    .bind(reference)
    .fetch_optional(db)
    .await)?;
    row.map(|(title, release, finished_at_ms)| {
        Ok(Supplied { title: id(&title)?, release: id(&release)?, finished_at_ms })
    })
    .transpose()
}

/// Keeps which title and release are under way under a reference. False if there is something under it.
pub async fn insert(
    tx: &mut Tx,
    publisher: AccountId,
    reference: &str,
    (title, release): (TitleId, ReleaseId),
    now_ms: i64,
) -> Result<bool, Error> {
    let inserted = on!(tx, |db| sqlx::query(
        "insert into supplied_titles (publisher_id, reference, title_id, release_id, created_at_ms) \
         values ($1, $2, $3, $4, $5) on conflict (publisher_id, reference) do nothing"
    )
    .bind(publisher.to_string())
    .bind(reference)
    .bind(title.to_string())
    .bind(release.to_string())
    .bind(now_ms)
    .execute(db)
    .await?
    .rows_affected());
    Ok(inserted == 1)
}

/// Notes that all that the row asks for was done, in the transaction that does the last of it. False if it was done before
/// or its release was removed: then nothing of that transaction may stay.
pub async fn finish(tx: &mut Tx, release: ReleaseId, now_ms: i64) -> Result<bool, Error> {
    let finished = on!(tx, |db| sqlx::query(
        "update supplied_titles set finished_at_ms = $2 where release_id = $1 and finished_at_ms is null"
    )
    .bind(release.to_string())
    .bind(now_ms)
    .execute(db)
    .await?
    .rows_affected());
    Ok(finished == 1)
}
