//! Many tasks at once: what must happen once or at most so often does.

use std::sync::Arc;

use matinee_server::store::account::{self, Role};
use matinee_server::store::idempotency::{self, Begun, Kept, Name};
use matinee_server::store::page::Asked;
use matinee_server::store::{Store, Tx, entitlement, ledger, payment, proof, view};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::Database;
use crate::fixture::{self, NOW_MS, dollars, new_view};

/// Tasks that race.
const TASKS: usize = 64;

/// Lets every task go at once and counts those that say yes.
async fn race<F, W>(store: &Store, work: F) -> usize
where
    F: Fn(Store, usize) -> W,
    W: Future<Output = bool> + Send + 'static,
{
    let gate = Arc::new(Barrier::new(TASKS));
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let (gate, work) = (Arc::clone(&gate), work(store.clone(), task));
        tasks.spawn(async move {
            gate.wait().await;
            work.await
        });
    }
    tasks.join_all().await.into_iter().filter(|yes| *yes).count()
}

pub async fn starts_never_overdraw_views(database: &Database) {
    let mut tx = database.write().await;
    let (bought, release) = fixture::rented(&mut tx, Some(5)).await;
    tx.commit().await.unwrap();
    let started = race(&database.store, |store, _| {
        let wanted = new_view(&bought, release, fixture::device());
        async move {
            let mut tx = store.write().await.unwrap();
            assert!(view::open(&mut tx, &wanted, NOW_MS).await.unwrap());
            let counted = entitlement::count_view(&mut tx, wanted.entitlement_id, NOW_MS).await.unwrap();
            if counted.is_some() {
                tx.commit().await.unwrap();
            }
            counted.is_some()
        }
    })
    .await;
    assert_eq!(started, 5);
    let after = entitlement::by_id(&mut database.read().await, bought.id).await.unwrap().unwrap();
    assert_eq!((after.views_left, after.views_used), (Some(0), 5));
}

pub async fn starts_on_one_device_are_one_view(database: &Database) {
    let mut tx = database.write().await;
    let (bought, release) = fixture::rented(&mut tx, Some(5)).await;
    tx.commit().await.unwrap();
    let phone = fixture::device();
    let started = race(&database.store, |store, _| {
        let wanted = new_view(&bought, release, phone);
        async move {
            let mut tx = store.write().await.unwrap();
            let new = view::open(&mut tx, &wanted, NOW_MS).await.unwrap();
            if new {
                assert!(
                    entitlement::count_view(&mut tx, wanted.entitlement_id, NOW_MS).await.unwrap().is_some()
                );
            } else {
                assert!(
                    view::active_on(&mut tx, wanted.entitlement_id, phone, wanted.title_id)
                        .await
                        .unwrap()
                        .is_some()
                );
            }
            tx.commit().await.unwrap();
            new
        }
    })
    .await;
    assert_eq!(started, 1);
    let after = entitlement::by_id(&mut database.read().await, bought.id).await.unwrap().unwrap();
    assert_eq!(after.views_used, 1);
}

pub async fn purchases_never_overdraw_a_wallet(database: &Database) {
    let mut tx = database.write().await;
    let publisher = fixture::account(&mut tx, "studio@example.org", &[Role::Publisher]).await;
    let viewer = fixture::account(&mut tx, "viewer@example.org", &[Role::Viewer]).await;
    let plan = fixture::plan(&mut tx, publisher, None).await;
    fixture::top_up(&mut tx, viewer, 520).await;
    tx.commit().await.unwrap();
    let bought = race(&database.store, |store, _| {
        let plan = plan.clone();
        async move {
            let mut tx = store.write().await.unwrap();
            let bought = fixture::buy(&mut tx, viewer, &plan).await;
            // Refused or not, the transaction holds nothing half done.
            tx.commit().await.unwrap();
            bought.is_some()
        }
    })
    .await;
    assert_eq!(bought, 10);
    let mut tx = database.read().await;
    assert_eq!(ledger::wallet(&mut tx, viewer, "USD").await.unwrap(), dollars(20));
    assert_eq!(entitlement::by_account(&mut tx, viewer, &Asked::first(50)).await.unwrap().rows.len(), 10);
    let check = ledger::check(&mut tx).await.unwrap();
    assert!(check.is_sound(), "{check:?}");
}

pub async fn a_payment_is_booked_once(database: &Database) {
    let mut tx = database.write().await;
    let viewer = fixture::account(&mut tx, "viewer@example.org", &[Role::Viewer]).await;
    let paid = fixture::payment(viewer, 120);
    payment::insert(&mut tx, &paid).await.unwrap();
    tx.commit().await.unwrap();
    let booked = race(&database.store, |store, task| {
        let paid = paid.clone();
        async move {
            let mut tx = store.write().await.unwrap();
            // An event, the job and the request itself say so at once, and one says the opposite.
            let first = if task % 8 == 7 {
                payment::fail(&mut tx, paid.id, None, "expired", NOW_MS).await.unwrap();
                false
            } else {
                payment::succeed(&mut tx, &paid, "order-1", "money-1", NOW_MS).await.unwrap()
            };
            tx.commit().await.unwrap();
            first
        }
    })
    .await;
    assert_eq!(booked, 1);
    let mut tx = database.read().await;
    assert_eq!(ledger::wallet(&mut tx, viewer, "USD").await.unwrap(), dollars(120));
    assert!(ledger::check(&mut tx).await.unwrap().is_sound());
}

pub async fn one_idempotency_key_buys_once(database: &Database) {
    let mut tx = database.write().await;
    let publisher = fixture::account(&mut tx, "studio@example.org", &[Role::Publisher]).await;
    let viewer = fixture::account(&mut tx, "viewer@example.org", &[Role::Viewer]).await;
    let plan = fixture::plan(&mut tx, publisher, None).await;
    fixture::top_up(&mut tx, viewer, 5000).await;
    tx.commit().await.unwrap();
    let bought = race(&database.store, |store, task| {
        let plan = plan.clone();
        async move {
            let mut tx = store.write().await.unwrap();
            let name = Name { account: viewer, operation: "purchase", key: "the same" };
            match idempotency::begin(&mut tx, name, &[1; 32], None, NOW_MS).await.unwrap() {
                Begun::Fresh => {
                    assert!(fixture::buy(&mut tx, viewer, &plan).await.is_some());
                    let kept = Kept { status: 201, answer: task.to_string() };
                    idempotency::finish(&mut tx, name, &kept).await.unwrap();
                    tx.commit().await.unwrap();
                    true
                }
                Begun::Answered(kept) => {
                    assert_eq!(kept.status, 201, "nobody sees a key without its answer");
                    false
                }
                Begun::OtherBody => panic!("the body was the same"),
            }
        }
    })
    .await;
    assert_eq!(bought, 1);
    let mut tx = database.read().await;
    assert_eq!(ledger::wallet(&mut tx, viewer, "USD").await.unwrap(), dollars(4950));
}

pub async fn a_proof_is_spent_once(database: &Database) {
    let phone = fixture::device();
    let spent = race(&database.store, |store, _| async move {
        let mut tx = store.write().await.unwrap();
        let first = proof::spend(&mut tx, phone, "jti", NOW_MS).await.unwrap();
        tx.commit().await.unwrap();
        first
    })
    .await;
    assert_eq!(spent, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_undone_for_another_may_come_again() {
    let database = Database::postgres().await;
    let mut tx = database.write().await;
    let ana = fixture::account(&mut tx, "ana@example.org", &[Role::Viewer]).await;
    let bob = fixture::account(&mut tx, "bob@example.org", &[Role::Viewer]).await;
    tx.commit().await.unwrap();
    let (mut one, mut two) = (database.write().await, database.write().await);
    assert!(account::hold(&mut one, ana).await.unwrap() && account::hold(&mut two, bob).await.unwrap());
    let cross = async |mut tx: Tx, other| {
        let held = account::hold(&mut tx, other).await;
        tx.commit().await.unwrap();
        held
    };
    let both = tokio::join!(cross(one, bob), cross(two, ana));
    let undone = [both.0, both.1].into_iter().filter_map(Result::err).collect::<Vec<_>>();
    assert!(undone.len() == 1 && undone[0].is_passing(), "{undone:?}");
    database.store.close().await;
}
