//! Upload credit out of receipts: running totals, of which only what grows counts.

use matinee_protocol::id::{ReleaseId, Thumbprint};

use super::{Error, Tx, signed, unsigned};

/// Takes a running total that a downloader signed for an uploader. Gives the bytes it adds.
///
/// No more than `bytes_max`, what the release holds, is ever credited for one pair.
pub async fn credit(
    tx: &mut Tx,
    release: ReleaseId,
    uploader: Thumbprint,
    downloader: Thumbprint,
    total_bytes: u64,
    bytes_max: u64,
    now_ms: i64,
) -> Result<u64, Error> {
    let total = total_bytes.min(bytes_max);
    let before: Option<(i64,)> = on!(tx, |db| {
        sqlx::query_as(
        "select total_bytes from receipts where release_id = $1 and uploader_jkt = $2 and downloader_jkt = $3"
    )
    .bind(release.to_string())
    .bind(uploader.to_string())
    .bind(downloader.to_string())
    .fetch_optional(db)
    .await
    })?;
    let before = before.map_or(0, |(bytes,)| unsigned(bytes));
    if total <= before {
        return Ok(0);
    }
    let grown = total - before;
    // Another transaction may have taken the same receipt in between: then this one adds nothing.
    let changed = on!(tx, |db| sqlx::query(
        "insert into receipts \
         (release_id, uploader_jkt, downloader_jkt, total_bytes, credited_bytes, at_ms) \
         values ($1, $2, $3, $4, $5, $6) on conflict (release_id, uploader_jkt, downloader_jkt) \
         do update set total_bytes = excluded.total_bytes, \
         credited_bytes = receipts.credited_bytes + excluded.credited_bytes, at_ms = excluded.at_ms \
         where receipts.total_bytes = $7"
    )
    .bind(release.to_string())
    .bind(uploader.to_string())
    .bind(downloader.to_string())
    .bind(signed(total))
    .bind(signed(grown))
    .bind(now_ms)
    .bind(signed(before))
    .execute(db)
    .await?
    .rows_affected());
    Ok(if changed == 1 { grown } else { 0 })
}

/// Everything credited to a device.
pub async fn credited_bytes(tx: &mut Tx, uploader: Thumbprint) -> Result<u64, Error> {
    let (sum,): (i64,) = on!(tx, |db| sqlx::query_as(
        "select cast(coalesce(sum(credited_bytes), 0) as bigint) from receipts where uploader_jkt = $1"
    )
    .bind(uploader.to_string())
    .fetch_one(db)
    .await)?;
    Ok(unsigned(sum))
}
