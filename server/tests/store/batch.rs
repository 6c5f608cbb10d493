//! Transactions that share a commit: each is wholly there or wholly not, whatever happens to its neighbours.

use std::sync::Arc;
use std::time::Duration;

use matinee_protocol::id::AccountId;
use matinee_server::store::account::Role;
use matinee_server::store::idempotency::{self, Begun, Kept, Name};
use matinee_server::store::{Error, Store, Tx, account, title};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::Database;
use crate::fixture::{self, NOW_MS};

/// Tasks that race.
const TASKS: usize = 64;

/// Writes half of a pair.
async fn half(tx: &mut Tx, account: AccountId, operation: &str, task: usize) -> Result<(), Error> {
    let key = task.to_string();
    let kept = Kept { status: 201, answer: key.clone() };
    let name = Name { account, operation, key: &key };
    let begun = idempotency::begin(tx, name, &[0; 32], Some(&kept), NOW_MS).await?;
    assert_eq!(begun, Begun::Fresh, "{task}");
    Ok(())
}

/// Whether half of a pair is there. Looking leaves nothing behind.
async fn has(store: &Store, account: AccountId, operation: &str, task: usize) -> bool {
    let mut tx = store.write().await.unwrap();
    let key = task.to_string();
    let name = Name { account, operation, key: &key };
    idempotency::begin(&mut tx, name, &[0; 32], None, NOW_MS).await.unwrap() != Begun::Fresh
}

async fn viewer(database: &Database) -> AccountId {
    let mut tx = database.write().await;
    let viewer = fixture::account(&mut tx, "viewer@example.org", &[Role::Viewer]).await;
    tx.commit().await.unwrap();
    viewer
}

pub async fn a_dropped_neighbour_takes_nothing_along(database: &Database) {
    let viewer = viewer(database).await;
    let gate = Arc::new(Barrier::new(TASKS));
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let (store, gate) = (database.store.clone(), Arc::clone(&gate));
        tasks.spawn(async move {
            gate.wait().await;
            let mut tx = store.write().await.unwrap();
            half(&mut tx, viewer, "first", task).await.unwrap();
            if task % 3 == 1 {
                // A statement that fails: the account is taken.
                let name = fixture::account_row("viewer@example.org");
                assert!(!account::insert(&mut tx, &name, "hash").await.unwrap());
                let nobody = AccountId::from_bytes(fixture::fresh());
                let id = matinee_protocol::id::TitleId::from_bytes(fixture::fresh());
                title::insert(&mut tx, id, nobody, "Nobody's", NOW_MS).await.unwrap_err();
                return;
            }
            if task % 3 == 2 {
                return;
            }
            half(&mut tx, viewer, "second", task).await.unwrap();
            tx.commit().await.unwrap();
            let mut tx = store.read().await.unwrap();
            assert!(account::by_id(&mut tx, viewer).await.unwrap().is_some());
        });
    }
    tasks.join_all().await;
    for task in 0..TASKS {
        let there = (
            has(&database.store, viewer, "first", task).await,
            has(&database.store, viewer, "second", task).await,
        );
        assert_eq!(there, (task % 3 == 0, task % 3 == 0), "{task}");
    }
}

pub async fn what_is_presumed_wrongly_is_undone_alone(database: &Database) {
    let viewer = viewer(database).await;
    let mut tx = database.write().await;
    half(&mut tx, viewer, "taken", 0).await.unwrap();
    tx.commit().await.unwrap();
    let gate = Arc::new(Barrier::new(TASKS));
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let (store, gate) = (database.store.clone(), Arc::clone(&gate));
        tasks.spawn(async move {
            gate.wait().await;
            let mut tx = store.presume().await.unwrap();
            let presumes = tx.presumes();
            half(&mut tx, viewer, "first", task).await.unwrap();
            if task % 3 != 0 {
                // Another has this key. Who presumes hears of it at the commit, or at the next look at the database.
                let name = Name { account: viewer, operation: "taken", key: "0" };
                let begun = idempotency::begin(&mut tx, name, &[0; 32], None, NOW_MS).await.unwrap();
                assert_eq!(begun == Begun::Fresh, presumes, "{task}");
                if presumes && task % 3 == 1 {
                    assert!(matches!(account::by_id(&mut tx, viewer).await, Err(Error::Presumed)), "{task}");
                    tx.commit().await.unwrap_err();
                } else if presumes {
                    half(&mut tx, viewer, "second", task).await.unwrap();
                    assert!(matches!(tx.commit().await, Err(Error::Presumed)), "{task}");
                }
                return;
            }
            half(&mut tx, viewer, "second", task).await.unwrap();
            tx.commit().await.unwrap();
        });
    }
    tasks.join_all().await;
    for task in 0..TASKS {
        let there = (
            has(&database.store, viewer, "first", task).await,
            has(&database.store, viewer, "second", task).await,
        );
        assert_eq!(there, (task % 3 == 0, task % 3 == 0), "{task}");
    }
}

pub async fn one_of_many_that_are_alike_is_undone_alone(database: &Database) {
    let viewer = viewer(database).await;
    let mut tx = database.write().await;
    half(&mut tx, viewer, "second", 0).await.unwrap();
    tx.commit().await.unwrap();
    // Held, so that all of them wait and are written together: the same statements, of which every fifth fails.
    let held = database.write().await;
    let mut tasks = JoinSet::new();
    for task in 1..=TASKS {
        let store = database.store.clone();
        tasks.spawn(async move {
            let mut tx = store.presume().await.unwrap();
            half(&mut tx, viewer, "first", task).await.unwrap();
            let key = if task % 5 == 0 { "0".to_owned() } else { task.to_string() };
            let (kept, name) = (
                Kept { status: 201, answer: String::new() },
                Name { account: viewer, operation: "second", key: &key },
            );
            let begun = idempotency::begin(&mut tx, name, &[0; 32], Some(&kept), NOW_MS).await.unwrap();
            if tx.presumes() || begun == Begun::Fresh {
                (task, tx.commit().await)
            } else {
                (task, Err(Error::Presumed))
            }
        });
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(held);
    while let Some(ended) = tasks.join_next().await {
        let (task, outcome) = ended.unwrap();
        match outcome {
            Ok(()) => assert_ne!(task % 5, 0, "{task}"),
            Err(error) => assert!(matches!(error, Error::Presumed) && task % 5 == 0, "{task}: {error}"),
        }
    }
    for task in 1..=TASKS {
        let there = has(&database.store, viewer, "first", task).await;
        assert_eq!(there, task % 5 != 0, "{task}");
    }
}

pub async fn a_reading_that_is_given_up_leaves_its_connection(database: &Database) {
    let viewer = viewer(database).await;
    for round in 0..20_u64 {
        let mut tasks = Vec::new();
        for _ in 0..TASKS {
            let store = database.store.clone();
            tasks.push(tokio::spawn(async move {
                let mut tx = store.read().await.unwrap();
                for _ in 0..4 {
                    account::by_id(&mut tx, viewer).await.unwrap();
                }
            }));
        }
        tokio::time::sleep(Duration::from_micros(137 * round)).await;
        for task in &tasks {
            task.abort();
        }
        let mut tx = database.read().await;
        let found = account::by_id(&mut tx, viewer).await.unwrap().unwrap();
        assert_eq!(found.email, "viewer@example.org");
    }
}

pub async fn what_is_given_up_is_whole_or_absent(database: &Database) {
    let viewer = viewer(database).await;
    for round in 0..8 {
        let mut tasks = Vec::new();
        for task in round * TASKS..(round + 1) * TASKS {
            let store = database.store.clone();
            tasks.push(tokio::spawn(async move {
                let mut tx = store.write().await.unwrap();
                half(&mut tx, viewer, "first", task).await.unwrap();
                half(&mut tx, viewer, "second", task).await.unwrap();
                tx.commit().await.unwrap();
            }));
        }
        // Requests given up at every moment of their way.
        for (at, task) in tasks.iter().enumerate() {
            if at % 2 == 0 {
                tokio::time::sleep(Duration::from_micros(137 * (at as u64 % 7))).await;
                task.abort();
            }
        }
        for (at, task) in tasks.into_iter().enumerate() {
            let number = round * TASKS + at;
            let answered = task.await.is_ok();
            let first = has(&database.store, viewer, "first", number).await;
            assert_eq!(first, has(&database.store, viewer, "second", number).await, "{number} is whole");
            assert!(first || !answered, "{number} was answered and is lost");
        }
    }
}

pub async fn nothing_stays_locked(database: &Database) {
    let viewer = viewer(database).await;
    let other = Store::open(&database.address).await.unwrap();
    for task in 0..20 {
        // Given up without a word: the next to write comes from another process.
        let mut tx = database.write().await;
        half(&mut tx, viewer, "first", task).await.unwrap();
        drop(tx);
        let mut tx = other.write().await.unwrap();
        half(&mut tx, viewer, "second", task).await.unwrap();
        tx.commit().await.unwrap();
        assert!(!has(&database.store, viewer, "first", task).await);
        assert!(has(&database.store, viewer, "second", task).await);
    }
    other.close().await;
}
