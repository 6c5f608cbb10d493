//! What royalty statements are computed from: sales out of the ledger, plays and use out of the key releases.

use std::collections::BTreeMap;

use matinee_protocol::id::TitleId;

use super::{Error, Tx, id, royalty_rule};
use crate::royalty::usage::{Release, Usage, usage};
use crate::royalty::{Month, Pool};

pub use crate::royalty::span::Span;

/// Views whose key releases are held in memory at a time.
const VIEWS_READ_MAX: i64 = 500;

/// What accounts of a kind (`sales`, `plan-sales`) earned within a span, by the id in their name, in minor units.
pub async fn earned(
    tx: &mut Tx,
    kind: &str,
    currency: &str,
    span: Span,
) -> Result<Vec<(String, i64)>, Error> {
    let rows: Vec<(String, i64)> = on!(tx, |db| sqlx::query_as(
        "select e.account, cast(sum(e.amount_minor) as bigint) from journals j \
         join ledger_entries e on e.journal_id = j.id join ledger_accounts a on a.name = e.account \
         where j.at_ms >= $1 and j.at_ms < $2 and a.currency = $3 and e.account like $4 \
         group by e.account order by e.account"
    )
    .bind(span.from_ms)
    .bind(span.until_ms)
    .bind(currency)
    .bind(format!("{kind}/%"))
    .fetch_all(db)
    .await)?;
    let named = |(account, minor): (String, i64)| {
        let name = account.split('/').nth(1).ok_or(Error::Corrupt("ledger account"))?;
        Ok((name.to_owned(), minor))
    };
    rows.into_iter().map(named).collect()
}

/// Everything that a month's statement is computed from.
pub async fn month(tx: &mut Tx, currency: &str, span: Span) -> Result<Month, Error> {
    let mut month = Month { currency: currency.to_owned(), ..Month::default() };
    for (title, sales_minor) in earned(tx, "sales", currency, span).await? {
        month.titles.entry(id(&title)?).or_default().sales_minor = sales_minor;
    }
    for (plan, revenue_minor) in earned(tx, "plan-sales", currency, span).await? {
        month.pools.push(Pool { plan, revenue_minor, ..Pool::default() });
    }
    for (used, usage) in used(tx, span).await? {
        month.titles.entry(used.title).or_default().plays += usage.plays;
        let pool = month.pools.iter_mut().find(|pool| Some(&pool.plan) == used.plan.as_ref());
        if let Some(pool) = pool {
            *pool.epochs.entry(used.title).or_default() += usage.epochs;
        }
    }
    for (title, rule) in royalty_rule::all(tx, currency, span.from_ms).await? {
        if let Some(of) = month.titles.get_mut(&title) {
            of.rules.push(rule);
        }
    }
    Ok(month)
}

/// What is used: a title, under a plan or a right that was granted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Used {
    title: TitleId,
    plan: Option<String>,
}

type Row = (String, String, Option<String>, i64, i64, i64, i64);

/// What was played within a span, out of the usage ledger.
async fn used(tx: &mut Tx, span: Span) -> Result<BTreeMap<Used, Usage>, Error> {
    let mut sum: BTreeMap<Used, Usage> = BTreeMap::new();
    let mut after = String::new();
    loop {
        let rows = released(tx, span, &after).await?;
        let Some(last) = rows.last() else { return Ok(sum) };
        after.clone_from(&last.0);
        for of_view in rows.chunk_by(|one, two| one.0 == two.0) {
            let (_, title, plan, ..) = &of_view[0];
            let releases = of_view.iter().map(|(_, _, _, file, first, epochs, at_ms)| Release {
                file: *file,
                first_epoch: *first,
                epochs: *epochs,
                at_ms: *at_ms,
            });
            let usage = usage(releases.collect(), span.from_ms);
            let of = sum.entry(Used { title: id(title)?, plan: plan.clone() }).or_default();
            of.plays += usage.plays;
            of.epochs += usage.epochs;
        }
    }
}

/// Key releases until the end of a span to the next views that had any within it, by view.
async fn released(tx: &mut Tx, span: Span, after: &str) -> Result<Vec<Row>, Error> {
    Ok(on!(tx, |db| {
        sqlx::query_as(
        "select k.view_id, r.title_id, n.plan_id, k.file, k.first_epoch, k.epochs, k.at_ms from key_releases k \
         join views v on v.id = k.view_id join releases r on r.id = v.release_id \
         join entitlements n on n.id = v.entitlement_id \
         where k.at_ms < $2 and k.view_id in (select distinct view_id from key_releases \
         where at_ms >= $1 and at_ms < $2 and view_id > $3 order by view_id limit $4) order by k.view_id"
    )
    .bind(span.from_ms)
    .bind(span.until_ms)
    .bind(after)
    .bind(VIEWS_READ_MAX)
    .fetch_all(db)
    .await
    })?)
}
