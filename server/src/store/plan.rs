//! Plans: things for sale.

use matinee_protocol::api::Money;
use matinee_protocol::id::{AccountId, CollectionId, PlanId, TitleId};

use super::page::{Asked, Page, Position};
use super::{Error, Tx, country, id, index, signed, unsigned};
use crate::license::breaks::Breaks;
use crate::license::calendar::Period;
use crate::license::plan::{Kind, Renewal, Scope, Terms};

pub use crate::license::plan::Plan;

/// Plans in one listing.
pub const PLANS_LISTED_MAX: i64 = 200;

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    name: Option<String>,
    title_id: Option<String>,
    collection_id: Option<String>,
    tier: Option<i64>,
    kind: String,
    price_minor: i64,
    currency: String,
    start_within_ms: Option<i64>,
    play_within_ms: Option<i64>,
    views: Option<i64>,
    period: Option<String>,
    grace_ms: Option<i64>,
    trial_ms: Option<i64>,
    quota_titles: Option<i64>,
    guests: bool,
    breaks: Option<String>,
    concurrent_views: Option<i64>,
    offline_ms: Option<i64>,
    #[sqlx(flatten)]
    countries: country::Columns,
    created_at_ms: i64,
    ended_at_ms: Option<i64>,
}

impl Row {
    fn renewal(&self) -> Result<Renewal, Error> {
        let period = self.period.as_deref().and_then(Period::parse).ok_or(Error::Corrupt("plan period"))?;
        Ok(Renewal {
            period,
            grace_ms: unsigned(self.grace_ms.unwrap_or(0)),
            trial_ms: self.trial_ms.map(unsigned),
        })
    }

    fn terms(&self) -> Result<Terms, Error> {
        let corrupt = Error::Corrupt("plan");
        Ok(match Kind::parse(&self.kind).ok_or(Error::Corrupt("plan kind"))? {
            Kind::Rental => Terms::Rental {
                start_within_ms: unsigned(self.start_within_ms.ok_or(Error::Corrupt("plan"))?),
                play_within_ms: unsigned(self.play_within_ms.ok_or(corrupt)?),
                views: self.views.map(index).transpose()?,
            },
            Kind::Purchase => Terms::Purchase,
            Kind::Subscription => Terms::Subscription(self.renewal()?),
            Kind::Quota => {
                Terms::Quota { renewal: self.renewal()?, titles: index(self.quota_titles.ok_or(corrupt)?)? }
            }
            Kind::Free => Terms::Free { guests: self.guests },
            Kind::AdSupported => {
                let breaks = breaks(self.breaks.as_deref().ok_or(corrupt)?)?;
                Terms::AdSupported { guests: self.guests, breaks }
            }
            Kind::Preview => return Err(corrupt),
        })
    }
}

impl TryFrom<Row> for Plan {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let terms = row.terms()?;
        let title = row.title_id.as_deref().map(id).transpose()?.map(Scope::Title);
        Ok(Self {
            id: id(&row.id)?,
            name: row.name,
            scopes: title.into_iter().chain(collection_of(row.collection_id, row.tier)?).collect(),
            price: Money { minor: row.price_minor, currency: row.currency },
            terms,
            concurrent_views: row.concurrent_views.map(index).transpose()?,
            offline_ms: row.offline_ms.map(unsigned),
            countries: row.countries.rule()?,
            created_at_ms: row.created_at_ms,
            ended_at_ms: row.ended_at_ms,
        })
    }
}

/// A collection and its tier out of two columns.
pub(super) fn collection_of(collection: Option<String>, tier: Option<i64>) -> Result<Option<Scope>, Error> {
    let Some(collection) = collection else { return Ok(None) };
    let tier = index(tier.ok_or(Error::Corrupt("tier"))?)?;
    Ok(Some(Scope::Collection { collection: id(&collection)?, tier }))
}

/// Breaks out of a column.
pub(super) fn breaks(text: &str) -> Result<Breaks, Error> {
    serde_json::from_str(text).map_err(|_| Error::Corrupt("breaks"))
}

/// Breaks as a column holds them.
pub(super) fn breaks_text(breaks: &Breaks) -> Result<String, Error> {
    serde_json::to_string(breaks).map_err(|_| Error::Corrupt("breaks"))
}

/// Adds a plan.
pub async fn insert(tx: &mut Tx, plan: &Plan) -> Result<(), Error> {
    let collection = plan.scopes.iter().find_map(|scope| scope.collection());
    let titles: Vec<TitleId> = plan.scopes.iter().filter_map(|scope| scope.title()).collect();
    let (start_within, play_within, views) = match &plan.terms {
        Terms::Rental { start_within_ms, play_within_ms, views } => {
            (Some(signed(*start_within_ms)), Some(signed(*play_within_ms)), *views)
        }
        _ => (None, None, None),
    };
    let renewal = plan.terms.renewal();
    let countries = country::Columns::from(&plan.countries);
    let quota = if let Terms::Quota { titles, .. } = &plan.terms { Some(i64::from(*titles)) } else { None };
    let breaks = match &plan.terms {
        Terms::AdSupported { breaks, .. } => Some(breaks_text(breaks)?),
        _ => None,
    };
    on!(tx, |db| {
        sqlx::query(
        "insert into plans (id, title_id, kind, price_minor, currency, start_within_ms, play_within_ms, views, \
         created_at_ms, name, collection_id, tier, period, grace_ms, trial_ms, quota_titles, guests, breaks, \
         concurrent_views, offline_ms, country_rule, countries, unknown_country_allowed) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, \
         $22, $23)"
    )
    .bind(plan.id.to_string())
    .bind(titles.first().map(TitleId::to_string))
    .bind(plan.terms.kind().text())
    .bind(plan.price.minor)
    .bind(&plan.price.currency)
    .bind(start_within)
    .bind(play_within)
    .bind(views.map(i64::from))
    .bind(plan.created_at_ms)
    .bind(plan.name.as_deref())
    .bind(collection.map(|(collection, _)| collection.to_string()))
    .bind(collection.map(|(_, tier)| i64::from(tier)))
    .bind(renewal.map(|renewal| renewal.period.text()))
    .bind(renewal.map(|renewal| signed(renewal.grace_ms)))
    .bind(renewal.and_then(|renewal| renewal.trial_ms).map(signed))
    .bind(quota)
    .bind(plan.terms.guests())
    .bind(breaks.as_deref())
    .bind(plan.concurrent_views.map(i64::from))
    .bind(plan.offline_ms.map(signed))
    .bind(countries.country_rule.as_deref())
    .bind(countries.countries.as_deref())
    .bind(countries.unknown_country_allowed)
    .execute(db)
    .await
    .map(drop)
    })?;
    // The first title stands in the plan's own row.
    for (position, title) in (1_i64..).zip(titles.iter().skip(1)) {
        on!(tx, |db| sqlx::query(
            "insert into plan_titles (plan_id, title_id, position) values ($1, $2, $3)"
        )
        .bind(plan.id.to_string())
        .bind(title.to_string())
        .bind(position)
        .execute(db)
        .await
        .map(drop))?;
    }
    Ok(())
}

/// The plan with this id.
pub async fn by_id(tx: &mut Tx, plan: PlanId) -> Result<Option<Plan>, Error> {
    let row: Option<Row> = on!(tx, |db| sqlx::query_as("select * from plans where id = $1")
        .bind(plan.to_string())
        .fetch_optional(db)
        .await)?;
    let Some(row) = row else { return Ok(None) };
    let mut found = Plan::try_from(row)?;
    bundle(tx, &mut found).await?;
    Ok(Some(found))
}

/// Those of a plan's titles that are for a group, or end some day.
pub async fn limited_titles(tx: &mut Tx, plan: PlanId) -> Result<Vec<TitleId>, Error> {
    let rows: Vec<(String,)> = on!(tx, |db| sqlx::query_as(
        "select id from titles where id in (select title_id from plans where id = $1 \
         union all select title_id from plan_titles where plan_id = $1) \
         and (group_id is not null or available_until_ms is not null) order by id"
    )
    .bind(plan.to_string())
    .fetch_all(db)
    .await)?;
    rows.iter().map(|(title,)| id(title)).collect()
}

/// Whose a plan is: the publisher of what it is for. None if there is no such plan.
pub async fn publisher(tx: &mut Tx, plan: PlanId) -> Result<Option<AccountId>, Error> {
    let row: Option<(String,)> = on!(tx, |db| {
        sqlx::query_as(
        "select coalesce(t.publisher_id, c.publisher_id) from plans p left join titles t on t.id = p.title_id \
         left join collections c on c.id = p.collection_id where p.id = $1"
    )
    .bind(plan.to_string())
    .fetch_optional(db)
    .await
    })?;
    row.map(|(publisher,)| id(&publisher)).transpose()
}

/// Takes a plan off sale; what was bought by it stays, and renews. False if it was before, or there is none.
pub async fn end(tx: &mut Tx, plan: PlanId, now_ms: i64) -> Result<bool, Error> {
    Ok(guarded!(
        tx,
        "update plans set ended_at_ms = $1 where id = $2 and ended_at_ms is null",
        now_ms,
        plan.to_string()
    ))
}

/// Adds the further titles of a bundle. What renews is never one.
async fn bundle(tx: &mut Tx, plan: &mut Plan) -> Result<(), Error> {
    if plan.terms.renewal().is_some() {
        return Ok(());
    }
    let rows: Vec<(String,)> = on!(tx, |db| sqlx::query_as(
        "select title_id from plan_titles where plan_id = $1 order by position"
    )
    .bind(plan.id.to_string())
    .fetch_all(db)
    .await)?;
    for (title,) in rows {
        plan.scopes.push(Scope::Title(id(&title)?));
    }
    Ok(())
}

/// The plans on sale that a title can be had by, cheapest first: its own, bundles with it, and those over its collections.
pub async fn by_title(tx: &mut Tx, title: TitleId) -> Result<Vec<Plan>, Error> {
    let rows: Vec<Row> = on!(tx, |db| {
        sqlx::query_as(
            "select * from plans where ended_at_ms is null and id in (select id from plans where title_id = $1 \
         union all select plan_id from plan_titles where title_id = $1 \
         union all select p.id from collection_titles c join plans p on p.collection_id = c.collection_id \
         where c.title_id = $1 and c.tier <= p.tier) order by price_minor, id limit $2",
        )
        .bind(title.to_string())
        .bind(PLANS_LISTED_MAX)
        .fetch_all(db)
        .await
    })?;
    whole(tx, rows).await
}

/// The plans on sale over a collection, cheapest first.
pub async fn by_collection(tx: &mut Tx, collection: CollectionId) -> Result<Vec<Plan>, Error> {
    let rows: Vec<Row> = on!(tx, |db| {
        sqlx::query_as(
        "select * from plans where collection_id = $1 and ended_at_ms is null order by price_minor, id limit $2"
    )
    .bind(collection.to_string())
    .bind(PLANS_LISTED_MAX)
    .fetch_all(db)
    .await
    })?;
    whole(tx, rows).await
}

/// Every plan, newest first.
pub async fn listed(tx: &mut Tx, asked: &Asked) -> Result<Page<Plan>, Error> {
    let (at, after) = asked.after();
    let rows: Vec<Row> = on!(tx, |db| {
        sqlx::query_as(
        "select * from plans where (created_at_ms, id) < ($2, $3) order by created_at_ms desc, id desc limit $1"
    )
    .bind(asked.rows())
    .bind(at)
    .bind(after)
    .fetch_all(db)
    .await
    })?;
    let plans = whole(tx, rows).await?;
    Ok(asked.page(plans, |plan| Position { at: plan.created_at_ms, id: plan.id.to_string() }))
}

async fn whole(tx: &mut Tx, rows: Vec<Row>) -> Result<Vec<Plan>, Error> {
    let mut plans = Vec::with_capacity(rows.len());
    for row in rows {
        let mut plan = Plan::try_from(row)?;
        bundle(tx, &mut plan).await?;
        plans.push(plan);
    }
    Ok(plans)
}
