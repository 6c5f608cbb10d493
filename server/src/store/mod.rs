//! The only SQL. One text serves SQLite and PostgreSQL: every statement is written once and expanded per database by
//! the `on!` macro; what must differ lives in [`backend`] with its reason.
//!
//! A function takes `&mut Tx`, so that the caller decides what is one transaction.

/// Expands an expression once per database, with `$conn` bound to that database's connection.
macro_rules! on {
    ($tx:expr, |$conn:ident| $body:expr) => {
        match $tx {
            $crate::store::Tx::Sqlite(link) => {
                let $conn = link.settled().await?;
                $body
            }
            $crate::store::Tx::Postgres(link) => {
                let $conn = &mut **link;
                $body
            }
        }
    };
}

/// Writes what no answer is waited for: an error may come with a later statement or the commit instead, and then undoes
/// the transaction. On SQLite it is put off until then, see [`later`].
macro_rules! later {
    ($tx:expr, $sql:expr, $($value:expr),+ $(,)?) => {
        match $tx {
            $crate::store::Tx::Sqlite(link) => {
                let values = link.later($sql).await?;
                $(values.push($value.into());)+
            }
            $crate::store::Tx::Postgres(link) => {
                sqlx::query($sql)$(.bind($value))+.execute(&mut **link).await?;
            }
        }
    };
}

/// Writes what must change one row, and says whether it did. A transaction that presumes says yes at once, and fails with
/// [`Error::Presumed`] at the next statement that is waited for if it did not.
macro_rules! guarded {
    ($tx:expr, $sql:expr, $($value:expr),+ $(,)?) => {
        match $tx {
            $crate::store::Tx::Sqlite(link) if link.presumes() => {
                let values = link.later($sql).await?;
                $(values.push($value.into());)+
                link.later($crate::store::later::GUARD).await?;
                true
            }
            $crate::store::Tx::Sqlite(link) => {
                let query = sqlx::query($sql)$(.bind($value))+;
                query.execute(link.settled().await?).await?.rows_affected() == 1
            }
            $crate::store::Tx::Postgres(link) => {
                let query = sqlx::query($sql)$(.bind($value))+;
                query.execute(&mut **link).await?.rows_affected() == 1
            }
        }
    };
}

pub mod account;
pub mod api_key;
pub mod audit;
pub mod backend;
pub mod carry;
pub mod catalogue;
pub mod ceremony;
pub mod collection;
pub mod copy;
pub mod country;
pub mod coupon;
pub mod device;
pub mod dispute;
pub mod ending;
pub mod entitlement;
pub mod entry;
pub mod event;
pub mod group;
pub mod idempotency;
pub mod identity;
pub mod import;
pub mod key_release;
mod later;
pub mod lease;
pub mod ledger;
pub mod outbox;
pub mod page;
pub mod passkey;
pub mod payment;
pub mod plan;
mod procedure;
pub mod proof;
pub mod purchase;
pub mod receipt;
pub mod refund;
pub mod release;
pub mod renewal;
pub mod report;
pub mod right;
pub mod royalty;
pub mod royalty_rule;
pub mod sales;
pub mod saved_method;
pub mod sealed;
pub mod session;
pub mod sign_in_link;
pub mod signing_key;
pub mod sqlite;
pub mod supplied;
pub mod tax;
pub mod title;
pub mod upload;
pub mod view;
pub mod view_break;
pub mod viewer;
pub mod webhook;
pub mod whole;
mod writer;

use std::sync::Arc;

pub use backend::{Store, Tx};

/// Why the store did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database failed or cannot be reached.
    #[error("database: {0}")]
    Database(sqlx::Error),
    /// What a transaction presumed was otherwise: it is undone, and has to be done without presuming.
    #[error("what was presumed was otherwise")]
    Presumed,
    /// What was written could not be made durable, and is undone.
    #[error("database: {0}")]
    Commit(Arc<sqlx::Error>),
    /// What was written was undone with a neighbour's transaction, on a disk that is full or fails.
    #[error("database: undone with another transaction that failed: the disk is full, or fails")]
    Undone,
    /// The schema could not be brought up to date.
    #[error("migration: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The address names no database that is supported.
    #[error("store {0:?}: write sqlite:<path> or postgres://<host>/<database>")]
    Address(String),
    /// A row holds what this program never wrote.
    #[error("unreadable row: {0}")]
    Corrupt(&'static str),
}

impl Error {
    /// Whether the database is there again, or has room again, without any change to this program or what it was asked.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Database(error) => passing(error),
            Self::Commit(error) => passing(error),
            Self::Undone => true,
            Self::Presumed | Self::Migrate(_) | Self::Address(_) | Self::Corrupt(_) => false,
        }
    }
}

/// Classes of PostgreSQL's errors (its documentation, appendix A) that tell of the server or of another transaction and not of
/// the statement: connection exceptions, transactions rolled back (deadlocks), insufficient resources, operator intervention.
const PASSING_CLASSES: [&str; 4] = ["08", "40", "53", "57"];
/// Results of SQLite (its documentation, "Result and Error Codes") that tell of the disk or of another process: `BUSY`, `IOERR`,
/// `FULL`, `CANTOPEN`.
const PASSING_RESULTS: [u32; 4] = [5, 10, 13, 14];

fn passing(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(told) = error else {
        return matches!(error, sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed);
    };
    let code = told.code().unwrap_or_default();
    match told.try_downcast_ref::<sqlx::sqlite::SqliteError>() {
        // The lower byte is the result, what stands above it the variety.
        Some(_) => code.parse::<u32>().is_ok_and(|code| PASSING_RESULTS.contains(&(code & 0xff))),
        None => PASSING_CLASSES.iter().any(|class| code.starts_with(class)),
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if presumed_otherwise(&error) { Self::Presumed } else { Self::Database(error) }
    }
}

/// Whether it is a guard that says so.
fn presumed_otherwise(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|told| told.message() == later::PRESUMED)
}

/// Reads an id out of a text column.
fn id<T: std::str::FromStr>(text: &str) -> Result<T, Error> {
    text.parse().map_err(|_| Error::Corrupt("id"))
}

/// A size as databases keep it.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A size as programs use it.
fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// An index as programs use it.
fn index(value: i64) -> Result<u32, Error> {
    u32::try_from(value).map_err(|_| Error::Corrupt("index"))
}
