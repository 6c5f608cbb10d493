//! What royalty statements are computed from: sales out of the ledger, plays and use out of the views and their key
//! releases.

use std::collections::{BTreeMap, BTreeSet};

use matinee_protocol::id::TitleId;

use super::key_release::{Row, released};
use super::{Error, Tx, id, plan, royalty_rule};
use crate::license::calendar::Period;
use crate::license::plan::Plan;
use crate::royalty::spread::{Booked, YEAR_MONTHS};
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
    sums(tx, kind, currency, span, i64::MIN).await
}

/// The same of entries that are of an amount or more.
async fn sums(
    tx: &mut Tx,
    kind: &str,
    currency: &str,
    span: Span,
    minor_min: i64,
) -> Result<Vec<(String, i64)>, Error> {
    let rows: Vec<(String, i64)> = on!(tx, |db| {
        sqlx::query_as(
        "select e.account, cast(sum(e.amount_minor) as bigint) from journals j \
         join ledger_entries e on e.journal_id = j.id join ledger_accounts a on a.name = e.account \
         where j.at_ms >= $1 and j.at_ms < $2 and a.currency = $3 and e.account like $4 and e.amount_minor >= $5 \
         group by e.account order by e.account"
    )
    .bind(span.from_ms)
    .bind(span.until_ms)
    .bind(currency)
    .bind(format!("{kind}/%"))
    .bind(minor_min)
    .fetch_all(db)
    .await
    })?;
    rows.into_iter().map(|(account, minor)| Ok((named(&account)?, minor))).collect()
}

/// The id in the name of a ledger account.
fn named(account: &str) -> Result<String, Error> {
    account.split('/').nth(1).map(str::to_owned).ok_or(Error::Corrupt("ledger account"))
}

/// Everything that a month's statement is computed from.
pub async fn month(tx: &mut Tx, currency: &str, span: Span) -> Result<Month, Error> {
    let mut month = Month { currency: currency.to_owned(), ..Month::default() };
    for (title, sales_minor) in earned(tx, "sales", currency, span).await? {
        month.titles.entry(id(&title)?).or_default().sales_minor = sales_minor;
    }
    let mut epochs: BTreeMap<String, BTreeMap<TitleId, u64>> = BTreeMap::new();
    for (used, usage) in used(tx, span).await? {
        month.titles.entry(used.title).or_default().plays += usage.plays;
        if let Some(plan) = used.plan {
            *epochs.entry(plan).or_default().entry(used.title).or_default() += usage.epochs;
        }
    }
    for (plan, (revenue_minor, shared)) in revenue(tx, currency, span).await? {
        let weights = match shared {
            Shared::Equally(titles) => titles.into_iter().map(|title| (title, 1)).collect(),
            Shared::ByUse(_) => epochs.remove(&plan).unwrap_or_default(),
        };
        for title in weights.keys() {
            month.titles.entry(*title).or_default();
        }
        month.pools.push(Pool { plan, revenue_minor, weights });
    }
    for (title, rule) in royalty_rule::all(tx, currency, span.from_ms).await? {
        if let Some(of) = month.titles.get_mut(&title) {
            of.rules.push(rule);
        }
    }
    Ok(month)
}

/// How the revenue of a plan over several titles is shared.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Shared {
    /// A bundle's: the same for each title, whatever was played when.
    Equally(Vec<TitleId>),
    /// A collection's: by what was used in the month, or in each of the months that it was paid for.
    ByUse(Paid),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Paid {
    ByTheMonth,
    /// By the year, or once for ever: by the use of the twelve months that follow.
    AtOnce,
}

fn shared(of: &Plan) -> Shared {
    let titles: Vec<TitleId> = of.scopes.iter().filter_map(|scope| scope.title()).collect();
    if !titles.is_empty() {
        return Shared::Equally(titles);
    }
    match of.terms.renewal().map(|renewal| renewal.period) {
        Some(Period::Month) => Shared::ByUse(Paid::ByTheMonth),
        Some(Period::Year) | None => Shared::ByUse(Paid::AtOnce),
    }
}

/// Plans over several titles that earned in a span, each with how that is shared.
type Revenue = BTreeMap<String, (i64, Shared)>;

/// What plans over several titles earned in a span.
async fn revenue(tx: &mut Tx, currency: &str, span: Span) -> Result<Revenue, Error> {
    let mut all = Revenue::new();
    for (plan, minor) in earned(tx, "plan-sales", currency, span).await? {
        let shared = shared(&known(tx, &plan).await?);
        if shared != Shared::ByUse(Paid::AtOnce) {
            all.insert(plan, (minor, shared));
        }
    }
    let at_once = paid_at_once(tx).await?;
    if at_once.is_empty() {
        return Ok(all);
    }
    let mut add = |plan: String, booked: Booked| {
        if at_once.contains(&plan) {
            let of = all.entry(plan).or_insert((0, Shared::ByUse(Paid::AtOnce)));
            of.0 += booked.earned_minor();
        }
    };
    let began_ms = |months_ago| span.began_ms(months_ago).ok_or(Error::Corrupt("month"));
    let mut until_ms = span.until_ms;
    for months_ago in 0..YEAR_MONTHS {
        let month = Span { from_ms: began_ms(months_ago)?, until_ms };
        for (plan, minor) in sums(tx, "plan-sales", currency, month, 1).await? {
            add(plan, Booked { minor, months_ago, sold_before: 0 });
        }
        until_ms = month.from_ms;
    }
    // Of what was sold longer ago than that nothing is left to come out of.
    let began: Vec<i64> = (0..2 * YEAR_MONTHS).map(began_ms).collect::<Result<_, _>>()?;
    let ago = |at_ms: i64| began.iter().position(|began_ms| at_ms >= *began_ms).unwrap_or(began.len());
    for (plan, minor, at_ms, sold_at_ms) in
        given_back(tx, currency, Span { from_ms: until_ms, ..span }).await?
    {
        let (months_ago, sold_ago) = (ago(at_ms), ago(sold_at_ms));
        let months = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let sold_before = months(sold_ago.saturating_sub(months_ago));
        add(plan, Booked { minor, months_ago: months(months_ago), sold_before });
    }
    Ok(all)
}

async fn known(tx: &mut Tx, of: &str) -> Result<Plan, Error> {
    plan::by_id(tx, id(of)?).await?.ok_or(Error::Corrupt("sales without their plan"))
}

/// Plans over collections that are not paid for by the month.
async fn paid_at_once(tx: &mut Tx) -> Result<BTreeSet<String>, Error> {
    let rows: Vec<(String,)> = on!(tx, |db| sqlx::query_as(
        "select id from plans where collection_id is not null and coalesce(period, 'year') = 'year'"
    )
    .fetch_all(db)
    .await)?;
    Ok(rows.into_iter().map(|(plan,)| plan).collect())
}

/// What was given back within a span of what plans over several titles had sold: the plan, how much (below zero), when,
/// and when it had been sold.
async fn given_back(tx: &mut Tx, currency: &str, span: Span) -> Result<Vec<(String, i64, i64, i64)>, Error> {
    let rows: Vec<(String, i64, i64, i64)> = on!(tx, |db| sqlx::query_as(
        "select e.account, e.amount_minor, j.at_ms, coalesce(o.at_ms, j.at_ms) from journals j \
         join ledger_entries e on e.journal_id = j.id join ledger_accounts a on a.name = e.account \
         left join purchases p on p.id = j.reference left join journals o on o.id = p.journal_id \
         where j.at_ms >= $1 and j.at_ms < $2 and a.currency = $3 and e.account like 'plan-sales/%' \
         and e.amount_minor < 0 order by j.at_ms, j.id, e.account"
    )
    .bind(span.from_ms)
    .bind(span.until_ms)
    .bind(currency)
    .fetch_all(db)
    .await)?;
    let plan = |(account, minor, at_ms, sold_at_ms): (String, _, _, _)| {
        Ok((named(&account)?, minor, at_ms, sold_at_ms))
    };
    rows.into_iter().map(plan).collect()
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
