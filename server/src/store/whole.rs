//! Everything that is kept about an account: written out for its owner, and made nobody's when the account is closed.

use matinee_protocol::id::AccountId;
use serde_json::{Map, Value};
use sqlx::{Column as _, Row as _, TypeInfo as _};

use super::{Error, Tx};

/// What an account is given of itself: a name and the statement that reads it, the account's id as its parameter.
/// Secrets (hashes of passwords, logins and keys) stay out.
pub const EXPORTED: &[(&str, &str)] = &[
    (
        "accounts",
        "select id, email, email_verified_at_ms, name, roles, created_at_ms from accounts where id = $1",
    ),
    ("sessions", "select created_at_ms, expires_at_ms, agent from sessions where account_id = $1"),
    (
        "passkeys",
        "select id, name, created_at_ms, last_used_at_ms from passkeys where account_id = $1 order by created_at_ms",
    ),
    (
        "identities",
        "select id, issuer, subject, created_at_ms, last_used_at_ms from identities where account_id = $1 order by created_at_ms",
    ),
    ("devices", "select * from devices where account_id = $1"),
    ("device_removals", "select * from device_removals where account_id = $1 order by at_ms, jkt"),
    (
        "api_keys",
        "select id, name, prefix, scopes, created_at_ms, expires_at_ms, revoked_at_ms from api_keys \
         where account_id = $1",
    ),
    ("integrator_viewers", "select created_at_ms from integrator_viewers where account_id = $1"),
    ("embed_tokens", "select title_id, created_at_ms, expires_at_ms from embed_tokens where account_id = $1"),
    ("trials", "select * from trials where account_id = $1"),
    ("coupon_uses", "select * from coupon_uses where account_id = $1"),
    ("gift_codes", "select plan_id, redeemed_at_ms from gift_codes where redeemed_by = $1"),
    ("viewer_group_members", "select * from viewer_group_members where account_id = $1"),
    ("refunds", "select * from refunds where account_id = $1"),
    (
        "webhook_endpoints",
        "select id, url, topics, created_at_ms from webhook_endpoints where account_id = $1",
    ),
    ("outbox", "select kind, recipient, topic, state, created_at_ms from outbox where account_id = $1"),
    (
        "deliveries",
        "select o.kind, o.topic, d.attempt, d.at_ms, d.took_ms, d.status, d.error \
         from outbox o join deliveries d on d.outbox_id = o.id where o.account_id = $1 order by d.at_ms",
    ),
    ("payments", "select * from payments where account_id = $1"),
    (
        "disputes",
        "select d.* from payments p join disputes d on d.payment_id = p.id where p.account_id = $1 order by d.opened_at_ms",
    ),
    ("purchases", "select * from purchases where account_id = $1"),
    (
        "tax_lines",
        "select t.* from purchases p join tax_lines t on t.purchase_id = p.id where p.account_id = $1 \
         order by t.purchase_id",
    ),
    ("entitlements", "select * from entitlements where account_id = $1"),
    (
        "entitlement_events",
        "select v.* from entitlements e join entitlement_events v on v.entitlement_id = e.id where e.account_id = $1 \
         order by v.entitlement_id, v.position",
    ),
    (
        "quota_uses",
        "select q.* from entitlements e join quota_uses q on q.entitlement_id = e.id where e.account_id = $1 \
         order by q.at_ms",
    ),
    (
        "views",
        "select id, entitlement_id, release_id, jkt, state, opened_at_ms, last_seen_at_ms, ended_at_ms, end_reason \
         from views where entitlement_id in (select id from entitlements where account_id = $1)",
    ),
    (
        "view_breaks",
        "select b.* from entitlements e join views v on v.entitlement_id = e.id \
         join view_breaks b on b.view_id = v.id where e.account_id = $1",
    ),
    ("leases", "select * from leases where account_id = $1 order by issued_at_ms, id"),
    ("carries", "select * from carries where account_id = $1"),
    (
        "key_releases",
        "select k.* from entitlements e join views v on v.entitlement_id = e.id \
         join key_releases k on k.view_id = v.id where e.account_id = $1",
    ),
    (
        "ledger_entries",
        "select j.kind, j.reference, j.at_ms, e.account, e.amount_minor from ledger_entries e \
         join journals j on j.id = e.journal_id where e.account in (select k.kind || $1 || '/' || c.currency \
         from (select 'wallet/' as kind union select 'debt/') k, (select currency from payments where account_id = $1 \
         union select currency from purchases where account_id = $1) c) order by j.at_ms",
    ),
    (
        "audit",
        "select at_ms, case when actor = $1 then actor end as actor, action, subject, detail, request_id from audit \
         where actor = $1 or subject = $1 order by at_ms, id",
    ),
    ("titles", "select id, name, created_at_ms from titles where publisher_id = $1"),
    ("collections", "select id, name, created_at_ms from collections where publisher_id = $1"),
    ("viewer_groups", "select id, name, created_at_ms from viewer_groups where publisher_id = $1"),
    (
        "supplied_titles",
        "select reference, title_id, release_id, created_at_ms, finished_at_ms from supplied_titles \
         where publisher_id = $1 order by reference",
    ),
];

/// Why what hangs on titles, collections and plans is not exported.
const OF_A_WORK: &str = "what a publisher sells, not who it is; its own routes and reports list it";

/// Tables that lead to an account and are not exported, with the reason.
pub const NOT_EXPORTED: &[(&str, &str)] = &[
    ("releases", OF_A_WORK),
    ("files", OF_A_WORK),
    ("uploads", OF_A_WORK),
    ("plans", OF_A_WORK),
    ("plan_titles", OF_A_WORK),
    ("collection_titles", OF_A_WORK),
    ("coupons", OF_A_WORK),
    ("royalty_rules", OF_A_WORK),
    ("royalty_rule_sets", OF_A_WORK),
    ("tracks", OF_A_WORK),
    ("receipts", "bytes between two devices, under the devices' own names"),
    ("reports", "what devices said of each other, under the devices' own names"),
    ("idempotency_keys", "copies of answers, kept for a day; what they answered is exported"),
    ("sign_in_links", "sign-ins under way, kept for a day; what comes of them is exported"),
    ("ceremonies", "sign-ins under way, kept for minutes; what comes of them is exported"),
];

/// Reads a row into JSON; bytes are written as hex.
macro_rules! object {
    ($row:expr) => {{
        let row = $row;
        let mut object = Map::new();
        for (at, column) in row.columns().iter().enumerate() {
            // SQLite gives a truth value as a number too.
            let is_flag = matches!(column.type_info().name(), "BOOLEAN" | "BOOL");
            let flag = if is_flag { row.try_get::<Option<bool>, _>(at).ok() } else { None };
            let value = if let Some(flag) = flag {
                Value::from(flag)
            } else if let Ok(number) = row.try_get::<Option<i64>, _>(at) {
                Value::from(number)
            } else if let Ok(text) = row.try_get::<Option<String>, _>(at) {
                Value::from(text)
            } else {
                Value::from(row.try_get::<Option<Vec<u8>>, _>(at)?.map(hex::encode))
            };
            object.insert(column.name().to_owned(), value);
        }
        Value::Object(object)
    }};
}

/// Everything there is about an account.
pub async fn export(tx: &mut Tx, account: AccountId) -> Result<Map<String, Value>, Error> {
    let account = account.to_string();
    let mut out = Map::new();
    for (name, sql) in EXPORTED {
        let mut rows = Vec::new();
        match tx {
            Tx::Sqlite(link) => {
                let db = link.settled().await?;
                for row in sqlx::query(*sql).bind(&account).fetch_all(db).await? {
                    rows.push(object!(row));
                }
            }
            Tx::Postgres(link) => {
                for row in sqlx::query(*sql).bind(&account).fetch_all(&mut **link).await? {
                    rows.push(object!(row));
                }
            }
        }
        out.insert((*name).to_owned(), Value::Array(rows));
    }
    Ok(out)
}

/// What happens to an account that is closed: nothing of it names its owner any more, and nothing of it can be used.
/// What was paid, bought and used stays, under the id alone: the books must sum to zero for ever.
const CLOSING: &[&str] = &[
    "delete from sessions where account_id = $1",
    "delete from passkeys where account_id = $1",
    "delete from identities where account_id = $1",
    "delete from ceremonies where account_id = $1",
    "delete from sign_in_links where account_id = $1",
    "delete from embed_tokens where account_id = $1",
    "delete from idempotency_keys where account_id = $1",
    "delete from integrator_viewers where account_id = $1",
    "delete from api_keys where account_id = $1",
    "update outbox set recipient = null, payload = '{}', \
     state = case when state = 'waiting' then 'given_up' else state end where account_id = $1 and kind = 'email'",
    "update outbox set state = 'given_up' where state = 'waiting' \
     and endpoint_id in (select id from webhook_endpoints where account_id = $1)",
    "update webhook_endpoints set url = '', removed_at_ms = created_at_ms where account_id = $1",
    "delete from devices where account_id = $1",
    "delete from viewer_group_members where account_id = $1",
    "update carries set state = 'ended' where account_id = $1 and state = 'active'",
];

/// Closes an account. False if there is none or it was closed before.
pub async fn close(tx: &mut Tx, account: AccountId, now_ms: i64) -> Result<bool, Error> {
    let id = account.to_string();
    let closed = on!(tx, |db| sqlx::query(
        "update accounts set email = 'closed-' || id || '@accounts.invalid', name = 'closed account', \
         password_hash = '!', roles = 'viewer', deleted_at_ms = $2 where id = $1 and deleted_at_ms is null"
    )
    .bind(&id)
    .bind(now_ms)
    .execute(db)
    .await?
    .rows_affected());
    if closed == 0 {
        return Ok(false);
    }
    for sql in CLOSING {
        on!(tx, |db| sqlx::query(*sql).bind(&id).execute(db).await.map(drop))?;
    }
    Ok(true)
}

/// Whether anything keeps an account open: titles that it publishes, or viewers that are its own.
pub async fn is_needed(tx: &mut Tx, account: AccountId) -> Result<bool, Error> {
    let (needed,): (i64,) = on!(tx, |db| sqlx::query_as(
        "select (select count(*) from titles where publisher_id = $1) \
         + (select count(*) from collections where publisher_id = $1) \
         + (select count(*) from viewer_groups where publisher_id = $1) \
         + (select count(*) from integrator_viewers where integrator_id = $1)"
    )
    .bind(account.to_string())
    .fetch_one(db)
    .await)?;
    Ok(needed > 0)
}

/// The entitlements of an account that still hold.
pub async fn standing(tx: &mut Tx, account: AccountId) -> Result<Vec<String>, Error> {
    let rows: Vec<(String,)> = on!(tx, |db| sqlx::query_as(
        "select id from entitlements where account_id = $1 and state in ('ready', 'active') order by id"
    )
    .bind(account.to_string())
    .fetch_all(db)
    .await)?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}
