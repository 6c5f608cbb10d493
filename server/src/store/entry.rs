//! The ledger's entries in the order of their export.

use super::ledger::Holder;
use super::page::{Asked, Page, Position};
use super::{Error, Tx};

/// Entries in one page.
pub const ENTRIES_LISTED_MAX: i64 = 1_000;

/// An entry with its journal.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, sqlx::FromRow)]
pub struct Entry {
    /// When.
    pub at_ms: i64,
    /// The journal.
    pub journal: String,
    /// Its kind: `top_up`, `purchase`, `refund` and so on.
    pub kind: String,
    /// The payment, purchase, refund or dispute.
    pub reference: String,
    /// The ledger account.
    pub account: String,
    /// Minor units; the entries of a journal sum to zero.
    pub amount_minor: i64,
    /// ISO 4217.
    pub currency: String,
}

/// The place after an entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place(pub i64, pub String, pub String);

impl Entry {
    /// The place after this entry.
    pub fn place(&self) -> Place {
        Place(self.at_ms, self.journal.clone(), self.account.clone())
    }
}

/// Entries from a place on, oldest first, of journals not younger than `until_ms`; at most `limit` and
/// [`ENTRIES_LISTED_MAX`].
pub async fn after(tx: &mut Tx, place: &Place, until_ms: i64, limit: i64) -> Result<Vec<Entry>, Error> {
    Ok(on!(tx, |db| {
        sqlx::query_as(
        "select j.at_ms, j.id as journal, j.kind, j.reference, e.account, e.amount_minor, a.currency \
         from journals j join ledger_entries e on e.journal_id = j.id join ledger_accounts a on a.name = e.account \
         where j.at_ms >= $1 and (j.at_ms, j.id, e.account) > ($1, $2, $3) and j.at_ms < $4 \
         order by j.at_ms, j.id, e.account limit $5"
    )
    .bind(place.0)
    .bind(&place.1)
    .bind(&place.2)
    .bind(until_ms)
    .bind(limit.clamp(1, ENTRIES_LISTED_MAX))
    .fetch_all(db)
    .await
    })?)
}

/// What moved one holder's money, newest first.
pub async fn of_holder(
    tx: &mut Tx,
    holder: &Holder,
    currency: &str,
    asked: &Asked,
) -> Result<Page<Entry>, Error> {
    let (at, after) = asked.after();
    let rows: Vec<Entry> = on!(tx, |db| {
        sqlx::query_as(
            "select j.at_ms, j.id as journal, j.kind, j.reference, e.account, e.amount_minor, a.currency \
             from ledger_entries e join journals j on j.id = e.journal_id join ledger_accounts a on a.name = e.account \
             where e.account = $1 and (j.at_ms, j.id) < ($3, $4) order by j.at_ms desc, j.id desc limit $2",
        )
        .bind(holder.name(currency))
        .bind(asked.rows())
        .bind(at)
        .bind(after)
        .fetch_all(db)
        .await
    })?;
    Ok(asked.page(rows, |row| Position { at: row.at_ms, id: row.journal.clone() }))
}
