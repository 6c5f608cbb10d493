//! Logins. The token itself is kept nowhere, only its hash.

use matinee_protocol::encoding::sha256;
use matinee_protocol::id::AccountId;

use super::account::{Role, parse_roles};
use super::{Error, Tx, id};

/// What is kept of a login token. A plain hash is enough: the token is 32 random bytes.
pub fn hash(token: &str) -> [u8; 32] {
    sha256(token.as_bytes())
}

/// Keeps a login.
pub async fn insert(
    tx: &mut Tx,
    token_hash: &[u8; 32],
    account: AccountId,
    now_ms: i64,
    expires_at_ms: i64,
) -> Result<(), Error> {
    on!(tx, |db| sqlx::query(
        "insert into sessions (token_hash, account_id, created_at_ms, expires_at_ms) values ($1, $2, $3, $4)"
    )
    .bind(token_hash.as_slice())
    .bind(account.to_string())
    .bind(now_ms)
    .bind(expires_at_ms)
    .execute(db)
    .await
    .map(drop))?;
    Ok(())
}

/// Whose login this is, if it has not run out.
pub async fn by_hash(
    tx: &mut Tx,
    token_hash: &[u8; 32],
    now_ms: i64,
) -> Result<Option<(AccountId, Vec<Role>)>, Error> {
    let row: Option<(String, String)> = on!(tx, |db| sqlx::query_as(
        "select a.id, a.roles from sessions s join accounts a on a.id = s.account_id \
         where s.token_hash = $1 and s.expires_at_ms > $2"
    )
    .bind(token_hash.as_slice())
    .bind(now_ms)
    .fetch_optional(db)
    .await)?;
    row.map(|(account, roles)| Ok((id(&account)?, parse_roles(&roles)?))).transpose()
}

/// Ends a login.
pub async fn delete(tx: &mut Tx, token_hash: &[u8; 32]) -> Result<(), Error> {
    on!(tx, |db| sqlx::query("delete from sessions where token_hash = $1")
        .bind(token_hash.as_slice())
        .execute(db)
        .await
        .map(drop))?;
    Ok(())
}

/// Forgets logins that have run out.
pub async fn delete_expired(tx: &mut Tx, now_ms: i64) -> Result<u64, Error> {
    Ok(on!(tx, |db| sqlx::query("delete from sessions where expires_at_ms <= $1")
        .bind(now_ms)
        .execute(db)
        .await?
        .rows_affected()))
}
