//! Money that goes back, on a clock that the test moves: once, whatever is lost, and to the wallet where it cannot go.

use matinee_tests::viewer::{Viewer, nonce};
use reqwest::Response;
use serde_json::{Value, json};

use crate::payment::begin;
use crate::renewal::{Cinema, DAY_MS, PRICE_MINOR, listed, on_both};

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
