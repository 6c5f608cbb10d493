//! The audit trail: who did what that needs a right of its own, written in the transaction of what was done. The database
//! itself refuses to change or remove a row.

use matinee_protocol::id::AccountId;
use serde_json::Value;

use super::page::{Asked, Page, Position};
use super::{Error, Tx};
use crate::random;

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// A signed-in account.
    Account(AccountId),
    /// A program with this API key.
    ApiKey(String),
    /// Whoever runs commands on the server's machine.
    Command,
}

impl Actor {
    fn columns(&self) -> (&'static str, String) {
        match self {
            Self::Account(account) => ("account", account.to_string()),
            Self::ApiKey(key) => ("api_key", key.clone()),
            Self::Command => ("command", "command".to_owned()),
        }
    }
}

/// Who does something, and the request that asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct By {
    /// Who.
    pub actor: Actor,
    /// The request's id; none for a command.
    pub request_id: Option<String>,
}

impl By {
    /// Whoever runs commands on the server's machine.
    pub fn command() -> Self {
        Self { actor: Actor::Command, request_id: None }
    }

    /// Writes what was done, in the transaction that does it.
    pub async fn note(
        &self,
        tx: &mut Tx,
        action: &'static str,
        subject: &impl ToString,
        detail: Value,
        now_ms: i64,
    ) -> Result<(), Error> {
        let act = Act {
            actor: self.actor.clone(),
            action,
            subject: subject.to_string(),
            detail,
            request_id: self.request_id.as_deref(),
        };
        record(tx, &act, now_ms).await
    }
}

/// What was done.
#[derive(Debug, Clone)]
pub struct Act<'a> {
    /// By whom.
    pub actor: Actor,
    /// What, as `thing.verb`.
    pub action: &'static str,
    /// The id of what it was done to.
    pub subject: String,
    /// The terms; ids and numbers, nothing that names a person.
    pub detail: Value,
    /// The request that asked for it.
    pub request_id: Option<&'a str>,
}

/// A row of the trail.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct AuditEntry {
    /// Its id.
    pub id: String,
    /// When, in Unix milliseconds.
    pub at_ms: i64,
    /// `account`, `api_key` or `command`.
    pub actor_kind: String,
    /// The id of who did it.
    pub actor: String,
    /// What, as `thing.verb`.
    pub action: String,
    /// The id of what it was done to.
    pub subject: String,
    /// The terms.
    pub detail: Value,
    /// The request that asked for it.
    pub request_id: Option<String>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    at_ms: i64,
    actor_kind: String,
    actor: String,
    action: String,
    subject: String,
    detail: String,
    request_id: Option<String>,
}

impl TryFrom<Row> for AuditEntry {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(Self {
            detail: serde_json::from_str(&row.detail).map_err(|_| Error::Corrupt("audit detail"))?,
            id: row.id,
            at_ms: row.at_ms,
            actor_kind: row.actor_kind,
            actor: row.actor,
            action: row.action,
            subject: row.subject,
            request_id: row.request_id,
        })
    }
}

/// Adds a row.
pub async fn record(tx: &mut Tx, act: &Act<'_>, now_ms: i64) -> Result<(), Error> {
    let (kind, actor) = act.actor.columns();
    on!(tx, |db| sqlx::query(
        "insert into audit (id, at_ms, actor_kind, actor, action, subject, detail, request_id) \
         values ($1, $2, $3, $4, $5, $6, $7, $8)"
    )
    .bind(uuid::Uuid::from_bytes(random::id(now_ms)).to_string())
    .bind(now_ms)
    .bind(kind)
    .bind(&actor)
    .bind(act.action)
    .bind(&act.subject)
    .bind(act.detail.to_string())
    .bind(act.request_id)
    .execute(db)
    .await
    .map(drop))?;
    Ok(())
}

/// The trail, newest first; of one subject, if one is named.
pub async fn listed(tx: &mut Tx, subject: Option<&str>, asked: &Asked) -> Result<Page<AuditEntry>, Error> {
    let (at, after) = asked.after();
    let rows: Vec<Row> = on!(tx, |db| sqlx::query_as(
        "select id, at_ms, actor_kind, actor, action, subject, detail, request_id from audit \
         where (at_ms, id) < ($2, $3) and (subject = $4 or $4 = '') order by at_ms desc, id desc limit $1"
    )
    .bind(asked.rows())
    .bind(at)
    .bind(after)
    .bind(subject.unwrap_or_default())
    .fetch_all(db)
    .await)?;
    let rows = rows.into_iter().map(AuditEntry::try_from).collect::<Result<Vec<_>, _>>()?;
    Ok(asked.page(rows, |row| Position { at: row.at_ms, id: row.id.clone() }))
}
