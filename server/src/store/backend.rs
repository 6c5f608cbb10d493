//! What differs between the two databases: connecting, beginning and migrating.

use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Database, PgPool, Postgres, Sqlite, SqlitePool, Transaction};

use super::Error;

/// Readers beside SQLite's one writer.
const SQLITE_READERS_MAX: u32 = 8;
/// Connections to PostgreSQL.
const POSTGRES_CONNECTIONS_MAX: u32 = 16;
/// How long a request waits for a connection before it fails.
const ACQUIRE_S_MAX: u64 = 30;

static SQLITE: sqlx::migrate::Migrator = sqlx::migrate!("../migrations/sqlite");
static POSTGRES: sqlx::migrate::Migrator = sqlx::migrate!("../migrations/postgres");

/// A database.
#[derive(Debug, Clone)]
pub enum Store {
    /// A file in WAL mode. Eight writers are no faster than one and starve each other, so there is one.
    Sqlite {
        /// The one connection that writes.
        writer: SqlitePool,
        /// Connections that only read.
        readers: SqlitePool,
    },
    /// A PostgreSQL database.
    Postgres(PgPool),
}

/// A connection, inside a transaction or not.
#[derive(Debug)]
pub enum Link<DB: Database> {
    /// Rolled back on drop unless committed.
    Transaction(Transaction<'static, DB>),
    /// Each statement on its own; for reading.
    Plain(PoolConnection<DB>),
}

impl<DB: Database> Deref for Link<DB> {
    type Target = DB::Connection;

    fn deref(&self) -> &DB::Connection {
        match self {
            Self::Transaction(tx) => tx,
            Self::Plain(connection) => connection,
        }
    }
}

impl<DB: Database> DerefMut for Link<DB> {
    fn deref_mut(&mut self) -> &mut DB::Connection {
        match self {
            Self::Transaction(tx) => tx,
            Self::Plain(connection) => connection,
        }
    }
}

impl<DB: Database> Link<DB> {
    async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Transaction(tx) => tx.commit().await,
            Self::Plain(_) => Ok(()),
        }
    }
}

/// A transaction on either database.
#[derive(Debug)]
pub enum Tx {
    /// On SQLite.
    Sqlite(Link<Sqlite>),
    /// On PostgreSQL.
    Postgres(Link<Postgres>),
}

impl Tx {
    /// Makes what was written durable. A dropped transaction is rolled back.
    pub async fn commit(self) -> Result<(), Error> {
        match self {
            Self::Sqlite(link) => link.commit().await?,
            Self::Postgres(link) => link.commit().await?,
        }
        Ok(())
    }
}

impl Store {
    /// Opens `sqlite:<path>` or `postgres://…`, without touching the schema.
    pub async fn open(address: &str) -> Result<Self, Error> {
        if let Some(path) = address.strip_prefix("sqlite:") {
            Self::open_sqlite(Path::new(path.strip_prefix("//").unwrap_or(path))).await
        } else if address.starts_with("postgres://") || address.starts_with("postgresql://") {
            Self::open_postgres(address).await
        } else {
            // The address may hold a password: only its scheme is told.
            Err(Error::Address(address.split(':').next().unwrap_or_default().to_owned()))
        }
    }

    async fn open_sqlite(path: &Path) -> Result<Self, Error> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // Money is in this file: a commit survives a power cut.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(ACQUIRE_S_MAX));
        let acquire = Duration::from_secs(ACQUIRE_S_MAX);
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(acquire)
            .connect_with(options.clone());
        let writer = writer.await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(SQLITE_READERS_MAX)
            .acquire_timeout(acquire)
            .connect_with(options.pragma("query_only", "on"))
            .await?;
        Ok(Self::Sqlite { writer, readers })
    }

    async fn open_postgres(address: &str) -> Result<Self, Error> {
        let pool = PgPoolOptions::new()
            .max_connections(POSTGRES_CONNECTIONS_MAX)
            .acquire_timeout(Duration::from_secs(ACQUIRE_S_MAX))
            .connect_with(PgConnectOptions::from_str(address)?)
            .await?;
        Ok(Self::Postgres(pool))
    }

    /// Brings the schema up to date.
    pub async fn migrate(&self) -> Result<(), Error> {
        match self {
            Self::Sqlite { writer, .. } => SQLITE.run(writer).await?,
            Self::Postgres(pool) => POSTGRES.run(pool).await?,
        }
        Ok(())
    }

    /// A transaction that will write.
    ///
    /// SQLite takes its write lock at once: a deferred transaction that reads first fails with "database is locked"
    /// when another has written in between.
    pub async fn write(&self) -> Result<Tx, Error> {
        Ok(match self {
            Self::Sqlite { writer, .. } => {
                Tx::Sqlite(Link::Transaction(writer.begin_with("BEGIN IMMEDIATE").await?))
            }
            Self::Postgres(pool) => Tx::Postgres(Link::Transaction(pool.begin().await?)),
        })
    }

    /// A connection to read from; statements see each other's neighbours, not one snapshot.
    pub async fn read(&self) -> Result<Tx, Error> {
        Ok(match self {
            Self::Sqlite { readers, .. } => Tx::Sqlite(Link::Plain(readers.acquire().await?)),
            Self::Postgres(pool) => Tx::Postgres(Link::Plain(pool.acquire().await?)),
        })
    }

    /// Waits for what is under way and closes every connection.
    pub async fn close(&self) {
        match self {
            Self::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Self::Postgres(pool) => pool.close().await,
        }
    }
}
