//! The two databases have one schema.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use matinee_server::store::account::{self, Role};
use matinee_server::store::audit::{self, Act, Actor};
use matinee_server::store::identity::{self, Identity};
use matinee_server::store::page::Asked;
use matinee_server::store::passkey::{self, Passkey};
use matinee_server::store::{Store, purchase};
use serde_json::json;
use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, SqliteConnection};

use crate::Database;
use crate::fixture::{self, NOW_MS};

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

fn files(folder: &str) -> Vec<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations").join(folder);
    let mut files: Vec<_> = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// The migrations of a database before that of this number.
async fn before(folder: &str, number: &str) -> Migrator {
    let copy = tempfile::tempdir().unwrap();
    for file in files(folder) {
        let name = file.file_name().unwrap();
        if name.to_str().unwrap() < number {
            std::fs::copy(&file, copy.path().join(name)).unwrap();
        }
    }
    Migrator::new(copy.path()).await.unwrap()
}

/// A subscription whose second month was charged to a saved method and whose third came out of the wallet, as that was
/// kept before each was a purchase.
const RENEWED_BEFORE: &str = "
    insert into accounts (id, email, name, password_hash, roles, created_at_ms) values ('@a', 'a@b.c', 'Ana', '!', 'viewer', 1);
    insert into titles (id, publisher_id, name, created_at_ms) values ('@b', '@a', 'Film', 1);
    insert into plans (id, title_id, kind, price_minor, currency, created_at_ms)
        values ('@c', '@b', 'subscription', 300, 'USD', 1);
    insert into ledger_accounts (name, currency, balance_minor)
        values ('wallet/@a/USD', 'USD', 0), ('sales/@b/USD', 'USD', 0), ('tax/DE/USD', 'USD', 0);
    insert into journals (id, kind, reference, at_ms)
        values ('@d', 'purchase', '@d', 1), ('@e/2', 'renewal', '@e', 2), ('@e/3', 'renewal', '@e', 3);
    insert into ledger_entries (journal_id, account, amount_minor)
        select j.id, x.name, x.minor from journals j cross join (select 'wallet/@a/USD' as name, -300 as minor
        union all select 'sales/@b/USD', 252 union all select 'tax/DE/USD', 48) x;
    insert into purchases (id, account_id, plan_id, price_minor, currency, journal_id, created_at_ms)
        values ('@d', '@a', '@c', 300, 'USD', '@d', 1), ('@f', '@a', '@c', 300, 'USD', '@e/2', 2);
    insert into entitlements (id, account_id, title_id, kind, plan_id, purchase_id, state, views_used, created_at_ms)
        values ('@e', '@a', '@b', 'subscription', '@c', '@d', 'ready', 0, 1);
    insert into payments (id, account_id, plan_id, entitlement_id, period_index, purchase_id, provider, amount_minor,
        refunded_minor, currency, state, created_at_ms, changed_at_ms, checks)
        values ('@1', '@a', '@c', '@e', 2, '@f', 'simulated', 300, 0, 'USD', 'succeeded', 2, 2, 0),
        ('@2', '@a', '@c', '@e', 3, null, 'simulated', 300, 0, 'USD', 'failed', 3, 3, 0);
    insert into tax_lines (purchase_id, line, country, rate_basis_points, net_minor, tax_minor, currency)
        values ('@d', 0, 'DE', 1900, 252, 48, 'USD'), ('@f', 0, 'DE', 1900, 252, 48, 'USD'),
        ('@d', 3, 'CH', 810, 278, 22, 'USD');";

#[tokio::test]
async fn periods_that_were_paid_for_before_are_purchases() {
    let id = |last: &str| format!("0190d9e4-0000-7000-8000-00000000000{last}");
    let rows = RENEWED_BEFORE.replace('@', &id(""));
    let folder = tempfile::tempdir().unwrap();
    let cluster = tokio::task::spawn_blocking(crate::postgres::Cluster::shared).await.unwrap();
    let own = format!("sqlite:{}", folder.path().join("matinee.db").display());
    for address in [own, cluster.database().await] {
        if address.starts_with("sqlite:") {
            let mut link = SqliteConnection::connect(&format!("{address}?mode=rwc")).await.unwrap();
            before("sqlite", "0020").await.run(&mut link).await.unwrap();
            link.execute(AssertSqlSafe(rows.clone())).await.unwrap();
            link.close().await.unwrap();
        } else {
            let mut link = PgConnection::connect(&address).await.unwrap();
            before("postgres", "0020").await.run(&mut link).await.unwrap();
            link.execute(AssertSqlSafe(rows.clone())).await.unwrap();
            link.close().await.unwrap();
        }
        let store = Store::open(&address).await.unwrap();
        store.migrate().await.unwrap();
        let mut tx = store.read().await.unwrap();
        let account = id("a").parse().unwrap();
        let bills = purchase::bills(&mut tx, account, &Asked::first(10)).await.unwrap().rows;
        let told: Vec<_> = bills
            .iter()
            .map(|bill| {
                (
                    bill.created_at_ms,
                    bill.price_minor,
                    bill.renews.clone(),
                    bill.country.clone(),
                    bill.tax_minor,
                )
            })
            .collect();
        let (renews, country) = (Some(id("e")), |code: &str| Some(code.to_owned()));
        assert_eq!(
            told,
            [
                (3, 300, renews.clone(), country("CH"), Some(22)),
                (2, 300, renews, country("DE"), Some(48)),
                (1, 300, None, country("DE"), Some(48)),
            ]
        );
        for (bill, period) in bills.iter().zip([Some(3), Some(2), None]) {
            let found = purchase::by_id(&mut tx, bill.id.parse().unwrap()).await.unwrap().unwrap();
            assert_eq!(found.renews.map(|renews| renews.period), period);
            let journal = period.map_or(id("d"), |period| format!("{}/{period}", id("e")));
            assert_eq!(found.journal_id, Some(journal));
        }
        drop(tx);
        store.close().await;
    }
}

/// Whoever was let in by somebody who answers for the address keeps what opens the account.
#[tokio::test]
async fn addresses_that_were_answered_for_are_verified() {
    for database in [Database::sqlite().await, Database::postgres().await] {
        let mut tx = database.write().await;
        let mut ids = Vec::new();
        for name in ["operator", "provider", "linked", "with_passkey", "self"] {
            let id = fixture::account(&mut tx, &format!("{name}@example.org"), &[Role::Viewer]).await;
            ids.push(id);
        }
        let act = Act {
            actor: Actor::Command,
            action: "account.add",
            subject: ids[0].to_string(),
            detail: json!({}),
            request_id: None,
        };
        audit::record(&mut tx, &act, NOW_MS).await.unwrap();
        // Opened by a provider; linked a minute later; linked at once to an account that a passkey had opened.
        for (at, created_at_ms) in [(1, NOW_MS + 5), (2, NOW_MS + 60_000), (3, NOW_MS + 5)] {
            let linked = Identity {
                id: uuid::Uuid::from_u128(at as u128),
                issuer: "https://id.example".to_owned(),
                subject: at.to_string(),
                account: ids[at],
                created_at_ms,
                last_used_at_ms: None,
            };
            assert!(identity::insert(&mut tx, &linked).await.unwrap());
        }
        let kept = Passkey {
            id: uuid::Uuid::from_u128(9),
            account: ids[3],
            credential_id: vec![1],
            credential: "{}".to_owned(),
            name: "Phone".to_owned(),
            created_at_ms: NOW_MS,
            last_used_at_ms: None,
        };
        assert!(passkey::insert(&mut tx, &kept).await.unwrap());
        tx.commit().await.unwrap();
        // As before the migration.
        let again = "delete from _sqlx_migrations where version = 23";
        match &database.store {
            Store::Sqlite { .. } => {
                let path = database.address.strip_prefix("sqlite:").unwrap();
                let mut link = sqlx::SqliteConnection::connect(path).await.unwrap();
                sqlx::query(again).execute(&mut link).await.unwrap();
                link.close().await.unwrap();
            }
            Store::Postgres(pool) => drop(sqlx::query(again).execute(pool).await.unwrap()),
        }
        database.store.migrate().await.unwrap();
        let mut verified = Vec::new();
        let mut tx = database.read().await;
        for id in ids {
            verified.push(account::is_verified(&mut tx, id).await.unwrap());
        }
        drop(tx);
        assert_eq!(verified, [true, true, false, false, false]);
        database.store.close().await;
    }
}

#[test]
fn migrations_have_the_same_names() {
    let names = |folder: &str| -> Vec<_> {
        files(folder).iter().map(|file| file.file_name().unwrap().to_owned()).collect()
    };
    assert_eq!(names("sqlite"), names("postgres"));
    assert!(!names("sqlite").is_empty());
}
