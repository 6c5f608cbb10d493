//! The two databases have one schema.

use std::collections::BTreeMap;
use std::path::Path;

use matinee_server::store::Store;

use crate::Database;

// The index for searching text is tables of its own on one and an index on the other: `tracks_search` is left out.

/// A column: type in SQLite's words, whether it may be null, its place in the primary key.
type Column = (String, bool, Option<i64>);
type Tables = BTreeMap<String, BTreeMap<String, Column>>;

async fn sqlite_tables(database: &Database) -> Tables {
    let Store::Sqlite { readers, .. } = &database.store else { panic!("not SQLite") };
    let rows: Vec<(String, String, String, bool, i64)> = sqlx::query_as(
        "select t.name, c.name, lower(c.type), c.\"notnull\", c.pk \
         from sqlite_master t join pragma_table_info(t.name) c \
         where t.type = 'table' and t.name not like 'sqlite_%' and t.name not like 'tracks\\_search%' escape '\\' and t.name not like '\\_sqlx%' escape '\\'",
    )
    .fetch_all(&mut *readers.lend().await.unwrap())
    .await
    .unwrap();
    let mut tables = Tables::new();
    for (table, column, kind, not_null, place) in rows {
        let place = (place > 0).then_some(place);
        // SQLite leaves a text primary key nullable unless it says otherwise; PostgreSQL never does.
        let nullable = !not_null && place.is_none();
        tables.entry(table).or_default().insert(column, (kind, nullable, place));
    }
    tables
}

async fn postgres_tables(database: &Database) -> Tables {
    let Store::Postgres(pool) = &database.store else { panic!("not PostgreSQL") };
    let rows: Vec<(String, String, String, bool, Option<i64>)> = sqlx::query_as(
        "select c.table_name::text, c.column_name::text, c.data_type::text, c.is_nullable = 'YES', \
         (select k.ordinal_position::bigint from information_schema.key_column_usage k \
          join information_schema.table_constraints p on p.constraint_name = k.constraint_name \
          and p.table_name = k.table_name and p.constraint_type = 'PRIMARY KEY' \
          where k.table_name = c.table_name and k.column_name = c.column_name) \
         from information_schema.columns c where c.table_schema = 'public' and c.table_name not like '\\_sqlx%' \
         and c.table_name not in (select v.table_name from information_schema.views v where v.table_schema = 'public')",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    let mut tables = Tables::new();
    for (table, column, kind, nullable, place) in rows {
        let kind = if kind == "bytea" { "blob".to_owned() } else { kind };
        tables.entry(table).or_default().insert(column, (kind, nullable, place));
    }
    tables
}

async fn sqlite_indexes(database: &Database) -> Vec<String> {
    let Store::Sqlite { readers, .. } = &database.store else { panic!("not SQLite") };
    let rows: Vec<(String,)> = sqlx::query_as(
        "select name from sqlite_master where type = 'index' and sql is not null order by name",
    )
    .fetch_all(&mut *readers.lend().await.unwrap())
    .await
    .unwrap();
    rows.into_iter().map(|(name,)| name).collect()
}

async fn postgres_indexes(database: &Database) -> Vec<String> {
    let Store::Postgres(pool) = &database.store else { panic!("not PostgreSQL") };
    let rows: Vec<(String,)> = sqlx::query_as(
        "select indexname::text from pg_indexes where schemaname = 'public' \
         and indexname not like '%\\_pkey' and indexname not like '%\\_key' and indexname <> 'tracks_search' order by indexname",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    rows.into_iter().map(|(name,)| name).collect()
}

#[tokio::test]
async fn tables_and_indexes_are_the_same() {
    let (sqlite, postgres) = (Database::sqlite().await, Database::postgres().await);
    let tables = sqlite_tables(&sqlite).await;
    assert!(tables.len() > 20, "{tables:?}");
    assert_eq!(tables, postgres_tables(&postgres).await);
    assert_eq!(sqlite_indexes(&sqlite).await, postgres_indexes(&postgres).await);
    sqlite.store.close().await;
    postgres.store.close().await;
}

#[tokio::test]
async fn migrating_again_changes_nothing() {
    for database in [Database::sqlite().await, Database::postgres().await] {
        let again = Store::open(&database.address).await.unwrap();
        again.migrate().await.unwrap();
        again.close().await;
        database.store.close().await;
    }
}

#[test]
fn migrations_have_the_same_names() {
    let names = |folder: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations").join(folder);
        let mut names: Vec<_> =
            std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names("sqlite"), names("postgres"));
    assert!(!names("sqlite").is_empty());
}
