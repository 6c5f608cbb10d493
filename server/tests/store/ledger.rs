//! Money and idempotency keys.

use matinee_protocol::id::AccountId;
use matinee_server::store::account::Role;
use matinee_server::store::idempotency::{self, Begun, KEPT_MS, Kept, Name};
use matinee_server::store::ledger::{self, Check};
use matinee_server::store::{account, plan};

use crate::Database;
use crate::fixture::{self, NOW_MS, dollars};

pub async fn money_moves_and_sums_to_zero(database: &Database) {
    let mut tx = database.write().await;
    let empty = ledger::check(&mut tx).await.unwrap();
    assert_eq!(empty, Check::default());
    let publisher = fixture::account(&mut tx, "studio@example.org", &[Role::Publisher]).await;
    let viewer = fixture::account(&mut tx, "viewer@example.org", &[Role::Viewer]).await;
    let plan = fixture::plan(&mut tx, publisher, Some(5)).await;
    assert_eq!(ledger::wallet(&mut tx, viewer, "USD").await.unwrap(), dollars(0));
    assert!(fixture::buy(&mut tx, viewer, &plan).await.is_none(), "an empty wallet buys nothing");

    fixture::top_up(&mut tx, viewer, 120).await;
    let bought = fixture::buy(&mut tx, viewer, &plan).await.unwrap();
    assert_eq!((bought.views_left, bought.play_until_ms, bought.views_used), (Some(5), None, 0));
    assert_eq!(bought.start_by_ms, Some(NOW_MS + 30 * fixture::DAY_MS));
    assert!(fixture::buy(&mut tx, viewer, &plan).await.is_some());
    assert!(fixture::buy(&mut tx, viewer, &plan).await.is_none(), "20 cents are too little");
    assert_eq!(ledger::wallet(&mut tx, viewer, "USD").await.unwrap(), dollars(20));
    tx.commit().await.unwrap();

    let mut tx = database.read().await;
    let balances = ledger::balances(&mut tx).await.unwrap();
    let row = |name: String, minor| (name, minor, "USD".to_owned());
    assert_eq!(
        balances,
        [
            row("provider/simulated/USD".to_owned(), -120),
            row(format!("sales/{}/USD", fixture::title_of(&plan)), 100),
            row(format!("wallet/{viewer}/USD"), 20),
        ]
    );
    let check = ledger::check(&mut tx).await.unwrap();
    assert!(check.is_sound());
    assert_eq!(check.journals, 3);
}

pub async fn a_dropped_transaction_leaves_nothing(database: &Database) {
    let mut tx = database.write().await;
    let viewer = fixture::account(&mut tx, "viewer@example.org", &[Role::Viewer]).await;
    fixture::top_up(&mut tx, viewer, 120).await;
    drop(tx);
    let mut tx = database.read().await;
    assert!(account::by_id(&mut tx, viewer).await.unwrap().is_none());
    assert!(ledger::balances(&mut tx).await.unwrap().is_empty());
    drop(tx);
    // A free plan moves no money and is bought all the same.
    let mut tx = database.write().await;
    let publisher = fixture::account(&mut tx, "studio@example.org", &[Role::Publisher]).await;
    let mut free = fixture::plan(&mut tx, publisher, None).await;
    free.id = matinee_protocol::id::PlanId::from_bytes(fixture::fresh());
    free.price = dollars(0);
    plan::insert(&mut tx, &free).await.unwrap();
    assert!(fixture::buy(&mut tx, publisher, &free).await.is_some());
    assert_eq!(ledger::check(&mut tx).await.unwrap(), Check::default());
}

pub async fn idempotency_keys_answer_again(database: &Database) {
    let mut tx = database.write().await;
    let viewer = fixture::account(&mut tx, "viewer@example.org", &[Role::Viewer]).await;
    let name = |account: AccountId, operation: &'static str| Name { account, operation, key: "k" };
    let purchase = name(viewer, "purchase");
    assert_eq!(idempotency::begin(&mut tx, purchase, &[1; 32], None, NOW_MS).await.unwrap(), Begun::Fresh);
    idempotency::finish(&mut tx, purchase, &kept(201, "{\"a\":1}")).await.unwrap();
    tx.commit().await.unwrap();

    let mut tx = database.write().await;
    let answered = Begun::Answered(kept(201, "{\"a\":1}"));
    assert_eq!(
        idempotency::begin(&mut tx, purchase, &[1; 32], None, NOW_MS + KEPT_MS).await.unwrap(),
        answered
    );
    assert_eq!(
        idempotency::begin(&mut tx, purchase, &[2; 32], None, NOW_MS).await.unwrap(),
        Begun::OtherBody
    );
    assert_eq!(
        idempotency::begin(&mut tx, name(viewer, "view"), &[2; 32], None, NOW_MS).await.unwrap(),
        Begun::Fresh
    );
    // After a day the key is as good as new, with any body.
    let later_ms = NOW_MS + KEPT_MS + 1;
    assert_eq!(idempotency::begin(&mut tx, purchase, &[2; 32], None, later_ms).await.unwrap(), Begun::Fresh);
    idempotency::finish(&mut tx, purchase, &kept(200, "{}")).await.unwrap();
    assert_eq!(idempotency::delete_expired(&mut tx, later_ms).await.unwrap(), 1, "the other operation's");
    assert_eq!(idempotency::delete_expired(&mut tx, later_ms + KEPT_MS + 1).await.unwrap(), 1);
}

fn kept(status: u16, answer: &str) -> Kept {
    Kept { status, answer: answer.to_owned() }
}

pub async fn a_foreseen_answer_is_kept_at_once(database: &Database) {
    let mut tx = database.write().await;
    let viewer = fixture::account(&mut tx, "viewer@example.org", &[Role::Viewer]).await;
    tx.commit().await.unwrap();
    let name = Name { account: viewer, operation: "view", key: "k" };
    let (foreseen, other) = (kept(201, "{}"), kept(200, "{\"b\":2}"));
    let mut tx = database.write().await;
    let begun = idempotency::begin(&mut tx, name, &[1; 32], Some(&foreseen), NOW_MS).await.unwrap();
    assert_eq!(begun, Begun::Fresh);
    drop(tx);
    let mut tx = database.write().await;
    let begun = idempotency::begin(&mut tx, name, &[1; 32], Some(&foreseen), NOW_MS).await.unwrap();
    assert_eq!(begun, Begun::Fresh, "what failed has kept nothing");
    tx.commit().await.unwrap();
    let mut tx = database.write().await;
    let begun = idempotency::begin(&mut tx, name, &[1; 32], Some(&other), NOW_MS).await.unwrap();
    assert_eq!(begun, Begun::Answered(foreseen), "the first answer stays");
    idempotency::finish(&mut tx, name, &other).await.unwrap();
    let begun = idempotency::begin(&mut tx, name, &[1; 32], None, NOW_MS).await.unwrap();
    assert_eq!(begun, Begun::Answered(other));
}
