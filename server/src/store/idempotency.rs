//! Idempotency keys: the first answer is kept in the transaction of what it answers.
//!
//! A key is written and answered in one transaction, so nobody ever sees one without its answer: a second request with
//! the same key waits for the first to commit, and then finds the answer, or to fail, and then is the first.
//!
//! A request that asks somebody outside has two transactions. Between them its key holds [`UNDER_WAY`] and the name of
//! what it goes on with; a request that finds that goes on itself, whether the first still runs or was cut off.

use matinee_protocol::id::AccountId;

use super::{Error, Tx};

/// How long an answer is kept.
pub const KEPT_MS: i64 = 24 * 60 * 60 * 1000;

/// What stands for a status between the two transactions of a request (RFC 2518 §10.1: processing).
pub const UNDER_WAY: u16 = 102;

/// What there is for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// Nothing yet: do the work, then [`finish`].
    Fresh,
    /// The first answer.
    Answered(Kept),
    /// The key was used with another body.
    OtherBody,
}

/// Which request a key names.
#[derive(Debug, Clone, Copy)]
pub struct Name<'a> {
    /// Whose key it is.
    pub account: AccountId,
    /// Which operation it is for.
    pub operation: &'a str,
    /// The key.
    pub key: &'a str,
}

/// An answer, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its HTTP status.
    pub status: u16,
    /// Its JSON.
    pub answer: String,
}

/// Takes the key, or finds what it answered. An answer that is foreseen is kept at once: if the transaction comes to
/// another, [`finish`] replaces it, and if it fails, nothing is kept at all.
pub async fn begin(
    tx: &mut Tx,
    name: Name<'_>,
    body_hash: &[u8; 32],
    foreseen: Option<&Kept>,
    now_ms: i64,
) -> Result<Begun, Error> {
    let taken = guarded!(
        tx,
        "insert into idempotency_keys (account_id, operation, key, body_hash, status, answer, created_at_ms) \
         values ($1, $2, $3, $4, $5, $6, $7) on conflict (account_id, operation, key) \
         do update set body_hash = excluded.body_hash, created_at_ms = excluded.created_at_ms, \
         status = excluded.status, answer = excluded.answer where idempotency_keys.created_at_ms < $8",
        name.account.to_string(),
        name.operation,
        name.key,
        body_hash.as_slice(),
        foreseen.map(|kept| i64::from(kept.status)),
        foreseen.map(|kept| kept.answer.as_str()),
        now_ms,
        now_ms.saturating_sub(KEPT_MS),
    );
    if taken {
        return Ok(Begun::Fresh);
    }
    let (hash, status, answer): (Vec<u8>, Option<i64>, Option<String>) = on!(tx, |db| sqlx::query_as(
        "select body_hash, status, answer from idempotency_keys \
         where account_id = $1 and operation = $2 and key = $3"
    )
    .bind(name.account.to_string())
    .bind(name.operation)
    .bind(name.key)
    .fetch_one(db)
    .await)?;
    if hash != body_hash {
        return Ok(Begun::OtherBody);
    }
    let status = status.and_then(|status| u16::try_from(status).ok());
    match (status, answer) {
        (Some(status), Some(answer)) => Ok(Begun::Answered(Kept { status, answer })),
        _ => Err(Error::Corrupt("idempotency key without an answer")),
    }
}

/// Keeps the answer of a key taken in this transaction.
pub async fn finish(tx: &mut Tx, name: Name<'_>, kept: &Kept) -> Result<(), Error> {
    on!(tx, |db| sqlx::query(
        "update idempotency_keys set status = $1, answer = $2 \
         where account_id = $3 and operation = $4 and key = $5"
    )
    .bind(i64::from(kept.status))
    .bind(&kept.answer)
    .bind(name.account.to_string())
    .bind(name.operation)
    .bind(name.key)
    .execute(db)
    .await
    .map(drop))?;
    Ok(())
}

/// Keeps the answer of a key that is under way. If another request has kept one first, that one is given and nothing is
/// changed; a key that is forgotten by now keeps none.
pub async fn finish_parked(tx: &mut Tx, name: Name<'_>, kept: &Kept) -> Result<Option<Kept>, Error> {
    let changed = on!(tx, |db| sqlx::query(
        "update idempotency_keys set status = $1, answer = $2 \
         where account_id = $3 and operation = $4 and key = $5 and status = $6"
    )
    .bind(i64::from(kept.status))
    .bind(&kept.answer)
    .bind(name.account.to_string())
    .bind(name.operation)
    .bind(name.key)
    .bind(i64::from(UNDER_WAY))
    .execute(db)
    .await?
    .rows_affected());
    if changed == 1 {
        return Ok(None);
    }
    let first: Option<(i64, String)> = on!(tx, |db| sqlx::query_as(
        "select status, answer from idempotency_keys \
         where account_id = $1 and operation = $2 and key = $3 and status is not null and answer is not null"
    )
    .bind(name.account.to_string())
    .bind(name.operation)
    .bind(name.key)
    .fetch_optional(db)
    .await)?;
    first
        .map(|(status, answer)| {
            let status = u16::try_from(status).map_err(|_| Error::Corrupt("status"))?;
            Ok(Kept { status, answer })
        })
        .transpose()
}

/// Forgets answers past their time.
pub async fn delete_expired(tx: &mut Tx, now_ms: i64) -> Result<u64, Error> {
    Ok(on!(tx, |db| sqlx::query("delete from idempotency_keys where created_at_ms < $1")
        .bind(now_ms.saturating_sub(KEPT_MS))
        .execute(db)
        .await?
        .rows_affected()))
}
