//! Logins. The token itself is kept nowhere, only its hash.

use matinee_protocol::encoding::sha256;
use matinee_protocol::id::AccountId;

use super::account::{Role, parse_roles};
use super::{Error, Tx, id};

/// Logins in one listing.
const LOGINS_LISTED_MAX: i64 = 500;

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

/// Keeps what a browser or program calls itself.
pub async fn describe(tx: &mut Tx, token_hash: &[u8; 32], agent: &str) -> Result<(), Error> {
    on!(tx, |db| sqlx::query("update sessions set agent = $1 where token_hash = $2")
        .bind(agent)
        .bind(token_hash.as_slice())
        .execute(db)
        .await
        .map(drop))?;
    Ok(())
}

/// A login, as its account sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// SHA-256 of its token.
    pub token_hash: [u8; 32],
    /// When it was made.
    pub created_at_ms: i64,
    /// Until when it holds.
    pub expires_at_ms: i64,
    /// What the browser or program called itself.
    pub agent: Option<String>,
}

impl Login {
    /// Its name in the interface: derived from the hash of the token, and no way back to either.
    pub fn id(&self) -> String {
        let mut labelled = b"matinee/1 login id".to_vec();
        labelled.extend_from_slice(&self.token_hash);
        hex::encode(&sha256(&labelled)[..16])
    }
}

/// An account's logins that hold, newest first, at most [`LOGINS_LISTED_MAX`].
pub async fn by_account(tx: &mut Tx, account: AccountId, now_ms: i64) -> Result<Vec<Login>, Error> {
    let rows: Vec<(Vec<u8>, i64, i64, Option<String>)> = on!(tx, |db| sqlx::query_as(
        "select token_hash, created_at_ms, expires_at_ms, agent from sessions \
         where account_id = $1 and expires_at_ms > $2 order by created_at_ms desc limit $3"
    )
    .bind(account.to_string())
    .bind(now_ms)
    .bind(LOGINS_LISTED_MAX)
    .fetch_all(db)
    .await)?;
    let login = |(hash, created_at_ms, expires_at_ms, agent): (Vec<u8>, i64, i64, Option<String>)| {
        let token_hash = hash.try_into().map_err(|_| Error::Corrupt("token hash"))?;
        Ok(Login { token_hash, created_at_ms, expires_at_ms, agent })
    };
    rows.into_iter().map(login).collect()
}

/// Ends every login of an account.
pub async fn delete_all(tx: &mut Tx, account: AccountId) -> Result<u64, Error> {
    Ok(on!(tx, |db| sqlx::query("delete from sessions where account_id = $1")
        .bind(account.to_string())
        .execute(db)
        .await?
        .rows_affected()))
}

/// Ends every login of an account but this one.
pub async fn delete_others(tx: &mut Tx, account: AccountId, token_hash: &[u8; 32]) -> Result<u64, Error> {
    Ok(on!(tx, |db| sqlx::query("delete from sessions where account_id = $1 and token_hash <> $2")
        .bind(account.to_string())
        .bind(token_hash.as_slice())
        .execute(db)
        .await?
        .rows_affected()))
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

/// When a login was made.
pub async fn created_at_ms(tx: &mut Tx, token_hash: &[u8; 32]) -> Result<Option<i64>, Error> {
    let row: Option<(i64,)> =
        on!(tx, |db| sqlx::query_as("select created_at_ms from sessions where token_hash = $1")
            .bind(token_hash.as_slice())
            .fetch_optional(db)
            .await)?;
    Ok(row.map(|(created_at_ms,)| created_at_ms))
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
