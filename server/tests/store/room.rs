//! A SQLite file that may not grow, as on a disk that is full.

use matinee_server::store::{Store, Tx};

/// Lets the file grow by so many pages and no more; none is no limit.
pub async fn leave_room(store: &Store, pages: Option<i64>) {
    let mut tx = store.write().await.unwrap();
    let Tx::Sqlite(link) = &mut tx else { panic!("not SQLite") };
    let connection = link.settled().await.unwrap();
    let there: i64 = sqlx::query_scalar("pragma page_count").fetch_one(&mut *connection).await.unwrap();
    let most = pages.map_or(i64::from(i32::MAX), |pages| there + pages);
    let sql = sqlx::AssertSqlSafe(format!("pragma max_page_count = {most}"));
    sqlx::query(sql).execute(connection).await.unwrap();
}
