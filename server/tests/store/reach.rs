//! A PostgreSQL that breaks connections off while they are opened, and that undoes a transaction for another's sake.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use matinee_protocol::id::EntitlementId;
use matinee_server::store::entitlement::Entitlement;
use matinee_server::store::{Store, entitlement};
use sqlx::postgres::PgConnectOptions;
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::Barrier;

use crate::Database;
use crate::fixture::{self, fresh};

/// A way to the database on which the next so many connections break off; the address of it, and how many.
async fn frail(database: &Database) -> (String, Arc<AtomicUsize>) {
    let options: PgConnectOptions = database.address.parse().unwrap();
    let socket = options.get_socket().unwrap().join(".s.PGSQL.5432");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = listener.local_addr().unwrap();
    let breaks = Arc::new(AtomicUsize::new(0));
    let left = Arc::clone(&breaks);
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let one_less = |left: usize| left.checked_sub(1);
            if left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok() {
                continue;
            }
            let socket = socket.clone();
            tokio::spawn(async move {
                let mut far = UnixStream::connect(&socket).await.unwrap();
                tokio::io::copy_bidirectional(&mut near, &mut far).await.ok();
            });
        }
    });
    (format!("postgres://postgres@{place}/{}", options.get_database().unwrap()), breaks)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_breaks_while_it_is_opened_is_opened_again() {
    let database = Database::postgres().await;
    let (address, breaks) = frail(&database).await;
    let store = Store::open(&address).await.unwrap();
    // The one that is open is in use: each of these needs another.
    let mut held = vec![store.write().await.unwrap()];
    for at_once in [1, 3] {
        breaks.store(at_once, Ordering::SeqCst);
        held.push(store.write().await.unwrap());
        breaks.store(at_once, Ordering::SeqCst);
        held.push(store.read().await.unwrap());
        breaks.store(at_once, Ordering::SeqCst);
        held.push(store.snapshot().await.unwrap());
    }
    breaks.store(usize::MAX, Ordering::SeqCst);
    let given_up = store.write().await.unwrap_err();
    assert!(given_up.is_passing(), "{given_up}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_undone_for_anothers_sake_may_try_again() {
    let database = Database::postgres().await;
    let mut tx = database.write().await;
    let (first, _) = fixture::rented(&mut tx, None).await;
    let second = Entitlement { id: EntitlementId::from_bytes(fresh()), ..first.clone() };
    entitlement::insert(&mut tx, &second).await.unwrap();
    tx.commit().await.unwrap();
    let gate = Barrier::new(2);
    let hold = async |one: EntitlementId, other: EntitlementId| {
        let mut tx = database.write().await;
        entitlement::hold(&mut tx, one).await.unwrap();
        gate.wait().await;
        entitlement::hold(&mut tx, other).await.map(drop)
    };
    let outcomes: [_; 2] = tokio::join!(hold(first.id, second.id), hold(second.id, first.id)).into();
    let undone: Vec<_> = outcomes.into_iter().filter_map(Result::err).collect();
    assert_eq!(undone.len(), 1, "one of them waits for the other in vain");
    assert!(undone[0].is_passing() && undone[0].to_string().contains("deadlock"), "{}", undone[0]);
}
