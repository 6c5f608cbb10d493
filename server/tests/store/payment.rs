//! Payments and the events of their providers.

use matinee_server::store::account::Role;
use matinee_server::store::idempotency::{self, Begun, Kept, Name, UNDER_WAY};
use matinee_server::store::payment::{self, State};
use matinee_server::store::{event, ledger};

use crate::Database;
use crate::fixture::{self, DAY_MS, NOW_MS, dollars};

pub async fn a_payment_moves_through_its_states(database: &Database) {
    let mut tx = database.write().await;
    let viewer = fixture::account(&mut tx, "viewer@example.org", &[Role::Viewer]).await;
    let paid = fixture::payment(viewer, 120);
    payment::insert(&mut tx, &paid).await.unwrap();
    assert_eq!(payment::by_id(&mut tx, paid.id).await.unwrap(), Some(paid.clone()));
    let url = Some("https://pay.example/1");
    assert!(payment::wait(&mut tx, paid.id, "order-1", url, NOW_MS + 1).await.unwrap());
    let waiting = payment::by_id(&mut tx, paid.id).await.unwrap().unwrap();
    assert_eq!((waiting.state, waiting.changed_at_ms), (State::Pending, NOW_MS + 1));
    assert_eq!(
        (waiting.provider_reference.as_deref(), waiting.checkout_url.as_deref()),
        (Some("order-1"), url)
    );
    assert!(payment::wait(&mut tx, paid.id, "order-1", None, NOW_MS + 2).await.unwrap(), "waiting goes on");
    assert!(payment::succeed(&mut tx, &paid, "order-1", "money-1", NOW_MS + 3).await.unwrap());
    for again in [
        payment::succeed(&mut tx, &paid, "order-1", "money-1", NOW_MS + 4).await,
        payment::wait(&mut tx, paid.id, "order-1", None, NOW_MS + 4).await,
        payment::fail(&mut tx, paid.id, None, "expired", NOW_MS + 4).await,
    ] {
        assert!(!again.unwrap(), "what is booked stays booked");
    }
    let booked = payment::by_charge(&mut tx, "simulated", "money-1").await.unwrap().unwrap();
    assert_eq!((booked.id, booked.state, booked.changed_at_ms), (paid.id, State::Succeeded, NOW_MS + 3));
    assert_eq!((booked.check_at_ms, booked.checkout_url.as_deref()), (None, url));
    assert!(payment::by_charge(&mut tx, "other", "money-1").await.unwrap().is_none());
    assert_eq!(ledger::wallet(&mut tx, viewer, "USD").await.unwrap(), dollars(120));
    assert!(ledger::check(&mut tx).await.unwrap().is_sound());
}

pub async fn late_money_is_booked_once(database: &Database) {
    let mut tx = database.write().await;
    let viewer = fixture::account(&mut tx, "viewer@example.org", &[Role::Viewer]).await;
    let paid = fixture::payment(viewer, 120);
    payment::insert(&mut tx, &paid).await.unwrap();
    assert!(payment::fail(&mut tx, paid.id, Some("order-1"), "expired", NOW_MS + 1).await.unwrap());
    let failed = payment::by_id(&mut tx, paid.id).await.unwrap().unwrap();
    assert_eq!((failed.state, failed.failure.as_deref()), (State::Failed, Some("expired")));
    assert!(!payment::fail(&mut tx, paid.id, None, "again", NOW_MS + 2).await.unwrap());
    assert!(!payment::wait(&mut tx, paid.id, "order-1", None, NOW_MS + 2).await.unwrap());
    assert!(payment::succeed(&mut tx, &paid, "order-1", "money-1", NOW_MS + 3).await.unwrap());
    assert!(!payment::succeed(&mut tx, &paid, "order-1", "money-1", NOW_MS + 4).await.unwrap());
    let booked = payment::by_id(&mut tx, paid.id).await.unwrap().unwrap();
    assert_eq!((booked.state, booked.failure), (State::Succeeded, None));
    assert_eq!(ledger::wallet(&mut tx, viewer, "USD").await.unwrap(), dollars(120));
    assert_eq!(ledger::check(&mut tx).await.unwrap().journals, 1);
}

pub async fn what_is_due_is_taken_up_once(database: &Database) {
    let mut tx = database.write().await;
    let viewer = fixture::account(&mut tx, "viewer@example.org", &[Role::Viewer]).await;
    let (first, second) = (fixture::payment(viewer, 1), fixture::payment(viewer, 2));
    let second = payment::Payment { check_at_ms: Some(NOW_MS + 500), ..second };
    payment::insert(&mut tx, &first).await.unwrap();
    payment::insert(&mut tx, &second).await.unwrap();
    assert!(payment::due(&mut tx, NOW_MS + 499).await.unwrap().is_empty());
    let due = payment::due(&mut tx, NOW_MS + 1000).await.unwrap();
    assert_eq!(due, [second.clone(), first.clone()], "the longest waiting first");
    assert!(payment::take_up(&mut tx, &second, NOW_MS + 9000).await.unwrap());
    assert!(!payment::take_up(&mut tx, &second, NOW_MS + 9000).await.unwrap(), "by another server");
    assert_eq!(payment::due(&mut tx, NOW_MS + 1000).await.unwrap(), std::slice::from_ref(&first));
    let taken = &payment::due(&mut tx, NOW_MS + 9000).await.unwrap()[1];
    assert_eq!((taken.id, taken.checks), (second.id, 1));
    assert!(payment::fail(&mut tx, first.id, None, "never reached", NOW_MS).await.unwrap());
    assert!(!payment::take_up(&mut tx, &first, NOW_MS).await.unwrap(), "what is over is not due");
}

pub async fn an_event_is_taken_in_once(database: &Database) {
    let mut tx = database.write().await;
    assert!(event::take_in(&mut tx, "stripe", "evt_1", "charge.refunded", NOW_MS).await.unwrap());
    assert!(!event::take_in(&mut tx, "stripe", "evt_1", "charge.refunded", NOW_MS + 1).await.unwrap());
    assert!(event::take_in(&mut tx, "other", "evt_1", "charge.refunded", NOW_MS).await.unwrap());
    assert_eq!(event::delete_expired(&mut tx, NOW_MS + event::KEPT_MS).await.unwrap(), 0);
    assert_eq!(event::delete_expired(&mut tx, NOW_MS + event::KEPT_MS + DAY_MS).await.unwrap(), 2);
}

pub async fn a_key_under_way_is_gone_on_with(database: &Database) {
    let mut tx = database.write().await;
    let viewer = fixture::account(&mut tx, "viewer@example.org", &[Role::Viewer]).await;
    let name = Name { account: viewer, operation: "top_up", key: "k" };
    let kept = |status, answer: &str| Kept { status, answer: answer.to_owned() };
    assert_eq!(idempotency::begin(&mut tx, name, &[1; 32], None, NOW_MS).await.unwrap(), Begun::Fresh);
    idempotency::finish(&mut tx, name, &kept(UNDER_WAY, "payment-1")).await.unwrap();
    let begun = idempotency::begin(&mut tx, name, &[1; 32], None, NOW_MS).await.unwrap();
    assert_eq!(begun, Begun::Answered(kept(UNDER_WAY, "payment-1")));
    assert_eq!(idempotency::finish_parked(&mut tx, name, &kept(201, "{}")).await.unwrap(), None);
    let second = idempotency::finish_parked(&mut tx, name, &kept(201, "[]")).await.unwrap();
    assert_eq!(second, Some(kept(201, "{}")), "the first answer stays");
    let gone = Name { key: "forgotten", ..name };
    assert_eq!(idempotency::finish_parked(&mut tx, gone, &kept(201, "{}")).await.unwrap(), None);
}
