//! The double-entry ledger, in minor units.
//!
//! *Invariants:* the entries of a journal sum to zero; so does everything; an account's balance is the sum of its
//! entries. A wallet never goes below zero: the guard is inside the statement that debits it.
//!
//! Accounts are locked in the order provider, wallet, sales, so that PostgreSQL finds no cycle.

use matinee_protocol::api::Money;
use matinee_protocol::id::{AccountId, PlanId, TitleId};

use super::{Error, Tx};

/// Whose money an account of the ledger counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// What a payment provider has brought in; it goes below zero, for that is where money comes from.
    Provider(String),
    /// What an account can spend.
    Wallet(AccountId),
    /// What a title has earned.
    Sales(TitleId),
    /// What a plan over several titles has earned.
    PlanSales(PlanId),
}

impl Holder {
    /// The ledger account's name in a currency.
    pub fn name(&self, currency: &str) -> String {
        match self {
            Self::Provider(provider) => format!("provider/{provider}/{currency}"),
            Self::Wallet(account) => format!("wallet/{account}/{currency}"),
            Self::Sales(title) => format!("sales/{title}/{currency}"),
            Self::PlanSales(plan) => format!("plan-sales/{plan}/{currency}"),
        }
    }

    fn may_owe(&self) -> bool {
        matches!(self, Self::Provider(_))
    }
}

/// Why and when money moves.
#[derive(Debug, Clone, Copy)]
pub struct Journal<'a> {
    /// Its id.
    pub id: &'a str,
    /// `top_up` or `purchase`.
    pub kind: &'a str,
    /// The payment or purchase.
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
    let (payer, payee) = (from.name(&amount.currency), to.name(&amount.currency));
    let paid = if from.may_owe() {
        add(tx, &payer, -amount.minor, &amount.currency).await?;
        true
    } else {
        debit(tx, &payer, amount.minor).await?
    };
    if !paid {
        return Ok(false);
    }
    add(tx, &payee, amount.minor, &amount.currency).await?;
    on!(tx, |db| sqlx::query("insert into journals (id, kind, reference, at_ms) values ($1, $2, $3, $4)")
        .bind(journal.id)
        .bind(journal.kind)
        .bind(journal.reference)
        .bind(journal.at_ms)
        .execute(db)
        .await
        .map(drop))?;
    on!(tx, |db| sqlx::query(
        "insert into ledger_entries (journal_id, account, amount_minor) values ($1, $2, $3), ($1, $4, $5)"
    )
    .bind(journal.id)
    .bind(&payer)
    .bind(-amount.minor)
    .bind(&payee)
    .bind(amount.minor)
    .execute(db)
    .await
    .map(drop))?;
    Ok(true)
}

async fn debit(tx: &mut Tx, name: &str, minor: i64) -> Result<bool, Error> {
    let changed = on!(tx, |db| {
        sqlx::query(
        "update ledger_accounts set balance_minor = balance_minor - $1 where name = $2 and balance_minor >= $1"
    )
    .bind(minor)
    .bind(name)
    .execute(db)
    .await?
    .rows_affected()
    });
    Ok(changed == 1)
}

async fn add(tx: &mut Tx, name: &str, minor: i64, currency: &str) -> Result<(), Error> {
    on!(tx, |db| sqlx::query(
        "insert into ledger_accounts (name, currency, balance_minor) values ($1, $2, $3) on conflict (name) \
         do update set balance_minor = ledger_accounts.balance_minor + excluded.balance_minor"
    )
    .bind(name)
    .bind(currency)
    .bind(minor)
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

/// Every ledger account with its balance, by name: name, minor units, currency.
pub async fn balances(tx: &mut Tx) -> Result<Vec<(String, i64, String)>, Error> {
    Ok(on!(tx, |db| sqlx::query_as(
        "select name, balance_minor, currency from ledger_accounts order by name"
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
    /// Wallets and sales below zero.
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
        "select a.name from ledger_accounts a left join ledger_entries e on e.account = a.name \
         group by a.name, a.balance_minor having coalesce(sum(e.amount_minor), 0) <> a.balance_minor order by a.name",
        "select name from ledger_accounts where balance_minor < 0 and name not like 'provider/%' order by name",
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
