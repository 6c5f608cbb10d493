//! What differs between the two databases: connecting, beginning and migrating.

use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{PgConnection, PgPool, Postgres, QueryBuilder, SqliteConnection, Transaction};

use super::Error;
use super::catalogue::{After, POPULARITY_MAX};
use super::import::ROWS_A_STATEMENT_MAX;
use super::later::Value;
use super::sqlite::{ACQUIRE_MAX, Connections, Lent, STATEMENTS_KEPT_MAX};
use super::writer::{Turn, Writer};
use crate::random;

/// Connections to PostgreSQL.
const POSTGRES_CONNECTIONS_MAX: u32 = 16;
/// Writes that a job has under way at once: SQLite's share a commit, PostgreSQL's each have a connection that requests need.
const SQLITE_WRITES_AT_ONCE: usize = 64;
const POSTGRES_WRITES_AT_ONCE: usize = 8;

static SQLITE: sqlx::migrate::Migrator = sqlx::migrate!("../migrations/sqlite");
static POSTGRES: sqlx::migrate::Migrator = sqlx::migrate!("../migrations/postgres");

/// A database.
#[derive(Debug, Clone)]
pub enum Store {
    /// A file in WAL mode. Eight writers are no faster than one and starve each other, so there is one.
    Sqlite {
        /// The one connection that writes.
        writer: Writer,
        /// Connections that only read.
        readers: Connections,
    },
    /// A PostgreSQL database.
    Postgres(PgPool),
}

/// A connection to SQLite, inside a transaction or not.
#[derive(Debug)]
pub enum SqliteLink {
    /// Rolled back on drop unless committed.
    Turn(Turn),
    /// Each statement on its own; for reading.
    Plain(Lent),
    /// One moment of the database; for reading.
    Snapshot(Box<SqliteConnection>),
}

impl SqliteLink {
    /// The connection, once it has done everything that was put off.
    pub async fn settled(&mut self) -> Result<&mut SqliteConnection, sqlx::Error> {
        match self {
            Self::Turn(turn) => turn.settled().await,
            Self::Plain(connection) => Ok(connection),
            Self::Snapshot(connection) => Ok(connection),
        }
    }

    /// Puts a statement off, and gives where its values go. Only a transaction can.
    pub(super) async fn later(&mut self, sql: &str) -> Result<&mut Vec<Value>, Error> {
        match self {
            Self::Turn(turn) => Ok(turn.later(sql).await?),
            Self::Plain(_) | Self::Snapshot(_) => Err(Error::Corrupt("a write outside of a transaction")),
        }
    }

    /// Whether guards are presumed to hold.
    pub(super) fn presumes(&self) -> bool {
        matches!(self, Self::Turn(turn) if turn.presumes())
    }
}

/// A connection to PostgreSQL, inside a transaction or not.
#[derive(Debug)]
pub enum PostgresLink {
    /// Rolled back on drop unless committed.
    Transaction(Transaction<'static, Postgres>),
    /// Each statement on its own; for reading.
    Plain(PoolConnection<Postgres>),
}

impl Deref for PostgresLink {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        match self {
            Self::Transaction(tx) => tx,
            Self::Plain(connection) => connection,
        }
    }
}

impl DerefMut for PostgresLink {
    fn deref_mut(&mut self) -> &mut PgConnection {
        match self {
            Self::Transaction(tx) => tx,
            Self::Plain(connection) => connection,
        }
    }
}

/// A transaction on either database.
#[derive(Debug)]
pub enum Tx {
    /// On SQLite.
    Sqlite(SqliteLink),
    /// On PostgreSQL.
    Postgres(PostgresLink),
}

impl Tx {
    /// Whether guards are presumed to hold, see [`Store::presume`].
    pub fn presumes(&self) -> bool {
        matches!(self, Self::Sqlite(link) if link.presumes())
    }

    /// Makes what was written durable. A dropped transaction is rolled back.
    pub async fn commit(self) -> Result<(), Error> {
        match self {
            Self::Sqlite(SqliteLink::Turn(turn)) => turn.commit().await,
            Self::Postgres(PostgresLink::Transaction(tx)) => Ok(tx.commit().await?),
            Self::Sqlite(SqliteLink::Plain(_) | SqliteLink::Snapshot(_))
            | Self::Postgres(PostgresLink::Plain(_)) => Ok(()),
        }
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
        let (writer, readers) = Connections::open(path).await?;
        Ok(Self::Sqlite { writer: Writer::new(writer), readers })
    }

    async fn open_postgres(address: &str) -> Result<Self, Error> {
        let pool = PgPoolOptions::new()
            .max_connections(POSTGRES_CONNECTIONS_MAX)
            .acquire_timeout(ACQUIRE_MAX)
            .connect_with(PgConnectOptions::from_str(address)?.statement_cache_capacity(STATEMENTS_KEPT_MAX))
            .await?;
        Ok(Self::Postgres(pool))
    }

    /// Brings the schema up to date.
    pub async fn migrate(&self) -> Result<(), Error> {
        match self {
            Self::Sqlite { writer, .. } => SQLITE.run(&mut *writer.lend().await?).await?,
            Self::Postgres(pool) => POSTGRES.run(pool).await?,
        }
        Ok(())
    }

    /// A transaction that will write.
    ///
    /// SQLite takes its write lock at once: a deferred transaction that reads first fails with "database is locked"
    /// when another has written in between. Its commits are shared, see [`super::writer`].
    pub async fn write(&self) -> Result<Tx, Error> {
        self.begin(false).await
    }

    /// A transaction that presumes that each of its guards holds. On SQLite nothing of it is waited for before the commit,
    /// if it reads nothing: that is one exchange with the driver's thread instead of one for each guard. What was presumed
    /// wrongly undoes it, with [`Error::Presumed`]. PostgreSQL is asked each time, and presumes nothing.
    ///
    /// Only its success is to be believed: whatever else comes of it is found out by doing it again with
    /// [`Store::write`], see [`Store::presuming`].
    pub async fn presume(&self) -> Result<Tx, Error> {
        self.begin(true).await
    }

    async fn begin(&self, presumes: bool) -> Result<Tx, Error> {
        Ok(match self {
            Self::Sqlite { writer, .. } => Tx::Sqlite(SqliteLink::Turn(writer.turn(presumes).await?)),
            Self::Postgres(pool) => Tx::Postgres(PostgresLink::Transaction(reached(|| pool.begin()).await?)),
        })
    }

    /// Does something in a transaction that presumes, if it is likely to go through; and if that comes to nothing, again
    /// in one that asks.
    pub async fn presuming<T, E, F>(&self, likely: bool, work: impl Fn(Tx) -> F) -> Result<T, E>
    where
        E: From<Error>,
        F: Future<Output = Result<T, E>>,
    {
        if likely
            && matches!(self, Self::Sqlite { .. })
            && let Ok(done) = work(self.presume().await?).await
        {
            return Ok(done);
        }
        work(self.write().await?).await
    }

    /// How many writes a job should have under way at once.
    pub fn writes_at_once(&self) -> usize {
        match self {
            Self::Sqlite { .. } => SQLITE_WRITES_AT_ONCE,
            Self::Postgres(_) => POSTGRES_WRITES_AT_ONCE,
        }
    }

    /// A connection to read from; statements see each other's neighbours, not one snapshot.
    pub async fn read(&self) -> Result<Tx, Error> {
        Ok(match self {
            Self::Sqlite { readers, .. } => Tx::Sqlite(SqliteLink::Plain(readers.lend().await?)),
            Self::Postgres(pool) => Tx::Postgres(PostgresLink::Plain(reached(|| pool.acquire()).await?)),
        })
    }

    /// A connection that reads one moment of the database, whatever others write.
    pub async fn snapshot(&self) -> Result<Tx, Error> {
        Ok(match self {
            Self::Sqlite { readers, .. } => {
                let mut connection = readers.give().await?;
                sqlx::query("begin").execute(&mut connection).await?;
                Tx::Sqlite(SqliteLink::Snapshot(Box::new(connection)))
            }
            Self::Postgres(pool) => {
                let begin = "begin isolation level repeatable read read only";
                Tx::Postgres(PostgresLink::Transaction(reached(|| pool.begin_with(begin)).await?))
            }
        })
    }

    /// Writes the whole database, as it is at this moment, into a new file. SQLite only: PostgreSQL has its own tools.
    pub async fn save_to(&self, file: &Path) -> Result<(), Error> {
        let Self::Sqlite { readers, .. } = self else { return Err(Error::Corrupt("not SQLite")) };
        let mut connection = readers.give().await?;
        // It reads the database and writes another file, which a connection that only reads takes for writing.
        sqlx::query("pragma query_only = off").execute(&mut connection).await?;
        sqlx::query("vacuum into $1").bind(file.display().to_string()).execute(&mut connection).await?;
        Ok(())
    }

    /// What SQLite finds wrong with its file; nothing if it is sound. PostgreSQL has its own tools.
    pub async fn integrity(&self) -> Result<Vec<String>, Error> {
        let Self::Sqlite { readers, .. } = self else { return Ok(Vec::new()) };
        let rows: Vec<(String,)> =
            sqlx::query_as("pragma quick_check").fetch_all(&mut *readers.lend().await?).await?;
        Ok(rows.into_iter().map(|(found,)| found).filter(|found| found != "ok").collect())
    }

    /// Migrations that this program has and the database has not.
    pub async fn migrations_missing(&self) -> Result<usize, Error> {
        let (all, sql) = match self {
            Self::Sqlite { .. } => (&SQLITE, "select count(*) from _sqlx_migrations where success"),
            Self::Postgres(_) => (&POSTGRES, "select count(*) from _sqlx_migrations where success"),
        };
        let mut tx = self.read().await?;
        let done: Result<(i64,), sqlx::Error> = on!(&mut tx, |db| sqlx::query_as(sql).fetch_one(db).await);
        // Without the table of migrations none was ever made.
        let done = done.map_or(0, |(done,)| usize::try_from(done).unwrap_or(0));
        Ok(all.iter().count().saturating_sub(done))
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

/// How often a connection to PostgreSQL is asked for that cannot be made.
const REACHES_MAX: u32 = 4;
/// How long to wait before it is asked for again; each time twice as long.
const REACH_AGAIN_MS: u64 = 25;

/// A connection, or a transaction that has done nothing yet: where opening it fails, it is asked for again. The pool does so by
/// itself only where nobody listens or every connection is taken; a connection that breaks while it is opened it hands on as the
/// failure of whoever asked, and takes what is missing then for words that are not of the protocol.
async fn reached<T, F>(ask: impl Fn() -> F) -> Result<T, sqlx::Error>
where
    F: Future<Output = Result<T, sqlx::Error>>,
{
    let mut asked = 0;
    loop {
        let broken = match ask().await {
            Err(sqlx::Error::Io(broken)) => broken,
            Err(sqlx::Error::Protocol(told)) => std::io::Error::other(told),
            outcome => return outcome,
        };
        asked += 1;
        if asked == REACHES_MAX {
            return Err(sqlx::Error::Io(broken));
        }
        tracing::warn!(error = %broken, "no connection to PostgreSQL; asking again");
        tokio::time::sleep(Duration::from_millis(REACH_AGAIN_MS << asked)).await;
    }
}

/// A statement put together from rows, for the database of this connection.
pub(super) fn statement<C: sqlx::Connection>(_: &C, sql: &str) -> QueryBuilder<C::Database> {
    QueryBuilder::new(sql)
}

/// Rows that a balance which many credit at once is divided into: no fewer than connections.
const SHARES: u32 = POSTGRES_CONNECTIONS_MAX;

/// Adds to one of the shares of a balance. False on SQLite, which has one writer and needs none: a balance's own row
/// stands there for all of it. On PostgreSQL whoever credits a row holds it until the disk has the commit, so that a
/// single row would take no more credits than the disk takes waits.
pub(super) async fn add_to_share(tx: &mut Tx, name: &str, minor: i64, currency: &str) -> Result<bool, Error> {
    let Tx::Postgres(link) = tx else { return Ok(false) };
    let sql = "with known as (insert into ledger_accounts (name, currency, balance_minor) values ($1, $2, 0) \
               on conflict (name) do nothing) \
               insert into ledger_shares (account, share, balance_minor) values ($1, $3, $4) \
               on conflict (account, share) \
               do update set balance_minor = ledger_shares.balance_minor + excluded.balance_minor";
    let query = sqlx::query(sql).bind(name).bind(currency);
    let share = u32::from_le_bytes(random::bytes()) % SHARES;
    query.bind(i64::from(share)).bind(minor).execute(&mut **link).await?;
    Ok(true)
}

/// Bits of a row of the search index that are the track's number.
const SEARCH_ID_BITS: u32 = 31;

/// Where a track stands in SQLite's search index: the more popular, the further to the front.
fn search_row(track: &After) -> i64 {
    i64::from(POPULARITY_MAX - track.popularity) << SEARCH_ID_BITS | i64::from(track.id)
}

/// The numbers of the tracks that have every word, the last of them perhaps only begun, the most popular first.
///
/// The databases differ in how text is searched. FTS5 gives matches in the order of its rows, so that the first few
/// of a million are found without looking at the rest; PostgreSQL chooses by its statistics between the text index and
/// a walk down the index of popularity.
pub(super) async fn search_tracks(tx: &mut Tx, words: &[String], limit: i64) -> Result<Vec<i32>, Error> {
    // Words hold letters and digits only; the quotes keep those of the query languages from meaning anything.
    match tx {
        Tx::Sqlite(link) => {
            let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
            let sql = "select rowid from tracks_search where tracks_search match $1 order by rowid limit $2";
            let query = sqlx::query_as(sql).bind(format!("{} *", quoted.join(" "))).bind(limit);
            let rows: Vec<(i64,)> = query.fetch_all(link.settled().await?).await?;
            let mask = (1 << SEARCH_ID_BITS) - 1;
            rows.into_iter()
                .map(|(row,)| i32::try_from(row & mask).map_err(|_| Error::Corrupt("row")))
                .collect()
        }
        Tx::Postgres(link) => {
            let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
            let sql = "select id from tracks where to_tsvector('simple', words) @@ to_tsquery('simple', $1) \
                       order by popularity desc, id limit $2";
            let query = sqlx::query_as(sql).bind(format!("{}:*", quoted.join(" & "))).bind(limit);
            let rows: Vec<(i32,)> = query.fetch_all(&mut **link).await?;
            Ok(rows.into_iter().map(|(id,)| id).collect())
        }
    }
}

/// Keeps the search index in step with the tracks. PostgreSQL does it by itself; FTS5 holds no text of its own and is
/// told, in the order of its rows, for it writes a new part whenever that goes backwards.
pub(super) async fn index_tracks(
    tx: &mut Tx,
    before: &[After],
    now: &mut [(After, &str)],
) -> Result<(), Error> {
    let Tx::Sqlite(link) = tx else { return Ok(()) };
    let db = link.settled().await?;
    for track in before {
        let query = sqlx::query("delete from tracks_search where rowid = $1").bind(search_row(track));
        query.execute(&mut *db).await?;
    }
    now.sort_unstable_by_key(|(track, _)| search_row(track));
    for part in now.chunks(ROWS_A_STATEMENT_MAX) {
        let mut query = QueryBuilder::new("insert into tracks_search (rowid, words) ");
        query.push_values(part, |mut row, (track, words)| {
            row.push_bind(search_row(track)).push_bind(*words);
        });
        query.build().persistent(part.len() == ROWS_A_STATEMENT_MAX).execute(&mut *db).await?;
    }
    Ok(())
}

/// Pages of the search index that are written in one step of putting it in order.
const MERGED_PAGES: i32 = 2_000;

/// Goes a step towards one part of the search index, and says whether there is another. PostgreSQL's has no parts.
///
/// FTS5 can do all of it in one statement, but that holds the writer, and what a savepoint would restore, until the end.
/// The first step takes up every part there is, whatever their sizes; a later one must not, or it would begin again.
async fn merge_index(tx: &mut Tx, first: bool) -> Result<bool, Error> {
    let Tx::Sqlite(link) = tx else { return Ok(false) };
    let db = link.settled().await?;
    let before = changes(db).await?;
    let merge = "insert into tracks_search (tracks_search, rank) values ('merge', $1)";
    let pages = if first { -MERGED_PAGES } else { MERGED_PAGES };
    sqlx::query(merge).bind(pages).execute(&mut *db).await?;
    // The statement's own row is one; whatever else changed is a part that was merged (FTS5's documentation, `merge`).
    Ok(changes(db).await? - before >= 2)
}

async fn changes(db: &mut SqliteConnection) -> Result<i64, Error> {
    let (changes,) = sqlx::query_as("select total_changes()").fetch_one(db).await?;
    Ok(changes)
}

/// Goes a step towards what is quickest to read after many rows came in, and says whether there is another. The last brings
/// the planner's statistics up to date.
pub(super) async fn settle_index(tx: &mut Tx, first: bool) -> Result<bool, Error> {
    if merge_index(tx, first).await? {
        return Ok(true);
    }
    match tx {
        Tx::Sqlite(link) => sqlx::query("analyze").execute(link.settled().await?).await.map(drop)?,
        Tx::Postgres(link) => sqlx::query("analyze tracks").execute(&mut **link).await.map(drop)?,
    }
    Ok(false)
}

/// What PostgreSQL's lock of the catalogue is called: any number that is nobody else's in this database.
const CATALOGUE_LOCK: i64 = 0x6d61_7469_6e65_6531;

/// Waits until nobody else fills the catalogue, and keeps others from it until the transaction ends.
pub(super) async fn hold_catalogue(tx: &mut Tx) -> Result<(), Error> {
    let Tx::Postgres(link) = tx else { return Ok(()) };
    sqlx::query("select pg_advisory_xact_lock($1)").bind(CATALOGUE_LOCK).execute(&mut **link).await?;
    Ok(())
}

/// Lets a table's own numbering go on after the rows that came with numbers. SQLite does so by itself.
pub(super) async fn number_from(tx: &mut Tx, table: &str, column: &str) -> Result<(), Error> {
    let Tx::Postgres(link) = tx else { return Ok(()) };
    let sql = format!(
        "select setval(pg_get_serial_sequence('{table}', '{column}'), \
         (select coalesce(max({column}), 0) + 1 from {table}), false)"
    );
    sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut **link).await?;
    Ok(())
}
