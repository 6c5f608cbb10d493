//! Entitlements. The statement that counts a view carries the whole guard: however many starts race, a quota is never
//! overdrawn.

use matinee_protocol::id::{AccountId, EntitlementId, PlanId, PurchaseId, TitleId};

use super::{Error, Tx, id};

/// Entitlements in one listing.
pub const ENTITLEMENTS_LISTED_MAX: i64 = 500;

/// A standing right to a title.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entitlement {
    /// Its id.
    pub id: EntitlementId,
    /// Whose it is.
    pub account_id: AccountId,
    /// What it is for.
    pub title_id: TitleId,
    /// The plan it came from, unless it was granted.
    pub plan_id: Option<PlanId>,
    /// The purchase it came from, unless it was granted.
    pub purchase_id: Option<PurchaseId>,
    /// Whether it was taken back.
    pub revoked: bool,
    /// Until when play may start; none is no limit.
    pub start_by_ms: Option<i64>,
    /// How long play may go on after the first start; none is no limit.
    pub play_within_ms: Option<i64>,
    /// Until when play may go on; fixed by the first start.
    pub play_until_ms: Option<i64>,
    /// Views left; none is no limit.
    pub views_left: Option<u32>,
    /// Views counted so far.
    pub views_used: u32,
    /// When it was created.
    pub created_at_ms: i64,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    account_id: String,
    title_id: String,
    plan_id: Option<String>,
    purchase_id: Option<String>,
    state: String,
    start_by_ms: Option<i64>,
    play_within_ms: Option<i64>,
    play_until_ms: Option<i64>,
    views_left: Option<i64>,
    views_used: i64,
    created_at_ms: i64,
}

impl TryFrom<Row> for Entitlement {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(Self {
            id: id(&row.id)?,
            account_id: id(&row.account_id)?,
            title_id: id(&row.title_id)?,
            plan_id: row.plan_id.as_deref().map(id).transpose()?,
            purchase_id: row.purchase_id.as_deref().map(id).transpose()?,
            revoked: row.state == "revoked",
            start_by_ms: row.start_by_ms,
            play_within_ms: row.play_within_ms,
            play_until_ms: row.play_until_ms,
            views_left: row.views_left.map(super::index).transpose()?,
            views_used: super::index(row.views_used)?,
            created_at_ms: row.created_at_ms,
        })
    }
}

/// Creates an entitlement.
pub async fn insert(tx: &mut Tx, entitlement: &Entitlement) -> Result<(), Error> {
    on!(tx, |db| sqlx::query(
        "insert into entitlements (id, account_id, title_id, plan_id, purchase_id, state, start_by_ms, \
         play_within_ms, play_until_ms, views_left, views_used, created_at_ms) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
    )
    .bind(entitlement.id.to_string())
    .bind(entitlement.account_id.to_string())
    .bind(entitlement.title_id.to_string())
    .bind(entitlement.plan_id.map(|plan| plan.to_string()))
    .bind(entitlement.purchase_id.map(|purchase| purchase.to_string()))
    .bind(if entitlement.revoked { "revoked" } else { "active" })
    .bind(entitlement.start_by_ms)
    .bind(entitlement.play_within_ms)
    .bind(entitlement.play_until_ms)
    .bind(entitlement.views_left.map(i64::from))
    .bind(i64::from(entitlement.views_used))
    .bind(entitlement.created_at_ms)
    .execute(db)
    .await
    .map(drop))?;
    Ok(())
}

/// The entitlement with this id.
pub async fn by_id(tx: &mut Tx, entitlement: EntitlementId) -> Result<Option<Entitlement>, Error> {
    let row: Option<Row> = on!(tx, |db| {
        sqlx::query_as(
        "select id, account_id, title_id, plan_id, purchase_id, state, start_by_ms, play_within_ms, play_until_ms, \
         views_left, views_used, created_at_ms from entitlements where id = $1"
    )
    .bind(entitlement.to_string())
    .fetch_optional(db)
    .await
    })?;
    row.map(Entitlement::try_from).transpose()
}

/// The entitlements of an account, newest first, at most [`ENTITLEMENTS_LISTED_MAX`].
pub async fn by_account(tx: &mut Tx, account: AccountId) -> Result<Vec<Entitlement>, Error> {
    let rows: Vec<Row> = on!(tx, |db| {
        sqlx::query_as(
        "select id, account_id, title_id, plan_id, purchase_id, state, start_by_ms, play_within_ms, play_until_ms, \
         views_left, views_used, created_at_ms from entitlements where account_id = $1 \
         order by created_at_ms desc, id desc limit $2"
    )
    .bind(account.to_string())
    .bind(ENTITLEMENTS_LISTED_MAX)
    .fetch_all(db)
    .await
    })?;
    rows.into_iter().map(Entitlement::try_from).collect()
}

/// Counts a view: takes one of those left and, at the first start, fixes until when play may go on. None, with
/// nothing changed, if the entitlement does not allow another view now.
pub async fn count_view(
    tx: &mut Tx,
    entitlement: EntitlementId,
    now_ms: i64,
) -> Result<Option<Entitlement>, Error> {
    let row: Option<Row> = on!(tx, |db| sqlx::query_as(
        "update entitlements set views_left = views_left - 1, views_used = views_used + 1, \
         play_until_ms = coalesce(play_until_ms, $2 + play_within_ms) \
         where id = $1 and state = 'active' and (views_left is null or views_left > 0) \
         and ((views_used = 0 and (start_by_ms is null or start_by_ms > $2)) \
         or (views_used > 0 and (play_until_ms is null or play_until_ms > $2))) \
         returning id, account_id, title_id, plan_id, purchase_id, state, start_by_ms, play_within_ms, \
         play_until_ms, views_left, views_used, created_at_ms"
    )
    .bind(entitlement.to_string())
    .bind(now_ms)
    .fetch_optional(db)
    .await)?;
    row.map(Entitlement::try_from).transpose()
}

/// Takes an entitlement back. False if there is none or it was taken back before.
pub async fn revoke(
    tx: &mut Tx,
    entitlement: EntitlementId,
    reason: &str,
    now_ms: i64,
) -> Result<bool, Error> {
    let changed = on!(tx, |db| sqlx::query(
        "update entitlements set state = 'revoked', revoked_at_ms = $1, revoked_reason = $2 \
         where id = $3 and state = 'active'"
    )
    .bind(now_ms)
    .bind(reason)
    .bind(entitlement.to_string())
    .execute(db)
    .await?
    .rows_affected());
    Ok(changed == 1)
}
