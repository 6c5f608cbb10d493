//! Money that goes back, on a clock that the test moves: once, whatever is lost, and to the wallet where it cannot go.

use std::time::Duration;

use matinee_protocol::id::PurchaseId;
use matinee_server::store::ledger::{self, Holder};
use matinee_server::store::{Store, Tx, entitlement, purchase};
use matinee_tests::deployment::{PASSWORD, wait_until};
use matinee_tests::postgres::Cluster;
use matinee_tests::viewer::{Viewer, nonce};
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::payment::begin;
use crate::renewal::{Cinema, DAY_MS, PRICE_MINOR, config, listed, on_both};

/// How long a transaction may take to come to where it waits.
const PATIENCE: Duration = Duration::from_secs(30);

async fn ask_refund(operator: &Viewer, viewer: &Viewer, body: &Value) -> Response {
    let newest = listed(viewer, "purchases").await[0]["id"].clone();
    let path = format!("/v1/purchases/{}/refund", newest.as_str().unwrap());
    operator.post(&path, &nonce(), body).await
}

/// Refunds the newest purchase of a viewer.
async fn refund(operator: &Viewer, viewer: &Viewer, body: &Value) -> Value {
    let answer = ask_refund(operator, viewer, body).await;
    let status = answer.status();
    let made: Value = answer.json().await.unwrap();
    assert_eq!(status, 201, "{made}");
    made["refund"].clone()
}

async fn close(viewer: &Viewer) -> u16 {
    let asked = viewer.request(Method::POST, "/v1/account/closure").json(&json!({ "password": PASSWORD }));
    asked.send().await.unwrap().status().as_u16()
}

fn dollars(minor: i64) -> Value {
    json!({ "amount": { "minor": minor, "currency": "USD" } })
}

impl Cinema {
    /// What Stripe calls the payment that a viewer made last.
    async fn intent(&self, viewer: &Viewer) -> String {
        let payment = listed(viewer, "payments").await[0]["id"].clone();
        self.stripe.book().intent_of(payment.as_str().unwrap())
    }

    /// The only refund of it at Stripe.
    fn sent_back(&self, intent: &str) -> String {
        let found = self.stripe.book().refunds_of(intent)["data"].clone();
        assert_eq!(found.as_array().unwrap().len(), 1, "{found}");
        found[0]["id"].as_str().unwrap().to_owned()
    }

    /// A viewer whose wallet was filled at Stripe.
    async fn with_wallet(&self, email: &str, minor: i64) -> Viewer {
        let viewer = Viewer::sign_up(&self.url, email).await;
        self.fill(&viewer, minor).await;
        viewer
    }

    async fn fill(&self, viewer: &Viewer, minor: i64) {
        let payment = begin(viewer, "/v1/wallet/top-ups", &nonce(), &dollars(minor)).await;
        self.stripe.pay(payment["checkout_url"].as_str().unwrap()).await;
        self.stripe.deliver_all().await;
    }

    /// Waits until so many transactions wait for another.
    async fn waiting(&self, count: i64) {
        const SQL: &str = "select count(*) from pg_stat_activity where datname = current_database() \
                           and wait_event_type = 'Lock'";
        let Store::Postgres(pool) = &self.app.store else { panic!("not PostgreSQL") };
        wait_until("a transaction that waits", PATIENCE, async || {
            let (waiting,): (i64,) = sqlx::query_as(SQL).fetch_one(pool).await.unwrap();
            (waiting >= count).then_some(())
        })
        .await;
    }

    /// Begins one thing and then another while a transaction holds up the first, and gives what came of both.
    async fn beside<A: Send + 'static, B: Send + 'static>(
        &self,
        held: Tx,
        one: impl Future<Output = A> + Send + 'static,
        two: impl Future<Output = B> + Send + 'static,
    ) -> (A, B) {
        let one = tokio::spawn(one);
        self.waiting(1).await;
        let two = tokio::spawn(two);
        self.waiting(2).await;
        held.commit().await.unwrap();
        (one.await.unwrap(), two.await.unwrap())
    }
}

#[tokio::test]
async fn what_a_bank_returns_after_it_was_sent_is_in_the_wallet() {
    on_both(async |cinema| {
        let operator = cinema.operator().await;
        let (ana, _) = cinema.subscriber("ana@example.com").await;
        let (bob, _) = cinema.subscriber("bob@example.com").await;
        let eve = cinema.with_wallet("eve@example.com", 1_000).await;
        let plan = json!({ "plan": cinema.plan });
        assert_eq!(eve.post("/v1/purchases", &nonce(), &plan).await.status(), 201);
        let mut intents = Vec::new();
        for viewer in [&ana, &bob, &eve] {
            intents.push(cinema.intent(viewer).await);
        }
        // By us; by hand at Stripe; by hand, of what is spent: that is owed.
        let made = refund(&operator, &ana, &json!({ "reason": "sorry" })).await;
        assert_eq!((&made["state"], &made["to"]), (&json!("succeeded"), &json!("payer")));
        cinema.stripe.book().refund_by_hand(&intents[1], PRICE_MINOR);
        cinema.stripe.book().refund_by_hand(&intents[2], 500);
        let sent = cinema.stripe.deliver_all().await;
        for viewer in [&ana, &bob, &eve] {
            assert_eq!(viewer.wallet().await, 0);
        }
        assert_eq!(cinema.booked("debt/").await, -(PRICE_MINOR + 500 - 1_000));

        cinema.pass(20 * DAY_MS);
        for intent in &intents {
            let name = cinema.sent_back(intent);
            cinema.stripe.book().refund_ends(&name, "failed");
        }
        let returned = cinema.stripe.deliver_all().await;
        // Told again under other names, and what was told before comes late: nothing changes twice.
        for event in returned.iter().chain(&sent) {
            let mut renamed = event.clone();
            renamed["id"] = json!(nonce());
            assert_eq!(cinema.stripe.deliver(&renamed).await, 200, "{renamed}");
        }
        assert_eq!((ana.wallet().await, bob.wallet().await), (PRICE_MINOR, PRICE_MINOR));
        assert_eq!((eve.wallet().await, cinema.booked("debt/").await), (1_000 - PRICE_MINOR, 0));
        assert_eq!(cinema.booked("returning/").await, 0);
        for viewer in [&ana, &bob, &eve] {
            let payment = listed(viewer, "payments").await[0].clone();
            assert_eq!((&payment["state"], &payment["refunded_minor"]), (&json!("succeeded"), &Value::Null));
            let refunds = listed(viewer, "refunds").await;
            let last = refunds.iter().find(|one| one["payment"] == payment["id"]).unwrap();
            assert_eq!((&last["state"], &last["to"]), (&json!("failed"), &json!("wallet")));
        }
    })
    .await;
}

#[tokio::test]
async fn whatever_is_lost_a_refund_is_sent_once() {
    on_both(async |cinema| {
        let operator = cinema.operator().await;
        let part = json!({ "reason": "it rained", "amount_minor": 100, "keep": true });
        let whole = json!({ "reason": "sorry" });
        for (round, silence_ms) in [1_000, DAY_MS, 3 * DAY_MS].into_iter().enumerate() {
            for (name, body) in [("part", &part), ("whole", &whole)] {
                let (viewer, _) = cinema.subscriber(&format!("{name}{round}@example.com")).await;
                cinema.stripe.book().loses_answers = 3;
                let made = refund(&operator, &viewer, body).await;
                assert_eq!((&made["state"], cinema.stripe.book().loses_answers), (&json!("pending"), 0));
                // Sent back, and neither side hears of the other for so long.
                cinema.stripe.book().events.clear();
                cinema.pass(silence_ms);
                cinema.turn().await;
                cinema.turn().await;
                assert_eq!(cinema.booked("returning/").await, 0, "{name} {silence_ms}");
                cinema.sent_back(&cinema.intent(&viewer).await);
                assert_eq!(viewer.wallet().await, 0, "{name} {silence_ms}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn money_for_an_account_that_was_closed_goes_back() {
    on_both(async |cinema| {
        let ana = Viewer::sign_up(&cinema.url, "ana@example.com").await;
        let plan = json!({ "plan": cinema.plan });
        let mut pages = Vec::new();
        for (path, body) in [("/v1/checkouts", &plan), ("/v1/wallet/top-ups", &dollars(700))] {
            let payment = begin(&ana, path, &nonce(), body).await;
            pages.push(payment["checkout_url"].as_str().unwrap().to_owned());
        }
        assert_eq!(close(&ana).await, 204);
        for page in &pages {
            cinema.stripe.pay(page).await;
        }
        cinema.stripe.deliver_all().await;
        assert_eq!((cinema.booked("sales/").await, cinema.booked("wallet/").await), (0, 0));
        cinema.turn().await;
        cinema.stripe.deliver_all().await;
        assert_eq!((cinema.booked("returning/").await, cinema.stripe.book().held()), (0, 0));
        assert_eq!(cinema.stripe.book().refunds.len(), 2);
        assert_eq!(cinema.stripe.book().saved(), 0, "nor is a card kept");
    })
    .await;
}

#[tokio::test]
async fn money_that_comes_while_an_account_is_closed_goes_back() {
    let postgres = Cluster::shared();
    let cinema = Cinema::build(Some(postgres.database().await)).await;
    let (ana, id) = cinema.subscriber("ana@example.com").await;
    let payment = begin(&ana, "/v1/wallet/top-ups", &nonce(), &dollars(700)).await;
    cinema.stripe.pay(payment["checkout_url"].as_str().unwrap()).await;
    let event = cinema.stripe.book().events.remove(0);
    // The closure has looked into the wallet, and waits for what is to end.
    let mut held = cinema.app.store.write().await.unwrap();
    entitlement::hold(&mut held, id).await.unwrap();
    let stripe = cinema.stripe.clone();
    let came = async move { stripe.deliver(&event).await };
    let closed = async move { close(&ana).await };
    assert_eq!(cinema.beside(held, closed, came).await, (204, 200));
    cinema.turn().await;
    assert_eq!((cinema.booked("wallet/").await, cinema.booked("returning/").await), (0, 0));
    assert_eq!(cinema.stripe.book().refunds.len(), 1);
}

#[tokio::test]
async fn whoever_takes_money_back_waits_for_who_does_already() {
    let postgres = Cluster::shared();
    let cinema = Cinema::build(Some(postgres.database().await)).await;
    let operator = cinema.operator().await;
    let whole = json!({ "reason": "sorry" });
    // A chargeback, and the operator's refund beside it: there is nothing left for that.
    let (ana, _) = cinema.subscriber("ana@example.com").await;
    let intent = cinema.intent(&ana).await;
    cinema.stripe.book().dispute(&intent);
    let event = cinema.stripe.book().events.remove(0);
    let mut held = cinema.app.store.write().await.unwrap();
    ledger::hold(&mut held, &Holder::Provider("stripe".to_owned()), "USD").await.unwrap();
    let stripe = cinema.stripe.clone();
    let disputed = async move { stripe.deliver(&event).await };
    let (by, body) = (operator.clone(), whole.clone());
    let refunded = async move { ask_refund(&by, &ana, &body).await.status().as_u16() };
    assert_eq!(cinema.beside(held, disputed, refunded).await, (200, 422));
    cinema.booked("").await;

    // A refund, and the renewal given up beside it, with which the card is forgotten: it is given up already.
    let (bob, id) = cinema.subscriber("bob@example.com").await;
    let bought: PurchaseId = listed(&bob, "purchases").await[0]["id"].as_str().unwrap().parse().unwrap();
    let mut held = cinema.app.store.write().await.unwrap();
    purchase::add_refunded(&mut held, bought, 0, PRICE_MINOR).await.unwrap();
    let (by, of) = (operator, bob.clone());
    let refunded = async move { ask_refund(&by, &of, &whole).await.status().as_u16() };
    let given_up = async move {
        let path = format!("/v1/entitlements/{id}/renewal");
        let asked = bob.request(Method::PUT, &path).json(&json!({ "renews": false }));
        asked.send().await.unwrap().status().as_u16()
    };
    assert_eq!(cinema.beside(held, refunded, given_up).await, (201, 200));
    cinema.booked("").await;
}

#[tokio::test]
async fn what_is_open_at_another_provider_is_over() {
    on_both(async |cinema| {
        let operator = cinema.operator().await;
        let mut subscribed = Vec::new();
        for email in ["ana@example.com", "bob@example.com", "eve@example.com", "joe@example.com"] {
            subscribed.push(cinema.subscriber(email).await);
        }
        let [(ana, anas), (bob, bobs), (eve, _), (joe, _)] = &subscribed[..] else { panic!("four") };
        // Renewals that a bank thinks about; a page that nobody has paid on; a refund that Stripe has heard of, and one
        // that it has not.
        let end_ms = cinema.paid_until_ms(ana, *anas).await;
        cinema.pass_until(end_ms);
        cinema.stripe.book().charges_begin = Some("processing");
        cinema.turn().await;
        begin(ana, "/v1/wallet/top-ups", &nonce(), &dollars(700)).await;
        cinema.fill(bob, PRICE_MINOR).await;
        cinema.stripe.book().refunds_begin = Some("pending");
        assert_eq!(refund(&operator, joe, &json!({ "reason": "sorry" })).await["state"], "pending");
        cinema.stripe.book().down = true;
        assert_eq!(refund(&operator, eve, &json!({ "reason": "sorry" })).await["state"], "pending");

        let mut other = config(&cinema.stripe);
        other.payment.provider = "simulated".to_owned();
        cinema.start_again_with(other).await;
        cinema.pass(60 * 60 * 1000);
        cinema.turn().await;
        assert!(cinema.paid_until_ms(bob, *bobs).await > end_ms, "the wallet pays where it can");
        let now = cinema.status(ana, *anas).await;
        assert_eq!(now["events"][0]["type"], "renewal_failed");
        assert_eq!(now["events"][0]["note"], "the payment provider was changed");
        let payments = listed(ana, "payments").await;
        assert_eq!((&payments[0]["state"], &payments[1]["state"]), (&json!("failed"), &json!("failed")));
        for (viewer, minor) in [(ana, 0), (bob, 0), (eve, PRICE_MINOR), (joe, 0)] {
            assert_eq!(viewer.wallet().await, minor, "{}", viewer.email);
        }
        assert_eq!(cinema.booked("returning/").await, 0);
        cinema.pass(DAY_MS);
        cinema.turn().await;
        assert_eq!(cinema.status(ana, *anas).await["status"], "expired");
    })
    .await;
}
