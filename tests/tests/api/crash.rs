//! The server killed between any two steps of taking money in and giving it back: after a restart everything is wholly
//! there or wholly not, and the books of both sides agree.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use matinee_tests::deployment::{PRICE_MINOR, wait_until};
use matinee_tests::postgres::Cluster;
use matinee_tests::process::run_ok;
use matinee_tests::stripe::At;
use matinee_tests::viewer::{Viewer, nonce, now_s};
use reqwest::Method;
use serde_json::{Value, json};

use crate::payment::{House, begin, entitlements, on_both, shown};

/// How long what a crash left open may stay open.
const PATIENCE: Duration = Duration::from_secs(60);
/// Viewers that pay while the server is killed again and again.
const PAYERS: usize = 8;
/// Times that it is killed.
const KILLS: usize = 6;

/// Answers that said that there is no database, in this test.
static UNAVAILABLE: AtomicUsize = AtomicUsize::new(0);

/// Sends a request of which no answer may come.
async fn ask(viewer: &Viewer, path: &str, key: &str, body: &Value) -> Option<Value> {
    let request = viewer.request(Method::POST, path).header("idempotency-key", key).json(body);
    let answer = request.send().await.ok()?;
    let status = answer.status();
    let body = answer.json::<Value>().await.ok()?;
    UNAVAILABLE.fetch_add(usize::from(status == 503), Ordering::Relaxed);
    assert_ne!(status, 500, "{path}: a fault where there is only nobody to ask: {body}");
    Some(body).filter(|_| status.is_success())
}

/// Sends it until an answer comes.
async fn insist(viewer: &Viewer, path: &str, key: &str, body: &Value) -> Value {
    wait_until("an answer", PATIENCE, async || ask(viewer, path, key, body).await).await
}

/// Kills the server while the stand-in holds a request at a point, and starts it again.
async fn cut<T>(house: &mut House, path: &'static str, at: At, asking: impl Future<Output = Option<T>>) {
    let hold = house.stripe.hold(path, at);
    let cutting = async {
        hold.reached().await;
        house.deployment.kill().await;
        hold.release();
    };
    let (answer, ()) = tokio::join!(asking, cutting);
    assert!(answer.is_none(), "a server that is dead answers nothing");
    house.deployment.serve().await;
}

#[tokio::test]
async fn killed_while_stripe_is_asked_for_a_payment() {
    on_both(async |house| {
        let viewer = house.viewer("cut@example.com").await;
        let plan = json!({ "plan": house.published.plan });
        for (round, at) in [At::Arrival, At::Answer].into_iter().enumerate() {
            let key = nonce();
            cut(house, "/v1/checkout/sessions", at, ask(&viewer, "/v1/checkouts", &key, &plan)).await;
            assert_eq!(entitlements(&viewer).await.len(), round, "nothing is granted without charge");
            // Reconciliation and the same request again both ask; there is one session.
            let payment = begin(&viewer, "/v1/checkouts", &key, &plan).await;
            assert_eq!(payment["state"], "pending", "{payment}");
            assert_eq!(house.stripe.book().sessions.len(), round + 1, "{at:?}");
            // Paid, and killed before anybody told: asked for after the restart.
            house.stripe.pay(payment["checkout_url"].as_str().unwrap()).await;
            house.deployment.kill().await;
            house.stripe.book().events.clear();
            house.deployment.serve().await;
            wait_until("reconciliation", PATIENCE, async || {
                (shown(&viewer, &payment).await["state"] == "succeeded").then_some(())
            })
            .await;
            assert_eq!((entitlements(&viewer).await.len(), viewer.wallet().await), (round + 1, 0));
            house.agrees().await;
        }
        assert_eq!(house.stripe.book().held(), 2 * PRICE_MINOR);
    })
    .await;
}

#[tokio::test]
async fn killed_while_stripe_is_asked_for_a_refund() {
    on_both(async |house| {
        let viewer = house.viewer("cut@example.com").await;
        let plan = json!({ "plan": house.published.plan });
        for (round, at) in [At::Arrival, At::Answer].into_iter().enumerate() {
            let payment = begin(&viewer, "/v1/checkouts", &nonce(), &plan).await;
            house.stripe.pay(payment["checkout_url"].as_str().unwrap()).await;
            house.stripe.deliver_all().await;
            let purchase = shown(&viewer, &payment).await["purchase"].as_str().unwrap().to_owned();
            let (path, key) = (format!("/v1/purchases/{purchase}/refund"), nonce());
            let (operator, body) = (house.operator.clone(), json!({ "reason": "sorry" }));
            cut(house, "/v1/refunds", at, ask(&operator, &path, &key, &body)).await;
            assert!(entitlements(&viewer).await.iter().all(|given| given["status"] == "cancelled"));
            wait_until("the refund", PATIENCE, async || {
                (house.booked("returning/").await == 0).then_some(())
            })
            .await;
            let made = insist(&operator, &path, &key, &body).await;
            assert_eq!(made["refund"]["state"], "succeeded", "{made}");
            assert_eq!(house.stripe.book().refunds.len(), round + 1, "{at:?}");
            house.stripe.deliver_all().await;
            house.agrees().await;
            assert_eq!((viewer.wallet().await, house.booked("sales/").await), (0, 0));
        }
    })
    .await;
}

/// One payer: fills the wallet, buys out of it, buys past it; every request again until it is answered.
async fn pay(house: &House, viewer: &Viewer) -> (Value, Value) {
    let amount = json!({ "amount": { "minor": 100, "currency": "USD" } });
    let plan = json!({ "plan": house.published.plan });
    let (one, two) = (nonce(), nonce());
    let topped = async {
        let answer = insist(viewer, "/v1/wallet/top-ups", &one, &amount).await;
        house.stripe.pay(answer["payment"]["checkout_url"].as_str().unwrap()).await;
        let key = nonce();
        // Refused until the money is there, then bought once, however often it is asked for.
        insist(viewer, "/v1/purchases", &key, &plan).await["purchase"]["id"].clone()
    };
    let past = async {
        let answer = insist(viewer, "/v1/checkouts", &two, &plan).await;
        house.stripe.pay(answer["payment"]["checkout_url"].as_str().unwrap()).await;
        answer["payment"].clone()
    };
    tokio::join!(topped, past)
}

#[tokio::test]
async fn killed_at_any_moment_under_load() {
    on_both(async |house| {
        let mut viewers = Vec::new();
        for payer in 0..PAYERS {
            viewers.push(house.viewer(&format!("payer{payer}@example.com")).await);
        }
        house.stripe.tell_by_itself();
        let mut server = house.deployment.take_process();
        let house = &*house;
        let paying = join_all(viewers.iter().map(|viewer| pay(house, viewer)));
        let killing = async {
            for kill in 0..KILLS {
                // Uneven on purpose: no step is always the one that is cut.
                tokio::time::sleep(Duration::from_millis(60 + 53 * (kill as u64 * 7 % 5))).await;
                server.kill().await;
                server = house.deployment.start_process().await;
            }
        };
        let (paid, ()) = tokio::join!(paying, killing);
        once_each(house, &viewers, &paid).await;
    })
    .await;
}

/// Whatever happened meanwhile: everybody has paid for two films, and has two.
async fn once_each(house: &House, viewers: &[Viewer], paid: &[(Value, Value)]) {
    let mut purchases = std::collections::BTreeSet::new();
    for (viewer, (bought, payment)) in viewers.iter().zip(paid) {
        wait_until("the payment", PATIENCE, async || {
            (shown(viewer, payment).await["state"] == "succeeded").then_some(())
        })
        .await;
        purchases.insert(bought.as_str().unwrap().to_owned());
        let past = shown(viewer, payment).await["purchase"].clone();
        purchases.insert(past.as_str().expect("charged, so granted").to_owned());
        // 100 in, 50 out of it; 50 past it.
        assert_eq!((entitlements(viewer).await.len(), viewer.wallet().await), (2, 50));
    }
    assert_eq!(purchases.len(), 2 * PAYERS);
    assert_eq!(house.stripe.book().sessions.len(), 2 * PAYERS, "each was asked for once");
    assert_eq!(house.stripe.book().held(), 150 * PAYERS as i64);
    assert_eq!(house.booked("sales/").await, 2 * PRICE_MINOR * PAYERS as i64);
    house.agrees().await;
}

#[tokio::test]
async fn the_database_cut_off_at_any_moment_under_load() {
    let start = || Arc::new(Cluster::start(&["-c", "fsync=off"]));
    let cluster = tokio::task::spawn_blocking(start).await.unwrap();
    let house = House::build(Some(cluster.database().await)).await;
    let mut viewers = Vec::new();
    for payer in 0..PAYERS {
        viewers.push(house.viewer(&format!("payer{payer}@example.com")).await);
    }
    house.stripe.tell_by_itself();
    let paying = join_all(viewers.iter().map(|viewer| pay(&house, viewer)));
    let cutting = async {
        for cut in 0..KILLS {
            tokio::time::sleep(Duration::from_millis(40 + 53 * (cut as u64 * 7 % 5))).await;
            let cluster = Arc::clone(&cluster);
            tokio::task::spawn_blocking(move || cluster.restart()).await.unwrap();
        }
    };
    let (paid, ()) = tokio::join!(paying, cutting);
    assert!(UNAVAILABLE.load(Ordering::Relaxed) > 0, "it was noticed");
    // The server itself was never started again.
    once_each(&house, &viewers, &paid).await;
}

#[tokio::test]
async fn sixty_four_buyers_of_one_wallet_never_overdraw_it() {
    on_both(async |house| {
        let viewer = house.viewer("crowd@example.com").await;
        let amount = json!({ "amount": { "minor": 20 * PRICE_MINOR + 49, "currency": "USD" } });
        let payment = begin(&viewer, "/v1/wallet/top-ups", &nonce(), &amount).await;
        house.stripe.pay(payment["checkout_url"].as_str().unwrap()).await;
        // The money itself is told of by many at once, while they buy.
        let event = house.stripe.book().events.remove(0);
        let telling = join_all((0..8).map(|_| house.stripe.deliver(&event)));
        let plan = json!({ "plan": house.published.plan });
        let keys: Vec<_> = (0..64).map(|_| nonce()).collect();
        let buying = join_all(keys.iter().map(|key| viewer.post("/v1/purchases", key, &plan)));
        let (told, _) = tokio::join!(telling, buying);
        assert!(told.iter().all(|status| *status == 200), "{told:?}");
        let answers = join_all(keys.iter().map(|key| viewer.post("/v1/purchases", key, &plan))).await;
        let bought = answers.iter().filter(|answer| answer.status() == 201).count();
        assert!(answers.iter().all(|answer| [201, 402].contains(&answer.status().as_u16())));
        assert_eq!((bought, entitlements(&viewer).await.len(), viewer.wallet().await), (20, 20, 49));
        house.agrees().await;
    })
    .await;
}

/// A monthly subscription to the film, for half a dollar.
async fn monthly(house: &House) -> Value {
    let words = ["plan", "add", "--title", &house.published.title, "--subscription", "0.50USD", "--json"];
    let printed = run_ok(house.deployment.command(&words), "").await;
    serde_json::from_str::<Value>(printed.trim()).unwrap()["plan"].clone()
}

async fn subscribe(house: &House, viewer: &Viewer, plan: &Value) {
    let payment = begin(viewer, "/v1/checkouts", &nonce(), &json!({ "plan": plan })).await;
    house.stripe.pay(payment["checkout_url"].as_str().unwrap()).await;
}

/// Moves every subscription into the past, so that its first period has just ended. The server is down.
async fn fall_due(house: &House) {
    const SQL: &str = "update entitlements set anchor_ms = anchor_ms - (period_end_ms - $1), \
                       valid_until_ms = valid_until_ms - (period_end_ms - $1), renew_at_ms = $1, period_end_ms = $1 \
                       where renews and period_end_ms > $1 and period_index = 1";
    let (address, at_ms) = (house.deployment.store_address(), i64::try_from(now_s()).unwrap() * 1000);
    if address.starts_with("postgres") {
        let pool = sqlx::PgPool::connect(&address).await.unwrap();
        sqlx::query(SQL).bind(at_ms).execute(&pool).await.unwrap();
        pool.close().await;
    } else {
        let pool = sqlx::SqlitePool::connect(&address).await.unwrap();
        sqlx::query(SQL).bind(at_ms).execute(&pool).await.unwrap();
        pool.close().await;
    }
}

/// How often a subscriber was charged for a renewal, by the account's purchases, and whether the right goes on.
async fn renewals(viewer: &Viewer) -> (usize, bool) {
    let answer = viewer.request(Method::GET, "/v1/purchases").send().await.unwrap();
    let purchases = answer.json::<Value>().await.unwrap()["purchases"].clone();
    let renewed = purchases.as_array().unwrap().iter().filter(|one| !one["renews"].is_null()).count();
    let until_ms = entitlements(viewer).await[0]["paid_until_ms"].as_u64().unwrap();
    (renewed, until_ms > now_s() * 1000)
}

#[tokio::test]
async fn killed_while_stripe_is_asked_for_a_renewal() {
    on_both(async |house| {
        let plan = monthly(house).await;
        for (round, at) in [At::Arrival, At::Answer].into_iter().enumerate() {
            let viewer = house.viewer(&format!("cut{round}@example.com")).await;
            subscribe(house, &viewer, &plan).await;
            house.stripe.deliver_all().await;
            house.deployment.kill().await;
            fall_due(house).await;
            let hold = house.stripe.hold("/v1/payment_intents", at);
            house.deployment.serve().await;
            hold.reached().await;
            assert!(!renewals(&viewer).await.1, "nothing is extended without charge");
            house.deployment.kill().await;
            hold.release();
            house.stripe.book().events.clear();
            house.deployment.serve().await;
            wait_until("the renewal", PATIENCE, async || {
                (renewals(&viewer).await == (1, true)).then_some(())
            })
            .await;
            assert_eq!(house.stripe.book().intents.len(), 2 * (round + 1), "{at:?}");
            assert_eq!(house.stripe.book().held(), 2 * PRICE_MINOR * (round as i64 + 1));
            assert_eq!(viewer.wallet().await, 0);
            house.agrees().await;
        }
    })
    .await;
}

#[tokio::test]
async fn killed_at_any_moment_while_periods_are_charged() {
    on_both(async |house| {
        let plan = monthly(house).await;
        let mut viewers = Vec::new();
        for payer in 0..PAYERS {
            let viewer = house.viewer(&format!("payer{payer}@example.com")).await;
            subscribe(house, &viewer, &plan).await;
            viewers.push(viewer);
        }
        house.stripe.deliver_all().await;
        house.deployment.kill().await;
        fall_due(house).await;
        house.stripe.tell_by_itself();
        for kill in 0..KILLS {
            house.deployment.serve().await;
            tokio::time::sleep(Duration::from_millis(20 + 31 * (kill as u64 * 7 % 5))).await;
            house.deployment.kill().await;
        }
        house.deployment.serve().await;
        for viewer in &viewers {
            wait_until("the renewal", PATIENCE, async || (renewals(viewer).await == (1, true)).then_some(()))
                .await;
            assert_eq!((entitlements(viewer).await.len(), viewer.wallet().await), (1, 0));
        }
        assert_eq!(house.stripe.book().intents.len(), 2 * PAYERS, "each period was charged once");
        assert_eq!(house.booked("sales/").await, 2 * PRICE_MINOR * PAYERS as i64);
        house.agrees().await;
    })
    .await;
}
