//! Royalty rules: who earns what of a title, by the month from which on it holds.

use matinee_protocol::id::TitleId;

use super::{Error, Tx, id};
use crate::royalty::Rule;

/// The rules of a title as they are in a month.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// The beginning of the month from which on they hold; none where they always did, or there are none.
    pub from_ms: Option<i64>,
    /// By rights holder.
    pub rules: Vec<Rule>,
}

/// Replaces the rules that a title has from a month on. What was set for a later month holds from there as before.
pub async fn set(
    tx: &mut Tx,
    title: TitleId,
    from_ms: i64,
    currency: &str,
    rules: &[Rule],
) -> Result<(), Error> {
    let title = title.to_string();
    // Held until the transaction ends, so that of two who set them the later one's are kept whole.
    on!(tx, |db| sqlx::query(
        "insert into royalty_rule_sets (title_id, from_ms) values ($1, $2) \
         on conflict (title_id, from_ms) do update set from_ms = excluded.from_ms"
    )
    .bind(&title)
    .bind(from_ms)
    .execute(db)
    .await
    .map(drop))?;
    on!(tx, |db| sqlx::query("delete from royalty_rules where title_id = $1 and from_ms = $2")
        .bind(&title)
        .bind(from_ms)
        .execute(db)
        .await
        .map(drop))?;
    for rule in rules {
        on!(tx, |db| {
            sqlx::query(
            "insert into royalty_rules (title_id, from_ms, holder, share_basis_points, minimum_minor, currency) \
             values ($1, $2, $3, $4, $5, $6)"
        )
        .bind(&title)
        .bind(from_ms)
        .bind(&rule.holder)
        .bind(i64::from(rule.share_basis_points))
        .bind(rule.minimum_minor)
        .bind(currency)
        .execute(db)
        .await
        .map(drop)
        })?;
    }
    Ok(())
}

/// The rules of a title in a currency, as they are at a time.
pub async fn of_title(tx: &mut Tx, title: TitleId, currency: &str, at_ms: i64) -> Result<Held, Error> {
    let (from_ms,): (Option<i64>,) = on!(tx, |db| sqlx::query_as(
        "select max(from_ms) from royalty_rule_sets where title_id = $1 and from_ms <= $2"
    )
    .bind(title.to_string())
    .bind(at_ms)
    .fetch_one(db)
    .await)?;
    let Some(from_ms) = from_ms else { return Ok(Held::default()) };
    let rows: Vec<(String, i64, i64)> = on!(tx, |db| {
        sqlx::query_as(
            "select holder, share_basis_points, minimum_minor from royalty_rules \
             where title_id = $1 and from_ms = $2 and currency = $3 order by holder",
        )
        .bind(title.to_string())
        .bind(from_ms)
        .bind(currency)
        .fetch_all(db)
        .await
    })?;
    let rules: Result<_, _> = rows.into_iter().map(read).collect();
    // Those that were there before rules had months have none.
    Ok(Held { from_ms: (from_ms > 0).then_some(from_ms), rules: rules? })
}

/// The rules of every title in a currency, as they are at a time, by title and rights holder.
pub async fn all(tx: &mut Tx, currency: &str, at_ms: i64) -> Result<Vec<(TitleId, Rule)>, Error> {
    let rows: Vec<(String, String, i64, i64)> = on!(tx, |db| {
        sqlx::query_as(
            "select r.title_id, r.holder, r.share_basis_points, r.minimum_minor from royalty_rules r \
             join (select title_id, max(from_ms) as from_ms from royalty_rule_sets where from_ms <= $2 \
             group by title_id) s on s.title_id = r.title_id and s.from_ms = r.from_ms \
             where r.currency = $1 order by r.title_id, r.holder",
        )
        .bind(currency)
        .bind(at_ms)
        .fetch_all(db)
        .await
    })?;
    let named = |(title, holder, share, minimum): (String, String, i64, i64)| {
        Ok((id(&title)?, read((holder, share, minimum))?))
    };
    rows.into_iter().map(named).collect()
}

fn read((holder, share, minimum_minor): (String, i64, i64)) -> Result<Rule, Error> {
    let share_basis_points = u32::try_from(share).map_err(|_| Error::Corrupt("share"))?;
    Ok(Rule { holder, share_basis_points, minimum_minor })
}
