//! Moves everything from one database to another, of either kind: table by table, what is pointed at before what points.
//!
//! What tables there are is read from a fresh schema of this program's own, not from a list that could be forgotten. The
//! source is read in one snapshot and the target written in one transaction: there is all of it or nothing.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::TryStreamExt as _;
use sqlx::{AssertSqlSafe, Row as _};

use super::{Error, Store, Tx, backend, import};

/// Values in one statement; SQLite takes 32,766.
const VALUES_A_STATEMENT_MAX: usize = 16_000;
/// Rows in one statement.
const ROWS_A_STATEMENT_MAX: usize = 500;

/// Why nothing was copied.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A database.
    #[error(transparent)]
    Store(#[from] Error),
    /// The target holds rows.
    #[error("the target is not empty: {table} has {rows} rows; give a new database")]
    NotEmpty {
        /// Where.
        table: String,
        /// How many.
        rows: i64,
    },
    /// The target does not hold what was copied.
    #[error("{table} has {from} rows and {to} arrived; nothing was kept")]
    Miscounted {
        /// Where.
        table: String,
        /// Rows in the source.
        from: i64,
        /// Rows in the target.
        to: i64,
    },
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Blob,
    Big,
    Integer,
    Boolean,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Column {
    name: String,
    kind: Kind,
    /// Whether the database numbers rows by it.
    numbers: bool,
}

/// A table and its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    name: String,
    columns: Vec<Column>,
}

impl Table {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn list(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        names.join(", ")
    }
}

enum Value {
    Text(Option<String>),
    Blob(Option<Vec<u8>>),
    Big(Option<i64>),
    Integer(Option<i32>),
    Boolean(Option<bool>),
}

/// Every table of this program's schema, what is pointed at before what points.
pub async fn tables() -> Result<Vec<Table>, Error> {
    let store = Store::open("sqlite::memory:").await?;
    store.migrate().await?;
    let mut tx = store.write().await?;
    let names: Vec<(String,)> = on!(&mut tx, |db| {
        sqlx::query_as(
        "select name from sqlite_master where type = 'table' and name not like 'sqlite\\_%' escape '\\' \
         and name not like '\\_sqlx%' escape '\\' and name not like 'tracks\\_search%' escape '\\' order by name"
    )
    .fetch_all(db)
    .await
    })?;
    let mut found = BTreeMap::new();
    let mut points = BTreeMap::new();
    for (name,) in names {
        let rows: Vec<(String, String, i64)> = on!(&mut tx, |db| sqlx::query_as(
            "select name, lower(type), pk from pragma_table_info($1) order by cid"
        )
        .bind(&name)
        .fetch_all(db)
        .await)?;
        let columns: Result<_, Error> =
            rows.into_iter().map(|(name, kind, place)| column(name, &kind, place)).collect();
        let to: Vec<(String,)> =
            on!(&mut tx, |db| sqlx::query_as("select distinct \"table\" from pragma_foreign_key_list($1)")
                .bind(&name)
                .fetch_all(db)
                .await)?;
        let to: BTreeSet<String> = to.into_iter().map(|(to,)| to).filter(|to| *to != name).collect();
        points.insert(name.clone(), to);
        found.insert(name.clone(), Table { name, columns: columns? });
    }
    drop(tx);
    store.close().await;
    let mut ordered = Vec::new();
    while let Some(name) = points.iter().find(|(_, to)| to.is_empty()).map(|(name, _)| name.clone()) {
        points.remove(&name);
        for to in points.values_mut() {
            to.remove(&name);
        }
        ordered.extend(found.remove(&name));
    }
    if points.is_empty() { Ok(ordered) } else { Err(Error::Corrupt("tables that point at each other")) }
}

fn column(name: String, kind: &str, place: i64) -> Result<Column, Error> {
    let kind = match kind {
        "text" => Kind::Text,
        "blob" => Kind::Blob,
        "bigint" => Kind::Big,
        "integer" => Kind::Integer,
        "boolean" => Kind::Boolean,
        _ => return Err(Error::Corrupt("column of a kind that is not known")),
    };
    Ok(Column { name, kind, numbers: kind == Kind::Integer && place > 0 })
}

/// How many rows a table has.
pub async fn count(tx: &mut Tx, table: &Table) -> Result<i64, Error> {
    let sql = format!("select count(*) from {}", table.name);
    let (rows,): (i64,) = on!(tx, |db| sqlx::query_as(AssertSqlSafe(sql)).fetch_one(db).await)?;
    Ok(rows)
}

/// Takes a row apart by the kinds of its columns; a macro, for the two databases' rows are two types.
macro_rules! values {
    ($row:expr, $table:expr) => {{
        let mut values = Vec::with_capacity($table.columns.len());
        for (at, column) in $table.columns.iter().enumerate() {
            values.push(match column.kind {
                Kind::Text => Value::Text($row.try_get(at)?),
                Kind::Blob => Value::Blob($row.try_get(at)?),
                Kind::Big => Value::Big($row.try_get(at)?),
                Kind::Integer => Value::Integer($row.try_get(at)?),
                Kind::Boolean => Value::Boolean($row.try_get(at)?),
            });
        }
        values
    }};
}

async fn copy_table(
    from: &mut Tx,
    to: &mut Tx,
    table: &Table,
    progress: &mut impl FnMut(&Table, u64),
) -> Result<(), Error> {
    let rows_max = (VALUES_A_STATEMENT_MAX / table.columns.len()).clamp(1, ROWS_A_STATEMENT_MAX);
    let sql = format!("select {} from {}", table.list(), table.name);
    let mut batch: Vec<Vec<Value>> = Vec::with_capacity(rows_max);
    on!(from, |db| {
        let mut rows = sqlx::query(AssertSqlSafe(sql)).fetch(db);
        while let Some(row) = rows.try_next().await? {
            batch.push(values!(row, table));
            if batch.len() == rows_max {
                insert(to, table, &batch).await?;
                progress(table, batch.len() as u64);
                batch.clear();
            }
        }
    });
    if !batch.is_empty() {
        insert(to, table, &batch).await?;
        progress(table, batch.len() as u64);
    }
    Ok(())
}

async fn insert(to: &mut Tx, table: &Table, rows: &[Vec<Value>]) -> Result<(), Error> {
    let sql = format!("insert into {} ({}) ", table.name, table.list());
    on!(to, |db| {
        let mut query = backend::statement(db, &sql);
        query.push_values(rows, |mut into, row| {
            for value in row {
                match value {
                    Value::Text(text) => into.push_bind(text),
                    Value::Blob(bytes) => into.push_bind(bytes),
                    Value::Big(number) => into.push_bind(number),
                    Value::Integer(number) => into.push_bind(number),
                    Value::Boolean(flag) => into.push_bind(flag),
                };
            }
        });
        query.build().execute(db).await?;
    });
    Ok(())
}

/// Copies every table, and compares the counts before anything is kept. `progress` hears of rows as they arrive.
pub async fn copy(
    from: &Store,
    to: &Store,
    mut progress: impl FnMut(&Table, u64),
) -> Result<Vec<(String, i64)>, Failure> {
    let tables = tables().await?;
    let mut source = from.snapshot().await?;
    let mut target = to.write().await?;
    for table in &tables {
        let rows = count(&mut target, table).await?;
        if rows > 0 {
            return Err(Failure::NotEmpty { table: table.name.clone(), rows });
        }
    }
    let mut copied = Vec::new();
    for table in &tables {
        copy_table(&mut source, &mut target, table, &mut progress).await?;
        let counts = (count(&mut source, table).await?, count(&mut target, table).await?);
        if counts.0 != counts.1 {
            let table = table.name.clone();
            return Err(Failure::Miscounted { table, from: counts.0, to: counts.1 });
        }
        for column in table.columns.iter().filter(|column| column.numbers) {
            backend::number_from(&mut target, &table.name, &column.name).await?;
        }
        copied.push((table.name.clone(), counts.0));
    }
    import::index_all(&mut target).await?;
    target.commit().await?;
    Ok(copied)
}
