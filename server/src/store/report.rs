//! Reports of poison: one device says that another sent wrong bytes.

use matinee_protocol::id::{ReleaseId, Thumbprint};

use super::{Error, Tx};

/// Keeps a report under an id of its own.
pub async fn insert(
    tx: &mut Tx,
    report: &str,
    release: ReleaseId,
    reporter: Thumbprint,
    reported: Thumbprint,
    reason: &str,
    now_ms: i64,
) -> Result<(), Error> {
    on!(tx, |db| sqlx::query(
        "insert into reports (id, release_id, reporter_jkt, reported_jkt, reason, at_ms) \
         values ($1, $2, $3, $4, $5, $6)"
    )
    .bind(report)
    .bind(release.to_string())
    .bind(reporter.to_string())
    .bind(reported.to_string())
    .bind(reason)
    .bind(now_ms)
    .execute(db)
    .await
    .map(drop))?;
    Ok(())
}

/// How many devices have reported this one since then.
pub async fn reporters(tx: &mut Tx, reported: Thumbprint, since_ms: i64) -> Result<i64, Error> {
    let (count,): (i64,) = on!(tx, |db| sqlx::query_as(
        "select count(distinct reporter_jkt) from reports where reported_jkt = $1 and at_ms >= $2"
    )
    .bind(reported.to_string())
    .bind(since_ms)
    .fetch_one(db)
    .await)?;
    Ok(count)
}
