//! What a shop shows: prices before they are paid, what an account paid, by what a title plays, and what is listed for whom.

use matinee_protocol::id::{EntitlementId, TitleId};
use matinee_server::config::Config;
use matinee_server::license::plan::Scope;
use matinee_server::store::account::Role;
use matinee_server::store::entitlement::{self, Entitlement};
use matinee_server::store::title;
use matinee_server::{job, random};
use serde_json::{Value, json};

use crate::bench::{Bench, DAY_MS, Device, NOW_MS, opening};
use crate::terms::{balance, buy, entitlement_of, plan, price};

async fn get(bench: &Bench, login: &str, path: &str) -> Value {
    bench.get(path).bearer(login).send().await.expect(200).json()
}

async fn rights(bench: &Bench, title: TitleId, rights: Value) {
    let studio = bench.studio_login().await;
    let path = format!("/v1/titles/{title}/rights");
    bench.call("PUT", path).json(&rights).bearer(&studio).send().await.expect(204);
}

/// A collection with the film in tier 1 and another in tier 2.
async fn collection(bench: &Bench) -> (String, TitleId) {
    let studio = bench.studio_login().await;
    let made = bench.post("/v1/collections", &json!({ "name": "Everything" })).bearer(&studio).send().await;
    let id = made.expect(201).json()["collection"]["id"].as_str().unwrap().to_owned();
    let second = bench.another_film().await;
    for (title, tier) in [(bench.title, 1), (second, 2)] {
        let path = format!("/v1/collections/{id}/titles/{title}");
        bench.call("PUT", path).json(&json!({ "tier": tier })).bearer(&studio).send().await.expect(204);
    }
    (id, second)
}

/// A group of the film's publisher with this account in it.
async fn group_with(bench: &Bench, email: &str) -> Value {
    let studio = bench.studio_login().await;
    let made = bench.post("/v1/groups", &json!({ "name": "Stations" })).bearer(&studio).send().await;
    let group = made.expect(201).json()["group"]["id"].clone();
    let path = format!("/v1/groups/{}/members", group.as_str().unwrap());
    bench.post(path, &json!({ "email": email })).bearer(&studio).send().await.expect(201);
    group
}

pub async fn a_quote_is_what_the_purchase_costs_and_takes_nothing(bench: &Bench) {
    let operator = bench.login("op@example.org", &[Role::Operator]).await;
    let make = |body: Value| bench.post("/v1/coupons", &body).bearer(&operator).send();
    make(json!({ "code": "SPRING", "percent_off": 20, "uses_max": 1, "expires_at_ms": NOW_MS + DAY_MS }))
        .await
        .expect(201);
    let path = format!("/v1/titles/{}/plans", bench.title);
    let own = plan(bench, &path, json!({ "kind": "purchase", "price": price(900) })).await;
    make(json!({ "code": "ELSE", "percent_off": 20, "plan": own })).await.expect(201);
    let ana = bench.viewer("ana@example.org").await;
    let bob = bench.viewer("bob@example.org").await;
    let quote = format!("/v1/plans/{}/quote", bench.plan);
    let plain = get(bench, &ana, &quote).await;
    assert_eq!((&plain["amount"], &plain["trial"], &plain["tax"]), (&price(50), &json!(false), &Value::Null));
    let lowered = format!("{quote}?coupon=spring");
    // Looking takes no use of a coupon that has only one.
    for login in [&ana, &bob, &ana] {
        assert_eq!(get(bench, login, &lowered).await["amount"], price(40));
    }
    let bought = buy(bench, &ana, json!({ "plan": bench.plan, "coupon": "spring" })).await.expect(201).json();
    assert_eq!(bought["purchase"]["amount"], price(40));
    let refused = [lowered.clone(), format!("{quote}?coupon=ELSE"), format!("{quote}?coupon=NONE")];
    for (login, path) in refused.iter().flat_map(|path| [(&ana, path), (&bob, path)]) {
        let answer = bench.get(path).bearer(login).send().await.expect(403);
        assert_eq!(answer.code(), "coupon_refused", "{path}");
    }
    make(json!({ "code": "LATE", "percent_off": 50, "expires_at_ms": NOW_MS + DAY_MS })).await.expect(201);
    let late = format!("{quote}?coupon=late");
    bench.clock.advance_ms(DAY_MS - 1);
    assert_eq!(get(bench, &bob, &late).await["amount"], price(25));
    bench.clock.advance_ms(1);
    bench.get(&late).bearer(&bob).send().await.expect(403);
    buy(bench, &bob, json!({ "plan": bench.plan, "coupon": "late" })).await.expect(403);
    bench.get(&quote).send().await.expect(401);
    bench.get(format!("{quote}?cupon=x")).bearer(&ana).send().await.expect(400);
    bench.get(format!("{quote}?country=Germany")).bearer(&ana).send().await.expect(422);

    let (collection, _) = collection(bench).await;
    let body = json!({ "kind": "subscription", "price": price(300), "period": "month", "trial_ms": DAY_MS });
    let tried = plan(bench, &format!("/v1/collections/{collection}/plans"), body).await;
    let quote = format!("/v1/plans/{tried}/quote");
    assert_eq!(get(bench, &ana, &quote).await["trial"], true);
    buy(bench, &ana, json!({ "plan": tried, "trial": true })).await.expect(201);
    assert_eq!(get(bench, &ana, &quote).await["trial"], false, "once an account");
    assert_eq!(get(bench, &bob, &quote).await["trial"], true);
}

pub async fn what_an_account_paid_is_told_to_it_alone(bench: &Bench) {
    let (ana, _) = bench.viewer_with_rental("ana@example.org").await;
    let bob = bench.login("bob@example.org", &[Role::Viewer]).await;
    let bought = get(bench, &ana, "/v1/purchases").await;
    let purchase = &bought["purchases"][0];
    assert_eq!(
        (&purchase["name"], &purchase["kind"], &purchase["amount"], &purchase["refunded_minor"]),
        (&json!("Big Buck Bunny"), &json!("rental"), &price(50), &json!(0))
    );
    let id = purchase["id"].as_str().unwrap();
    assert_eq!(get(bench, &ana, &format!("/v1/purchases/{id}")).await["purchase"], *purchase);
    bench.get(format!("/v1/purchases/{id}")).bearer(&bob).send().await.expect(404);
    let operator = bench.login("op@example.org", &[Role::Operator]).await;
    let refund = json!({ "reason": "late", "amount_minor": 20, "keep": true });
    let path = format!("/v1/purchases/{id}/refund");
    bench.clock.advance_ms(1);
    bench.post(path, &refund).bearer(&operator).key("r").send().await.expect(201);
    assert_eq!(get(bench, &ana, "/v1/purchases").await["purchases"][0]["refunded_minor"], 20);

    let paid = get(bench, &ana, "/v1/payments").await;
    assert_eq!(paid["payments"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&paid["payments"][0]["state"], &paid["payments"][0]["amount"]),
        (&json!("succeeded"), &price(1000))
    );
    // Page by page, every movement once; their sum is what the wallet holds.
    let (mut kinds, mut sum, mut path) = (Vec::new(), 0, "/v1/wallet/entries?limit=1".to_owned());
    loop {
        let page = get(bench, &ana, &path).await;
        for entry in page["entries"].as_array().unwrap() {
            kinds.push(entry["kind"].as_str().unwrap().to_owned());
            sum += entry["amount"]["minor"].as_i64().unwrap();
        }
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/wallet/entries?limit=1&cursor={next}");
    }
    kinds.sort();
    assert_eq!((kinds, sum), (vec!["purchase".to_owned(), "refund".to_owned(), "top_up".to_owned()], 970));
    for (path, name) in
        [("/v1/purchases", "purchases"), ("/v1/payments", "payments"), ("/v1/wallet/entries", "entries")]
    {
        assert_eq!(get(bench, &bob, path).await[name], json!([]), "{path}");
        bench.get(path).send().await.expect(401);
    }
}

pub async fn a_title_says_by_what_it_plays(bench: &Bench) {
    let (collection, second) = collection(bench).await;
    let body = json!({ "kind": "subscription", "price": price(300), "period": "month" });
    let month = plan(bench, &format!("/v1/collections/{collection}/plans"), body).await;
    let ana = bench.viewer("ana@example.org").await;
    let ways = format!("/v1/titles/{}/entitlements", bench.title);
    assert_eq!(get(bench, &ana, &ways).await["entitlements"], json!([]));
    let subscribed = buy(bench, &ana, json!({ "plan": month })).await.expect(201).json();
    let subscription = &subscribed["entitlement"]["id"];
    let found = get(bench, &ana, &ways).await;
    assert_eq!(
        (&found["entitlements"][0]["entitlement"]["id"], &found["entitlements"][0]["code"]),
        (subscription, &Value::Null)
    );
    let other = get(bench, &ana, &format!("/v1/titles/{second}/entitlements")).await;
    assert_eq!(other["entitlements"], json!([]), "tier 1 does not open tier 2");
    let listed = get(bench, &ana, "/v1/entitlements").await;
    assert_eq!(listed["collections"], json!([{ "id": collection, "name": "Everything" }]));

    // What is owned comes before what is counted.
    let path = format!("/v1/titles/{}/plans", bench.title);
    let own = plan(bench, &path, json!({ "kind": "purchase", "price": price(100) })).await;
    let owned = buy(bench, &ana, json!({ "plan": own })).await.expect(201).json();
    let found = get(bench, &ana, &ways).await;
    assert_eq!(found["entitlements"][0]["entitlement"]["id"], owned["entitlement"]["id"]);
    let listed = get(bench, &ana, "/v1/entitlements").await;
    assert_eq!(listed["titles"], json!([{ "id": bench.title, "name": "Big Buck Bunny" }]));

    rights(bench, bench.title, json!({ "available_from_ms": NOW_MS + DAY_MS, "preview_ms": 300_000 })).await;
    let found = get(bench, &ana, &ways).await;
    assert_eq!(found["entitlements"][0]["code"], "not_available_yet");
    let shown = get(bench, &ana, &format!("/v1/titles/{}", bench.title)).await["title"].clone();
    assert_eq!(
        (&shown["available_from_ms"], &shown["preview_ms"], &shown["collections"][0]["name"]),
        (&json!(NOW_MS + DAY_MS), &json!(300_000), &json!("Everything"))
    );
    bench.clock.advance_ms(DAY_MS);
    assert_eq!(get(bench, &ana, &ways).await["entitlements"][0]["code"], Value::Null);
    bench.get(&ways).send().await.expect(401);
    let group = group_with(bench, "ana@example.org").await;
    rights(bench, bench.title, json!({ "group": group })).await;
    let bob = bench.viewer("bob@example.org").await;
    bench.get(&ways).bearer(&bob).send().await.expect(404);
    get(bench, &ana, &ways).await;
}

pub async fn what_nobody_may_have_is_not_sold(bench: &Bench) {
    let (ana, bob) = (bench.viewer("ana@example.org").await, bench.viewer("bob@example.org").await);
    let body = json!({ "plan": bench.plan });
    let quote = format!("/v1/plans/{}/quote", bench.plan);
    let refused = async |login: &str, code: &str| {
        let pay = bench.post("/v1/checkouts", &body).bearer(login).key(code);
        let asked = bench.get(&quote).bearer(login);
        for answer in [buy(bench, login, body.clone()).await, pay.send().await, asked.send().await] {
            assert_eq!(answer.expect(403).code(), code);
        }
    };
    let paid = bench.post("/v1/checkouts", &body).bearer(&ana).key("before").send().await.expect(201);
    rights(bench, bench.title, json!({ "available_until_ms": NOW_MS + DAY_MS })).await;
    bench.clock.advance_ms(DAY_MS - 1);
    buy(bench, &ana, body.clone()).await.expect(201);
    bench.clock.advance_ms(1);
    refused(&ana, "no_longer_available").await;
    let again = bench.post("/v1/checkouts", &body).bearer(&ana).key("before").send().await.expect(201);
    assert_eq!(again.bytes, paid.bytes, "what was answered is answered again");
    // Of a private title a bundle is no way in, nor is its plan's id.
    let second = bench.another_film().await;
    let path = format!("/v1/titles/{}/plans", bench.title);
    let both = json!({ "kind": "purchase", "price": price(100), "titles": [second], "name": "Both" });
    let both = plan(bench, &path, both).await;
    let group = group_with(bench, "ana@example.org").await;
    rights(bench, bench.title, json!({ "group": group })).await;
    refused(&bob, "group_required").await;
    let outside = buy(bench, &bob, json!({ "plan": both })).await.expect(403);
    assert_eq!(outside.code(), "group_required");
    buy(bench, &ana, json!({ "plan": both })).await.expect(201);
    rights(bench, bench.title, json!({ "available_from_ms": NOW_MS + 9 * DAY_MS })).await;
    buy(bench, &bob, body.clone()).await.expect(201);
    bench.balance().await;
}

pub async fn a_plan_is_taken_off_sale(bench: &Bench) {
    let (collection, _) = collection(bench).await;
    let over = format!("/v1/collections/{collection}");
    let body = json!({ "kind": "subscription", "price": price(300), "period": "month" });
    let month = plan(bench, &format!("{over}/plans"), body).await;
    let ana = bench.viewer("ana@example.org").await;
    let body = json!({ "plan": month });
    let buying = || bench.post("/v1/purchases", &body).bearer(&ana).key("k").send();
    let bought = buying().await.expect(201);
    let title = format!("/v1/titles/{}", bench.title);
    let listed = async || {
        let (title, over) = (get(bench, &ana, &title).await, get(bench, &ana, &over).await);
        (title["title"]["plans"].as_array().unwrap().len(), over["plans"].as_array().unwrap().len())
    };
    assert_eq!(listed().await, (2, 1));
    let path = format!("/v1/plans/{month}");
    let end = async |login: String| bench.call("DELETE", &path).bearer(&login).send().await;
    end(bench.login("rival@example.org", &[Role::Publisher]).await).await.expect(404);
    end(ana.clone()).await.expect(403);
    let operator = bench.login("op@example.org", &[Role::Operator]).await;
    end(operator.clone()).await.expect(204);
    end(bench.studio_login().await).await.expect(204);
    assert_eq!(listed().await, (1, 0));
    let quote = bench.get(format!("/v1/plans/{month}/quote")).bearer(&ana).send().await;
    let pay = bench.post("/v1/checkouts", &body).bearer(&ana).key("pay").send().await;
    for answer in [buy(bench, &ana, body.clone()).await, pay, quote] {
        assert_eq!(answer.expect(409).code(), "plan_not_sold");
    }
    assert_eq!(buying().await.expect(201).bytes, bought.bytes, "the same key, the same answer");
    // What was bought stays, and is renewed.
    bench.clock.advance_ms(30 * DAY_MS);
    job::renewal::run(&bench.app).await.unwrap();
    assert_eq!(balance(bench, &ana).await, 400);
    bench.open_title(&ana, entitlement_of(&bought), bench.title, &Device::new(1)).await.expect(201);
    // So with a coupon.
    let made = json!({ "code": "SPRING-20", "percent_off": 20 });
    bench.post("/v1/coupons", &made).bearer(&operator).send().await.expect(201);
    let with = json!({ "plan": bench.plan, "coupon": "spring-20" });
    let end = |code: &str| bench.call("DELETE", format!("/v1/coupons/{code}")).bearer(&operator).send();
    buy(bench, &ana, with.clone()).await.expect(201);
    end("Spring-20").await.expect(204);
    end("none").await.expect(404);
    let bob = bench.viewer("bob@example.org").await;
    assert_eq!(buy(bench, &bob, with).await.expect(403).code(), "coupon_refused");
}

pub async fn countries_are_told_before_anything_is_bought(bench: &Bench) {
    let countries = json!({ "rule": "only", "countries": ["AT", "DE"] });
    rights(bench, bench.title, json!({ "countries": countries })).await;
    let path = format!("/v1/titles/{}/plans", bench.title);
    let except = json!({ "rule": "except", "countries": ["FR"], "unknown": "allow" });
    let own = json!({ "kind": "purchase", "price": price(900), "countries": except });
    plan(bench, &path, own).await;
    let shown = bench.get(format!("/v1/titles/{}", bench.title)).send().await.expect(200).json();
    assert_eq!(shown["title"]["countries"], countries);
    assert_eq!(shown["title"]["plans"][0].get("countries"), None, "everywhere");
    assert_eq!(shown["title"]["plans"][1]["countries"], except);
}

pub async fn the_last_view_is_gone_on_with(bench: &Bench) {
    let path = format!("/v1/titles/{}/plans", bench.title);
    let body = json!({ "kind": "rental", "price": price(50), "start_within_ms": DAY_MS,
        "play_within_ms": DAY_MS, "views": 1 });
    let once = plan(bench, &path, body).await;
    let ana = bench.viewer("ana@example.org").await;
    let bought = buy(bench, &ana, json!({ "plan": once })).await.expect(201);
    let ways = format!("/v1/titles/{}/entitlements", bench.title);
    let code = async || get(bench, &ana, &ways).await["entitlements"][0]["code"].clone();
    let device = Device::new(1);
    let id = entitlement_of(&bought);
    let opened = opening(&bench.open(&ana, id, &device).await.expect(201));
    assert_eq!(code().await, Value::Null, "a reloaded page plays on");
    bench.open(&ana, id, &device).await.expect(200);
    bench.clock.advance_ms(900_000);
    assert_eq!(code().await, Value::Null);
    bench.clock.advance_ms(1);
    assert_eq!(code().await, "no_views_left", "it was idle for too long");
    bench.clock.advance_ms(-1);
    let end = bench.call("DELETE", format!("/v1/views/{}", opened.view));
    let token = opening(&bench.open(&ana, id, &device).await.expect(200)).view_token;
    end.proof(&device, Some(&token)).send().await.expect(204);
    assert_eq!(code().await, "no_views_left");
}

pub async fn the_newest_right_is_found_among_many(bench: &Bench) {
    let ana = bench.viewer("ana@example.org").await;
    let account = get(bench, &ana, "/v1/account").await["account"]["id"].as_str().unwrap().parse().unwrap();
    let mut tx = bench.app.store.write().await.unwrap();
    for old in 0..100 {
        let id = EntitlementId::from_bytes(random::id(NOW_MS - 200 + old));
        let granted = Entitlement::granted(id, account, Scope::Title(bench.title), NOW_MS - 200 + old);
        entitlement::insert(&mut tx, &granted).await.unwrap();
    }
    tx.commit().await.unwrap();
    let bought = buy(bench, &ana, json!({ "plan": bench.plan })).await.expect(201).json();
    let ways = get(bench, &ana, &format!("/v1/titles/{}/entitlements", bench.title)).await;
    let ways = ways["entitlements"].as_array().unwrap();
    assert!(ways.iter().any(|way| way["entitlement"]["id"] == bought["entitlement"]["id"]));
}

pub async fn what_is_private_is_listed_for_its_group(bench: &Bench) {
    let (everything, second) = collection(bench).await;
    assert_eq!(bench.get("/v1/collections").send().await.expect(200).json()["collections"], json!([]));
    let body = json!({ "kind": "subscription", "price": price(300), "period": "month", "tier": 2 });
    plan(bench, &format!("/v1/collections/{everything}/plans"), body).await;
    let listed = bench.get("/v1/collections").send().await.expect(200).json();
    let one = &listed["collections"][0];
    assert_eq!(
        (&one["collection"]["name"], &one["collection"]["publisher"], &one["plans"][0]["tier"]),
        (&json!("Everything"), &json!("Studio"), &json!(2))
    );
    let (ana, bob) = (bench.viewer("ana@example.org").await, bench.viewer("bob@example.org").await);
    let group = group_with(bench, "ana@example.org").await;
    rights(bench, second, json!({ "group": group })).await;
    let in_collection = format!("/v1/collections/{everything}");
    for path in ["/v1/titles", "/v1/titles?q=buck", in_collection.as_str()] {
        for (login, count) in [(Some(&ana), 2), (Some(&bob), 1), (None, 1)] {
            let call = bench.get(path);
            let call = if let Some(login) = login { call.bearer(login) } else { call };
            let listed = call.send().await.expect(200).json();
            assert_eq!(listed["titles"].as_array().unwrap().len(), count, "{path} {login:?}");
        }
    }
    assert_eq!(get(bench, &ana, &in_collection).await["titles"][0]["name"], "Big Buck Bunny");
    assert_eq!(get(bench, &ana, "/v1/titles?q=nothing").await["titles"], json!([]));
    let long = format!("/v1/titles?q={}", "a".repeat(201));
    assert_eq!(bench.get(long).send().await.expect(400).code(), "query_invalid");
}

pub async fn names_are_looked_for_page_by_page(bench: &Bench) {
    let mut tx = bench.app.store.write().await.unwrap();
    for n in 0..7_i64 {
        let id = TitleId::from_bytes(matinee_server::random::id(NOW_MS));
        title::insert(&mut tx, id, bench.publisher, &format!("Sintel {n}"), NOW_MS - n).await.unwrap();
    }
    // Older than all that one request looks through.
    for n in 0..10_000_i64 {
        let id = TitleId::from_bytes(matinee_server::random::id(NOW_MS));
        title::insert(&mut tx, id, bench.publisher, "Caminandes", NOW_MS - 100 - n).await.unwrap();
    }
    let old = TitleId::from_bytes(matinee_server::random::id(NOW_MS));
    title::insert(&mut tx, old, bench.publisher, "Sintel 7", NOW_MS - 20_000).await.unwrap();
    tx.commit().await.unwrap();
    let (mut names, mut pages, mut path) = (Vec::new(), 0, "/v1/titles?q=sintel&limit=3".to_owned());
    loop {
        let page = bench.get(&path).send().await.expect(200).json();
        let found = page["titles"].as_array().unwrap();
        assert!(found.len() <= 3, "{page}");
        names.extend(found.iter().map(|one| one["name"].as_str().unwrap().to_owned()));
        pages += 1;
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/titles?q=sintel&limit=3&cursor={next}");
    }
    let expected: Vec<_> = (0..8).map(|n| format!("Sintel {n}")).collect();
    assert_eq!((names, pages), (expected, 4));
}

#[tokio::test]
async fn the_tax_inside_is_told_before_and_after() {
    let mut config = Config::default();
    config.tax.home_country = "DE".to_owned();
    config.tax.rates = vec!["DE=1900".to_owned()];
    let bench = Bench::with(config).await;
    let (ana, _) = bench.viewer_with_rental("ana@example.org").await;
    let tax = json!({ "country": "DE", "rate_basis_points": 1900, "net_minor": 42, "tax_minor": 8 });
    assert_eq!(get(&bench, &ana, &format!("/v1/plans/{}/quote", bench.plan)).await["tax"], tax);
    assert_eq!(get(&bench, &ana, "/v1/purchases").await["purchases"][0]["tax"], tax);
    let elsewhere = format!("/v1/plans/{}/quote?country=FR", bench.plan);
    assert_eq!(get(&bench, &ana, &elsewhere).await["tax"], Value::Null);
}
