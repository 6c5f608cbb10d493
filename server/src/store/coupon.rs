//! What lowers a price or replaces it: coupons, trials and gift codes. Each is taken in one guarded statement.

use matinee_protocol::api::Money;
use matinee_protocol::encoding::sha256;
use matinee_protocol::id::{AccountId, PlanId, PurchaseId};

use super::page::{Asked, Page, Position};
use super::{Error, Tx, id, index};

/// What a coupon takes off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Discount {
    /// So much of a hundred, 1 to 100.
    Percent(u32),
    /// An amount, or all of the price if that is less.
    Amount(Money),
}

impl Discount {
    /// The price with it, rounded in the buyer's favor; none if it is in another currency.
    pub fn applied(&self, price: &Money) -> Option<Money> {
        let off = match self {
            Self::Percent(percent) => {
                let percent = i128::from((*percent).min(100));
                i64::try_from((i128::from(price.minor) * percent + 99) / 100).ok()?
            }
            Self::Amount(amount) if amount.currency != price.currency => return None,
            Self::Amount(amount) => amount.minor,
        };
        Some(Money { minor: price.minor.saturating_sub(off).max(0), currency: price.currency.clone() })
    }
}

/// A coupon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coupon {
    /// What is typed in, upper case.
    pub code: String,
    /// The one plan that it is for; none is every plan.
    pub plan_id: Option<PlanId>,
    /// What it takes off.
    pub discount: Discount,
    /// How often it was used.
    pub uses: u32,
    /// How often it may be; none is no limit.
    pub uses_max: Option<u32>,
    /// Until when; none is for ever.
    pub expires_at_ms: Option<i64>,
    /// When it was made.
    pub created_at_ms: i64,
}

/// The form in which codes are compared.
pub fn canonical(code: &str) -> String {
    code.trim().to_uppercase()
}

#[derive(sqlx::FromRow)]
struct Row {
    code: String,
    plan_id: Option<String>,
    percent_off: Option<i64>,
    minor_off: Option<i64>,
    currency: Option<String>,
    uses: i64,
    uses_max: Option<i64>,
    expires_at_ms: Option<i64>,
    created_at_ms: i64,
}

impl TryFrom<Row> for Coupon {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let discount = match (row.percent_off, row.minor_off, row.currency) {
            (Some(percent), None, _) => Discount::Percent(index(percent)?),
            (None, Some(minor), Some(currency)) => Discount::Amount(Money { minor, currency }),
            _ => return Err(Error::Corrupt("coupon")),
        };
        Ok(Self {
            code: row.code,
            plan_id: row.plan_id.as_deref().map(id).transpose()?,
            discount,
            uses: index(row.uses)?,
            uses_max: row.uses_max.map(index).transpose()?,
            expires_at_ms: row.expires_at_ms,
            created_at_ms: row.created_at_ms,
        })
    }
}

/// Adds a coupon. False if there is one with this code.
pub async fn insert(tx: &mut Tx, coupon: &Coupon) -> Result<bool, Error> {
    let (percent, amount) = match &coupon.discount {
        Discount::Percent(percent) => (Some(i64::from(*percent)), None),
        Discount::Amount(amount) => (None, Some(amount)),
    };
    let inserted = on!(tx, |db| {
        sqlx::query(
        "insert into coupons (code, plan_id, percent_off, minor_off, currency, uses, uses_max, expires_at_ms, \
         created_at_ms) values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict (code) do nothing"
    )
    .bind(&coupon.code)
    .bind(coupon.plan_id.map(|plan| plan.to_string()))
    .bind(percent)
    .bind(amount.map(|amount| amount.minor))
    .bind(amount.map(|amount| amount.currency.as_str()))
    .bind(i64::from(coupon.uses))
    .bind(coupon.uses_max.map(i64::from))
    .bind(coupon.expires_at_ms)
    .bind(coupon.created_at_ms)
    .execute(db)
    .await?
    .rows_affected()
    });
    Ok(inserted == 1)
}

/// Every coupon, newest first.
pub async fn listed(tx: &mut Tx, asked: &Asked) -> Result<Page<Coupon>, Error> {
    let (at, after) = asked.after();
    let rows: Vec<Row> = on!(tx, |db| {
        sqlx::query_as(
        "select * from coupons where (created_at_ms, code) < ($2, $3) order by created_at_ms desc, code desc limit $1"
    )
    .bind(asked.rows())
    .bind(at)
    .bind(after)
    .fetch_all(db)
    .await
    })?;
    let rows = rows.into_iter().map(Coupon::try_from).collect::<Result<Vec<_>, _>>()?;
    Ok(asked.page(rows, |row| Position { at: row.created_at_ms, id: row.code.clone() }))
}

/// The coupon with this code.
pub async fn by_code(tx: &mut Tx, code: &str) -> Result<Option<Coupon>, Error> {
    let row: Option<Row> = on!(tx, |db| sqlx::query_as("select * from coupons where code = $1")
        .bind(canonical(code))
        .fetch_optional(db)
        .await)?;
    row.map(Coupon::try_from).transpose()
}

/// Ends a coupon now; what was bought with it stays. False if there is none.
pub async fn end(tx: &mut Tx, code: &str, now_ms: i64) -> Result<bool, Error> {
    let code = canonical(code);
    let sql = "update coupons set expires_at_ms = case when expires_at_ms < $1 then expires_at_ms else $1 end \
               where code = $2";
    Ok(guarded!(tx, sql, now_ms, code))
}

/// The coupon with this code, if this account could use it now.
pub async fn usable(
    tx: &mut Tx,
    code: &str,
    account: AccountId,
    now_ms: i64,
) -> Result<Option<Coupon>, Error> {
    let row: Option<Row> = on!(tx, |db| {
        sqlx::query_as(
            "select * from coupons c where c.code = $1 and (c.uses_max is null or c.uses < c.uses_max) \
             and (c.expires_at_ms is null or c.expires_at_ms > $3) \
             and not exists (select 1 from coupon_uses u where u.code = c.code and u.account_id = $2)",
        )
        .bind(canonical(code))
        .bind(account.to_string())
        .bind(now_ms)
        .fetch_optional(db)
        .await
    })?;
    row.map(Coupon::try_from).transpose()
}

/// Whether an account has tried a plan before.
pub async fn tried(tx: &mut Tx, account: AccountId, plan: PlanId) -> Result<bool, Error> {
    let row: Option<(i64,)> =
        on!(tx, |db| sqlx::query_as("select at_ms from trials where account_id = $1 and plan_id = $2")
            .bind(account.to_string())
            .bind(plan.to_string())
            .fetch_optional(db)
            .await)?;
    Ok(row.is_some())
}

/// Whether a code was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redeemed {
    /// It was.
    Yes,
    /// It is used up, has run out, or there is none.
    No,
    /// This account used it before.
    Again,
}

/// Takes one use of a coupon for an account. Unless it says yes, the transaction must be dropped.
pub async fn redeem(
    tx: &mut Tx,
    code: &str,
    (account, purchase): (AccountId, PurchaseId),
    now_ms: i64,
) -> Result<Redeemed, Error> {
    let code = canonical(code);
    let taken = on!(tx, |db| {
        sqlx::query(
            "update coupons set uses = uses + 1 where code = $1 and (uses_max is null or uses < uses_max) \
         and (expires_at_ms is null or expires_at_ms > $2)",
        )
        .bind(&code)
        .bind(now_ms)
        .execute(db)
        .await?
        .rows_affected()
    });
    if taken == 0 {
        return Ok(Redeemed::No);
    }
    let first = on!(tx, |db| sqlx::query(
        "insert into coupon_uses (code, account_id, purchase_id, at_ms) values ($1, $2, $3, $4) \
         on conflict (code, account_id) do nothing"
    )
    .bind(&code)
    .bind(account.to_string())
    .bind(purchase.to_string())
    .bind(now_ms)
    .execute(db)
    .await?
    .rows_affected());
    Ok(if first == 1 { Redeemed::Yes } else { Redeemed::Again })
}

/// Takes an account's trial of a plan. False if it was taken before.
pub async fn take_trial(tx: &mut Tx, account: AccountId, plan: PlanId, now_ms: i64) -> Result<bool, Error> {
    let first = on!(tx, |db| sqlx::query(
        "insert into trials (account_id, plan_id, at_ms) values ($1, $2, $3) \
         on conflict (account_id, plan_id) do nothing"
    )
    .bind(account.to_string())
    .bind(plan.to_string())
    .bind(now_ms)
    .execute(db)
    .await?
    .rows_affected());
    Ok(first == 1)
}

/// What is kept of a gift code: its SHA-256. Who reads the database cannot redeem.
pub fn gift_hash(code: &str) -> [u8; 32] {
    let letters: String = canonical(code).chars().filter(char::is_ascii_alphanumeric).collect();
    sha256(letters.as_bytes())
}

/// Adds a gift code.
pub async fn insert_gift(
    tx: &mut Tx,
    code: &str,
    plan: PlanId,
    expires_at_ms: Option<i64>,
    now_ms: i64,
) -> Result<(), Error> {
    on!(tx, |db| sqlx::query(
        "insert into gift_codes (code_hash, plan_id, expires_at_ms, created_at_ms) values ($1, $2, $3, $4)"
    )
    .bind(gift_hash(code).as_slice())
    .bind(plan.to_string())
    .bind(expires_at_ms)
    .bind(now_ms)
    .execute(db)
    .await
    .map(drop))?;
    Ok(())
}

/// Takes a gift code and tells the plan that it gives. None if there is none, or it was taken or has run out.
pub async fn redeem_gift(
    tx: &mut Tx,
    code: &str,
    account: AccountId,
    now_ms: i64,
) -> Result<Option<PlanId>, Error> {
    let row: Option<(String,)> = on!(tx, |db| {
        sqlx::query_as(
        "update gift_codes set redeemed_by = $1, redeemed_at_ms = $2 where code_hash = $3 and redeemed_by is null \
         and (expires_at_ms is null or expires_at_ms > $2) returning plan_id"
    )
    .bind(account.to_string())
    .bind(now_ms)
    .bind(gift_hash(code).as_slice())
    .fetch_optional(db)
    .await
    })?;
    row.map(|(plan,)| id(&plan)).transpose()
}
