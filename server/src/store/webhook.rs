//! Webhooks: places of somebody's that are told, and the log of the attempts to reach them.

use matinee_protocol::id::AccountId;

use super::page::{Asked, Page, Position};
use super::{Error, Tx, id};

/// A place that is told.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Webhook {
    /// Its id.
    pub id: String,
    /// Where messages go.
    pub url: String,
    /// What it is told; `*` is everything.
    pub topics: Vec<String>,
    /// When it was added, in Unix milliseconds.
    pub created_at_ms: i64,
}

/// An attempt, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, sqlx::FromRow, utoipa::ToSchema)]
pub struct Delivery {
    /// The message's id, as `webhook-id` has it.
    pub message: String,
    /// What it was about.
    pub topic: String,
    /// Which attempt, from 1.
    pub attempt: i64,
    /// When it began, in Unix milliseconds.
    pub at_ms: i64,
    /// How long it took; none while it is under way, and where the server was cut off in it.
    pub took_ms: Option<i64>,
    /// HTTP status, if there was an answer.
    pub status: Option<i64>,
    /// Why it failed; none if it did not.
    pub error: Option<String>,
    /// How the message stands: `waiting`, `delivered` or `given_up`.
    pub state: String,
}

/// Adds a webhook.
pub async fn insert(tx: &mut Tx, account: AccountId, webhook: &Webhook) -> Result<(), Error> {
    on!(tx, |db| {
        sqlx::query(
        "insert into webhook_endpoints (id, account_id, url, topics, created_at_ms) values ($1, $2, $3, $4, $5)"
    )
    .bind(&webhook.id)
    .bind(account.to_string())
    .bind(&webhook.url)
    .bind(webhook.topics.join(","))
    .bind(webhook.created_at_ms)
    .execute(db)
    .await
    .map(drop)
    })?;
    Ok(())
}

/// An account's webhooks, newest first.
pub async fn by_account(tx: &mut Tx, account: AccountId) -> Result<Vec<Webhook>, Error> {
    let rows: Vec<(String, String, String, i64)> = on!(tx, |db| sqlx::query_as(
        "select id, url, topics, created_at_ms from webhook_endpoints \
         where account_id = $1 and removed_at_ms is null order by created_at_ms desc, id desc"
    )
    .bind(account.to_string())
    .fetch_all(db)
    .await)?;
    let webhook = |(id, url, topics, created_at_ms): (String, String, String, i64)| Webhook {
        id,
        url,
        topics: topics.split(',').map(str::to_owned).collect(),
        created_at_ms,
    };
    Ok(rows.into_iter().map(webhook).collect())
}

/// Removes a webhook of an account; what waits for it is given up. False if there is none.
pub async fn remove(tx: &mut Tx, account: AccountId, webhook: &str, now_ms: i64) -> Result<bool, Error> {
    let changed = on!(tx, |db| sqlx::query(
        "update webhook_endpoints set removed_at_ms = $1 \
         where id = $2 and account_id = $3 and removed_at_ms is null"
    )
    .bind(now_ms)
    .bind(webhook)
    .bind(account.to_string())
    .execute(db)
    .await?
    .rows_affected());
    if changed == 1 {
        on!(tx, |db| sqlx::query(
            "update outbox set state = 'given_up' where endpoint_id = $1 and state = 'waiting'"
        )
        .bind(webhook)
        .execute(db)
        .await
        .map(drop))?;
    }
    Ok(changed == 1)
}

/// Whose webhook it is, removed or not.
pub async fn owner(tx: &mut Tx, webhook: &str) -> Result<Option<AccountId>, Error> {
    let row: Option<(String,)> =
        on!(tx, |db| sqlx::query_as("select account_id from webhook_endpoints where id = $1")
            .bind(webhook)
            .fetch_optional(db)
            .await)?;
    row.map(|(account,)| id(&account)).transpose()
}

/// The attempts to reach a webhook, newest first.
pub async fn deliveries(tx: &mut Tx, webhook: &str, asked: &Asked) -> Result<Page<Delivery>, Error> {
    let (at, after) = asked.after();
    let rows: Vec<Delivery> = on!(tx, |db| {
        sqlx::query_as(
        "select d.outbox_id as message, o.topic, d.attempt, d.at_ms, d.took_ms, d.status, d.error, o.state \
         from deliveries d join outbox o on o.id = d.outbox_id \
         where o.endpoint_id = $1 and (d.at_ms, d.outbox_id) < ($3, $4) order by d.at_ms desc, d.outbox_id desc limit $2"
    )
    .bind(webhook)
    .bind(asked.rows())
    .bind(at)
    .bind(after)
    .fetch_all(db)
    .await
    })?;
    Ok(asked.page(rows, |row| Position { at: row.at_ms, id: row.message.clone() }))
}
