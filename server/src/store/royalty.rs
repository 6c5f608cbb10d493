//! What royalty statements are computed from: sales out of the ledger, plays and use out of the views and their key
//! releases.

use std::collections::BTreeMap;

use matinee_protocol::id::TitleId;

use super::key_release::{Row, released};
use super::{Error, Tx, id, royalty_rule};
use crate::royalty::usage::{Usage, usage};
use crate::royalty::{Month, Pool};

pub use crate::royalty::span::Span;

/// Pairs of an entitlement and a title whose views are held in memory at a time.
const PAIRS_READ_MAX: i64 = 500;
/// The day, in UTC, within which views of one title under one entitlement are one play.
const PLAY_MS: i64 = 24 * 60 * 60 * 1000;

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

/// What was played within a span. Views of a title under one entitlement that were opened on one day are one play: how
/// often a view is opened, and on how many devices, is up to who opens it.
async fn used(tx: &mut Tx, span: Span) -> Result<BTreeMap<Used, Usage>, Error> {
    let mut sum: BTreeMap<Used, Usage> = BTreeMap::new();
    let mut after = (String::new(), String::new());
    loop {
        let rows = played(tx, span, &after).await?;
        let Some(last) = rows.last() else { return Ok(sum) };
        after = (last.entitlement_id.clone(), last.title_id.clone());
        let of_play = |one: &Row, two: &Row| {
            let day = |row: &Row| row.opened_at_ms.div_euclid(PLAY_MS);
            (&one.entitlement_id, &one.title_id, day(one)) == (&two.entitlement_id, &two.title_id, day(two))
        };
        for play in rows.chunk_by(of_play) {
            let released = play.iter().map(Row::released).collect::<Result<_, _>>()?;
            let usage = usage(released, span.from_ms);
            let used = Used { title: id(&play[0].title_id)?, plan: play[0].plan_id.clone() };
            let of = sum.entry(used).or_default();
            of.plays += usage.plays;
            of.epochs += usage.epochs;
        }
    }
}

/// What was released until the end of a span to the views of the next entitlements and titles that had any within it, by
/// entitlement, title and day. A preview is no play.
async fn played(tx: &mut Tx, span: Span, after: &(String, String)) -> Result<Vec<Row>, Error> {
    Ok(on!(tx, |db| {
        sqlx::query_as(released!(
            "join (select v.entitlement_id, v.title_id from views v join releases r on r.id = v.release_id \
             join entitlements n on n.id = v.entitlement_id \
             where (v.entitlement_id, v.title_id) > ($3, $4) and v.opened_at_ms < $2 and n.kind <> 'preview' \
             and (exists (select 1 from key_releases k where k.view_id = v.id and k.at_ms >= $1 and k.at_ms < $2) \
             or (v.opened_at_ms >= $1 and not r.sealed)) \
             group by v.entitlement_id, v.title_id order by v.entitlement_id, v.title_id limit $5) p \
             on p.entitlement_id = v.entitlement_id and p.title_id = v.title_id",
            "coalesce(k.at_ms, v.opened_at_ms) < $2 order by v.entitlement_id, v.title_id, v.opened_at_ms"
        ))
        .bind(span.from_ms)
        .bind(span.until_ms)
        .bind(&after.0)
        .bind(&after.1)
        .bind(PAIRS_READ_MAX)
        .fetch_all(db)
        .await
    })?)
}
