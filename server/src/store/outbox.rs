//! The outbox: what is to be told outside, written in the transaction that caused it and delivered after, at least once.

use matinee_protocol::id::AccountId;
use serde_json::{Value, json};

use super::{Error, Tx};
use crate::letter::Letter;
use crate::random;

/// What webhooks are told of.
pub const TOPICS: [&str; 16] = [
    "purchase.completed",
    "payment.succeeded",
    "payment.failed",
    "payment.disputed",
    "refund.created",
    "refund.succeeded",
    "refund.failed",
    "entitlement.granted",
    "entitlement.revoked",
    "entitlement.cancelled",
    "entitlement.returned",
    "entitlement.expired",
    "entitlement.renewed",
    "entitlement.renewal_failed",
    "entitlement.ending",
    "account.closed",
];

/// Messages taken in one turn.
const TAKEN_MAX: i64 = 32;
/// Messages to one webhook, or emails, taken in one turn: who does not answer holds up no other.
const TAKEN_OF_ONE_MAX: i64 = 8;
/// How long a message that was taken is nobody else's; longer than any attempt may take.
pub const LEASE_MS: i64 = 60_000;
/// What was delivered or given up is kept this long.
const KEPT_MS: i64 = 30 * 24 * 60 * 60 * 1000;
/// How long a webhook's message is tried.
pub const WEBHOOK_LASTS_MS: i64 = 3 * 24 * 60 * 60 * 1000;
/// How long to wait after the first attempt that failed.
pub const BACKOFF_FIRST_MS: i64 = 5_000;
/// How many times longer after each further one.
const BACKOFF_FACTOR: i64 = 4;
/// The longest wait.
pub const BACKOFF_MS_MAX: i64 = 6 * 60 * 60 * 1000;

/// A message that was taken for delivery.
#[derive(Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Message {
    /// Its id.
    pub id: String,
    /// `webhook` or `email`.
    pub kind: String,
    /// The webhook's id.
    pub endpoint_id: Option<String>,
    /// Where the webhook is; none if it was removed meanwhile.
    pub url: Option<String>,
    /// The email address.
    pub recipient: Option<String>,
    /// What it is about.
    pub topic: String,
    /// JSON.
    pub payload: String,
    /// Which attempt this is, from 1.
    pub attempts: i64,
    /// Until when it is tried.
    pub until_ms: i64,
}

/// What it says, and to whom, is nobody's business in a log.
impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message").field("id", &self.id).field("topic", &self.topic).finish_non_exhaustive()
    }
}

/// How an attempt went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// HTTP status, if there was an answer.
    pub status: Option<i64>,
    /// Why it failed; none if it did not.
    pub error: Option<String>,
    /// How long it took.
    pub took_ms: i64,
}

/// When the attempt after this one is; none if the message is too old for another.
pub fn next_at_ms(attempts: i64, now_ms: i64, until_ms: i64) -> Option<i64> {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
    let wait_ms = BACKOFF_FIRST_MS.saturating_mul(BACKOFF_FACTOR.saturating_pow(doublings));
    Some(now_ms.saturating_add(wait_ms.min(BACKOFF_MS_MAX))).filter(|at_ms| *at_ms < until_ms)
}

/// Tells every webhook that asked for the topic and may know of the account: operators', and the integrator's whose
/// viewer it is. Nothing is written where nobody asked.
pub async fn post(
    tx: &mut Tx,
    topic: &'static str,
    account: AccountId,
    data: &Value,
    now_ms: i64,
) -> Result<(), Error> {
    debug_assert!(TOPICS.contains(&topic), "{topic} is not in the list");
    let payload = json!({ "type": topic, "at_ms": now_ms, "data": data }).to_string();
    later!(
        tx,
        "insert into outbox (id, kind, endpoint_id, account_id, topic, payload, state, attempts, next_at_ms, until_ms, \
         created_at_ms) select cast($1 as text) || '_' || e.id, 'webhook', e.id, cast($2 as text), cast($3 as text), \
         cast($4 as text), 'waiting', 0, cast($5 as bigint), cast($6 as bigint), cast($5 as bigint) \
         from webhook_endpoints e join accounts a on a.id = e.account_id \
         where e.removed_at_ms is null and a.deleted_at_ms is null \
         and (e.topics = '*' or ',' || e.topics || ',' like '%,' || cast($3 as text) || ',%') \
         and (a.roles like '%operator%' or (a.roles like '%integrator%' and exists (select 1 from integrator_viewers v \
         where v.integrator_id = e.account_id and v.account_id = cast($2 as text))))",
        fresh(now_ms),
        account.to_string(),
        topic,
        payload,
        now_ms,
        now_ms.saturating_add(WEBHOOK_LASTS_MS),
    );
    Ok(())
}

/// Writes to the owner of an account. Nothing is written where there is no letter, or where the address is nobody's
/// (`.invalid`).
pub async fn mail(
    tx: &mut Tx,
    account: AccountId,
    letter: Option<&Letter>,
    now_ms: i64,
) -> Result<(), Error> {
    let Some(letter) = letter else { return Ok(()) };
    later!(
        tx,
        "insert into outbox (id, kind, account_id, recipient, topic, payload, state, attempts, next_at_ms, until_ms, \
         created_at_ms) select cast($1 as text), 'email', a.id, a.email, cast($3 as text), cast($4 as text), 'waiting', \
         0, cast($5 as bigint), cast($6 as bigint), cast($5 as bigint) from accounts a \
         where a.id = $2 and a.email not like '%.invalid' and a.deleted_at_ms is null",
        fresh(now_ms),
        account.to_string(),
        letter.topic,
        body(letter),
        now_ms,
        now_ms.saturating_add(letter.lasts_ms),
    );
    Ok(())
}

/// Writes to an address that is no account's, or not yet.
pub async fn enqueue_email(tx: &mut Tx, to: &str, letter: &Letter, now_ms: i64) -> Result<(), Error> {
    later!(
        tx,
        "insert into outbox (id, kind, recipient, topic, payload, state, attempts, next_at_ms, until_ms, \
         created_at_ms) values ($1, 'email', $2, $3, $4, 'waiting', 0, $5, $6, $5)",
        fresh(now_ms),
        to,
        letter.topic,
        body(letter),
        now_ms,
        now_ms.saturating_add(letter.lasts_ms),
    );
    Ok(())
}

fn fresh(now_ms: i64) -> String {
    uuid::Uuid::from_bytes(random::id(now_ms)).to_string()
}

fn body(letter: &Letter) -> String {
    json!({ "subject": letter.subject, "text": letter.text }).to_string()
}

/// Whether any message is due.
pub async fn is_due(tx: &mut Tx, now_ms: i64) -> Result<bool, Error> {
    let row: Option<(i64,)> = on!(tx, |db| sqlx::query_as(
        "select next_at_ms from outbox where state = 'waiting' and next_at_ms <= $1 limit 1"
    )
    .bind(now_ms)
    .fetch_optional(db)
    .await)?;
    Ok(row.is_some())
}

/// Takes messages that are due, each for one server and for [`LEASE_MS`], and notes that they are tried. What is too old
/// is given up.
pub async fn take(tx: &mut Tx, now_ms: i64) -> Result<Vec<Message>, Error> {
    on!(tx, |db| sqlx::query(
        "update outbox set state = 'given_up', payload = case when kind = 'email' then '{}' else payload end \
         where state = 'waiting' and next_at_ms <= $1 and until_ms <= $1"
    )
    .bind(now_ms)
    .execute(db)
    .await
    .map(drop))?;
    let taken: Vec<Message> = on!(tx, |db| {
        sqlx::query_as(
        "update outbox set attempts = attempts + 1, next_at_ms = $2 where state = 'waiting' and next_at_ms <= $1 \
         and id in (select id from (select id, next_at_ms, row_number() over (partition by kind, endpoint_id \
         order by next_at_ms, id) as place from outbox where state = 'waiting' and next_at_ms <= $1) due \
         where place <= $3 order by next_at_ms, id limit $4) \
         returning id, kind, endpoint_id, (select url from webhook_endpoints e where e.id = outbox.endpoint_id \
         and e.removed_at_ms is null) as url, recipient, topic, payload, attempts, until_ms"
    )
    .bind(now_ms)
    .bind(now_ms.saturating_add(LEASE_MS))
    .bind(TAKEN_OF_ONE_MAX)
    .bind(TAKEN_MAX)
    .fetch_all(db)
    .await
    })?;
    for message in &taken {
        on!(tx, |db| sqlx::query("insert into deliveries (outbox_id, attempt, at_ms) values ($1, $2, $3)")
            .bind(&message.id)
            .bind(message.attempts)
            .bind(now_ms)
            .execute(db)
            .await
            .map(drop))?;
    }
    Ok(taken)
}

/// Writes down how an attempt went, and when the next one is, if there is one. An email that was sent or given up keeps
/// no text.
pub async fn finish(tx: &mut Tx, message: &Message, outcome: &Outcome, now_ms: i64) -> Result<(), Error> {
    let again_ms = next_at_ms(message.attempts, now_ms, message.until_ms);
    let (state, next_at_ms) = match (&outcome.error, again_ms) {
        (None, _) => ("delivered", now_ms),
        (Some(_), Some(again_ms)) => ("waiting", again_ms),
        (Some(_), None) => ("given_up", now_ms),
    };
    on!(tx, |db| sqlx::query(
        "update deliveries set took_ms = $1, status = $2, error = $3 where outbox_id = $4 and attempt = $5"
    )
    .bind(outcome.took_ms)
    .bind(outcome.status)
    .bind(outcome.error.as_deref())
    .bind(&message.id)
    .bind(message.attempts)
    .execute(db)
    .await
    .map(drop))?;
    // Another server that took it meanwhile has counted one more attempt: its word counts then, unless this one came
    // through.
    on!(tx, |db| {
        sqlx::query(
            "update outbox set state = $1, next_at_ms = $2, \
         payload = case when kind = 'email' and $1 <> 'waiting' then '{}' else payload end \
         where id = $3 and state = 'waiting' and (attempts = $4 or $1 = 'delivered')",
        )
        .bind(state)
        .bind(next_at_ms)
        .bind(&message.id)
        .bind(message.attempts)
        .execute(db)
        .await
        .map(drop)
    })?;
    Ok(())
}

/// Forgets what was delivered or given up long ago.
pub async fn delete_old(tx: &mut Tx, now_ms: i64) -> Result<u64, Error> {
    let before_ms = now_ms.saturating_sub(KEPT_MS);
    on!(tx, |db| sqlx::query(
        "delete from deliveries where outbox_id in \
         (select id from outbox where state <> 'waiting' and created_at_ms < $1)"
    )
    .bind(before_ms)
    .execute(db)
    .await
    .map(drop))?;
    Ok(on!(tx, |db| sqlx::query("delete from outbox where state <> 'waiting' and created_at_ms < $1")
        .bind(before_ms)
        .execute(db)
        .await?
        .rows_affected()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_grows_to_six_hours_and_ends_with_the_messages_age() {
        let waits: Vec<_> = (1..=9).map(|attempt| next_at_ms(attempt, 0, i64::MAX).unwrap()).collect();
        let seconds: Vec<_> = waits.iter().map(|wait_ms| wait_ms / 1000).collect();
        assert_eq!(seconds, [5, 20, 80, 320, 1280, 5120, 20480, 21600, 21600]);
        assert_eq!(next_at_ms(i64::MAX, 0, i64::MAX), Some(BACKOFF_MS_MAX));
        assert_eq!(next_at_ms(1, 10, 5_011), Some(5_010));
        assert_eq!(next_at_ms(1, 10, 5_010), None);
    }
}
