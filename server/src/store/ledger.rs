//! The double-entry ledger, in minor units.
//!
//! *Invariants:* the entries of a journal sum to zero; so does everything; an account's balance is the sum of its
//! entries. A wallet never goes below zero: the guard is inside the statement that debits it.
//!
//! Accounts are locked in the order of [`KINDS`], so that PostgreSQL finds no cycle.

use matinee_protocol::api::Money;
use matinee_protocol::id::{AccountId, PlanId, TitleId};

use super::{Error, Tx, backend};

/// Whose money an account of the ledger counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// What a payment provider has brought in; it goes below zero, for that is where money comes from.
    Provider(String),
    /// What is on its way back through a payment provider.
    Returning(String),
    /// What an account can spend.
    Wallet(AccountId),
    /// What an account owes: it goes below zero where money was taken back that is spent.
    Debt(AccountId),
    /// What a title has earned.
    Sales(TitleId),
    /// What a plan over several titles has earned.
    PlanSales(PlanId),
    /// What is owed to a country's tax office.
    Tax(String),
}

impl Holder {
    /// The ledger account's name in a currency.
    pub fn name(&self, currency: &str) -> String {
        match self {
            Self::Provider(provider) => format!("provider/{provider}/{currency}"),
            Self::Returning(provider) => format!("returning/{provider}/{currency}"),
            Self::Wallet(account) => format!("wallet/{account}/{currency}"),
            Self::Debt(account) => format!("debt/{account}/{currency}"),
            Self::Sales(title) => format!("sales/{title}/{currency}"),
            Self::PlanSales(plan) => format!("plan-sales/{plan}/{currency}"),
            Self::Tax(country) => format!("tax/{country}/{currency}"),
        }
    }
}

/// Why and when money moves.
#[derive(Debug, Clone, Copy)]
pub struct Journal<'a> {
    /// Its id.
    pub id: &'a str,
    /// `top_up`, `purchase`, `refund`, `refund_sent`, `refund_failed`, `dispute` or `dispute_won`.
    pub kind: &'a str,
    /// The payment, purchase, refund or dispute.
    pub reference: &'a str,
    /// When.
    pub at_ms: i64,
}

/// Moves money from one holder to another. False, with nothing changed, if the payer has too little.
///
/// The caller has one transaction around this and what the money is for.
pub async fn transfer(
    tx: &mut Tx,
    journal: Journal<'_>,
    from: &Holder,
    to: &Holder,
    amount: &Money,
) -> Result<bool, Error> {
    if amount.minor <= 0 || from == to {
        return Err(Error::Corrupt("amount to transfer"));
    }
    let entries = vec![(from.clone(), -amount.minor), (to.clone(), amount.minor)];
    post(tx, journal, entries, &amount.currency).await
}

/// Posts a journal of several entries, which must sum to zero; those of nothing are left out. False, with nothing
/// changed, if a holder that may not owe has too little.
pub async fn post(
    tx: &mut Tx,
    journal: Journal<'_>,
    entries: Vec<(Holder, i64)>,
    currency: &str,
) -> Result<bool, Error> {
    let named = entries.into_iter().map(|(holder, minor)| (holder.name(currency), minor)).collect();
    post_named(tx, journal, named, currency).await
}

/// What accounts whose names begin alike have in common.
struct Kind {
    begins: &'static str,
    /// Whether it may go below zero.
    may_owe: bool,
    /// Whether many move its money at once.
    busy: bool,
}

const fn kind(begins: &'static str, may_owe: bool, busy: bool) -> Kind {
    Kind { begins, may_owe, busy }
}

/// In the order in which accounts are locked.
const KINDS: [Kind; 7] = [
    kind("provider/", true, true),
    kind("returning/", false, false),
    kind("wallet/", false, false),
    kind("debt/", true, false),
    kind("sales/", false, true),
    kind("plan-sales/", false, true),
    kind("tax/", false, true),
];

fn rank(name: &str) -> usize {
    KINDS.iter().position(|kind| name.starts_with(kind.begins)).unwrap_or(KINDS.len())
}

fn may_owe(name: &str) -> bool {
    KINDS.get(rank(name)).is_some_and(|kind| kind.may_owe)
}

fn busy(name: &str) -> bool {
    KINDS.get(rank(name)).is_some_and(|kind| kind.busy)
}

async fn post_named(
    tx: &mut Tx,
    journal: Journal<'_>,
    entries: Vec<(String, i64)>,
    currency: &str,
) -> Result<bool, Error> {
    let mut entries: Vec<_> = entries.into_iter().filter(|(_, minor)| *minor != 0).collect();
    entries.sort_unstable_by(|(one, _), (two, _)| (rank(one), one).cmp(&(rank(two), two)));
    let sum: i128 = entries.iter().map(|(_, minor)| i128::from(*minor)).sum();
    let doubled = entries.windows(2).any(|pair| pair[0].0 == pair[1].0);
    if sum != 0 || entries.is_empty() || doubled {
        return Err(Error::Corrupt("journal to post"));
    }
    for (at, (name, minor)) in entries.iter().enumerate() {
        if *minor > 0 || may_owe(name) {
            add(tx, name, *minor, currency).await?;
        } else if !debit(tx, name, minor.saturating_neg()).await? {
            for (name, minor) in entries.iter().take(at) {
                add(tx, name, minor.saturating_neg(), currency).await?;
            }
            return Ok(false);
        }
    }
    later!(
        tx,
        "insert into journals (id, kind, reference, at_ms) values ($1, $2, $3, $4)",
        journal.id,
        journal.kind,
        journal.reference,
        journal.at_ms,
    );
    for pair in entries.chunks(2) {
        // Nearly every journal has two entries: one statement.
        if let [one, two] = pair {
            insert_two(tx, journal.id, one, two).await?;
        } else {
            insert_one(tx, journal.id, &pair[0]).await?;
        }
    }
    Ok(true)
}

/// What a journal credited: account and minor units, by name.
pub async fn credits(tx: &mut Tx, journal: &str) -> Result<Vec<(String, i64)>, Error> {
    Ok(on!(tx, |db| {
        sqlx::query_as(
        "select account, amount_minor from ledger_entries where journal_id = $1 and amount_minor > 0 order by account"
    )
    .bind(journal)
    .fetch_all(db)
    .await
    })?)
}

/// Takes back, from everyone whom `credits` went to and in proportion, what lies between `before` and `after` of their
/// sum, and gives it to a holder. However a sum is taken back, part by part, in the end each has given exactly what it
/// got.
pub async fn take_back(
    tx: &mut Tx,
    journal: Journal<'_>,
    credits: &[(String, i64)],
    (before, after): (i64, i64),
    to: &Holder,
    currency: &str,
) -> Result<bool, Error> {
    let amounts: Vec<i64> = credits.iter().map(|(_, minor)| *minor).collect();
    let (was, is) = (proportion(&amounts, before), proportion(&amounts, after));
    let mut entries: Vec<(String, i64)> = credits
        .iter()
        .zip(was.iter().zip(&is))
        .map(|((name, _), (was, is))| (name.clone(), was - is))
        .collect();
    entries.push((to.name(currency), after - before));
    post_named(tx, journal, entries, currency).await
}

/// Divides the first `part` of the sum of some amounts in their proportion: the shares sum to it exactly.
fn proportion(amounts: &[i64], part: i64) -> Vec<i64> {
    let whole: i128 = amounts.iter().map(|amount| i128::from(*amount)).sum::<i128>().max(1);
    let (mut sum, mut given) = (0, 0);
    let share = |amount: &i64| {
        sum += i128::from(*amount);
        let until = i64::try_from(sum * i128::from(part) / whole).unwrap_or(i64::MAX);
        let share = until - given;
        given = until;
        share
    };
    amounts.iter().map(share).collect()
}

async fn insert_two(
    tx: &mut Tx,
    journal: &str,
    one: &(String, i64),
    two: &(String, i64),
) -> Result<(), Error> {
    later!(
        tx,
        "insert into ledger_entries (journal_id, account, amount_minor) values ($1, $2, $3), ($1, $4, $5)",
        journal,
        &one.0,
        one.1,
        &two.0,
        two.1,
    );
    Ok(())
}

async fn insert_one(tx: &mut Tx, journal: &str, entry: &(String, i64)) -> Result<(), Error> {
    later!(
        tx,
        "insert into ledger_entries (journal_id, account, amount_minor) values ($1, $2, $3)",
        journal,
        &entry.0,
        entry.1,
    );
    Ok(())
}

/// Takes money from an account that has it. Those who take wait for each other; who credits a share meanwhile only makes
/// it more.
async fn debit(tx: &mut Tx, name: &str, minor: i64) -> Result<bool, Error> {
    let sql = if busy(name) {
        "update ledger_accounts set balance_minor = balance_minor - $1 where name = $2 and balance_minor + \
         coalesce((select sum(s.balance_minor) from ledger_shares s where s.account = $2), 0) >= $1"
    } else {
        "update ledger_accounts set balance_minor = balance_minor - $1 where name = $2 and balance_minor >= $1"
    };
    Ok(guarded!(tx, sql, minor, name))
}

async fn add(tx: &mut Tx, name: &str, minor: i64, currency: &str) -> Result<(), Error> {
    if busy(name) && backend::add_to_share(tx, name, minor, currency).await? {
        return Ok(());
    }
    later!(
        tx,
        "insert into ledger_accounts (name, currency, balance_minor) values ($1, $2, $3) on conflict (name) \
         do update set balance_minor = ledger_accounts.balance_minor + excluded.balance_minor",
        name,
        currency,
        minor,
    );
    Ok(())
}

/// Locks an account until the transaction ends: where several journals are posted in one, the first to be locked is not
/// always in the first.
pub async fn hold(tx: &mut Tx, holder: &Holder, currency: &str) -> Result<(), Error> {
    on!(tx, |db| sqlx::query("update ledger_accounts set balance_minor = balance_minor where name = $1")
        .bind(holder.name(currency))
        .execute(db)
        .await
        .map(drop))?;
    Ok(())
}

/// What an account can spend.
pub async fn wallet(tx: &mut Tx, account: AccountId, currency: &str) -> Result<Money, Error> {
    let row: Option<(i64,)> =
        on!(tx, |db| sqlx::query_as("select balance_minor from ledger_accounts where name = $1")
            .bind(Holder::Wallet(account).name(currency))
            .fetch_optional(db)
            .await)?;
    Ok(Money { minor: row.map_or(0, |(minor,)| minor), currency: currency.to_owned() })
}

/// What an account owes, in minor units; never below zero.
pub async fn debt(tx: &mut Tx, account: AccountId, currency: &str) -> Result<i64, Error> {
    let row: Option<(i64,)> =
        on!(tx, |db| sqlx::query_as("select balance_minor from ledger_accounts where name = $1")
            .bind(Holder::Debt(account).name(currency))
            .fetch_optional(db)
            .await)?;
    Ok(row.map_or(0, |(minor,)| minor.saturating_neg()).max(0))
}

/// Every ledger account with its balance, by name: name, minor units, currency.
pub async fn balances(tx: &mut Tx) -> Result<Vec<(String, i64, String)>, Error> {
    Ok(on!(tx, |db| sqlx::query_as(
        "select name, balance_minor, currency from ledger_balances order by name"
    )
    .fetch_all(db)
    .await)?)
}

/// What is wrong with the ledger. An empty check is a sound one.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct Check {
    /// Journals looked at.
    pub journals: i64,
    /// The sum of every entry; zero.
    pub sum_minor: i64,
    /// Journals whose entries do not sum to zero.
    pub unbalanced_journals: Vec<String>,
    /// Accounts whose balance is not the sum of their entries.
    pub wrong_balances: Vec<String>,
    /// Accounts below zero that may not be.
    pub overdrawn: Vec<String>,
}

impl Check {
    /// Whether the ledger is sound.
    pub fn is_sound(&self) -> bool {
        self.sum_minor == 0
            && self.unbalanced_journals.is_empty()
            && self.wrong_balances.is_empty()
            && self.overdrawn.is_empty()
    }
}

/// Checks every invariant of the ledger.
pub async fn check(tx: &mut Tx) -> Result<Check, Error> {
    let (journals,): (i64,) =
        on!(tx, |db| sqlx::query_as("select count(*) from journals").fetch_one(db).await)?;
    let (sum_minor,): (i64,) = on!(tx, |db| sqlx::query_as(
        "select cast(coalesce(sum(amount_minor), 0) as bigint) from ledger_entries"
    )
    .fetch_one(db)
    .await)?;
    let mut found = Vec::new();
    for sql in [
        "select journal_id from ledger_entries group by journal_id having sum(amount_minor) <> 0 order by journal_id",
        "select a.name from ledger_balances a left join ledger_entries e on e.account = a.name \
         group by a.name, a.balance_minor having coalesce(sum(e.amount_minor), 0) <> a.balance_minor order by a.name",
        "select name from ledger_balances where balance_minor < 0 and name not like 'provider/%' \
         and name not like 'debt/%' order by name",
    ] {
        let rows: Vec<(String,)> = on!(tx, |db| sqlx::query_as(sql).fetch_all(db).await)?;
        found.push(rows.into_iter().map(|(name,)| name).collect::<Vec<_>>());
    }
    let mut found = found.into_iter();
    Ok(Check {
        journals,
        sum_minor,
        unbalanced_journals: found.next().unwrap_or_default(),
        wrong_balances: found.next().unwrap_or_default(),
        overdrawn: found.next().unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn parts_of_a_price_add_up(
            amounts in proptest::collection::vec(1..=1_000_000_i64, 1..5),
            cuts in proptest::collection::vec(any::<u32>(), 0..6),
        ) {
            let price: i64 = amounts.iter().sum();
            let mut points: Vec<i64> = cuts.into_iter().map(|cut| i64::from(cut) % price).collect();
            points.sort_unstable();
            points.push(price);
            let mut given = vec![0; amounts.len()];
            let mut before = 0;
            for point in points {
                let (was, is) = (proportion(&amounts, before), proportion(&amounts, point));
                let parts: Vec<i64> = is.iter().zip(&was).map(|(is, was)| is - was).collect();
                prop_assert_eq!(parts.iter().sum::<i64>(), point - before);
                given.iter_mut().zip(parts).for_each(|(given, part)| *given += part);
                before = point;
            }
            prop_assert_eq!(given, amounts);
        }
    }
}
