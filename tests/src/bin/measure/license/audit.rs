//! The books after the rush, read from the store itself.

use matinee_server::store::{Store, ledger};
use matinee_tests::deployment::{Deployment, PRICE_MINOR, Published};
use matinee_tests::postgres::Cluster;

/// What the store holds.
pub(crate) struct Books {
    /// Views that are open and have a license on the record.
    pub(crate) views: i64,
    /// Viewers who paid more than once.
    pub(crate) double_charged: i64,
    /// Viewers without purchase, entitlement, view or license.
    pub(crate) lost: i64,
    /// The sum of every entry of the ledger.
    pub(crate) ledger_sum: i64,
}

/// Reads them, on a connection of its own: the server is gone.
pub(crate) async fn books(
    deployment: &Deployment,
    cluster: Option<&Cluster>,
    published: &Published,
    count: usize,
) -> Books {
    let store = Store::open(&deployment.store_address()).await.expect("the store opens again");
    // A write transaction: nothing else writes, and on SQLite it sees what the server's last moment left in the log.
    let mut tx = store.write().await.expect("the store takes a transaction");
    let check = ledger::check(&mut tx).await.expect("the ledger can be read");
    assert!(check.is_sound(), "{check:?}");
    let count = i64::try_from(count).expect("so many viewers");
    let sales = ledger::balances(&mut tx).await.expect("balances can be read");
    let sales = sales.iter().find(|(name, ..)| *name == format!("sales/{}/USD", published.title));
    drop(tx);
    store.close().await;
    let rows = |sql: &'static str| rows(deployment, cluster.is_some(), sql);
    let views = rows(
        "select count(*) from views v where v.state = 'active' \
         and exists (select 1 from key_releases k where k.view_id = v.id)",
    )
    .await;
    let double_charged = rows(
        "select count(*) from (select account_id from purchases group by account_id having count(*) > 1) d",
    )
    .await;
    let served = rows(
        "select count(distinct p.account_id) from purchases p join entitlements e on e.purchase_id = p.id \
         join views v on v.entitlement_id = e.id where e.views_used = 1",
    )
    .await;
    let sold = sales.map_or(0, |(_, minor, _)| *minor);
    assert_eq!(sold, count * PRICE_MINOR, "every rental was paid for once");
    Books { views, double_charged, lost: count - served, ledger_sum: check.sum_minor }
}

/// A count, asked on a connection of its own.
pub(crate) async fn rows(deployment: &Deployment, postgres: bool, sql: &'static str) -> i64 {
    let address = deployment.store_address();
    let (found,): (i64,) = if postgres {
        let pool = sqlx::PgPool::connect(&address).await.expect("postgres takes connections");
        sqlx::query_as(sql).fetch_one(&pool).await
    } else {
        let pool = sqlx::SqlitePool::connect(&address).await.expect("the file opens");
        sqlx::query_as(sql).fetch_one(&pool).await
    }
    .expect("the rows can be counted");
    found
}
