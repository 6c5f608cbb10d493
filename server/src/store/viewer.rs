//! Viewers that an integrator made, and the tokens that bring them to the player's page.

use matinee_protocol::encoding::sha256;
use matinee_protocol::id::{AccountId, TitleId};

use super::page::{Asked, Page, Position};
use super::{Error, Tx, id};

/// Names a new viewer. False if the integrator has one of this name.
pub async fn insert(
    tx: &mut Tx,
    integrator: AccountId,
    reference: &str,
    viewer: AccountId,
    now_ms: i64,
) -> Result<bool, Error> {
    let inserted = on!(tx, |db| sqlx::query(
        "insert into integrator_viewers (integrator_id, reference, account_id, created_at_ms) \
         values ($1, $2, $3, $4) on conflict (integrator_id, reference) do nothing"
    )
    .bind(integrator.to_string())
    .bind(reference)
    .bind(viewer.to_string())
    .bind(now_ms)
    .execute(db)
    .await?
    .rows_affected());
    Ok(inserted == 1)
}

/// The viewer that an integrator calls so.
pub async fn by_reference(
    tx: &mut Tx,
    integrator: AccountId,
    reference: &str,
) -> Result<Option<AccountId>, Error> {
    let row: Option<(String,)> = on!(tx, |db| sqlx::query_as(
        "select account_id from integrator_viewers where integrator_id = $1 and reference = $2"
    )
    .bind(integrator.to_string())
    .bind(reference)
    .fetch_optional(db)
    .await)?;
    row.map(|(account,)| id(&account)).transpose()
}

/// What an integrator calls its viewer; none if it is not its own.
pub async fn reference_of(
    tx: &mut Tx,
    integrator: AccountId,
    viewer: AccountId,
) -> Result<Option<String>, Error> {
    let row: Option<(String,)> = on!(tx, |db| sqlx::query_as(
        "select reference from integrator_viewers where integrator_id = $1 and account_id = $2"
    )
    .bind(integrator.to_string())
    .bind(viewer.to_string())
    .fetch_optional(db)
    .await)?;
    Ok(row.map(|(reference,)| reference))
}

/// A viewer, as its integrator sees it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, sqlx::FromRow, utoipa::ToSchema)]
pub struct Viewer {
    /// Its account.
    #[schema(value_type = AccountId)]
    pub id: String,
    /// What the integrator calls it.
    pub reference: String,
    /// When it was made, in Unix milliseconds.
    pub created_at_ms: i64,
}

/// The viewers of an integrator, newest first.
pub async fn listed(tx: &mut Tx, integrator: AccountId, asked: &Asked) -> Result<Page<Viewer>, Error> {
    let (at, after) = asked.after();
    let rows: Vec<Viewer> = on!(tx, |db| {
        sqlx::query_as(
            "select account_id as id, reference, created_at_ms from integrator_viewers \
             where integrator_id = $1 and (created_at_ms, account_id) < ($3, $4) \
             order by created_at_ms desc, account_id desc limit $2",
        )
        .bind(integrator.to_string())
        .bind(asked.rows())
        .bind(at)
        .bind(after)
        .fetch_all(db)
        .await
    })?;
    Ok(asked.page(rows, |row| Position { at: row.created_at_ms, id: row.id.clone() }))
}

/// Whether an account is an integrator's viewer.
pub async fn is_integrators(tx: &mut Tx, account: AccountId) -> Result<bool, Error> {
    let (count,): (i64,) =
        on!(tx, |db| sqlx::query_as("select count(*) from integrator_viewers where account_id = $1")
            .bind(account.to_string())
            .fetch_one(db)
            .await)?;
    Ok(count > 0)
}

/// What is kept of an embed token: the token holds 32 random bytes.
pub fn token_hash(token: &str) -> [u8; 32] {
    sha256(token.as_bytes())
}

/// Keeps an embed token.
pub async fn insert_token(
    tx: &mut Tx,
    hash: &[u8; 32],
    viewer: AccountId,
    title: TitleId,
    (now_ms, expires_at_ms): (i64, i64),
) -> Result<(), Error> {
    on!(tx, |db| sqlx::query(
        "insert into embed_tokens (token_hash, account_id, title_id, created_at_ms, expires_at_ms) \
         values ($1, $2, $3, $4, $5)"
    )
    .bind(hash.as_slice())
    .bind(viewer.to_string())
    .bind(title.to_string())
    .bind(now_ms)
    .bind(expires_at_ms)
    .execute(db)
    .await
    .map(drop))?;
    Ok(())
}

/// Takes an embed token, once: whose it is and for what.
pub async fn take_token(
    tx: &mut Tx,
    hash: &[u8; 32],
    now_ms: i64,
) -> Result<Option<(AccountId, TitleId)>, Error> {
    let row: Option<(String, String)> = on!(tx, |db| {
        sqlx::query_as(
        "delete from embed_tokens where token_hash = $1 and expires_at_ms > $2 returning account_id, title_id"
    )
    .bind(hash.as_slice())
    .bind(now_ms)
    .fetch_optional(db)
    .await
    })?;
    row.map(|(account, title)| Ok((id(&account)?, id(&title)?))).transpose()
}

/// Forgets tokens that nobody came with.
pub async fn delete_expired_tokens(tx: &mut Tx, now_ms: i64) -> Result<u64, Error> {
    Ok(on!(tx, |db| sqlx::query("delete from embed_tokens where expires_at_ms <= $1")
        .bind(now_ms)
        .execute(db)
        .await?
        .rows_affected()))
}
