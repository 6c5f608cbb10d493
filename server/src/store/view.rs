//! Views. A view is active, ended, expired, stopped or revoked; only an active one moves, and only to one of the others.

use matinee_protocol::id::{AccountId, EntitlementId, ReleaseId, Thumbprint, TitleId, ViewId};

use super::{Error, Tx, country, id, index, right, unsigned};
use crate::license::entitlement::Quota;
use crate::license::status::Status;
use crate::license::title::Rights;

pub use crate::license::view::{State, View};

/// Views told of in one pass.
const REVOKED_LISTED_MAX: i64 = 10_000;

/// A view to open.
#[derive(Debug, Clone, Copy)]
pub struct NewView {
    /// Its id.
    pub id: ViewId,
    /// What it uses.
    pub entitlement_id: EntitlementId,
    /// Whose it is.
    pub account_id: AccountId,
    /// What it plays.
    pub title_id: TitleId,
    /// Which release of it.
    pub release_id: ReleaseId,
    /// On which device.
    pub device: Thumbprint,
    /// The device's X25519 public key.
    pub agreement_key: [u8; 32],
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    entitlement_id: String,
    account_id: String,
    title_id: String,
    release_id: String,
    jkt: String,
    agreement_key: Vec<u8>,
    state: String,
    opened_at_ms: i64,
    last_seen_at_ms: i64,
    play_until_ms: Option<i64>,
    valid_until_ms: Option<i64>,
    entitlement_state: String,
    quota_titles: Option<i64>,
    quota_used: i64,
    counted: bool,
    available_from_ms: Option<i64>,
    available_until_ms: Option<i64>,
    private: bool,
    member: bool,
    preview_ms: Option<i64>,
    plan_country_rule: Option<String>,
    plan_countries: Option<String>,
    plan_unknown_country_allowed: Option<bool>,
    #[sqlx(flatten)]
    title_countries: country::Columns,
    breaks: Option<String>,
}

/// Reads views with what their entitlements and titles say now.
macro_rules! select {
    ($condition:literal) => {
        concat!(
            "select v.id, v.entitlement_id, v.account_id, v.title_id, v.release_id, v.jkt, v.agreement_key, v.state, \
             v.opened_at_ms, v.last_seen_at_ms, e.play_until_ms, e.valid_until_ms, e.state as entitlement_state, \
             e.quota_titles, e.quota_used, e.quota_titles is not null and exists (select 1 from quota_uses q \
             where q.entitlement_id = e.id and q.period_index = e.period_index and q.title_id = v.title_id) as counted, \
             t.available_from_ms, t.available_until_ms, t.group_id is not null as private, \
             t.group_id is not null and exists (select 1 from viewer_group_members m where m.group_id = t.group_id \
             and m.account_id = v.account_id) as member, \
             case when e.kind = 'preview' then coalesce(t.preview_ms, 0) end as preview_ms, \
             e.country_rule as plan_country_rule, e.countries as plan_countries, \
             e.unknown_country_allowed as plan_unknown_country_allowed, \
             t.country_rule, t.countries, t.unknown_country_allowed, e.breaks \
             from views v join entitlements e on e.id = v.entitlement_id join titles t on t.id = v.title_id where ",
            $condition
        )
    };
}

impl TryFrom<Row> for View {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(Self {
            id: id(&row.id)?,
            entitlement_id: id(&row.entitlement_id)?,
            account_id: id(&row.account_id)?,
            title_id: id(&row.title_id)?,
            release_id: id(&row.release_id)?,
            device: id(&row.jkt)?,
            agreement_key: row.agreement_key.try_into().map_err(|_| Error::Corrupt("agreement key"))?,
            state: State::parse(&row.state).ok_or(Error::Corrupt("view state"))?,
            opened_at_ms: row.opened_at_ms,
            last_seen_at_ms: row.last_seen_at_ms,
            play_until_ms: row.play_until_ms,
            valid_until_ms: row.valid_until_ms,
            status: Status::parse(&row.entitlement_state).ok_or(Error::Corrupt("entitlement status"))?,
            quota: match row.quota_titles {
                Some(titles) => Some(Quota { titles: index(titles)?, used: index(row.quota_used)? }),
                None => None,
            },
            counted: row.counted,
            preview_ms: row.preview_ms.map(unsigned),
            plan_countries: country::Columns {
                country_rule: row.plan_country_rule,
                countries: row.plan_countries,
                unknown_country_allowed: row.plan_unknown_country_allowed,
            }
            .rule()?,
            rights: Rights {
                available_from_ms: row.available_from_ms,
                available_until_ms: row.available_until_ms,
                countries: row.title_countries.rule()?,
                audience: right::audience(row.private, row.member),
            },
            breaks: row.breaks.as_deref().map(super::plan::breaks).transpose()?,
        })
    }
}

/// Opens a view. False if this device has an active one of this title on this entitlement: that one goes on.
pub async fn open(tx: &mut Tx, view: &NewView, now_ms: i64) -> Result<bool, Error> {
    Ok(guarded!(
        tx,
        "insert into views (id, entitlement_id, account_id, release_id, jkt, agreement_key, state, opened_at_ms, \
         last_seen_at_ms, title_id) values ($1, $2, $3, $4, $5, $6, 'active', $7, $7, $8) \
         on conflict (entitlement_id, jkt, title_id) where state = 'active' do nothing",
        view.id.to_string(),
        view.entitlement_id.to_string(),
        view.account_id.to_string(),
        view.release_id.to_string(),
        view.device.to_string(),
        view.agreement_key.as_slice(),
        now_ms,
        view.title_id.to_string(),
    ))
}

/// Writes down the view that a lease counts as: it is over from its beginning, and never plays.
pub async fn insert_leased(tx: &mut Tx, view: &NewView, now_ms: i64) -> Result<(), Error> {
    on!(tx, |db| {
        sqlx::query(
        "insert into views (id, entitlement_id, account_id, release_id, jkt, agreement_key, state, opened_at_ms, \
         last_seen_at_ms, title_id, ended_at_ms, end_reason) \
         values ($1, $2, $3, $4, $5, $6, 'ended', $7, $7, $8, $7, 'leased')"
    )
    .bind(view.id.to_string())
    .bind(view.entitlement_id.to_string())
    .bind(view.account_id.to_string())
    .bind(view.release_id.to_string())
    .bind(view.device.to_string())
    .bind(view.agreement_key.as_slice())
    .bind(now_ms)
    .bind(view.title_id.to_string())
    .execute(db)
    .await
    .map(drop)
    })?;
    Ok(())
}

/// The view with this id.
pub async fn by_id(tx: &mut Tx, view: ViewId) -> Result<Option<View>, Error> {
    let row: Option<Row> =
        on!(tx, |db| sqlx::query_as(select!("v.id = $1")).bind(view.to_string()).fetch_optional(db).await)?;
    row.map(View::try_from).transpose()
}

/// This device's active view of this title on this entitlement.
pub async fn active_on(
    tx: &mut Tx,
    entitlement: EntitlementId,
    device: Thumbprint,
    title: TitleId,
) -> Result<Option<View>, Error> {
    let row: Option<Row> = on!(tx, |db| {
        sqlx::query_as(select!(
            "v.entitlement_id = $1 and v.jkt = $2 and v.title_id = $3 and v.state = 'active'"
        ))
        .bind(entitlement.to_string())
        .bind(device.to_string())
        .bind(title.to_string())
        .fetch_optional(db)
        .await
    })?;
    row.map(View::try_from).transpose()
}

/// Notes that a view asked for something, and holds its row until the transaction ends, so that what it asks for is
/// counted one request at a time. False if the view is not active.
pub async fn touch(tx: &mut Tx, view: ViewId, now_ms: i64) -> Result<bool, Error> {
    let sql = "update views set last_seen_at_ms = $1 where id = $2 and state = 'active'";
    Ok(guarded!(tx, sql, now_ms, view.to_string()))
}

/// Goes on with an active view under the agreement key that the device has now.
pub async fn resume(tx: &mut Tx, view: ViewId, agreement_key: &[u8; 32], now_ms: i64) -> Result<bool, Error> {
    let changed = on!(tx, |db| sqlx::query(
        "update views set last_seen_at_ms = $1, agreement_key = $2 where id = $3 and state = 'active'"
    )
    .bind(now_ms)
    .bind(agreement_key.as_slice())
    .bind(view.to_string())
    .execute(db)
    .await?
    .rows_affected());
    Ok(changed == 1)
}

/// Ends an active view. False if it is not active.
pub async fn end(tx: &mut Tx, view: ViewId, state: State, reason: &str, now_ms: i64) -> Result<bool, Error> {
    let changed = on!(tx, |db| {
        sqlx::query(
        "update views set state = $1, end_reason = $2, ended_at_ms = $3 where id = $4 and state = 'active'"
    )
    .bind(state.text())
    .bind(reason)
    .bind(now_ms)
    .bind(view.to_string())
    .execute(db)
    .await?
    .rows_affected()
    });
    Ok(changed == 1)
}

/// Revokes every active view of an entitlement and names them.
pub async fn revoke_all(
    tx: &mut Tx,
    entitlement: EntitlementId,
    reason: &str,
    now_ms: i64,
) -> Result<Vec<ViewId>, Error> {
    let rows: Vec<(String,)> = on!(tx, |db| sqlx::query_as(
        "update views set state = 'revoked', end_reason = $1, ended_at_ms = $2 \
         where entitlement_id = $3 and state = 'active' returning id"
    )
    .bind(reason)
    .bind(now_ms)
    .bind(entitlement.to_string())
    .fetch_all(db)
    .await)?;
    rows.iter().map(|(view,)| id(view)).collect()
}

/// Views revoked or stopped since then, with the reason: what another process did is told to this one's peers.
pub async fn revoked_since(tx: &mut Tx, since_ms: i64) -> Result<Vec<(ViewId, String)>, Error> {
    let rows: Vec<(String, Option<String>)> = on!(tx, |db| {
        sqlx::query_as(
            "select id, end_reason from views where state in ('revoked', 'stopped') and ended_at_ms >= $1 \
         order by ended_at_ms limit $2",
        )
        .bind(since_ms)
        .bind(REVOKED_LISTED_MAX)
        .fetch_all(db)
        .await
    })?;
    rows.into_iter().map(|(view, reason)| Ok((id(&view)?, reason.unwrap_or_default()))).collect()
}

/// How many devices of an account without this one have an active view that asked for something since then.
///
/// Under [`super::account::hold`] it is exact: nobody else opens a view of this account meanwhile.
pub async fn devices_playing(
    tx: &mut Tx,
    account: AccountId,
    but: Thumbprint,
    seen_since_ms: i64,
) -> Result<u32, Error> {
    let (count,): (i64,) = on!(tx, |db| sqlx::query_as(
        "select count(distinct jkt) from views where account_id = $1 and state = 'active' and jkt <> $2 \
         and last_seen_at_ms >= $3"
    )
    .bind(account.to_string())
    .bind(but.to_string())
    .bind(seen_since_ms)
    .fetch_one(db)
    .await)?;
    super::index(count)
}

/// Stops every active view of so many of an account's devices without this one, of those that asked for something since
/// then, and names the views: first those of the device that began first or, with `newest`, last.
pub async fn stop_others(
    tx: &mut Tx,
    account: AccountId,
    but: Thumbprint,
    (devices, newest, seen_since_ms): (u32, bool, i64),
    now_ms: i64,
) -> Result<Vec<ViewId>, Error> {
    let rows: Vec<(String,)> = on!(tx, |db| {
        sqlx::query_as(
        "select jkt from views where account_id = $1 and state = 'active' and jkt <> $2 and last_seen_at_ms >= $5 \
         group by jkt order by case when $3 then -max(opened_at_ms) else min(opened_at_ms) end, jkt limit $4"
    )
    .bind(account.to_string())
    .bind(but.to_string())
    .bind(newest)
    .bind(i64::from(devices))
    .bind(seen_since_ms)
    .fetch_all(db)
    .await
    })?;
    let mut stopped = Vec::new();
    for (jkt,) in rows {
        let views: Vec<(String,)> = on!(tx, |db| {
            sqlx::query_as(
            "update views set state = 'stopped', end_reason = 'another device plays now', ended_at_ms = $1 \
             where account_id = $2 and jkt = $3 and state = 'active' returning id"
        )
        .bind(now_ms)
        .bind(account.to_string())
        .bind(&jkt)
        .fetch_all(db)
        .await
        })?;
        for (view,) in views {
            stopped.push(id(&view)?);
        }
    }
    Ok(stopped)
}

/// The entitlements by which devices of an account play a title, of views that asked for something since then.
pub async fn open_on_title(
    tx: &mut Tx,
    account: AccountId,
    title: TitleId,
    seen_since_ms: i64,
) -> Result<Vec<EntitlementId>, Error> {
    let rows: Vec<(String,)> = on!(tx, |db| {
        sqlx::query_as(
        "select distinct entitlement_id from views where account_id = $1 and title_id = $2 and state = 'active' \
         and last_seen_at_ms >= $3"
    )
    .bind(account.to_string())
    .bind(title.to_string())
    .bind(seen_since_ms)
    .fetch_all(db)
    .await
    })?;
    rows.iter().map(|(entitlement,)| id(entitlement)).collect()
}

/// Expires views that have asked for nothing since then.
pub async fn expire_idle(tx: &mut Tx, idle_since_ms: i64, now_ms: i64) -> Result<u64, Error> {
    Ok(on!(tx, |db| sqlx::query(
        "update views set state = 'expired', ended_at_ms = $1, end_reason = 'idle' \
         where state = 'active' and last_seen_at_ms < $2"
    )
    .bind(now_ms)
    .bind(idle_since_ms)
    .execute(db)
    .await?
    .rows_affected()))
}
