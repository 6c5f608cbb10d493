//! How far each file has arrived, and the chunk hashes of what has.

use matinee_protocol::id::{FileIndex, ReleaseId};

use super::{Error, Tx, signed};

/// Moves a file's offset from `from_bytes` to `to_bytes` and keeps the hashes of the segment that did it.
///
/// False if the offset is not `from_bytes` or the release is no longer open: of two publishers one wins. The object of
/// the segment must be durable before.
pub async fn advance(
    tx: &mut Tx,
    release: ReleaseId,
    file: FileIndex,
    segment: u32,
    from_bytes: u64,
    to_bytes: u64,
    chunk_hashes: &[u8],
) -> Result<bool, Error> {
    let moved = on!(tx, |db| {
        sqlx::query(
        "update files set uploaded_bytes = $1 where release_id = $2 and file = $3 and uploaded_bytes = $4 \
         and exists (select 1 from releases where id = $2 and state = 'open')"
    )
    .bind(signed(to_bytes))
    .bind(release.to_string())
    .bind(i64::from(file.get()))
    .bind(signed(from_bytes))
    .execute(db)
    .await?
    .rows_affected()
    });
    if moved == 0 {
        return Ok(false);
    }
    on!(tx, |db| sqlx::query(
        "insert into uploads (release_id, file, segment, chunk_hashes) values ($1, $2, $3, $4)"
    )
    .bind(release.to_string())
    .bind(i64::from(file.get()))
    .bind(i64::from(segment))
    .bind(chunk_hashes)
    .execute(db)
    .await
    .map(drop))?;
    Ok(true)
}

/// The chunk hashes of a file, one entry a segment, in order.
pub async fn chunk_hashes(tx: &mut Tx, release: ReleaseId, file: FileIndex) -> Result<Vec<Vec<u8>>, Error> {
    let rows: Vec<(Vec<u8>,)> = on!(tx, |db| sqlx::query_as(
        "select chunk_hashes from uploads where release_id = $1 and file = $2 order by segment"
    )
    .bind(release.to_string())
    .bind(i64::from(file.get()))
    .fetch_all(db)
    .await)?;
    Ok(rows.into_iter().map(|(hashes,)| hashes).collect())
}

/// Forgets the chunk hashes of a release whose pages are in the object store.
pub async fn forget(tx: &mut Tx, release: ReleaseId) -> Result<(), Error> {
    on!(tx, |db| sqlx::query("delete from uploads where release_id = $1")
        .bind(release.to_string())
        .execute(db)
        .await
        .map(drop))?;
    Ok(())
}

/// Sets an open release back to nothing uploaded, before its objects are removed. False if it is not open.
pub async fn reset(tx: &mut Tx, release: ReleaseId) -> Result<bool, Error> {
    if !super::release::lock_open(tx, release).await? {
        return Ok(false);
    }
    for sql in [
        "delete from uploads where release_id = $1",
        "update files set uploaded_bytes = 0 where release_id = $1",
    ] {
        on!(tx, |db| sqlx::query(sql).bind(release.to_string()).execute(db).await.map(drop))?;
    }
    Ok(true)
}
