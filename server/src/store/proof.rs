//! Proof ids that were used, so that each is accepted once.

use matinee_protocol::id::Thumbprint;
use matinee_protocol::limit::PROOF_AGE_S_MAX;

use super::{Error, Tx, signed};

/// Marks a proof as used. False if it was.
pub async fn spend(tx: &mut Tx, device: Thumbprint, jti: &str, now_ms: i64) -> Result<bool, Error> {
    // A proof is accepted that long either side of the clock, so it cannot come back after that long twice.
    let expires_at_ms = now_ms.saturating_add(signed(2 * PROOF_AGE_S_MAX + 1) * 1000);
    Ok(guarded!(
        tx,
        "insert into proofs (jkt, jti, expires_at_ms) values ($1, $2, $3) on conflict (jkt, jti) do nothing",
        device.to_string(),
        jti,
        expires_at_ms,
    ))
}

/// Forgets proofs too old to be accepted.
pub async fn delete_expired(tx: &mut Tx, now_ms: i64) -> Result<u64, Error> {
    Ok(on!(tx, |db| sqlx::query("delete from proofs where expires_at_ms <= $1")
        .bind(now_ms)
        .execute(db)
        .await?
        .rows_affected()))
}
