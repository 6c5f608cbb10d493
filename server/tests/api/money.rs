//! Wallets, purchases, and requests that happen once.

use matinee_server::store::account::Role;
use serde_json::{Value, json};

use crate::bench::{Bench, DAY_MS, NOW_MS};

fn amount(minor: i64) -> Value {
    json!({ "amount": { "minor": minor, "currency": "USD" } })
}

pub async fn a_viewer_tops_up_and_buys(bench: &Bench) {
    let login = bench.login("ana@example.org", &[Role::Viewer]).await;
    let top_up =
        bench.post("/v1/wallet/top-ups", &amount(120)).bearer(&login).key("k").send().await.expect(201);
    let mut body = top_up.json();
    assert!(body["payment"]["id"].take().is_string());
    assert_eq!(
        body,
        json!({
            "payment": {
                "id": null, "provider": "simulated", "state": "succeeded", "note": "simulated: no money was taken",
                "amount": { "minor": 120, "currency": "USD" }, "created_at_ms": NOW_MS,
            },
            "wallet": { "minor": 120, "currency": "USD" },
        })
    );

    let plan = json!({ "plan": bench.plan });
    let bought = bench.post("/v1/purchases", &plan).bearer(&login).key("a").send().await.expect(201).json();
    assert_eq!(
        bought,
        json!({
            "purchase": {
                "id": bought["purchase"]["id"], "plan": bench.plan,
                "amount": { "minor": 50, "currency": "USD" }, "created_at_ms": NOW_MS,
            },
            "entitlement": {
                "id": bought["entitlement"]["id"], "kind": "rental", "title": bench.title, "status": "ready", "views_left": 5,
                "start_before_ms": NOW_MS + 30 * DAY_MS, "play_until_ms": null,
            },
        })
    );
    let listed = bench.get("/v1/entitlements").bearer(&login).send().await.expect(200);
    let titles = json!([{ "id": bench.title, "name": "Big Buck Bunny" }]);
    assert_eq!(
        listed.json(),
        json!({ "entitlements": [bought["entitlement"]], "titles": titles, "collections": [], "next": null })
    );
    bench.post("/v1/purchases", &plan).bearer(&login).key("b").send().await.expect(201);
    let poor = bench.post("/v1/purchases", &plan).bearer(&login).key("c").send().await.expect(402);
    assert_eq!(poor.code(), "wallet_too_low");
    // What was refused has not used up the key.
    bench.post("/v1/wallet/top-ups", &amount(30)).bearer(&login).key("l").send().await.expect(201);
    bench.post("/v1/purchases", &plan).bearer(&login).key("c").send().await.expect(201);
    let account = bench.get("/v1/account").bearer(&login).send().await.expect(200);
    assert_eq!(account.json()["account"]["wallet"], json!({ "minor": 0, "currency": "USD" }));
    assert_eq!(bench.balance().await, 5);

    let operator = bench.login("op@example.org", &[Role::Operator]).await;
    let ledger = bench.get("/v1/ledger/balance").bearer(&operator).send().await.expect(200).json();
    assert_eq!(ledger["sum_minor"], 0);
    assert_eq!(ledger["accounts"].as_array().unwrap().len(), 3);
}

pub async fn a_plan_is_bought_with_a_payment_of_its_own(bench: &Bench) {
    let login = bench.login("ana@example.org", &[Role::Viewer]).await;
    let plan = json!({ "plan": bench.plan });
    let bought = bench.post("/v1/checkouts", &plan).bearer(&login).key("k").send().await.expect(201);
    let paid = bought.json();
    assert_eq!(
        paid,
        json!({
            "payment": {
                "id": paid["payment"]["id"], "provider": "simulated", "state": "succeeded",
                "note": "simulated: no money was taken", "amount": { "minor": 50, "currency": "USD" },
                "created_at_ms": NOW_MS, "plan": bench.plan, "purchase": paid["payment"]["purchase"],
            },
            "wallet": { "minor": 0, "currency": "USD" },
        })
    );
    assert!(paid["payment"]["purchase"].is_string());
    let again = bench.post("/v1/checkouts", &plan).bearer(&login).key("k").send().await.expect(201);
    assert_eq!((again.header("idempotency-replayed"), &again.bytes), ("true", &bought.bytes));
    let listed = bench.get("/v1/entitlements").bearer(&login).send().await.expect(200);
    assert_eq!(listed.json()["entitlements"].as_array().unwrap().len(), 1);
    assert_eq!(bench.balance().await, 2, "into the wallet and out of it");

    let path = format!("/v1/payments/{}", paid["payment"]["id"].as_str().unwrap());
    let shown = bench.get(&path).bearer(&login).send().await.expect(200);
    assert_eq!(shown.json()["payment"], paid["payment"]);
    let bob = bench.login("bob@example.org", &[Role::Viewer]).await;
    assert_eq!(bench.get(&path).bearer(&bob).send().await.expect(404).code(), "not_found");
    let operator = bench.login("op@example.org", &[Role::Operator]).await;
    bench.get(&path).bearer(&operator).send().await.expect(200);
    let unknown = json!({ "plan": "0190d9e4-0000-7000-8000-000000000000" });
    bench.post("/v1/checkouts", &unknown).bearer(&login).key("u").send().await.expect(404);
}

pub async fn a_key_gives_the_first_answer_again(bench: &Bench) {
    let login = bench.login("ana@example.org", &[Role::Viewer]).await;
    let call = |body: &Value, key: &str| bench.post("/v1/wallet/top-ups", body).bearer(&login).key(key);
    let first = call(&amount(100), "k").send().await.expect(201);
    assert_eq!(first.header("idempotency-replayed"), "");
    let again = call(&amount(100), "k").send().await.expect(201);
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.bytes, first.bytes);
    let other = call(&amount(200), "k").send().await.expect(422);
    assert_eq!(other.code(), "idempotency_key_reused");
    let plan = |id: &str| json!({ "plan": id });
    let buy = |body: &Value| bench.post("/v1/purchases", body).bearer(&login).key("buy");
    buy(&plan(&bench.plan.to_string())).send().await.expect(201);
    let other = buy(&plan("0190d9e4-0000-7000-8000-000000000000")).send().await.expect(422);
    assert_eq!(other.code(), "idempotency_key_reused", "whatever the other body asks for");
    let missing = bench.post("/v1/wallet/top-ups", &amount(100)).bearer(&login).send().await.expect(400);
    assert_eq!(missing.code(), "idempotency_key_missing");
    for key in ["", &"k".repeat(65), "two words", "\u{e9}"] {
        let invalid = call(&amount(100), key).send().await.expect(400);
        assert_eq!(invalid.code(), "idempotency_key_invalid", "{key}");
    }
    // Another account's key is another key.
    let bob = bench.login("bob@example.org", &[Role::Viewer]).await;
    bench.post("/v1/wallet/top-ups", &amount(7)).bearer(&bob).key("k").send().await.expect(201);
    bench.clock.advance_ms(DAY_MS + 1);
    let after = call(&amount(100), "k").send().await.expect(201);
    assert_eq!(after.json()["wallet"]["minor"], 150, "a day later the key is new");
    assert_eq!(bench.balance().await, 4);
}

pub async fn a_purchase_that_is_sent_many_times_at_once_happens_once(bench: &Bench) {
    let login = bench.login("ana@example.org", &[Role::Viewer]).await;
    bench.post("/v1/wallet/top-ups", &amount(1000)).bearer(&login).key("k").send().await.expect(201);
    let plan = json!({ "plan": bench.plan });
    let calls = (0..40).map(|_| bench.post("/v1/purchases", &plan).bearer(&login).key("once").send());
    let answers = futures_util::future::join_all(calls).await;
    assert!(answers.iter().all(|answer| answer.status == 201 && answer.bytes == answers[0].bytes));
    let replayed = answers.iter().filter(|answer| answer.header("idempotency-replayed") == "true").count();
    assert_eq!(replayed, 39);
    let account = bench.get("/v1/account").bearer(&login).send().await.expect(200);
    assert_eq!(account.json()["account"]["wallet"]["minor"], 950);
}

pub async fn amounts_are_checked(bench: &Bench) {
    let login = bench.login("ana@example.org", &[Role::Viewer]).await;
    let euros = json!({ "amount": { "minor": 1, "currency": "EUR" } });
    for (body, status, code) in [
        (amount(0), 422, "amount_out_of_range"),
        (amount(-1), 422, "amount_out_of_range"),
        (amount(100_001), 422, "amount_out_of_range"),
        (euros, 422, "currency_unknown"),
        (json!({ "amount": { "minor": 1.5, "currency": "USD" } }), 400, "malformed_request"),
    ] {
        let answer =
            bench.post("/v1/wallet/top-ups", &body).bearer(&login).key("k").send().await.expect(status);
        assert_eq!(answer.code(), code, "{body}");
    }
    let unknown = json!({ "plan": "0190d9e4-0000-7000-8000-000000000000" });
    let answer = bench.post("/v1/purchases", &unknown).bearer(&login).key("k").send().await.expect(404);
    assert_eq!(answer.code(), "not_found");
    assert_eq!(bench.balance().await, 0);
}
