//! Money moves once and a view is counted once, however many requests race, on both databases.

use futures_util::future::join_all;
use matinee_tests::deployment::{Deployment, PRICE_MINOR};
use matinee_tests::film;
use matinee_tests::postgres::Cluster;
use matinee_tests::viewer::{nonce, problem};
use serde_json::{Value, json};

/// Views of the entitlement that is raced for.
const VIEWS: u32 = 5;
/// Devices that race.
const RACERS: usize = 40;
/// Times one purchase is repeated.
const REPEATS: usize = 20;

async fn on_both<F: AsyncFn(&mut Deployment)>(test: F) {
    test(&mut Deployment::start().await).await;
    let postgres = Cluster::shared();
    test(&mut Deployment::start_on(Some(postgres.database().await)).await).await;
}

#[tokio::test]
async fn forty_racing_starts_on_five_views_are_five() {
    on_both(async |deployment| {
        let published = deployment.publish("Raced", &[&film::exact(1_000)], VIEWS).await;
        let viewer = deployment.viewer("racer@example.com").await;
        let entitlement = viewer.buy(&published).await;
        let racers: Vec<_> = (0..RACERS).map(|_| viewer.on_new_device()).collect();
        let answers = join_all(racers.iter().map(|racer| racer.try_open(&entitlement))).await;
        let (mut opened, mut refused) = (0, 0);
        for answer in answers {
            if answer.status().is_success() {
                opened += 1;
            } else {
                assert_eq!(problem(answer).await, (403, "no_views_left".to_owned()));
                refused += 1;
            }
        }
        assert_eq!((opened, refused), (VIEWS as usize, RACERS - VIEWS as usize));
        deployment.check_ledger().await;
    })
    .await;
}

#[tokio::test]
async fn one_device_that_starts_twenty_times_at_once_uses_one_view() {
    on_both(async |deployment| {
        let published = deployment.publish("Once", &[&film::exact(1_000)], 2).await;
        let viewer = deployment.viewer("once@example.com").await;
        let entitlement = viewer.buy(&published).await;
        let answers = join_all((0..20).map(|_| viewer.try_open(&entitlement))).await;
        let mut views = std::collections::BTreeSet::new();
        for answer in answers {
            let status = answer.status();
            let body: Value = answer.json().await.unwrap();
            assert!(status.is_success(), "{body}");
            views.insert(body["view"].as_str().unwrap().to_owned());
        }
        assert_eq!(views.len(), 1);
        assert!(
            viewer.on_new_device().try_open(&entitlement).await.status().is_success(),
            "the second view is left"
        );
    })
    .await;
}

#[tokio::test]
async fn a_purchase_repeated_with_one_key_is_charged_once() {
    on_both(async |deployment| {
        let published = deployment.publish("Bought", &[&film::exact(1_000)], VIEWS).await;
        let viewer = deployment.viewer("buyer@example.com").await;
        let before = viewer.wallet().await;
        let (key, body) = (nonce(), json!({ "plan": published.plan }));
        let answers = join_all((0..REPEATS).map(|_| viewer.post("/v1/purchases", &key, &body))).await;
        let mut purchases = std::collections::BTreeSet::new();
        for answer in answers {
            let status = answer.status().as_u16();
            let answer: Value = answer.json().await.unwrap();
            if status == 409 {
                assert_eq!(answer["code"], "idempotency_key_in_flight");
                continue;
            }
            assert_eq!(status, 201, "{answer}");
            purchases.insert(answer["purchase"]["id"].as_str().unwrap().to_owned());
        }
        assert_eq!(purchases.len(), 1);
        let replay = viewer.post("/v1/purchases", &key, &body).await;
        assert_eq!(replay.headers().get("idempotency-replayed").unwrap(), "true");
        assert_eq!(viewer.wallet().await, before - PRICE_MINOR);
        let other =
            viewer.post("/v1/purchases", &key, &json!({ "plan": uuid::Uuid::now_v7().to_string() })).await;
        assert_eq!(problem(other).await, (422, "idempotency_key_reused".to_owned()));
        let without =
            viewer.request(reqwest::Method::POST, "/v1/purchases").json(&body).send().await.unwrap();
        assert_eq!(problem(without).await, (400, "idempotency_key_missing".to_owned()));
        deployment.check_ledger().await;
    })
    .await;
}

#[tokio::test]
async fn a_wallet_is_never_overdrawn() {
    on_both(async |deployment| {
        let published = deployment.publish("Dear", &[&film::exact(1_000)], VIEWS).await;
        let viewer = deployment.viewer("poor@example.com").await;
        // Ten dollars buy twenty rentals at fifty cents; thirty ask at once, each with its own key.
        let body = json!({ "plan": published.plan });
        let answers =
            join_all((0..30).map(|_| async { viewer.post("/v1/purchases", &nonce(), &body).await })).await;
        let mut bought = 0;
        for answer in answers {
            if answer.status() == 201 {
                bought += 1;
            } else {
                assert_eq!(problem(answer).await, (402, "wallet_too_low".to_owned()));
            }
        }
        assert_eq!((bought, viewer.wallet().await), (20, 0));
        deployment.check_ledger().await;
    })
    .await;
}

#[tokio::test]
async fn a_server_killed_between_purchases_keeps_them_whole() {
    let mut deployment = Deployment::start().await;
    let published = deployment.publish("Cut", &[&film::exact(1_000)], VIEWS).await;
    let viewer = deployment.viewer("cut@example.com").await;
    let keys: Vec<String> = (0..20).map(|_| nonce()).collect();
    let body = json!({ "plan": published.plan });
    let racing = async {
        let asked = keys.iter().map(|key| {
            let request =
                viewer.request(reqwest::Method::POST, "/v1/purchases").header("idempotency-key", key);
            request.json(&body).send()
        });
        join_all(asked).await
    };
    let killing = async {
        tokio::time::sleep(std::time::Duration::from_millis(15)).await;
        deployment.kill().await;
    };
    let (answers, ()) = tokio::join!(racing, killing);
    deployment.serve().await;
    // Whoever got an answer finds it again; whoever did not asks again with the same key.
    let mut ids = std::collections::BTreeSet::new();
    for (key, first) in keys.iter().zip(answers) {
        let again: Value = viewer.post("/v1/purchases", key, &body).await.json().await.unwrap();
        let id = again["purchase"]["id"].as_str().unwrap_or_else(|| panic!("{again}")).to_owned();
        if let Ok(first) = first
            && first.status() == 201
            && let Ok(first) = first.json::<Value>().await
        {
            assert_eq!(first["purchase"]["id"], id.as_str());
        }
        ids.insert(id);
    }
    assert_eq!(ids.len(), keys.len());
    assert_eq!(viewer.wallet().await, 1_000 - PRICE_MINOR * keys.len() as i64);
    deployment.check_ledger().await;
}
