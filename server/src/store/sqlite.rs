//! Connections to a SQLite file: one that writes, some that read.
//!
//! They are lent by `deadpool`, for the pool that comes with the driver asks each connection whether it is still there when
//! it is given back: one more exchange with the connection's thread for every request that read something.

use std::path::Path;
use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{self, Metrics, PoolError, QueueMode, RecycleResult, Timeouts};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use super::later::GUARDS;

/// Readers beside the one writer.
const READERS_MAX: usize = 8;
/// How long a request waits for a connection before it fails, and a statement for another process that writes.
pub(super) const ACQUIRE_MAX: Duration = Duration::from_secs(30);
/// Statements that a connection keeps prepared: more than there are.
pub(super) const STATEMENTS_KEPT_MAX: usize = 512;
/// The page cache, in KiB, of the writer and of each reader.
const WRITER_CACHE_KIB: u32 = 64 * 1024;
const READER_CACHE_KIB: u32 = 8 * 1024;
/// Pages of 4 KiB in the log before they are moved to the file: a page that many commits change is moved once.
const LOG_PAGES: u32 = 8192;

/// After how many uses a connection is asked whether it is still there.
const USES_BETWEEN_QUESTIONS: usize = 64;

/// A connection that is lent; it goes back when it is dropped.
pub type Lent = managed::Object<Connecting>;

/// Makes connections.
#[derive(Debug)]
pub struct Connecting {
    options: SqliteConnectOptions,
    writes: bool,
}

impl managed::Manager for Connecting {
    type Type = SqliteConnection;
    type Error = sqlx::Error;

    async fn create(&self) -> Result<SqliteConnection, sqlx::Error> {
        let mut connection = self.options.connect().await?;
        if self.writes {
            sqlx::raw_sql(GUARDS).execute(&mut connection).await?;
        }
        Ok(connection)
    }

    /// It never leaves this process, and its thread ends by a fault only: seldom is often enough to ask for it.
    async fn recycle(&self, connection: &mut SqliteConnection, used: &Metrics) -> RecycleResult<sqlx::Error> {
        if used.recycle_count.is_multiple_of(USES_BETWEEN_QUESTIONS) {
            connection.ping().await?;
        }
        Ok(())
    }
}

/// Connections of one kind.
#[derive(Debug, Clone)]
pub struct Connections(managed::Pool<Connecting>);

impl Connections {
    /// The one that writes and those that read, and makes the file if there is none.
    pub(super) async fn open(path: &Path) -> Result<(Self, Self), sqlx::Error> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // Money is in this file: a commit survives a power cut.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .statement_cache_capacity(STATEMENTS_KEPT_MAX)
            // What a savepoint would restore is kept in memory: it is seldom wanted.
            .pragma("temp_store", "memory")
            .pragma("wal_autocheckpoint", LOG_PAGES.to_string())
            .busy_timeout(ACQUIRE_MAX);
        let cache = |kib| format!("-{kib}");
        let writing = options.clone().pragma("cache_size", cache(WRITER_CACHE_KIB));
        let reading = options.pragma("cache_size", cache(READER_CACHE_KIB)).pragma("query_only", "on");
        let writer = Self::new(writing, true, 1);
        // A file that cannot be opened is told now, and is in its mode before anybody reads it.
        drop(writer.lend().await?);
        Ok((writer, Self::new(reading, false, READERS_MAX)))
    }

    fn new(options: SqliteConnectOptions, writes: bool, count: usize) -> Self {
        let timeouts = Timeouts { wait: Some(ACQUIRE_MAX), ..Timeouts::default() };
        let pool = managed::Pool::builder(Connecting { options, writes })
            .max_size(count)
            .timeouts(timeouts)
            // The one that was used last has its pages and statements at hand.
            .queue_mode(QueueMode::Lifo)
            .runtime(Runtime::Tokio1);
        Self(pool.build().expect("there is a runtime for the timeouts"))
    }

    /// A connection, when there is one to be had.
    pub async fn lend(&self) -> Result<Lent, sqlx::Error> {
        self.0.get().await.map_err(|error| match error {
            PoolError::Backend(error) => error,
            PoolError::Closed => sqlx::Error::PoolClosed,
            PoolError::Timeout(_) | PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
                sqlx::Error::PoolTimedOut
            }
        })
    }

    /// A connection for good; another takes its place.
    pub(super) async fn give(&self) -> Result<SqliteConnection, sqlx::Error> {
        self.lend().await.map(Lent::take)
    }

    /// Lends no more, and closes what is not lent.
    pub(super) async fn close(&self) {
        let idle = self.0.retain(|_, _| false).removed;
        self.0.close();
        for connection in idle {
            // The file is sound whether or not its log is taken up on the way out.
            connection.close().await.ok();
        }
    }
}
