//! Who accounts are at other providers.

use matinee_protocol::id::AccountId;
use uuid::Uuid;

use super::{Error, Tx, id};

/// Identities of one account in one listing.
pub const IDENTITIES_LISTED_MAX: i64 = 50;

/// Who an account is elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its id.
    pub id: Uuid,
    /// The provider.
    pub issuer: String,
    /// The provider's name for the person.
    pub subject: String,
    /// The account.
    pub account: AccountId,
    /// When it was linked.
    pub created_at_ms: i64,
    /// When somebody signed in with it last.
    pub last_used_at_ms: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    issuer: String,
    subject: String,
    account_id: String,
    created_at_ms: i64,
    last_used_at_ms: Option<i64>,
}

impl TryFrom<Row> for Identity {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(Self {
            id: id(&row.id)?,
            issuer: row.issuer,
            subject: row.subject,
            account: id(&row.account_id)?,
            created_at_ms: row.created_at_ms,
            last_used_at_ms: row.last_used_at_ms,
        })
    }
}

/// Links an account. False if the identity is linked already.
pub async fn insert(tx: &mut Tx, identity: &Identity) -> Result<bool, Error> {
    let inserted = on!(tx, |db| sqlx::query(
        "insert into identities (id, issuer, subject, account_id, created_at_ms, last_used_at_ms) \
         values ($1, $2, $3, $4, $5, $6) on conflict (issuer, subject) do nothing"
    )
    .bind(identity.id.to_string())
    .bind(&identity.issuer)
    .bind(&identity.subject)
    .bind(identity.account.to_string())
    .bind(identity.created_at_ms)
    .bind(identity.last_used_at_ms)
    .execute(db)
    .await?
    .rows_affected());
    Ok(inserted == 1)
}

/// Whose identity this is, noting that it was used.
pub async fn used(tx: &mut Tx, issuer: &str, subject: &str, now_ms: i64) -> Result<Option<AccountId>, Error> {
    let row: Option<(String,)> = on!(tx, |db| {
        sqlx::query_as(
        "update identities set last_used_at_ms = $1 where issuer = $2 and subject = $3 returning account_id"
    )
    .bind(now_ms)
    .bind(issuer)
    .bind(subject)
    .fetch_optional(db)
    .await
    })?;
    row.map(|(account,)| id(&account)).transpose()
}

/// The identities of an account, newest first, at most [`IDENTITIES_LISTED_MAX`].
pub async fn by_account(tx: &mut Tx, account: AccountId) -> Result<Vec<Identity>, Error> {
    let rows: Vec<Row> = on!(tx, |db| sqlx::query_as(
        "select * from identities where account_id = $1 order by created_at_ms desc, id desc limit $2"
    )
    .bind(account.to_string())
    .bind(IDENTITIES_LISTED_MAX)
    .fetch_all(db)
    .await)?;
    rows.into_iter().map(Identity::try_from).collect()
}

/// Unlinks an identity. False if the account has no such identity.
pub async fn delete(tx: &mut Tx, account: AccountId, identity: Uuid) -> Result<bool, Error> {
    let removed = on!(tx, |db| sqlx::query("delete from identities where id = $1 and account_id = $2")
        .bind(identity.to_string())
        .bind(account.to_string())
        .execute(db)
        .await?
        .rows_affected());
    Ok(removed == 1)
}
