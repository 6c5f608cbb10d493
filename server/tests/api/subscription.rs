//! Subscriptions and quotas over a collection, renewed by the job on a clock that the test moves.

use futures_util::future::join_all;
use matinee_protocol::id::{EntitlementId, TitleId};
use matinee_server::config::{Config, TaxSection};
use matinee_server::job::{reconcile, renewal};
use serde_json::{Value, json};

use crate::bench::{Bench, DAY_MS, Device, NOW_MS, opening};
use crate::terms::{balance, buy, entitlement_of, plan, price, status};
use matinee_server::store::account::Role;
use matinee_server::store::{Store, Tx, ledger, sales};

/// NOW_MS is 18 November 2026: a month is 30 days, the next one 31.
pub const MONTH_MS: i64 = 30 * DAY_MS;
pub const NEXT_MONTH_MS: i64 = 31 * DAY_MS;

/// A collection of the film in tier 1 and another in tier 2.
async fn collection(bench: &Bench) -> (String, TitleId) {
    let studio = bench.studio_login().await;
    let made =
        bench.post("/v1/collections", &json!({ "name": "All you can see" })).bearer(&studio).send().await;
    let id = made.expect(201).json()["collection"]["id"].as_str().unwrap().to_owned();
    let second = bench.another_film().await;
    for (title, tier) in [(bench.title, 1), (second, 2)] {
        put(bench, &id, title, tier).await;
    }
    (id, second)
}

pub async fn put(bench: &Bench, collection: &str, title: TitleId, tier: u32) {
    let path = format!("/v1/collections/{collection}/titles/{title}");
    let studio = bench.studio_login().await;
    bench.call("PUT", path).json(&json!({ "tier": tier })).bearer(&studio).send().await.expect(204);
}

/// A subscription of an account; with it the collection and its second title.
pub async fn subscribed(bench: &Bench, login: &str, body: Value) -> (EntitlementId, String, TitleId) {
    let (collection, second) = collection(bench).await;
    let plan = plan(bench, &format!("/v1/collections/{collection}/plans"), body).await;
    let bought = buy(bench, login, json!({ "plan": plan })).await.expect(201);
    (entitlement_of(&bought), collection, second)
}

async fn renew(bench: &Bench) {
    renewal::run(&bench.app).await.unwrap();
    bench.balance().await;
}

pub async fn a_month_is_renewed_until_it_is_given_up(bench: &Bench) {
    let ana = bench.viewer("ana@example.org").await;
    let body = json!({ "kind": "subscription", "price": price(300), "period": "month", "grace_ms": DAY_MS });
    let (id, collection, second) = subscribed(bench, &ana, body).await;
    assert_eq!(balance(bench, &ana).await, 700);
    let device = Device::new(1);
    let nameless = bench.open(&ana, id, &device).await.expect(422);
    assert_eq!(nameless.code(), "title_required");
    bench.open_title(&ana, id, bench.title, &device).await.expect(201);
    let low = bench.open_title(&ana, id, second, &device).await.expect(403);
    assert_eq!(low.code(), "tier_too_low");
    let outside = bench.another_film().await;
    let foreign = bench.open_title(&ana, id, outside, &device).await.expect(403);
    assert_eq!(foreign.code(), "title_not_covered");
    put(bench, &collection, second, 1).await;
    bench.open_title(&ana, id, second, &device).await.expect(201);
    let shown = bench.get(format!("/v1/collections/{collection}")).send().await.expect(200).json();
    assert_eq!((shown["titles"].as_array().unwrap().len(), &shown["next"]), (2, &Value::Null));
    assert_eq!(shown["plans"][0]["period"], "month");

    bench.clock.advance_ms(MONTH_MS - 1);
    renew(bench).await;
    assert_eq!(balance(bench, &ana).await, 700, "a millisecond early");
    bench.clock.advance_ms(1);
    renew(bench).await;
    renew(bench).await;
    assert_eq!(balance(bench, &ana).await, 400, "once a period");
    let now = status(bench, &ana, id).await;
    assert_eq!(now["entitlement"]["paid_until_ms"], NOW_MS + MONTH_MS + NEXT_MONTH_MS);
    assert_eq!(now["events"][0]["type"], "renew");

    let path = format!("/v1/entitlements/{id}/renewal");
    let eve = bench.login("eve@example.org", &[Role::Viewer]).await;
    for renews in [true, false] {
        let foreign = bench.call("PUT", &path).json(&json!({ "renews": renews })).bearer(&eve).send().await;
        assert_eq!(foreign.expect(404).code(), "not_found", "it is not Eve's");
    }
    let set = |renews: bool| bench.call("PUT", &path).json(&json!({ "renews": renews })).bearer(&ana).send();
    set(false).await.expect(200);
    set(true).await.expect(200);
    let given_up = set(false).await.expect(200).json();
    assert_eq!(given_up["events"][0]["type"], "renewal_given_up");
    bench.clock.advance_ms(NEXT_MONTH_MS - 1);
    renew(bench).await;
    bench.open_title(&ana, id, bench.title, &device).await.expect(201);
    bench.clock.advance_ms(1);
    renew(bench).await;
    assert_eq!(balance(bench, &ana).await, 400, "what was given up is not charged");
    let over = bench.open_title(&ana, id, bench.title, &device).await.expect(403);
    assert_eq!(over.code(), "subscription_lapsed");
    assert_eq!(status(bench, &ana, id).await["status"], "expired");
    assert_eq!(set(true).await.expect(409).code(), "not_renewable");
}

pub async fn a_charge_that_fails_leaves_a_grace(bench: &Bench) {
    let (ana, bob) = (bench.viewer("ana@example.org").await, bench.viewer("bob@example.org").await);
    let body = json!({ "kind": "subscription", "price": price(600), "period": "month", "grace_ms": DAY_MS });
    let (id, collection, _) = subscribed(bench, &ana, body).await;
    let shown = bench.get(format!("/v1/collections/{collection}")).send().await.expect(200).json();
    let saved =
        entitlement_of(&buy(bench, &bob, json!({ "plan": shown["plans"][0]["id"] })).await.expect(201));
    bench.clock.advance_ms(MONTH_MS);
    renew(bench).await;
    let now = status(bench, &ana, id).await;
    assert_eq!((&now["status"], &now["events"][0]["type"]), (&json!("ready"), &json!("renewal_failed")));
    bench.open_title(&ana, id, bench.title, &Device::new(1)).await.expect(201);
    let amount = json!({ "amount": price(200) });
    bench.post("/v1/wallet/top-ups", &amount).bearer(&bob).key("late").send().await.expect(201);
    bench.clock.advance_ms(DAY_MS / 2 - 1);
    renew(bench).await;
    assert_eq!(balance(bench, &bob).await, 600, "not tried before its time");
    bench.clock.advance_ms(1);
    renew(bench).await;
    assert_eq!(balance(bench, &bob).await, 0);
    let paid = status(bench, &bob, saved).await;
    assert_eq!(
        paid["entitlement"]["paid_until_ms"],
        NOW_MS + MONTH_MS + NEXT_MONTH_MS,
        "no day is lost or won"
    );
    bench.clock.advance_ms(DAY_MS / 2 - 1);
    renew(bench).await;
    bench.open_title(&ana, id, bench.title, &Device::new(2)).await.expect(201);
    bench.clock.advance_ms(1);
    let over = bench.open_title(&ana, id, bench.title, &Device::new(3)).await.expect(403);
    assert_eq!(over.code(), "subscription_lapsed");
    renew(bench).await;
    let over = status(bench, &ana, id).await;
    assert_eq!((&over["status"], &over["events"][0]["type"]), (&json!("expired"), &json!("expire")));
    bench.post("/v1/wallet/top-ups", &amount).bearer(&ana).key("late").send().await.expect(201);
    renew(bench).await;
    assert_eq!(balance(bench, &ana).await, 600, "what has lapsed is not charged");
}

pub async fn a_trial_is_free_once(bench: &Bench) {
    let ana = bench.viewer("ana@example.org").await;
    let (collection, _) = collection(bench).await;
    let path = format!("/v1/collections/{collection}/plans");
    let body =
        json!({ "kind": "subscription", "price": price(300), "period": "year", "trial_ms": 7 * DAY_MS });
    let plan_id = plan(bench, &path, body).await;
    let tried = json!({ "plan": plan_id, "trial": true });
    let bought = buy(bench, &ana, tried.clone()).await.expect(201);
    assert_eq!(balance(bench, &ana).await, 1000);
    let id = entitlement_of(&bought);
    assert_eq!(bought.json()["entitlement"]["paid_until_ms"], NOW_MS + 7 * DAY_MS);
    assert_eq!(buy(bench, &ana, tried).await.expect(403).code(), "trial_used");
    let rental = buy(bench, &ana, json!({ "plan": bench.plan, "trial": true })).await.expect(422);
    assert_eq!(rental.code(), "trial_not_offered");
    bench.open_title(&ana, id, bench.title, &Device::new(1)).await.expect(201);
    bench.clock.advance_ms(7 * DAY_MS);
    renew(bench).await;
    assert_eq!(balance(bench, &ana).await, 700);
    let now = status(bench, &ana, id).await;
    assert_eq!(
        now["entitlement"]["paid_until_ms"],
        NOW_MS + (7 + 365) * DAY_MS,
        "a year from the trial's end"
    );
    bench.clock.advance_ms(3 * 365 * DAY_MS);
    renew(bench).await;
    assert_eq!(balance(bench, &ana).await, 700, "nobody pays for a year that is over");
    assert_eq!(status(bench, &ana, id).await["status"], "expired");
}

/// Prices hold 19 % tax, and 8.1 % for payers in Switzerland.
pub fn taxed() -> Config {
    let rates = vec!["DE=1900".to_owned(), "CH=810".to_owned()];
    let tax = TaxSection { home_country: "DE".to_owned(), rates };
    Config { tax, ..Config::default() }
}

/// What the ledger's accounts of a kind hold, in cents.
async fn booked(bench: &Bench, kind: &str) -> i64 {
    bench.balance().await;
    let mut tx = bench.app.store.read().await.unwrap();
    let balances = ledger::balances(&mut tx).await.unwrap();
    balances.iter().filter(|(name, ..)| name.starts_with(kind)).map(|(_, minor, _)| minor).sum()
}

pub async fn renewals_are_taxed_where_the_purchase_was(bench: &Bench) {
    let path = format!("/v1/titles/{}/plans", bench.title);
    let body = json!({ "kind": "subscription", "price": price(300), "period": "month", "grace_ms": DAY_MS });
    let monthly = plan(bench, &path, body).await;
    // At home, abroad by the wallet, abroad by a saved method, and where there is no rate.
    let (ana, bob) = (bench.viewer("ana@example.org").await, bench.viewer("bob@example.org").await);
    let (eve, joe) =
        (bench.login("eve@example.org", &[Role::Viewer]).await, bench.viewer("joe@example.org").await);
    buy(bench, &ana, json!({ "plan": monthly })).await.expect(201);
    buy(bench, &bob, json!({ "plan": monthly, "country": "CH" })).await.expect(201);
    buy(bench, &joe, json!({ "plan": monthly, "country": "FR" })).await.expect(201);
    let swiss = json!({ "plan": monthly, "country": "CH" });
    bench.post("/v1/checkouts", &swiss).bearer(&eve).key("k").send().await.expect(201);
    let (home, abroad) = (48, 22);
    for months in 1..=3 {
        let booked =
            [booked(bench, "tax/DE/").await, booked(bench, "tax/CH/").await, booked(bench, "sales/").await];
        assert_eq!(booked, [home, 2 * abroad, 1200 - home - 2 * abroad].map(|minor| months * minor));
        if months == 3 {
            break;
        }
        bench.clock.advance_ms(if months == 1 { MONTH_MS } else { NEXT_MONTH_MS });
        renew(bench).await;
        reconcile::run(&bench.app).await.unwrap();
    }
    // Each period is a purchase that has its line.
    let mut tx = bench.app.store.read().await.unwrap();
    let lines: Vec<(String, i64)> = match &mut tx {
        Tx::Sqlite(_) => {
            let Store::Sqlite { readers, .. } = &bench.app.store else { unreachable!() };
            sqlx::query_as(LINES).fetch_all(&mut *readers.lend().await.unwrap()).await.unwrap()
        }
        Tx::Postgres(link) => sqlx::query_as(LINES).fetch_all(&mut **link).await.unwrap(),
    };
    let expected = [vec![("CH".to_owned(), abroad); 6], vec![("DE".to_owned(), home); 3]].concat();
    assert_eq!(lines, expected);
}

const LINES: &str = "select country, tax_minor from tax_lines order by country";

pub async fn a_month_out_of_the_wallet_is_a_purchase_of_its_own(bench: &Bench) {
    let operator = bench.login("op@example.org", &[Role::Operator]).await;
    let path = format!("/v1/titles/{}/plans", bench.title);
    let body = json!({ "kind": "subscription", "price": price(300), "period": "month", "grace_ms": DAY_MS });
    let monthly = plan(bench, &path, body).await;
    let (ana, bob) = (bench.viewer("ana@example.org").await, bench.viewer("bob@example.org").await);
    let mut ids = Vec::new();
    for viewer in [&ana, &bob] {
        ids.push(entitlement_of(&buy(bench, viewer, json!({ "plan": monthly })).await.expect(201)));
    }
    for passed_ms in [MONTH_MS, NEXT_MONTH_MS] {
        bench.clock.advance_ms(passed_ms);
        renew(bench).await;
    }
    let bills = async |viewer: &str| {
        let listed = bench.get("/v1/purchases").bearer(viewer).send().await.expect(200).json();
        listed["purchases"].as_array().unwrap().clone()
    };
    let anas = bills(&ana).await;
    let renews: Vec<&Value> = anas.iter().map(|bill| &bill["renews"]).collect();
    assert_eq!(renews, [&json!(ids[0]), &json!(ids[0]), &Value::Null], "newest first");
    for bill in &anas {
        assert_eq!((&bill["amount"], &bill["tax"]["tax_minor"]), (&price(300), &json!(48)));
    }
    // Sales count them, before anything is given back.
    let sold = sales::by_title(&mut bench.app.store.read().await.unwrap(), 0).await.unwrap();
    let counted: Vec<_> = sold.iter().map(|one| (one.purchases, one.renewals, one.gross_minor)).collect();
    assert_eq!(counted, [(2, 4, 1800)]);
    let since = sales::by_title(&mut bench.app.store.read().await.unwrap(), NOW_MS + 1).await.unwrap();
    assert_eq!((since[0].purchases, since[0].renewals, since[0].gross_minor), (0, 4, 1200));

    let refund = async |bill: &Value, body: Value| {
        let mut body = body;
        body["reason"] = json!("it rained");
        let path = format!("/v1/purchases/{}/refund", bill["id"].as_str().unwrap());
        let key = hex::encode(matinee_server::random::bytes::<8>());
        bench.post(path, &body).bearer(&operator).key(&key).send().await
    };
    // A part of the second month, kept; then all of the third, which ends it.
    refund(&anas[1], json!({ "amount_minor": 100, "keep": true })).await.expect(201);
    assert_eq!(
        (balance(bench, &ana).await, status(bench, &ana, ids[0]).await["status"].clone()),
        (200, json!("ready"))
    );
    let whole = refund(&anas[0], json!({})).await.expect(201).json();
    assert_eq!((&whole["refund"]["amount"], &whole["refund"]["to"]), (&price(300), &json!("wallet")));
    assert_eq!(
        (balance(bench, &ana).await, status(bench, &ana, ids[0]).await["status"].clone()),
        (500, json!("cancelled"))
    );
    assert_eq!(refund(&anas[0], json!({})).await.expect(422).code(), "refund_out_of_range", "once");
    assert_eq!(bills(&ana).await[0]["refunded_minor"], 300);
    // Ten days into the third month of 31 days, the earlier two are used up.
    bench.clock.advance_ms(10 * DAY_MS);
    let bobs = bills(&bob).await;
    let prorated = || json!({ "prorated": true });
    for used in &bobs[1..] {
        assert_eq!(refund(used, prorated()).await.expect(422).code(), "refund_out_of_range");
    }
    let made = refund(&bobs[0], prorated()).await.expect(201).json();
    assert_eq!(made["refund"]["amount"], price(204), "21 of 31 days, in the viewer's favor");
    assert_eq!(
        (balance(bench, &bob).await, status(bench, &bob, ids[1]).await["status"].clone()),
        (304, json!("cancelled"))
    );
    assert_eq!(booked(bench, "sales/").await + booked(bench, "tax/DE/").await, 1800 - 100 - 300 - 204);
    bench.clock.advance_ms(NEXT_MONTH_MS);
    renew(bench).await;
    assert_eq!(
        (balance(bench, &ana).await, balance(bench, &bob).await),
        (500, 304),
        "what ended is not charged"
    );
}

pub async fn what_was_paid_by_a_method_is_renewed_by_it(bench: &Bench) {
    let ana = bench.login("ana@example.org", &[Role::Viewer]).await;
    let path = format!("/v1/titles/{}/plans", bench.title);
    let body = json!({ "kind": "subscription", "price": price(300), "period": "month", "grace_ms": DAY_MS });
    let monthly = plan(bench, &path, body).await;
    let body = json!({ "plan": monthly });
    bench.post("/v1/checkouts", &body).bearer(&ana).key("k").send().await.expect(201);
    let given = bench.get("/v1/entitlements").bearer(&ana).send().await.expect(200).json();
    let id = given["entitlements"][0]["id"].as_str().unwrap().parse().unwrap();
    let turn = async || {
        renew(bench).await;
        reconcile::run(&bench.app).await.unwrap();
    };
    bench.clock.advance_ms(MONTH_MS - 1);
    turn().await;
    assert_eq!(status(bench, &ana, id).await["events"], json!([]), "a millisecond early");
    bench.clock.advance_ms(1);
    turn().await;
    turn().await;
    let now = status(bench, &ana, id).await;
    assert_eq!(now["entitlement"]["paid_until_ms"], NOW_MS + MONTH_MS + NEXT_MONTH_MS);
    assert_eq!((&now["renewed_by"], now["events"].as_array().unwrap().len()), (&json!("saved_method"), 1));
    let payments = bench.get("/v1/payments").bearer(&ana).send().await.expect(200).json();
    let payments = payments["payments"].as_array().unwrap().clone();
    assert_eq!(
        (payments.len(), &payments[0]["renews"], &payments[0]["note"]),
        (2, &json!(id), &json!("simulated: no money was taken"))
    );
    assert_eq!(balance(bench, &ana).await, 0);
    // A wallet with enough in it is left alone.
    let amount = json!({ "amount": price(300) });
    bench.post("/v1/wallet/top-ups", &amount).bearer(&ana).key("t").send().await.expect(201);
    bench.clock.advance_ms(NEXT_MONTH_MS);
    turn().await;
    assert_eq!((balance(bench, &ana).await, booked(bench, "sales/").await), (300, 900));
    // Many jobs at once charge once.
    bench.clock.advance_ms(MONTH_MS + DAY_MS);
    join_all((0..16).map(|_| async {
        renewal::run(&bench.app).await.unwrap();
        reconcile::run(&bench.app).await.unwrap();
    }))
    .await;
    assert_eq!((balance(bench, &ana).await, booked(bench, "sales/").await), (300, 1200));
}

pub async fn a_gift_is_renewed_only_by_who_asks_for_it(bench: &Bench) {
    let operator = bench.login("op@example.org", &[Role::Operator]).await;
    let path = format!("/v1/titles/{}/plans", bench.title);
    let body = json!({ "kind": "subscription", "price": price(300), "period": "month", "grace_ms": DAY_MS });
    let monthly = plan(bench, &path, body).await;
    let path = format!("/v1/plans/{monthly}/gift-codes");
    let made = bench.post(path, &json!({ "count": 2 })).bearer(&operator).send().await.expect(201).json();
    let (ana, bob) = (bench.viewer("ana@example.org").await, bench.viewer("bob@example.org").await);
    let mut ids = Vec::new();
    for (viewer, code) in [&ana, &bob].into_iter().zip(made["codes"].as_array().unwrap()) {
        let call = bench.post("/v1/gift-codes/redemptions", &json!({ "code": code }));
        let given = call.bearer(viewer).key("g").send().await.expect(201);
        let told = given.json()["entitlement"].clone();
        assert_eq!((&told["renews"], &told["paid_until_ms"]), (&json!(false), &json!(NOW_MS + MONTH_MS)));
        ids.push(entitlement_of(&given));
    }
    let path = format!("/v1/entitlements/{}/renewal", ids[1]);
    let asked = bench.call("PUT", path).json(&json!({ "renews": true })).bearer(&bob).send().await;
    assert_eq!(asked.expect(200).json()["renewed_by"], "wallet");
    bench.clock.advance_ms(MONTH_MS - 1);
    bench.open(&ana, ids[0], &Device::new(1)).await.expect(201);
    bench.clock.advance_ms(1);
    renew(bench).await;
    assert_eq!((balance(bench, &ana).await, balance(bench, &bob).await), (1000, 700));
    let over = bench.open(&ana, ids[0], &Device::new(1)).await.expect(403);
    assert_eq!(over.code(), "subscription_lapsed", "at its end, without grace");
    bench.open(&bob, ids[1], &Device::new(2)).await.expect(201);
}

pub fn two_a_month() -> Value {
    json!({ "kind": "quota", "price": price(300), "period": "month", "quota_titles": 2, "tier": 2 })
}

pub async fn a_quota_counts_a_title_once_a_period(bench: &Bench) {
    let ana = bench.viewer("ana@example.org").await;
    let (id, collection, second) = subscribed(bench, &ana, two_a_month()).await;
    let third = bench.another_film().await;
    put(bench, &collection, third, 1).await;
    let open = |title: TitleId, device: u8| {
        let device = Device::new(device);
        async move { bench.open_title(&ana_of(), id, title, &device).await }
    };
    let left =
        || async { status(bench, &ana_of(), id).await["entitlement"]["titles_left"].as_i64().unwrap() };
    assert_eq!(left().await, 2);
    open(bench.title, 1).await.expect(201);
    open(bench.title, 2).await.expect(201);
    open(bench.title, 1).await.expect(200);
    assert_eq!(left().await, 1, "again, and on another device, is the same title");
    open(second, 1).await.expect(201);
    assert_eq!(left().await, 0);
    assert_eq!(open(third, 1).await.expect(403).code(), "quota_used_up");
    open(second, 3).await.expect(201);
    bench.clock.advance_ms(MONTH_MS - 1);
    assert_eq!(open(third, 1).await.expect(403).code(), "quota_used_up", "a millisecond early");
    bench.clock.advance_ms(1);
    renew(bench).await;
    assert_eq!(left().await, 2);
    open(third, 1).await.expect(201);
    open(bench.title, 4).await.expect(201);
    assert_eq!(left().await, 0, "in the next period it counts again");
}

/// Views that are kept alive from one period into the next count their titles there, one by one, as far as it has any.
pub async fn what_goes_on_in_the_next_period_counts_there(bench: &Bench) {
    let ana = bench.viewer("ana@example.org").await;
    let (id, collection, second) = subscribed(bench, &ana, two_a_month()).await;
    let third = bench.another_film().await;
    put(bench, &collection, third, 1).await;
    let left = || async { status(bench, &ana, id).await["entitlement"]["titles_left"].as_i64().unwrap() };
    let (phone, desk) = (Device::new(1), Device::new(2));
    bench.clock.advance_ms(MONTH_MS - 2000);
    let first = opening(&bench.open_title(&ana, id, bench.title, &phone).await.expect(201));
    let other = opening(&bench.open_title(&ana, id, second, &desk).await.expect(201));
    assert_eq!(left().await, 0);
    bench.clock.advance_ms(1999);
    bench.license(first.view, &first.view_token, &phone, 3).await.expect(200);
    bench.clock.advance_ms(1);
    renew(bench).await;
    assert_eq!(left().await, 2);
    for _ in 0..2 {
        bench.license(first.view, &first.view_token, &phone, 3).await.expect(200);
        assert_eq!(left().await, 1, "its keys are released in this period now");
    }
    bench.open_title(&ana, id, third, &phone).await.expect(201);
    assert_eq!(left().await, 0);
    let over = bench.license(other.view, &other.view_token, &desk, 3).await.expect(403);
    assert_eq!(over.code(), "quota_used_up");
    let path = format!("/v1/views/{}/renewals", other.view);
    let over = bench.post(&path, &json!({})).proof(&desk, Some(&other.view_token)).send().await;
    assert_eq!(over.expect(403).code(), "quota_used_up");
    let over = bench.open_title(&ana, id, second, &desk).await.expect(403);
    assert_eq!(over.code(), "quota_used_up", "nor is it resumed");

    // Resumed in the next period, it counts there too, once.
    bench.clock.advance_ms(NEXT_MONTH_MS - 1000);
    bench.open_title(&ana, id, bench.title, &phone).await.expect(201);
    bench.clock.advance_ms(1000);
    renew(bench).await;
    for _ in 0..2 {
        bench.open_title(&ana, id, bench.title, &phone).await.expect(200);
        assert_eq!(left().await, 1);
    }
}

/// The login that [`Bench::viewer`] gives to Ana.
fn ana_of() -> String {
    "login-of-ana@example.org".to_owned()
}

pub async fn races_take_no_title_too_many(bench: &Bench) {
    let ana = bench.viewer("ana@example.org").await;
    let (id, collection, second) = subscribed(bench, &ana, two_a_month()).await;
    let mut titles = vec![bench.title, second];
    for _ in 0..6 {
        let title = bench.another_film().await;
        put(bench, &collection, title, 2).await;
        titles.push(title);
    }
    let ana = ana.as_str();
    let opens = (0..64_u8).map(|task| {
        let title = titles[usize::from(task) % titles.len()];
        async move { (title, bench.open_title(ana, id, title, &Device::new(task)).await) }
    });
    let answers = join_all(opens).await;
    let mut opened = std::collections::BTreeSet::new();
    for (title, answer) in &answers {
        match answer.status.as_u16() {
            201 => _ = opened.insert(*title),
            status => assert_eq!((status, answer.code().as_str()), (403, "quota_used_up")),
        }
    }
    assert_eq!(opened.len(), 2, "never one too many");
    let won = answers.iter().filter(|(_, answer)| answer.status == 201).count();
    assert_eq!(won, 16, "and none too few: every device that asked for one of the two has it");
    assert_eq!(status(bench, ana, id).await["entitlement"]["titles_left"], 0);
}
