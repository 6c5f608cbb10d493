//! Links to sign in with that were sent by mail: the newest of an account is good, once and for minutes. Kept as hashes.

use matinee_protocol::encoding::sha256;
use matinee_protocol::id::AccountId;

use super::{Error, Tx, account, id};

/// How long one that has run out is kept, to say so.
const KEPT_MS: i64 = 24 * 60 * 60 * 1000;

/// Where a link stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It signs in.
    Good,
    /// It did so before.
    Used,
    /// A newer one was asked for, or the password was changed by another.
    Replaced,
    /// Its time is over.
    Expired,
}

/// A link that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Whom it signs in.
    pub account: AccountId,
    /// Hash of the cookie of the browser that asked for it.
    pub browser: Vec<u8>,
    /// Where it stands.
    pub standing: Standing,
}

#[derive(sqlx::FromRow)]
struct Row {
    account_id: String,
    browser_hash: Vec<u8>,
    expires_at_ms: i64,
    used_at_ms: Option<i64>,
    replaced_at_ms: Option<i64>,
}

impl Row {
    fn standing(&self, now_ms: i64) -> Standing {
        if self.used_at_ms.is_some() {
            Standing::Used
        } else if self.replaced_at_ms.is_some() {
            Standing::Replaced
        } else if self.expires_at_ms <= now_ms {
            Standing::Expired
        } else {
            Standing::Good
        }
    }
}

/// What is kept of a token or a cookie. A plain hash is enough: they are 32 random bytes.
pub fn hash(token: &str) -> [u8; 32] {
    sha256(token.as_bytes())
}

/// How many links of an account were asked for since then.
pub async fn asked_since(tx: &mut Tx, account: AccountId, since_ms: i64) -> Result<i64, Error> {
    let (count,): (i64,) = on!(tx, |db| sqlx::query_as(
        "select count(*) from sign_in_links where account_id = $1 and asked_at_ms > $2"
    )
    .bind(account.to_string())
    .bind(since_ms)
    .fetch_one(db)
    .await)?;
    Ok(count)
}

/// Keeps a link, and ends those of the account that were good. Under [`super::account::hold`].
pub async fn insert(
    tx: &mut Tx,
    token_hash: &[u8; 32],
    account: AccountId,
    browser_hash: &[u8; 32],
    (now_ms, expires_at_ms): (i64, i64),
) -> Result<(), Error> {
    replace(tx, account, now_ms).await?;
    on!(tx, |db| sqlx::query(
        "insert into sign_in_links (token_hash, account_id, browser_hash, asked_at_ms, expires_at_ms) \
         values ($1, $2, $3, $4, $5)"
    )
    .bind(token_hash.as_slice())
    .bind(account.to_string())
    .bind(browser_hash.as_slice())
    .bind(now_ms)
    .bind(expires_at_ms)
    .execute(db)
    .await
    .map(drop))?;
    Ok(())
}

/// Ends the links of an account that are good.
pub async fn replace(tx: &mut Tx, account: AccountId, now_ms: i64) -> Result<(), Error> {
    on!(tx, |db| sqlx::query(
        "update sign_in_links set replaced_at_ms = $2 \
         where account_id = $1 and used_at_ms is null and replaced_at_ms is null"
    )
    .bind(account.to_string())
    .bind(now_ms)
    .execute(db)
    .await
    .map(drop))?;
    Ok(())
}

/// The same once it is known that whoever has the account reads the letters to its address. Until then a link out of the
/// mailbox outranks every session: whoever is signed in may be keeping the owner out.
pub async fn replace_if_verified(tx: &mut Tx, account: AccountId, now_ms: i64) -> Result<(), Error> {
    if account::is_verified(tx, account).await? {
        replace(tx, account, now_ms).await?;
    }
    Ok(())
}

/// The link with this token; none if there is none, or not any more.
pub async fn find(tx: &mut Tx, token_hash: &[u8; 32], now_ms: i64) -> Result<Option<Link>, Error> {
    let row: Option<Row> = on!(tx, |db| sqlx::query_as(
        "select account_id, browser_hash, expires_at_ms, used_at_ms, replaced_at_ms from sign_in_links \
         where token_hash = $1"
    )
    .bind(token_hash.as_slice())
    .fetch_optional(db)
    .await)?;
    row.map(|row| {
        let standing = row.standing(now_ms);
        Ok(Link { account: id(&row.account_id)?, browser: row.browser_hash, standing })
    })
    .transpose()
}

/// Uses a link, once: false if it is not good.
pub async fn take(tx: &mut Tx, token_hash: &[u8; 32], now_ms: i64) -> Result<bool, Error> {
    let taken = on!(tx, |db| sqlx::query(
        "update sign_in_links set used_at_ms = $2 \
         where token_hash = $1 and used_at_ms is null and replaced_at_ms is null and expires_at_ms > $2"
    )
    .bind(token_hash.as_slice())
    .bind(now_ms)
    .execute(db)
    .await?
    .rows_affected());
    Ok(taken == 1)
}

/// Forgets links that ran out a day ago.
pub async fn delete_old(tx: &mut Tx, now_ms: i64) -> Result<u64, Error> {
    Ok(on!(tx, |db| sqlx::query("delete from sign_in_links where expires_at_ms <= $1")
        .bind(now_ms.saturating_sub(KEPT_MS))
        .execute(db)
        .await?
        .rows_affected()))
}
