//! Entitlements. The statement that counts a view carries the whole guard: however many starts race, a quota is never
//! overdrawn.

use matinee_protocol::id::{AccountId, EntitlementId, PurchaseId, TitleId};
use serde_json::json;

use super::page::{Asked, Page, Position};
use super::plan::collection_of;
use super::{Error, Tx, country, id, index, outbox, saved_method, signed, unsigned};
use crate::license::calendar::Period;
use crate::license::entitlement::{Billing, Quota};
use crate::license::plan::{Kind, Scope};
use crate::license::status::{Event, Status, next};

pub use crate::license::entitlement::Entitlement;

/// Entitlements of an account to one title that are looked at.
pub const TO_TITLE_MAX: i64 = 100;
/// Events of an entitlement that are told.
pub const EVENTS_LISTED_MAX: i64 = 100;

/// What an entitlement is read from, in any order.
#[derive(sqlx::FromRow)]
pub(super) struct Row {
    id: String,
    account_id: String,
    title_id: Option<String>,
    collection_id: Option<String>,
    tier: Option<i64>,
    kind: String,
    plan_id: Option<String>,
    purchase_id: Option<String>,
    state: String,
    start_by_ms: Option<i64>,
    play_within_ms: Option<i64>,
    play_until_ms: Option<i64>,
    valid_until_ms: Option<i64>,
    views_left: Option<i64>,
    views_used: i64,
    period: Option<String>,
    anchor_ms: Option<i64>,
    period_index: i64,
    period_end_ms: Option<i64>,
    grace_ms: Option<i64>,
    renews: bool,
    saved_method: bool,
    tax_country: Option<String>,
    quota_titles: Option<i64>,
    quota_used: i64,
    concurrent_views: Option<i64>,
    offline_ms: Option<i64>,
    #[sqlx(flatten)]
    countries: country::Columns,
    breaks: Option<String>,
    created_at_ms: i64,
}

impl Row {
    fn billing(&self) -> Result<Option<Billing>, Error> {
        let Some(period) = &self.period else { return Ok(None) };
        let corrupt = Error::Corrupt("billing");
        let (Some(period), Some(anchor_ms), Some(end_ms)) =
            (Period::parse(period), self.anchor_ms, self.period_end_ms)
        else {
            return Err(corrupt);
        };
        let index = index(self.period_index)?;
        let grace_ms = self.grace_ms.unwrap_or(0);
        Ok(Some(Billing { period, anchor_ms, index, end_ms, grace_ms, renews: self.renews }))
    }
}

impl TryFrom<Row> for Entitlement {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let billing = row.billing()?;
        let scope = match &row.title_id {
            Some(title) => Scope::Title(id(title)?),
            None => {
                collection_of(row.collection_id, row.tier)?.ok_or(Error::Corrupt("entitlement's scope"))?
            }
        };
        let quota = match row.quota_titles {
            Some(titles) => Some(Quota { titles: index(titles)?, used: index(row.quota_used)? }),
            None => None,
        };
        Ok(Self {
            id: id(&row.id)?,
            account_id: id(&row.account_id)?,
            scope,
            kind: Kind::parse(&row.kind).ok_or(Error::Corrupt("entitlement kind"))?,
            plan_id: row.plan_id.as_deref().map(id).transpose()?,
            purchase_id: row.purchase_id.as_deref().map(id).transpose()?,
            status: Status::parse(&row.state).ok_or(Error::Corrupt("entitlement status"))?,
            start_by_ms: row.start_by_ms,
            play_within_ms: row.play_within_ms,
            play_until_ms: row.play_until_ms,
            valid_until_ms: row.valid_until_ms,
            views_left: row.views_left.map(index).transpose()?,
            views_used: index(row.views_used)?,
            billing,
            saved_method: row.saved_method,
            tax_country: row.tax_country,
            quota,
            concurrent_views: row.concurrent_views.map(index).transpose()?,
            offline_ms: row.offline_ms.map(unsigned),
            countries: row.countries.rule()?,
            breaks: row.breaks.as_deref().map(super::plan::breaks).transpose()?,
            created_at_ms: row.created_at_ms,
        })
    }
}

/// Creates an entitlement.
pub async fn insert(tx: &mut Tx, entitlement: &Entitlement) -> Result<(), Error> {
    let collection = entitlement.scope.collection();
    let billing = entitlement.billing;
    let countries = country::Columns::from(&entitlement.countries);
    let breaks = entitlement.breaks.as_ref().map(super::plan::breaks_text).transpose()?;
    later!(
        tx,
        "insert into entitlements (id, account_id, title_id, plan_id, purchase_id, state, start_by_ms, \
         play_within_ms, play_until_ms, views_left, views_used, created_at_ms, kind, collection_id, tier, \
         valid_until_ms, period, anchor_ms, period_index, period_end_ms, grace_ms, renews, renew_at_ms, \
         quota_titles, quota_used, concurrent_views, offline_ms, updated_at_ms, country_rule, countries, \
         unknown_country_allowed, breaks, saved_method, tax_country) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, \
         $22, $20, $23, $24, $25, $26, $12, $27, $28, $29, $30, $31, $32)",
        entitlement.id.to_string(),
        entitlement.account_id.to_string(),
        entitlement.scope.title().map(|title| title.to_string()),
        entitlement.plan_id.map(|plan| plan.to_string()),
        entitlement.purchase_id.map(|purchase| purchase.to_string()),
        entitlement.status.text(),
        entitlement.start_by_ms,
        entitlement.play_within_ms,
        entitlement.play_until_ms,
        entitlement.views_left.map(i64::from),
        i64::from(entitlement.views_used),
        entitlement.created_at_ms,
        entitlement.kind.text(),
        collection.map(|(collection, _)| collection.to_string()),
        collection.map(|(_, tier)| i64::from(tier)),
        entitlement.valid_until_ms,
        billing.map(|billing| billing.period.text()),
        billing.map(|billing| billing.anchor_ms),
        billing.map_or(0, |billing| i64::from(billing.index)),
        billing.map(|billing| billing.end_ms),
        billing.map(|billing| billing.grace_ms),
        billing.is_some_and(|billing| billing.renews),
        entitlement.quota.map(|quota| i64::from(quota.titles)),
        entitlement.quota.map_or(0, |quota| i64::from(quota.used)),
        entitlement.concurrent_views.map(i64::from),
        entitlement.offline_ms.map(signed),
        countries.country_rule,
        countries.countries,
        countries.unknown_country_allowed,
        breaks,
        entitlement.saved_method,
        entitlement.tax_country.as_deref(),
    );
    Ok(())
}

/// The entitlement with this id.
pub async fn by_id(tx: &mut Tx, entitlement: EntitlementId) -> Result<Option<Entitlement>, Error> {
    let row: Option<Row> = on!(tx, |db| sqlx::query_as("select * from entitlements where id = $1")
        .bind(entitlement.to_string())
        .fetch_optional(db)
        .await)?;
    row.map(Entitlement::try_from).transpose()
}

/// The entitlements of an account, newest first.
pub async fn by_account(tx: &mut Tx, account: AccountId, asked: &Asked) -> Result<Page<Entitlement>, Error> {
    let (at, after) = asked.after();
    let rows: Vec<Row> = on!(tx, |db| {
        sqlx::query_as(
            "select * from entitlements where account_id = $1 and (created_at_ms, id) < ($3, $4) \
             order by created_at_ms desc, id desc limit $2",
        )
        .bind(account.to_string())
        .bind(asked.rows())
        .bind(at)
        .bind(after)
        .fetch_all(db)
        .await
    })?;
    let rows = rows.into_iter().map(Entitlement::try_from).collect::<Result<Vec<_>, _>>()?;
    Ok(asked.page(rows, |row| Position { at: row.created_at_ms, id: row.id.to_string() }))
}

/// Something with a name that an entitlement is to.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, sqlx::FromRow)]
pub struct Named {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// The titles, as far as the account may know of them, and the collections that a page of its entitlements is to.
pub async fn names(
    tx: &mut Tx,
    account: AccountId,
    asked: &Asked,
) -> Result<(Vec<Named>, Vec<Named>), Error> {
    let (at, after) = asked.after();
    let mut found = Vec::with_capacity(2);
    for sql in [
        "select distinct t.id, t.name from titles t join (select title_id from entitlements where account_id = $1 \
         and (created_at_ms, id) < ($3, $4) order by created_at_ms desc, id desc limit $2) e on e.title_id = t.id \
         where t.group_id is null or t.publisher_id = $1 or exists (select 1 from viewer_group_members m \
         where m.group_id = t.group_id and m.account_id = $1) order by t.id",
        "select distinct c.id, c.name from collections c join (select collection_id from entitlements \
         where account_id = $1 and (created_at_ms, id) < ($3, $4) order by created_at_ms desc, id desc limit $2) e \
         on e.collection_id = c.id order by c.id",
    ] {
        let rows: Vec<Named> = on!(tx, |db| sqlx::query_as(sql)
            .bind(account.to_string())
            .bind(asked.rows())
            .bind(at)
            .bind(after)
            .fetch_all(db)
            .await)?;
        found.push(rows);
    }
    let mut found = found.into_iter();
    Ok((found.next().unwrap_or_default(), found.next().unwrap_or_default()))
}

/// An account's newest entitlement of a kind to a title, of those that are open or were taken back.
pub async fn of_kind(
    tx: &mut Tx,
    account: AccountId,
    title: TitleId,
    kind: Kind,
) -> Result<Option<Entitlement>, Error> {
    let row: Option<Row> = on!(tx, |db| sqlx::query_as(
        "select * from entitlements where account_id = $1 and title_id = $2 and kind = $3 \
         and state in ('ready', 'active', 'cancelled', 'revoked') order by id desc limit 1"
    )
    .bind(account.to_string())
    .bind(title.to_string())
    .bind(kind.text())
    .fetch_optional(db)
    .await)?;
    row.map(Entitlement::try_from).transpose()
}

/// An account's entitlements that are open and to a title, or to a collection that holds it, whatever its tier; the newest
/// [`TO_TITLE_MAX`].
pub async fn to_title(tx: &mut Tx, account: AccountId, title: TitleId) -> Result<Vec<Entitlement>, Error> {
    let rows: Vec<Row> = on!(tx, |db| {
        sqlx::query_as(
        "select e.* from entitlements e where e.account_id = $1 and e.state in ('ready', 'active') \
         and (e.title_id = $2 or exists (select 1 from collection_titles c \
         where c.collection_id = e.collection_id and c.title_id = $2)) order by e.created_at_ms desc, e.id desc limit $3"
    )
    .bind(account.to_string())
    .bind(title.to_string())
    .bind(TO_TITLE_MAX)
    .fetch_all(db)
    .await
    })?;
    rows.into_iter().map(Entitlement::try_from).collect()
}

/// Counts a view where the rules allow one: `$1` the entitlement, `$2` the time.
macro_rules! count_view {
    ($rest:literal) => {
        concat!(
            "update entitlements set state = 'active', views_left = views_left - 1, views_used = views_used + 1, \
             play_until_ms = coalesce(play_until_ms, $2 + play_within_ms) \
             where id = $1 and state in ('ready', 'active') and (views_left is null or views_left > 0) \
             and (valid_until_ms is null or valid_until_ms > $2) \
             and ((views_used = 0 and (start_by_ms is null or start_by_ms > $2)) \
             or (views_used > 0 and (play_until_ms is null or play_until_ms > $2))) ",
            $rest
        )
    };
}

/// Counts a view: takes one of those left and, at the first start, fixes until when play may go on. None, with
/// nothing changed, if the entitlement does not allow another view now.
pub async fn count_view(
    tx: &mut Tx,
    entitlement: EntitlementId,
    now_ms: i64,
) -> Result<Option<Entitlement>, Error> {
    let row: Option<Row> = on!(tx, |db| sqlx::query_as(count_view!("returning *"))
        .bind(entitlement.to_string())
        .bind(now_ms)
        .fetch_optional(db)
        .await)?;
    row.map(Entitlement::try_from).transpose()
}

/// The same where nothing but what was `found` could change it. A transaction that presumes, presumes that nothing did.
pub async fn count_view_as_found(
    tx: &mut Tx,
    found: &Entitlement,
    now_ms: i64,
) -> Result<Option<Entitlement>, Error> {
    if !tx.presumes() {
        return count_view(tx, found.id, now_ms).await;
    }
    let counted = guarded!(
        tx,
        count_view!(
            "and views_used = $3 and play_until_ms is not distinct from $4 and valid_until_ms is not distinct from $5"
        ),
        found.id.to_string(),
        now_ms,
        i64::from(found.views_used),
        found.play_until_ms,
        found.valid_until_ms,
    );
    Ok(counted.then(|| found.started(false, now_ms)))
}

/// Counts a title in the current period of an entitlement's quota, once. False, with nothing counted, if every title of
/// the period was used.
pub async fn count_title(
    tx: &mut Tx,
    entitlement: EntitlementId,
    title: TitleId,
    now_ms: i64,
) -> Result<bool, Error> {
    // The row's lock comes first, in a statement of its own: the period stays what it is.
    hold(tx, entitlement).await?;
    let new = on!(tx, |db| {
        sqlx::query(
            "insert into quota_uses (entitlement_id, period_index, title_id, at_ms) \
         select id, period_index, $2, $3 from entitlements where id = $1 \
         on conflict (entitlement_id, period_index, title_id) do nothing",
        )
        .bind(entitlement.to_string())
        .bind(title.to_string())
        .bind(now_ms)
        .execute(db)
        .await?
        .rows_affected()
    });
    if new == 0 {
        return Ok(true);
    }
    let counted = on!(tx, |db| {
        sqlx::query(
            "update entitlements set quota_used = quota_used + 1 where id = $1 and quota_used < quota_titles",
        )
        .bind(entitlement.to_string())
        .execute(db)
        .await?
        .rows_affected()
    });
    if counted == 1 {
        return Ok(true);
    }
    on!(tx, |db| sqlx::query(
        "delete from quota_uses where entitlement_id = $1 and title_id = $2 \
         and period_index = (select period_index from entitlements where id = $1)"
    )
    .bind(entitlement.to_string())
    .bind(title.to_string())
    .execute(db)
    .await
    .map(drop))?;
    Ok(false)
}

/// Holds an entitlement's row until the transaction ends, and tells its status.
pub async fn hold(tx: &mut Tx, entitlement: EntitlementId) -> Result<Option<Status>, Error> {
    let row: Option<(String,)> =
        on!(tx, |db| sqlx::query_as("update entitlements set state = state where id = $1 returning state")
            .bind(entitlement.to_string())
            .fetch_optional(db)
            .await)?;
    row.map(|(state,)| Status::parse(&state).ok_or(Error::Corrupt("entitlement status"))).transpose()
}

/// Moves an entitlement's status as the table says, keeps the event, and tells of it. False, with nothing changed, if the
/// table does not say so or there is no such entitlement.
pub async fn apply(
    tx: &mut Tx,
    entitlement: EntitlementId,
    event: Event,
    note: &str,
    now_ms: i64,
) -> Result<bool, Error> {
    let Some(status) = hold(tx, entitlement).await? else { return Ok(false) };
    let Some(to) = next(status, event) else { return Ok(false) };
    let (account, purchase): (String, Option<String>) = on!(tx, |db| {
        sqlx::query_as(
            "update entitlements set state = $1, updated_at_ms = $2, renews = renews and $3, \
         saved_method = saved_method and $3, \
         revoked_at_ms = case when $1 in ('revoked', 'cancelled') then $2 else revoked_at_ms end, \
         revoked_reason = case when $1 in ('revoked', 'cancelled') then $4 else revoked_reason end where id = $5 \
         returning account_id, case when period is null then null else purchase_id end",
        )
        .bind(to.text())
        .bind(now_ms)
        .bind(to.is_open())
        .bind(note)
        .bind(entitlement.to_string())
        .fetch_one(db)
        .await
    })?;
    if let Some(purchase) = purchase.filter(|_| !to.is_open()) {
        saved_method::forget(tx, &purchase, now_ms).await?;
    }
    record(tx, entitlement, event.text(), note, now_ms).await?;
    if let Some(topic) = topic(to) {
        let data = json!({ "account": account, "entitlement": entitlement, "reason": note });
        outbox::post(tx, topic, id(&account)?, &data, now_ms).await?;
    }
    Ok(true)
}

/// What is told where a status is the end.
fn topic(status: Status) -> Option<&'static str> {
    match status {
        Status::Ready | Status::Active => None,
        Status::Expired => Some("entitlement.expired"),
        Status::Cancelled => Some("entitlement.cancelled"),
        Status::Revoked => Some("entitlement.revoked"),
        Status::Returned => Some("entitlement.returned"),
    }
}

/// Keeps an event. The entitlement's row must be held by the transaction already, or be new in it.
pub async fn record(
    tx: &mut Tx,
    entitlement: EntitlementId,
    event: &str,
    note: &str,
    now_ms: i64,
) -> Result<(), Error> {
    later!(
        tx,
        "insert into entitlement_events (entitlement_id, position, event, note, at_ms) \
         select $1, coalesce(max(position), 0) + 1, $2, $3, $4 from entitlement_events where entitlement_id = $1",
        entitlement.to_string(),
        event,
        Some(note).filter(|note| !note.is_empty()),
        now_ms,
    );
    Ok(())
}

/// Something that happened to an entitlement.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Happened {
    /// What.
    pub event: String,
    /// Why, where somebody said.
    pub note: Option<String>,
    /// When.
    pub at_ms: i64,
}

/// What happened to an entitlement, the newest first, at most [`EVENTS_LISTED_MAX`].
pub async fn events(tx: &mut Tx, entitlement: EntitlementId) -> Result<Vec<Happened>, Error> {
    let rows: Vec<Happened> = on!(tx, |db| {
        sqlx::query_as(
            "select event, note, at_ms from entitlement_events where entitlement_id = $1 \
             order by position desc limit $2",
        )
        .bind(entitlement.to_string())
        .bind(EVENTS_LISTED_MAX)
        .fetch_all(db)
        .await
    })?;
    Ok(rows)
}

/// Takes an entitlement back: cancels what was never used, revokes the rest. False if there is none, or it was taken or
/// given back before.
pub async fn revoke(
    tx: &mut Tx,
    entitlement: EntitlementId,
    reason: &str,
    now_ms: i64,
) -> Result<bool, Error> {
    let unused = hold(tx, entitlement).await? == Some(Status::Ready);
    let event = if unused { Event::Cancel } else { Event::Revoke };
    apply(tx, entitlement, event, reason, now_ms).await
}

/// What a purchase gave, or renewed.
pub async fn by_purchase(tx: &mut Tx, purchase: PurchaseId) -> Result<Vec<EntitlementId>, Error> {
    let rows: Vec<(String,)> = on!(tx, |db| sqlx::query_as(
        "select id from entitlements where purchase_id = $1 union select entitlement_id from purchases \
             where id = $1 and entitlement_id is not null order by 1"
    )
    .bind(purchase.to_string())
    .fetch_all(db)
    .await)?;
    rows.iter().map(|(entitlement,)| id(entitlement)).collect()
}
