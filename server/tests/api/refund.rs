//! Refunds and taxes, in process.

use matinee_server::config::{Config, TaxSection};
use matinee_server::store::account::Role;
use serde_json::{Value, json};

use crate::bench::{Bench, DAY_MS, Device, opening};

/// A bench whose prices hold 19 % tax, and 8.1 % for payers in Switzerland.
async fn taxed() -> Bench {
    let rates = vec!["DE=1900".to_owned(), "CH=810".to_owned()];
    let tax = TaxSection { home_country: "DE".to_owned(), rates };
    Bench::with(Config { tax, ..Config::default() }).await
}

async fn buy(bench: &Bench, login: &str, key: &str, extra: Value) -> Value {
    let mut body = json!({ "plan": bench.plan });
    if let Value::Object(extra) = extra {
        body.as_object_mut().unwrap().extend(extra);
    }
    bench.post("/v1/purchases", &body).bearer(login).key(key).send().await.expect(201).json()
}

/// Every ledger account but the wallets and the provider, by name.
async fn booked(bench: &Bench, operator: &str) -> Vec<(String, i64)> {
    bench.balance().await;
    let ledger = bench.get("/v1/ledger/balance").bearer(operator).send().await.expect(200).json();
    let accounts = ledger["accounts"].as_array().unwrap().iter();
    let accounts =
        accounts.map(|one| (one["name"].as_str().unwrap().to_owned(), one["minor"].as_i64().unwrap()));
    accounts.filter(|(name, _)| name.starts_with("sales/") || name.starts_with("tax/")).collect()
}

#[tokio::test]
async fn tax_is_kept_apart_and_goes_back_with_the_price() {
    let bench = taxed().await;
    let viewer = bench.login("ana@example.org", &[Role::Viewer]).await;
    let operator = bench.login("op@example.org", &[Role::Operator]).await;
    let money = json!({ "amount": { "minor": 200, "currency": "USD" } });
    bench.post("/v1/wallet/top-ups", &money).bearer(&viewer).key("k").send().await.expect(201);
    let home = buy(&bench, &viewer, "a", json!({})).await;
    buy(&bench, &viewer, "b", json!({ "country": "CH" })).await;
    buy(&bench, &viewer, "c", json!({ "country": "FR" })).await;
    let sales = format!("sales/{}/USD", bench.title);
    let table = |net: i64, de: i64| {
        vec![(sales.clone(), net), ("tax/CH/USD".to_owned(), 4), ("tax/DE/USD".to_owned(), de)]
    };
    assert_eq!(booked(&bench, &operator).await, table(42 + 46 + 50, 8));
    for country in ["ch", "CHE", ""] {
        let body = json!({ "plan": bench.plan, "country": country });
        let refused = bench.post("/v1/purchases", &body).bearer(&viewer).key("d").send().await.expect(422);
        assert_eq!(refused.code(), "country_invalid");
    }
    // In three parts: what each country's office and the sales give back is what they got.
    let path = format!("/v1/purchases/{}/refund", home["purchase"]["id"].as_str().unwrap());
    for (part, left, tax) in [(17, 33, 5), (16, 17, 2), (17, 0, 0)] {
        let body = json!({ "reason": "a scratch", "amount_minor": part });
        let key = part.to_string() + &left.to_string();
        let made = bench.post(&path, &body).bearer(&operator).key(&key).send().await.expect(201).json();
        assert_eq!(made["refund"]["state"], "succeeded");
        assert_eq!(booked(&bench, &operator).await, table(left - tax + 96, tax));
    }
    let wallet = bench.get("/v1/account").bearer(&viewer).send().await.expect(200).json();
    assert_eq!(wallet["account"]["wallet"]["minor"], 100);
}

#[tokio::test]
async fn a_refund_ends_the_view_unless_it_is_a_part_that_is_kept() {
    let bench = Bench::new().await;
    let (viewer, bought) = bench.viewer_with_rental("ana@example.org").await;
    let operator = bench.login("op@example.org", &[Role::Operator]).await;
    let phone = Device::new(1);
    let view = opening(&bench.open(&viewer, bought, &phone).await.expect(201));
    let purchase: String = {
        let mut tx = bench.app.store.read().await.unwrap();
        let given = matinee_server::store::entitlement::by_id(&mut tx, bought).await.unwrap().unwrap();
        given.purchase_id.unwrap().to_string()
    };
    let path = format!("/v1/purchases/{purchase}/refund");
    let call = |body: Value, key: &str| bench.post(&path, &body).bearer(&operator).key(key).send();
    let keep = json!({ "reason": "blurred", "amount_minor": 10, "keep": true });
    let made = call(keep.clone(), "keep").await.expect(201);
    let again = call(keep, "keep").await.expect(201);
    assert_eq!((again.header("idempotency-replayed"), &again.bytes), ("true", &made.bytes));
    bench.license(view.view, &view.view_token, &phone, 0).await.expect(200);
    for (body, code) in [
        (json!({ "reason": "x", "keep": true }), "refund_keeps_all"),
        (json!({ "reason": "x", "amount_minor": 40, "keep": true }), "refund_keeps_all"),
        (json!({ "reason": "x", "amount_minor": 41 }), "refund_out_of_range"),
        (json!({ "reason": "x", "amount_minor": 0 }), "refund_out_of_range"),
        (json!({ "reason": "x", "amount_minor": -5 }), "refund_out_of_range"),
        (json!({ "reason": "x", "to": "payer" }), "refund_not_by_payer"),
        (json!({ "reason": "x".repeat(3000) }), "reason_too_long"),
    ] {
        let refused = call(body.clone(), "no").await.expect(422);
        assert_eq!(refused.code(), code, "{body}");
    }
    bench.clock.advance_ms(1);
    let none =
        bench.post("/v1/purchases/0190d9e4-0000-7000-8000-000000000000/refund", &json!({ "reason": "x" }));
    none.bearer(&operator).key("none").send().await.expect(404);
    let whole = call(json!({ "reason": "sorry" }), "whole").await.expect(201).json();
    assert_eq!(
        whole,
        json!({ "refund": {
            "id": whole["refund"]["id"], "account": whole["refund"]["account"], "purchase": purchase,
            "payment": null, "amount": { "minor": 40, "currency": "USD" }, "to": "wallet", "state": "succeeded",
            "reason": "sorry", "created_at_ms": crate::bench::NOW_MS + 1,
        } })
    );
    // Listed for whose they are, and for operators.
    let eve = bench.login("eve@example.org", &[Role::Viewer]).await;
    let refunds = [whole["refund"].clone(), made.json()["refund"].clone()];
    for (login, listed) in [(&viewer, &refunds[..]), (&operator, &refunds[..]), (&eve, &[])] {
        let page = bench.get("/v1/refunds").bearer(login).send().await.expect(200).json();
        assert_eq!(page, json!({ "refunds": listed, "next": null }));
    }
    let ended = bench.license(view.view, &view.view_token, &phone, 1).await.expect(403);
    assert_eq!(ended.code(), "entitlement_revoked");
    let wallet = bench.get("/v1/account").bearer(&viewer).send().await.expect(200).json();
    assert_eq!(wallet["account"]["wallet"]["minor"], 1000);
    bench.balance().await;
}

pub async fn what_was_not_used_is_given_back(bench: &Bench) {
    let operator = bench.login("op@example.org", &[Role::Operator]).await;
    let ana = bench.viewer("ana@example.org").await;
    let mut bought = Vec::new();
    for key in ["a", "b", "c"] {
        bought.push(buy(bench, &ana, key, json!({})).await);
    }
    let refund = |of: &Value, extra: Value| {
        let mut body = json!({ "reason": "it rained", "prorated": true });
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let path = format!("/v1/purchases/{}/refund", of["purchase"]["id"].as_str().unwrap());
        let key = hex::encode(matinee_server::random::bytes::<8>());
        bench.post(path, &body).bearer(&operator).key(&key).send()
    };
    // Of ten epochs, three came with the opening and two more with the next license; asked for again, they are no more.
    let id = bought[0]["entitlement"]["id"].as_str().unwrap().parse().unwrap();
    let phone = Device::new(1);
    let view = opening(&bench.open(&ana, id, &phone).await.expect(201));
    for epoch in [2, 2, 0] {
        bench.license(view.view, &view.view_token, &phone, epoch).await.expect(200);
    }
    for extra in [json!({ "keep": true }), json!({ "amount_minor": 5 })] {
        assert_eq!(refund(&bought[0], extra).await.expect(422).code(), "refund_not_prorated");
    }
    let made = refund(&bought[0], json!({})).await.expect(201).json();
    assert_eq!(made["refund"]["amount"]["minor"], 25);
    let over = bench.license(view.view, &view.view_token, &phone, 5).await.expect(403);
    assert_eq!(over.code(), "entitlement_revoked");
    assert_eq!(refund(&bought[0], json!({})).await.expect(422).code(), "refund_out_of_range", "once");
    // Not used at all; and a part given back before is not given twice.
    assert_eq!(refund(&bought[1], json!({})).await.expect(201).json()["refund"]["amount"]["minor"], 50);
    let part = json!({ "prorated": false, "amount_minor": 20, "keep": true });
    refund(&bought[2], part).await.expect(201);
    assert_eq!(refund(&bought[2], json!({})).await.expect(201).json()["refund"]["amount"]["minor"], 30);
    // What is paid for by the period goes by time: a day of thirty is gone, and a millisecond is a part of one.
    let path = format!("/v1/titles/{}/plans", bench.title);
    let body =
        json!({ "kind": "subscription", "price": { "minor": 300, "currency": "USD" }, "period": "month" });
    let monthly = crate::terms::plan(bench, &path, body).await;
    let mut subscribed = Vec::new();
    for _ in 0..4 {
        let plan = json!({ "plan": monthly });
        let viewer = bench.viewer(&format!("{}@example.org", subscribed.len())).await;
        subscribed.push(crate::terms::buy(bench, &viewer, plan).await.expect(201).json());
    }
    let back = async |of: &Value| {
        refund(of, json!({})).await.expect(201).json()["refund"]["amount"]["minor"].clone()
    };
    assert_eq!(back(&subscribed[0]).await, 300);
    bench.clock.advance_ms(DAY_MS);
    assert_eq!(back(&subscribed[1]).await, 290);
    bench.clock.advance_ms(29 * DAY_MS - 1);
    assert_eq!(back(&subscribed[2]).await, 1, "rounded in the viewer's favor");
    bench.clock.advance_ms(1);
    assert_eq!(refund(&subscribed[3], json!({})).await.expect(422).code(), "refund_out_of_range");
    bench.balance().await;
}

pub async fn tax_is_summed_by_month(bench: &Bench) {
    let operator = bench.login("op@example.org", &[Role::Operator]).await;
    let path = format!("/v1/titles/{}/plans", bench.title);
    let body =
        json!({ "kind": "subscription", "price": { "minor": 300, "currency": "USD" }, "period": "month" });
    let monthly = crate::terms::plan(bench, &path, body).await;
    let mut bought = Vec::new();
    for country in ["DE", "CH", "FR"] {
        let viewer = bench.viewer(&format!("{country}@example.org")).await;
        let plan = json!({ "plan": monthly, "country": country });
        bought.push(crate::terms::buy(bench, &viewer, plan).await.expect(201).json());
    }
    let line = |country: &str, rate: u32, [net, tax, net_back, tax_back]: [i64; 4]| {
        json!({
            "country": country, "rate_basis_points": rate, "net_minor": net, "tax_minor": tax,
            "refunded_net_minor": net_back, "refunded_tax_minor": tax_back, "owed_minor": tax - tax_back,
            "currency": "USD",
        })
    };
    let month = async |month: &str| bench.get(format!("/v1/taxes/{month}")).bearer(&operator).send().await;
    // A month later each is renewed, and a part of the first month is given back.
    bench.clock.advance_ms(30 * DAY_MS);
    matinee_server::job::renewal::run(&bench.app).await.unwrap();
    let path = format!("/v1/purchases/{}/refund", bought[0]["purchase"]["id"].as_str().unwrap());
    let part = json!({ "reason": "it rained", "amount_minor": 100, "keep": true });
    bench.post(path, &part).bearer(&operator).key("part").send().await.expect(201);
    let november = [line("CH", 810, [278, 22, 0, 0]), line("DE", 1900, [252, 48, 0, 0])];
    let told = month("2026-11").await.expect(200).json();
    assert_eq!(told, json!({ "month": "2026-11", "final": true, "lines": november }));
    let december = [line("CH", 810, [278, 22, 0, 0]), line("DE", 1900, [252, 48, 84, 16])];
    let told = month("2026-12").await.expect(200).json();
    assert_eq!(told, json!({ "month": "2026-12", "final": false, "lines": december }));
    assert_eq!(month("2027-01").await.expect(200).json()["lines"], json!([]));
    assert_eq!(month("2026-13").await.expect(400).code(), "month_invalid");
    bench.balance().await;
}

pub async fn what_is_open_is_used_whole_by_a_view_or_a_lease(bench: &Bench) {
    let operator = bench.login("op@example.org", &[Role::Operator]).await;
    crate::royalty::published_open(bench, bench.title).await;
    let path = format!("/v1/titles/{}/plans", bench.title);
    let body =
        json!({ "kind": "purchase", "price": { "minor": 50, "currency": "USD" }, "offline_ms": DAY_MS });
    let own = json!({ "plan": crate::terms::plan(bench, &path, body).await });
    let ana = bench.viewer("ana@example.org").await;
    let mut bought = Vec::new();
    for _ in 0..3 {
        bought.push(crate::terms::buy(bench, &ana, own.clone()).await.expect(201).json());
    }
    let right = |of: &Value| of["entitlement"]["id"].as_str().unwrap().to_owned();
    bench.open(&ana, right(&bought[0]).parse().unwrap(), &Device::new(1)).await.expect(201);
    let phone = Device::new(2);
    let body = json!({ "agreement_key": matinee_protocol::encoding::b64u(&phone.agreement.public()) });
    let lease = bench.post(format!("/v1/entitlements/{}/leases", right(&bought[1])), &body);
    lease.bearer(&ana).key("lease").proof(&phone, None).send().await.expect(201);
    let refund = |of: &Value| {
        let path = format!("/v1/purchases/{}/refund", of["purchase"]["id"].as_str().unwrap());
        let body = json!({ "reason": "it rained", "prorated": true });
        let key = hex::encode(matinee_server::random::bytes::<8>());
        bench.post(path, &body).bearer(&operator).key(&key).send()
    };
    for used in &bought[..2] {
        assert_eq!(refund(used).await.expect(422).code(), "refund_out_of_range");
    }
    assert_eq!(refund(&bought[2]).await.expect(201).json()["refund"]["amount"]["minor"], 50);
    bench.balance().await;
}
