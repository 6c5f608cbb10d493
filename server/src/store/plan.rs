//! Plans: things for sale.

use matinee_protocol::api::{Money, PlanSummary};
use matinee_protocol::id::{PlanId, TitleId};

use super::{Error, Tx, id, signed, unsigned};

/// A rental of a title.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Its id.
    pub id: PlanId,
    /// What it is for.
    pub title_id: TitleId,
    /// What it costs.
    pub price: Money,
    /// Time after the purchase within which play must start.
    pub start_within_ms: u64,
    /// Time after the first start within which play may go on.
    pub play_within_ms: u64,
    /// Views; none means as many as fit the window.
    pub views: Option<u32>,
    /// When it was added.
    pub created_at_ms: i64,
}

impl Plan {
    /// The one kind so far.
    pub const RENTAL: &'static str = "rental";

    /// As the interface shows it.
    pub fn summary(&self) -> PlanSummary {
        PlanSummary {
            id: self.id,
            kind: Self::RENTAL.to_owned(),
            price: self.price.clone(),
            start_within_ms: self.start_within_ms,
            play_within_ms: self.play_within_ms,
            views: self.views,
        }
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    title_id: String,
    price_minor: i64,
    currency: String,
    start_within_ms: Option<i64>,
    play_within_ms: Option<i64>,
    views: Option<i64>,
    created_at_ms: i64,
}

impl TryFrom<Row> for Plan {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(Self {
            id: id(&row.id)?,
            title_id: id(&row.title_id)?,
            price: Money { minor: row.price_minor, currency: row.currency },
            start_within_ms: unsigned(row.start_within_ms.ok_or(Error::Corrupt("plan"))?),
            play_within_ms: unsigned(row.play_within_ms.ok_or(Error::Corrupt("plan"))?),
            views: row.views.map(super::index).transpose()?,
            created_at_ms: row.created_at_ms,
        })
    }
}

/// Adds a plan.
pub async fn insert(tx: &mut Tx, plan: &Plan) -> Result<(), Error> {
    on!(tx, |db| sqlx::query(
        "insert into plans \
         (id, title_id, kind, price_minor, currency, start_within_ms, play_within_ms, views, created_at_ms) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
    )
    .bind(plan.id.to_string())
    .bind(plan.title_id.to_string())
    .bind(Plan::RENTAL)
    .bind(plan.price.minor)
    .bind(&plan.price.currency)
    .bind(signed(plan.start_within_ms))
    .bind(signed(plan.play_within_ms))
    .bind(plan.views.map(i64::from))
    .bind(plan.created_at_ms)
    .execute(db)
    .await
    .map(drop))?;
    Ok(())
}

/// The plan with this id.
pub async fn by_id(tx: &mut Tx, plan: PlanId) -> Result<Option<Plan>, Error> {
    let row: Option<Row> = on!(tx, |db| {
        sqlx::query_as(
        "select id, title_id, price_minor, currency, start_within_ms, play_within_ms, views, created_at_ms \
         from plans where id = $1"
    )
    .bind(plan.to_string())
    .fetch_optional(db)
    .await
    })?;
    row.map(Plan::try_from).transpose()
}

/// The plans of a title, cheapest first.
pub async fn by_title(tx: &mut Tx, title: TitleId) -> Result<Vec<Plan>, Error> {
    let rows: Vec<Row> = on!(tx, |db| {
        sqlx::query_as(
        "select id, title_id, price_minor, currency, start_within_ms, play_within_ms, views, created_at_ms \
         from plans where title_id = $1 order by price_minor, id"
    )
    .bind(title.to_string())
    .fetch_all(db)
    .await
    })?;
    rows.into_iter().map(Plan::try_from).collect()
}
