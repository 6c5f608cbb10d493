//! Passkeys of accounts.

use matinee_protocol::id::AccountId;
use uuid::Uuid;

use super::{Error, Tx, id};

/// Passkeys of one account.
pub const PASSKEYS_MAX: i64 = 20;

/// A passkey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passkey {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub account: AccountId,
    /// What the authenticator calls it.
    pub credential_id: Vec<u8>,
    /// Public key, counter and flags, as `crate::passkey` writes them.
    pub credential: String,
    /// Its name for people.
    pub name: String,
    /// When it was registered.
    pub created_at_ms: i64,
    /// When somebody signed in with it last.
    pub last_used_at_ms: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    account_id: String,
    credential_id: Vec<u8>,
    credential: String,
    name: String,
    created_at_ms: i64,
    last_used_at_ms: Option<i64>,
}

impl TryFrom<Row> for Passkey {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(Self {
            id: id(&row.id)?,
            account: id(&row.account_id)?,
            credential_id: row.credential_id,
            credential: row.credential,
            name: row.name,
            created_at_ms: row.created_at_ms,
            last_used_at_ms: row.last_used_at_ms,
        })
    }
}

/// Keeps a passkey. False if the credential is known already or the account has [`PASSKEYS_MAX`]; under
/// [`super::account::hold`] that is exact.
pub async fn insert(tx: &mut Tx, passkey: &Passkey) -> Result<bool, Error> {
    let inserted = on!(tx, |db| sqlx::query(
        "insert into passkeys (id, account_id, credential_id, credential, name, created_at_ms) \
         select $1, $2, $3, $4, $5, $6 where (select count(*) from passkeys where account_id = $2) < $7 \
         on conflict (credential_id) do nothing"
    )
    .bind(passkey.id.to_string())
    .bind(passkey.account.to_string())
    .bind(passkey.credential_id.as_slice())
    .bind(&passkey.credential)
    .bind(&passkey.name)
    .bind(passkey.created_at_ms)
    .bind(PASSKEYS_MAX)
    .execute(db)
    .await?
    .rows_affected());
    Ok(inserted == 1)
}

/// The passkeys of an account, newest first.
pub async fn by_account(tx: &mut Tx, account: AccountId) -> Result<Vec<Passkey>, Error> {
    let rows: Vec<Row> = on!(tx, |db| sqlx::query_as(
        "select * from passkeys where account_id = $1 order by created_at_ms desc, id desc limit $2"
    )
    .bind(account.to_string())
    .bind(PASSKEYS_MAX)
    .fetch_all(db)
    .await)?;
    rows.into_iter().map(Passkey::try_from).collect()
}

/// The passkey that an authenticator calls so.
pub async fn by_credential(tx: &mut Tx, credential_id: &[u8]) -> Result<Option<Passkey>, Error> {
    let row: Option<Row> = on!(tx, |db| sqlx::query_as("select * from passkeys where credential_id = $1")
        .bind(credential_id)
        .fetch_optional(db)
        .await)?;
    row.map(Passkey::try_from).transpose()
}

/// Notes that a passkey was used, and its new counter. False if somebody else used it since it was read: the counter
/// that was looked at is not the last.
pub async fn used(tx: &mut Tx, passkey: &Passkey, credential: &str, now_ms: i64) -> Result<bool, Error> {
    let changed = on!(tx, |db| sqlx::query(
        "update passkeys set credential = $1, last_used_at_ms = $2 where id = $3 and credential = $4"
    )
    .bind(credential)
    .bind(now_ms)
    .bind(passkey.id.to_string())
    .bind(&passkey.credential)
    .execute(db)
    .await?
    .rows_affected());
    Ok(changed == 1)
}

/// Gives a passkey another name. False if the account has no such passkey.
pub async fn rename(tx: &mut Tx, account: AccountId, passkey: Uuid, name: &str) -> Result<bool, Error> {
    let changed =
        on!(tx, |db| sqlx::query("update passkeys set name = $1 where id = $2 and account_id = $3")
            .bind(name)
            .bind(passkey.to_string())
            .bind(account.to_string())
            .execute(db)
            .await?
            .rows_affected());
    Ok(changed == 1)
}

/// Removes a passkey. False if the account has no such passkey.
pub async fn delete(tx: &mut Tx, account: AccountId, passkey: Uuid) -> Result<bool, Error> {
    let removed = on!(tx, |db| sqlx::query("delete from passkeys where id = $1 and account_id = $2")
        .bind(passkey.to_string())
        .bind(account.to_string())
        .execute(db)
        .await?
        .rows_affected());
    Ok(removed == 1)
}
