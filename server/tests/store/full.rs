//! A disk that is full. SQLite then undoes by itself the whole transaction in which others had their turns before.

use matinee_protocol::id::AccountId;
use matinee_server::store::account::Role;
use matinee_server::store::idempotency::{self, Kept, Name};
use matinee_server::store::{Error, Store, Tx};
use tokio::task::JoinSet;

use crate::Database;
use crate::fixture::{self, NOW_MS};
use crate::room::leave_room;

/// Tasks that race for what is left.
const TASKS: usize = 256;
/// Races.
const ROUNDS: usize = 8;
/// Pages of 4 KiB that are left.
const ROOM_PAGES: i64 = 80;
/// Bytes that half of a pair takes: a few of them fill a page, and all of them more than there is.
const HALF_BYTES: usize = 1500;

async fn half(tx: &mut Tx, account: AccountId, operation: &str, task: usize) -> Result<(), Error> {
    let kept = Kept { status: 201, answer: "x".repeat(HALF_BYTES) };
    let name = Name { account, operation, key: &task.to_string() };
    idempotency::begin(tx, name, &[0; 32], Some(&kept), NOW_MS).await.map(drop)
}

/// Writes a pair: every other one as a whole, without a turn of its own.
async fn pair(store: &Store, account: AccountId, task: usize) -> Result<(), Error> {
    let mut tx = if task.is_multiple_of(2) { store.presume().await? } else { store.write().await? };
    half(&mut tx, account, "first", task).await?;
    half(&mut tx, account, "second", task).await?;
    tx.commit().await
}

/// Lets tasks race for what is left, and looks at what each was told.
async fn race(database: &Database, viewer: AccountId, first: usize) {
    leave_room(&database.store, Some(ROOM_PAGES)).await;
    let mut tasks = JoinSet::new();
    for task in first..first + TASKS {
        let store = database.store.clone();
        tasks.spawn(async move { (task, pair(&store, viewer, task).await) });
    }
    let mut durable = 0;
    while let Some(ended) = tasks.join_next().await {
        let (task, outcome) = ended.unwrap();
        if let Err(error) = &outcome {
            assert!(error.to_string().contains("full") && error.is_passing(), "{task}: {error}");
        }
        durable += usize::from(outcome.is_ok());
        let mut tx = database.read().await;
        let Tx::Sqlite(link) = &mut tx else { panic!("not SQLite") };
        let there: i64 = sqlx::query_scalar("select count(*) from idempotency_keys where key = $1")
            .bind(task.to_string())
            .fetch_one(link.settled().await.unwrap())
            .await
            .unwrap();
        assert_eq!(there, if outcome.is_ok() { 2 } else { 0 }, "{task} was told {outcome:?}");
    }
    assert!((1..TASKS).contains(&durable), "{durable} of them had room");
    leave_room(&database.store, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_told_that_something_is_durable_has_it_and_nobody_else() {
    let database = Database::sqlite().await;
    let mut tx = database.write().await;
    let viewer = fixture::account(&mut tx, "viewer@example.org", &[Role::Viewer]).await;
    tx.commit().await.unwrap();
    // SQLite undoes everything by itself in some of the races only: it depends on whose statement finds no room.
    for round in 0..ROUNDS {
        race(&database, viewer, round * TASKS).await;
    }
    assert!(database.store.integrity().await.unwrap().is_empty());
    // There is room again: it goes on, both ways.
    for task in ROUNDS * TASKS..ROUNDS * TASKS + 2 {
        pair(&database.store, viewer, task).await.unwrap();
    }
    database.store.close().await;
}
