//! What was sold and what was watched, by title.

use std::collections::BTreeMap;

use super::{Error, Tx};

/// One title in one currency.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Sold {
    /// The title's id; none for plans that are for no single title.
    pub title: Option<String>,
    /// Its name, or the plan's.
    pub name: String,
    /// Views that were counted.
    pub views: i64,
    /// Purchases that somebody made.
    pub purchases: i64,
    /// Periods that were paid for after the first.
    pub renewals: i64,
    /// What both came to, tax included, before refunds, in minor units.
    pub gross_minor: i64,
    /// The currency; none where nothing was sold.
    pub currency: Option<String>,
}

/// A plan in one currency.
#[derive(sqlx::FromRow)]
struct SoldRow {
    title_id: Option<String>,
    title_name: Option<String>,
    plan_name: Option<String>,
    kind: String,
    currency: String,
    purchases: i64,
    renewals: i64,
    gross_minor: i64,
}

/// Every title that was sold or watched since then, and plans that are for no single title; what brought most comes first.
pub async fn by_title(tx: &mut Tx, since_ms: i64) -> Result<Vec<Sold>, Error> {
    let views: Vec<(String, String, i64)> = on!(tx, |db| sqlx::query_as(
        "select t.id, t.name, count(*) from views v join releases r on r.id = v.release_id \
         join titles t on t.id = r.title_id where v.opened_at_ms >= $1 group by t.id, t.name"
    )
    .bind(since_ms)
    .fetch_all(db)
    .await)?;
    let mut views: BTreeMap<String, (String, i64)> =
        views.into_iter().map(|(id, name, count)| (id, (name, count))).collect();
    let sold: Vec<SoldRow> = on!(tx, |db| {
        sqlx::query_as(
            "select l.title_id, t.name as title_name, l.name as plan_name, l.kind, p.currency, \
             count(*) - count(p.entitlement_id) as purchases, count(p.entitlement_id) as renewals, \
             cast(sum(p.price_minor) as bigint) as gross_minor \
             from purchases p join plans l on l.id = p.plan_id left join titles t on t.id = l.title_id \
             where p.created_at_ms >= $1 group by l.title_id, t.name, l.name, l.kind, p.currency",
        )
        .bind(since_ms)
        .fetch_all(db)
        .await
    })?;
    let mut told: BTreeMap<(Option<String>, String, String), Sold> = BTreeMap::new();
    for SoldRow {
        title_id: title,
        title_name,
        plan_name,
        kind,
        currency,
        purchases,
        renewals,
        gross_minor,
    } in sold
    {
        let name = title_name.or(plan_name).unwrap_or(kind);
        let key = (title.clone(), name.clone(), currency.clone());
        let row = told.entry(key).or_insert_with(|| {
            // A title's views are told once, though it may have been sold in several currencies.
            let views = title.as_ref().and_then(|title| views.remove(title)).map_or(0, |(_, count)| count);
            Sold { title, name, views, purchases: 0, renewals: 0, gross_minor: 0, currency: Some(currency) }
        });
        row.purchases += purchases;
        row.renewals += renewals;
        row.gross_minor += gross_minor;
    }
    let watched = views.into_iter().map(|(title, (name, views))| Sold {
        title: Some(title),
        name,
        views,
        purchases: 0,
        renewals: 0,
        gross_minor: 0,
        currency: None,
    });
    let mut all: Vec<Sold> = told.into_values().chain(watched).collect();
    all.sort_by(|one, other| {
        (other.gross_minor, other.views, &one.name).cmp(&(one.gross_minor, one.views, &other.name))
    });
    Ok(all)
}
