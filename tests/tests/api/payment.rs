//! Payments through Stripe: its stand-in takes the money, the real server books it.

use std::time::Duration;

use matinee_tests::deployment::{Deployment, PRICE_MINOR, Published, wait_until};
use matinee_tests::film;
use matinee_tests::postgres::Cluster;
use matinee_tests::stripe::{SECRET_KEY, Stripe, WEBHOOK_SECRET, sign};
use matinee_tests::viewer::{Viewer, nonce, now_s, problem};
use reqwest::Method;
use serde_json::{Value, json};

/// How long reconciliation may take.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct House {
    pub(crate) deployment: Deployment,
    pub(crate) stripe: Stripe,
    pub(crate) published: Published,
    pub(crate) operator: Viewer,
}

impl House {
    pub(crate) async fn build(store: Option<String>) -> Self {
        let stripe = Stripe::start().await;
        let deployment = Deployment::start_with(store, stripe.environment()).await;
        stripe.tell(&deployment.url());
        let published = deployment.publish("Paid", &[&film::exact(1_000)], 3).await;
        deployment.add_account("operator@example.com", "operator").await;
        let operator = Viewer::sign_in(&deployment.url(), "operator@example.com").await;
        Self { deployment, stripe, published, operator }
    }

    pub(crate) async fn viewer(&self, email: &str) -> Viewer {
        Viewer::sign_up(&self.deployment.url(), email).await
    }

    /// The ledger's account of this kind and currency, in cents.
    pub(crate) async fn booked(&self, kind: &str) -> i64 {
        let ledger = self.deployment.check_ledger().await;
        assert_eq!(ledger["sound"], true, "{ledger}");
        let accounts = ledger["accounts"].as_array().unwrap();
        let of_kind = accounts.iter().filter(|account| account["name"].as_str().unwrap().starts_with(kind));
        of_kind.map(|account| account["minor"].as_i64().unwrap()).sum()
    }

    /// What Stripe holds and what the books say that it holds is the same, and nothing is on its way.
    pub(crate) async fn agrees(&self) {
        assert_eq!(self.booked("provider/stripe/").await, -self.stripe.book().held());
        assert_eq!(self.booked("returning/").await, 0);
    }

    pub(crate) async fn refund(&self, purchase: &Value, key: &str, body: &Value) -> reqwest::Response {
        let path = format!("/v1/purchases/{}/refund", purchase.as_str().expect("a purchase"));
        self.operator.post(&path, key, body).await
    }
}

pub(crate) async fn on_both<F: AsyncFn(&mut House)>(test: F) {
    test(&mut House::build(None).await).await;
    let postgres = Cluster::shared();
    test(&mut House::build(Some(postgres.database().await)).await).await;
}

fn dollars(minor: i64) -> Value {
    json!({ "amount": { "minor": minor, "currency": "USD" } })
}

pub(crate) async fn begin(viewer: &Viewer, path: &str, key: &str, body: &Value) -> Value {
    let answer = viewer.post(path, key, body).await;
    let status = answer.status();
    let body: Value = answer.json().await.unwrap();
    assert_eq!(status, 201, "{body}");
    body["payment"].clone()
}

pub(crate) async fn shown(viewer: &Viewer, payment: &Value) -> Value {
    let path = format!("/v1/payments/{}", payment["id"].as_str().expect("a payment"));
    let answer: Value = viewer.request(Method::GET, &path).send().await.unwrap().json().await.unwrap();
    answer["payment"].clone()
}

pub(crate) async fn entitlements(viewer: &Viewer) -> Vec<Value> {
    let answer = viewer.request(Method::GET, "/v1/entitlements").send().await.unwrap();
    answer.json::<Value>().await.unwrap()["entitlements"].as_array().unwrap().clone()
}

fn url(payment: &Value) -> &str {
    payment["checkout_url"].as_str().unwrap_or_else(|| panic!("nowhere to pay {payment}"))
}

#[tokio::test]
async fn a_wallet_is_filled_on_the_hosted_page() {
    on_both(async |house| {
        let viewer = house.viewer("payer@example.com").await;
        let key = nonce();
        let payment = begin(&viewer, "/v1/wallet/top-ups", &key, &dollars(1_000)).await;
        assert_eq!((&payment["provider"], &payment["state"]), (&json!("stripe"), &json!("pending")));
        let again = begin(&viewer, "/v1/wallet/top-ups", &key, &dollars(1_000)).await;
        assert_eq!(again, payment, "the same request is the same payment");
        assert_eq!(house.stripe.book().sessions.len(), 1);
        assert_eq!(viewer.wallet().await, 0);
        house.stripe.pay(url(&payment)).await;
        let events = house.stripe.deliver_all().await;
        assert_eq!(viewer.wallet().await, 1_000);
        let paid = shown(&viewer, &payment).await;
        assert_eq!((&paid["state"], &paid["checkout_url"]), (&json!("succeeded"), &Value::Null));
        // Told again, in another order, by ourselves: nothing changes twice.
        for event in events.iter().chain(&events) {
            assert_eq!(house.stripe.deliver(event).await, 200);
        }
        let mut other = events[0].clone();
        other["id"] = json!("evt_another_name");
        assert_eq!(house.stripe.deliver(&other).await, 200, "a second event of the same thing");
        assert_eq!(viewer.wallet().await, 1_000);
        house.agrees().await;
    })
    .await;
}

#[tokio::test]
async fn forged_late_and_foreign_events_change_nothing() {
    let house = House::build(None).await;
    let viewer = house.viewer("payer@example.com").await;
    let payment = begin(&viewer, "/v1/wallet/top-ups", &nonce(), &dollars(1_000)).await;
    house.stripe.pay(url(&payment)).await;
    let event = house.stripe.book().events.remove(0);
    let body = event.to_string();
    let bigger = body.replace("1000", "9000");
    let signature = |secret: &str, at_s: u64| sign(&body, secret, at_s);
    for (what, body, header) in [
        ("by nobody", body.clone(), String::new()),
        ("by another secret", body.clone(), signature("whsec_guess", now_s())),
        ("by the secret key", body.clone(), signature(SECRET_KEY, now_s())),
        ("of another body", bigger, signature(WEBHOOK_SECRET, now_s())),
        ("too late", body.clone(), signature(WEBHOOK_SECRET, now_s() - 310)),
        ("from the future", body.clone(), signature(WEBHOOK_SECRET, now_s() + 310)),
    ] {
        assert_eq!(house.stripe.deliver_as(body, &header).await, 400, "{what}");
    }
    // Rightly signed, and not ours, or of a kind that means nothing here.
    let told = |name: &str, kind: &str, object: Value| json!({ "id": name, "type": kind, "data": { "object": object } });
    let mut foreign = event["data"]["object"].clone();
    foreign["client_reference_id"] = json!("order 77 of the shop next door");
    let mut unknown = event["data"]["object"].clone();
    unknown["client_reference_id"] = json!(uuid::Uuid::now_v7().to_string());
    let dispute = json!({ "id": "dp_x", "amount": 5, "currency": "usd", "status": "needs_response", "payment_intent": "pi_x" });
    for event in [
        told("evt_a", "checkout.session.completed", foreign),
        told("evt_b", "checkout.session.completed", unknown),
        told("evt_c", "customer.created", json!({ "id": "cus_1" })),
        told("evt_d", "checkout.session.completed", json!({ "id": "cs_1" })),
        told("evt_e", "charge.dispute.created", dispute),
    ] {
        assert_eq!(house.stripe.deliver(&event).await, 200, "{event}");
    }
    let none = house.stripe.deliver_as("[]".to_owned(), &sign("[]", WEBHOOK_SECRET, now_s())).await;
    assert_eq!(none, 400, "signed and no event");
    // The money of another amount is not booked as if it were the right one.
    let mut less = event.clone();
    less["id"] = json!("evt_less");
    less["data"]["object"]["amount_total"] = json!(1);
    assert_eq!(house.stripe.deliver(&less).await, 500);
    // Meanwhile reconciliation may have asked by itself; either way it is booked once and rightly.
    assert_eq!(house.stripe.deliver(&event).await, 200);
    assert_eq!(viewer.wallet().await, 1_000);
    house.agrees().await;
}

#[tokio::test]
async fn a_plan_is_bought_past_the_wallet_and_refunded_through_stripe() {
    on_both(async |house| {
        let viewer = house.viewer("buyer@example.com").await;
        let plan = json!({ "plan": house.published.plan });
        let payment = begin(&viewer, "/v1/checkouts", &nonce(), &plan).await;
        assert!(entitlements(&viewer).await.is_empty(), "nothing is granted without charge");
        house.stripe.pay(url(&payment)).await;
        house.stripe.deliver_all().await;
        let paid = shown(&viewer, &payment).await;
        assert_eq!(paid["state"], "succeeded");
        let given = entitlements(&viewer).await;
        assert_eq!((given.len(), viewer.wallet().await), (1, 0));
        let opening = viewer.open(given[0]["id"].as_str().unwrap()).await;
        house.agrees().await;

        // A part first, kept; then the rest, which ends it. Each under a key, each once.
        let part = json!({ "reason": "the subtitles", "amount_minor": 20, "keep": true });
        let (one, two) = (nonce(), nonce());
        for _ in 0..2 {
            let made: Value = house.refund(&paid["purchase"], &one, &part).await.json().await.unwrap();
            assert_eq!(
                (&made["refund"]["state"], &made["refund"]["to"]),
                (&json!("succeeded"), &json!("payer"))
            );
        }
        assert_eq!(viewer.try_license(&opening, 0, 0).await.status(), 200, "it is kept");
        let keeps = json!({ "reason": "x", "keep": true });
        let refused = problem(house.refund(&paid["purchase"], &nonce(), &keeps).await).await;
        assert_eq!(refused, (422, "refund_keeps_all".to_owned()));
        for _ in 0..2 {
            let whole = house.refund(&paid["purchase"], &two, &json!({ "reason": "sorry" })).await;
            let made: Value = whole.json().await.unwrap();
            assert_eq!(made["refund"]["amount"]["minor"], 30, "{made}");
        }
        let more = problem(house.refund(&paid["purchase"], &nonce(), &json!({ "reason": "x" })).await).await;
        assert_eq!(more, (422, "refund_out_of_range".to_owned()));
        let refused = problem(viewer.try_license(&opening, 0, 0).await).await;
        assert_eq!(refused, (403, "entitlement_revoked".to_owned()), "no further key");
        house.stripe.deliver_all().await;
        assert_eq!(house.stripe.book().refunds.len(), 2);
        let back = shown(&viewer, &payment).await;
        assert_eq!((&back["state"], &back["refunded_minor"]), (&json!("refunded"), &json!(PRICE_MINOR)));
        assert_eq!((viewer.wallet().await, house.booked("sales/").await), (0, 0));
        house.agrees().await;
    })
    .await;
}

#[tokio::test]
async fn a_refund_that_stripe_cannot_make_goes_to_the_wallet() {
    on_both(async |house| {
        let viewer = house.viewer("buyer@example.com").await;
        let plan = json!({ "plan": house.published.plan });
        // Refused at once.
        let payment = begin(&viewer, "/v1/checkouts", &nonce(), &plan).await;
        house.stripe.pay(url(&payment)).await;
        house.stripe.deliver_all().await;
        let purchase = shown(&viewer, &payment).await["purchase"].clone();
        house.stripe.book().refuses_refunds = true;
        let made: Value =
            house.refund(&purchase, &nonce(), &json!({ "reason": "sorry" })).await.json().await.unwrap();
        assert_eq!((&made["refund"]["state"], &made["refund"]["to"]), (&json!("failed"), &json!("wallet")));
        assert_eq!(viewer.wallet().await, PRICE_MINOR);
        assert_eq!(shown(&viewer, &payment).await["state"], "succeeded", "the money is still at Stripe");
        house.agrees().await;

        // Begun, and refused by the bank days later: told in the wrong order and twice.
        house.stripe.book().refuses_refunds = false;
        house.stripe.book().refunds_begin = Some("pending");
        let payment = begin(&viewer, "/v1/checkouts", &nonce(), &plan).await;
        house.stripe.pay(url(&payment)).await;
        house.stripe.deliver_all().await;
        let purchase = shown(&viewer, &payment).await["purchase"].clone();
        let made: Value =
            house.refund(&purchase, &nonce(), &json!({ "reason": "sorry" })).await.json().await.unwrap();
        assert_eq!(made["refund"]["state"], "pending", "{made}");
        let begun = std::mem::take(&mut house.stripe.book().events);
        let name = house.stripe.book().refunds.keys().next_back().unwrap().clone();
        house.stripe.book().refund_ends(&name, "failed");
        house.stripe.deliver_all().await;
        for event in &begun {
            assert_eq!(house.stripe.deliver(event).await, 200);
        }
        assert_eq!(viewer.wallet().await, 2 * PRICE_MINOR);
        house.agrees().await;
    })
    .await;
}

#[tokio::test]
async fn a_chargeback_ends_what_it_paid_for() {
    on_both(async |house| {
        let viewer = house.viewer("fraud@example.com").await;
        let payment = begin(&viewer, "/v1/wallet/top-ups", &nonce(), &dollars(120)).await;
        house.stripe.pay(url(&payment)).await;
        house.stripe.deliver_all().await;
        let entitlement = viewer.buy(&house.published).await;
        viewer.buy(&house.published).await;
        let opening = viewer.open(&entitlement).await;
        assert_eq!(viewer.wallet().await, 120 - 2 * PRICE_MINOR);
        let intent = house.stripe.book().intent_of(payment["id"].as_str().unwrap());
        let dispute = house.stripe.book().dispute(&intent);
        let events = house.stripe.deliver_all().await;
        assert_eq!(shown(&viewer, &payment).await["state"], "disputed");
        let refused = problem(viewer.try_license(&opening, 0, 0).await).await;
        assert_eq!(refused, (403, "entitlement_revoked".to_owned()));
        let over = entitlements(&viewer).await;
        let over: Vec<_> = over.iter().map(|given| &given["status"]).collect();
        assert_eq!(over, ["cancelled", "revoked"], "the one that was not used, and the one that was");
        assert_eq!((viewer.wallet().await, house.booked("sales/").await), (0, 0));
        house.agrees().await;

        // Decided for us: the money comes back to the viewer's wallet, once, whatever comes again or late.
        house.stripe.book().close_dispute(&dispute, true);
        let closing = house.stripe.deliver_all().await;
        for event in events.iter().chain(&closing).chain(&events) {
            let mut renamed = event.clone();
            renamed["id"] = json!(nonce());
            assert_eq!(house.stripe.deliver(&renamed).await, 200);
        }
        assert_eq!((viewer.wallet().await, house.booked("debt/").await), (120, 0));
        assert_eq!(shown(&viewer, &payment).await["state"], "succeeded");
        house.agrees().await;
    })
    .await;
}

#[tokio::test]
async fn news_in_the_wrong_order_comes_out_right() {
    on_both(async |house| {
        let viewer = house.viewer("fraud@example.com").await;
        let plan = json!({ "plan": house.published.plan });
        // The chargeback, lost already, is heard of before the payment.
        let payment = begin(&viewer, "/v1/checkouts", &nonce(), &plan).await;
        house.stripe.pay(url(&payment)).await;
        let intent = house.stripe.book().intent_of(payment["id"].as_str().unwrap());
        let dispute = house.stripe.book().dispute(&intent);
        house.stripe.book().close_dispute(&dispute, false);
        let events = std::mem::take(&mut house.stripe.book().events);
        for event in events.iter().rev() {
            assert_eq!(house.stripe.deliver(event).await, 200, "{event}");
        }
        assert_eq!(shown(&viewer, &payment).await["state"], "disputed");
        assert!(entitlements(&viewer).await.iter().all(|given| given["status"] == "cancelled"));
        assert_eq!((viewer.wallet().await, house.booked("sales/").await), (0, 0));

        // Expired, and paid all the same: late money buys what it was for.
        let payment = begin(&viewer, "/v1/checkouts", &nonce(), &plan).await;
        let session = url(&payment).rsplit('/').next().unwrap().to_owned();
        house.stripe.pay(url(&payment)).await;
        let paid = house.stripe.book().events.remove(0);
        let mut expired = paid.clone();
        expired["id"] = json!("evt_expired");
        expired["type"] = json!("checkout.session.expired");
        expired["data"]["object"]["status"] = json!("expired");
        assert_eq!(house.stripe.deliver(&expired).await, 200);
        assert_eq!(house.stripe.deliver(&paid).await, 200);
        assert_eq!(house.stripe.deliver(&expired).await, 200);
        assert_eq!(shown(&viewer, &payment).await["state"], "succeeded", "{session}");
        let ready = entitlements(&viewer).await.iter().filter(|given| given["status"] == "ready").count();
        assert_eq!(ready, 1);
        // Refunded by hand at Stripe: the whole ends it.
        let intent = house.stripe.book().intent_of(payment["id"].as_str().unwrap());
        house.stripe.book().refund_by_hand(&intent, PRICE_MINOR);
        let events = house.stripe.deliver_all().await;
        let mut renamed = events[0].clone();
        renamed["id"] = json!("evt_refunded_again");
        assert_eq!(house.stripe.deliver(&renamed).await, 200);
        assert_eq!(shown(&viewer, &payment).await["state"], "refunded");
        assert!(entitlements(&viewer).await.iter().all(|given| given["status"] == "cancelled"));
        house.agrees().await;
    })
    .await;
}

#[tokio::test]
async fn a_bank_that_takes_days_and_one_that_says_no() {
    let house = House::build(None).await;
    let viewer = house.viewer("slow@example.com").await;
    for (paid, state, wallet) in [(true, "succeeded", 1_000), (false, "failed", 1_000)] {
        let payment = begin(&viewer, "/v1/wallet/top-ups", &nonce(), &dollars(1_000)).await;
        let session = url(&payment).rsplit('/').next().unwrap().to_owned();
        assert!(house.stripe.book().pay(&session, false));
        house.stripe.deliver_all().await;
        assert_eq!(shown(&viewer, &payment).await["state"], "pending");
        let intent = house.stripe.book().intent_of(payment["id"].as_str().unwrap());
        let outcome = if paid { "succeeded" } else { "requires_payment_method" };
        house.stripe.book().intents.get_mut(&intent).unwrap()["status"] = json!(outcome);
        house.stripe.book().bank_says(&session, paid);
        house.stripe.deliver_all().await;
        assert_eq!(shown(&viewer, &payment).await["state"], state);
        assert_eq!(viewer.wallet().await, wallet);
    }
    house.agrees().await;
}

#[tokio::test]
async fn what_stripe_never_told_is_asked_for() {
    on_both(async |house| {
        let viewer = house.viewer("quiet@example.com").await;
        let plan = json!({ "plan": house.published.plan });
        let paid = begin(&viewer, "/v1/checkouts", &nonce(), &plan).await;
        let left = begin(&viewer, "/v1/wallet/top-ups", &nonce(), &dollars(700)).await;
        house.stripe.pay(url(&paid)).await;
        let session = url(&left).rsplit('/').next().unwrap().to_owned();
        house.stripe.book().expire(&session);
        house.stripe.book().events.clear();
        for (payment, state) in [(&paid, "succeeded"), (&left, "failed")] {
            wait_until("reconciliation", PATIENCE, async || {
                (shown(&viewer, payment).await["state"] == state).then_some(())
            })
            .await;
        }
        assert_eq!((entitlements(&viewer).await.len(), viewer.wallet().await), (1, 0));
        house.agrees().await;

        // Stripe is down: nobody knows, the same request again does.
        house.stripe.book().down = true;
        let key = nonce();
        let answer = viewer.post("/v1/wallet/top-ups", &key, &dollars(700)).await;
        assert_eq!(problem(answer).await, (503, "provider_unreachable".to_owned()));
        house.stripe.book().down = false;
        let payment = begin(&viewer, "/v1/wallet/top-ups", &key, &dollars(700)).await;
        assert_eq!(payment["state"], "pending");
        // Too little for Stripe: refused for good, and again under the same key.
        for _ in 0..2 {
            let answer = viewer.post("/v1/wallet/top-ups", "too-little", &dollars(49)).await;
            assert_eq!(problem(answer).await, (402, "payment_declined".to_owned()));
        }
    })
    .await;
}
