//! Royalties, in process: what is a play, what a month earns, and which rules hold.

use matinee_protocol::id::{EntitlementId, FileIndex, ReleaseId, TitleId};
use matinee_server::royalty::span::{FINAL_AFTER_MS, Span};
use matinee_server::store::account::Role;
use matinee_server::store::release::{self, File};
use serde_json::{Value, json};

use crate::bench::{Bench, DAY_MS, Device, opening};
use crate::terms::{buy, entitlement_of, plan, price};

/// Makes the newest release of a title an open one, of two files of four epochs together.
pub async fn published_open(bench: &Bench, title: TitleId) -> ReleaseId {
    let id = ReleaseId::from_bytes(matinee_server::random::id(bench.clock_ms()));
    let file = |index: u32, size_bytes: u64| File {
        file: FileIndex(index),
        name: format!("{index}.mp4"),
        media_type: "video/mp4".to_owned(),
        size_bytes,
        duration_ms: Some(60_000),
        epoch_chunks: 64,
        uploaded_bytes: size_bytes,
    };
    let files = [file(0, 192 * 256 * 1024), file(1, 4)];
    let mut tx = bench.app.store.write().await.unwrap();
    release::insert(&mut tx, id, title, None, &files, bench.clock_ms()).await.unwrap();
    assert!(release::publish(&mut tx, id, "a.b.c", bench.clock_ms() + 1).await.unwrap());
    tx.commit().await.unwrap();
    id
}

async fn put_rules(bench: &Bench, operator: &str, title: TitleId, body: Value) -> crate::bench::Answer {
    let call = bench.call("PUT", format!("/v1/titles/{title}/royalty-rules"));
    call.json(&body).bearer(operator).send().await
}

fn rules(share_basis_points: u32, minimum_minor: i64) -> Value {
    json!([{ "holder": "Studio", "share_basis_points": share_basis_points, "minimum_minor": minimum_minor }])
}

async fn statement(bench: &Bench, operator: &str, month: &str) -> Value {
    bench.get(format!("/v1/royalties/{month}")).bearer(operator).send().await.expect(200).json()
}

/// Plays, revenue and what is earned of each title of a month that earns something or was played.
async fn lines(bench: &Bench, operator: &str, month: &str) -> Vec<(TitleId, u64, i64, i64)> {
    let told = statement(bench, operator, month).await;
    let line = |line: &Value| {
        let number = |name: &str| line[name].as_i64().unwrap();
        let title = line["title"].as_str().unwrap().parse().unwrap();
        (title, line["plays"].as_u64().unwrap(), number("revenue_minor"), number("amount_minor"))
    };
    told["statement"]["lines"].as_array().unwrap().iter().map(line).collect()
}

/// Opens a view on a device and ends it.
async fn watch(bench: &Bench, login: &str, right: EntitlementId, title: TitleId, device: u8) {
    let device = Device::new(device);
    let view = opening(&bench.open_title(login, right, title, &device).await.expect(201));
    let ended = bench.call("DELETE", format!("/v1/views/{}", view.view));
    ended.proof(&device, Some(&view.view_token)).send().await.expect(204);
}

pub async fn minimums_are_not_played_up(bench: &Bench) {
    let operator = bench.login("op@example.org", &[Role::Operator]).await;
    let studio = bench.studio_login().await;
    put_rules(bench, &operator, bench.title, json!({ "rules": rules(0, 10) })).await.expect(200);
    let rights = bench.call("PUT", format!("/v1/titles/{}/rights", bench.title));
    rights.json(&json!({ "preview_ms": 120_000 })).bearer(&studio).send().await.expect(204);
    // A preview costs nothing, and is no play however often it is opened.
    let ana = bench.viewer("ana@example.org").await;
    let preview = bench.post(format!("/v1/titles/{}/previews", bench.title), &json!({})).bearer(&ana);
    let preview = entitlement_of(&preview.send().await.expect(201));
    for device in [1, 1, 2] {
        watch(bench, &ana, preview, bench.title, device).await;
    }
    assert!(lines(bench, &operator, "2026-11").await.is_empty());
    // What is owned is played once a day, on however many devices: a device is a key that its viewer makes.
    let own = plan(
        bench,
        &format!("/v1/titles/{}/plans", bench.title),
        json!({ "kind": "purchase", "price": price(1) }),
    )
    .await;
    let owned = entitlement_of(&buy(bench, &ana, json!({ "plan": own })).await.expect(201));
    for device in [1, 1, 2, 3] {
        watch(bench, &ana, owned, bench.title, device).await;
    }
    assert_eq!(lines(bench, &operator, "2026-11").await, [(bench.title, 1, 1, 10)]);
    // Another day is another play, and so is another account's.
    bench.clock.advance_ms(DAY_MS);
    for device in [1, 2] {
        watch(bench, &ana, owned, bench.title, device).await;
    }
    assert_eq!(lines(bench, &operator, "2026-11").await, [(bench.title, 2, 1, 20)]);
    let bob = bench.viewer("bob@example.org").await;
    let owned = entitlement_of(&buy(bench, &bob, json!({ "plan": own })).await.expect(201));
    watch(bench, &bob, owned, bench.title, 9).await;
    assert_eq!(lines(bench, &operator, "2026-11").await, [(bench.title, 3, 2, 30)]);
}

pub async fn what_is_open_is_played_whole(bench: &Bench) {
    let operator = bench.login("op@example.org", &[Role::Operator]).await;
    let studio = bench.studio_login().await;
    let second = bench.another_film().await;
    published_open(bench, second).await;
    let made = bench.post("/v1/collections", &json!({ "name": "All" })).bearer(&studio).send().await;
    let collection = made.expect(201).json()["collection"]["id"].as_str().unwrap().to_owned();
    for title in [bench.title, second] {
        put_rules(bench, &operator, title, json!({ "rules": rules(10_000, 0) })).await.expect(200);
        let path = format!("/v1/collections/{collection}/titles/{title}");
        let put = bench.call("PUT", path).json(&json!({ "tier": 1 })).bearer(&studio);
        put.send().await.expect(204);
    }
    let monthly = json!({ "kind": "subscription", "price": price(700), "period": "month", "tier": 1 });
    let monthly = plan(bench, &format!("/v1/collections/{collection}/plans"), monthly).await;
    let ana = bench.viewer("ana@example.org").await;
    let all = entitlement_of(&buy(bench, &ana, json!({ "plan": monthly })).await.expect(201));
    // Three epochs of the sealed film, and all four of the open one, however often it is opened that day.
    watch(bench, &ana, all, bench.title, 1).await;
    for device in [1, 1, 2] {
        watch(bench, &ana, all, second, device).await;
    }
    let mut expected = [(bench.title, 1, 300, 300), (second, 1, 400, 400)];
    expected.sort_unstable();
    assert_eq!(lines(bench, &operator, "2026-11").await, expected);
}

pub async fn what_is_sold_at_once_is_shared_whenever_it_is_played(bench: &Bench) {
    let operator = bench.login("op@example.org", &[Role::Operator]).await;
    let studio = bench.studio_login().await;
    let second = bench.another_film().await;
    for title in [bench.title, second] {
        put_rules(bench, &operator, title, json!({ "rules": rules(10_000, 0) })).await.expect(200);
    }
    let both = json!({ "kind": "purchase", "price": price(701), "titles": [second] });
    let both = plan(bench, &format!("/v1/titles/{}/plans", bench.title), both).await;
    let made = bench.post("/v1/collections", &json!({ "name": "All" })).bearer(&studio).send().await;
    let collection = made.expect(201).json()["collection"]["id"].as_str().unwrap().to_owned();
    let put = bench.call("PUT", format!("/v1/collections/{collection}/titles/{second}"));
    put.json(&json!({ "tier": 1 })).bearer(&studio).send().await.expect(204);
    let yearly = json!({ "kind": "subscription", "price": price(100), "period": "year", "tier": 1 });
    let yearly = plan(bench, &format!("/v1/collections/{collection}/plans"), yearly).await;

    // A second before December: a bundle is its titles' at once, by halves, and what one plays when changes nothing.
    bench.clock.advance_ms(Span::month("2026-11").unwrap().until_ms - 1000 - bench.clock_ms());
    let ana = bench.viewer("ana@example.org").await;
    let bought = buy(bench, &ana, json!({ "plan": both })).await.expect(201).json();
    let subscribed = buy(bench, &ana, json!({ "plan": yearly })).await.expect(201);
    let (year, year_bought) = (entitlement_of(&subscribed), subscribed.json());
    bench.clock.advance_ms(2000);
    let given = bought["entitlements"][0]["id"].as_str().unwrap().parse().unwrap();
    watch(bench, &ana, given, bench.title, 1).await;
    let (one, two) = (bench.title.min(second), bench.title.max(second));
    let expected = [(one, 0, 351, 351), (two, 0, 350, 350)];
    assert_eq!(lines(bench, &operator, "2026-11").await, expected);
    assert_eq!(lines(bench, &operator, "2026-12").await, [(bench.title, 1, 0, 0)]);

    // A twelfth of the year is shared by the use of each month; of a month without use it stays with the house.
    watch(bench, &ana, year, second, 1).await;
    let refund = json!({ "reason": "it rained", "amount_minor": 30, "keep": true });
    let path = format!("/v1/purchases/{}/refund", year_bought["purchase"]["id"].as_str().unwrap());
    let mut sum = 0;
    let mut months = Vec::new();
    for _ in 0..20 {
        let month = Span::month_of(bench.clock_ms()).unwrap();
        let name = month.name().unwrap();
        if name == "2027-03" {
            watch(bench, &ana, year, second, 1).await;
            bench.post(&path, &refund).bearer(&operator).key("back").send().await.expect(201);
        }
        let revenue =
            statement(bench, &operator, &name).await["statement"]["revenue_minor"].as_i64().unwrap();
        months.push(revenue);
        sum += revenue;
        if ["2026-12", "2027-03"].contains(&name.as_str()) {
            let of = lines(bench, &operator, &name).await;
            assert!(of.contains(&(second, 1, revenue, revenue)), "{name}: {of:?}");
        }
        bench.clock.advance_ms(month.until_ms - bench.clock_ms());
    }
    // Of 100 cents 9 were November's. Given back in the fifth of twelve months: out of the eight from then on.
    assert_eq!(months[..12], [9, 9, 9, 4, 4, 4, 4, 4, 4, 5, 5, 0]);
    assert_eq!(sum, 100 - 9 - 30, "nothing is lost");
    // What was told before is told again.
    for (month, revenue) in [("2026-11", 701 + 9), ("2026-12", 9), ("2027-02", 9)] {
        assert_eq!(
            statement(bench, &operator, month).await["statement"]["revenue_minor"],
            revenue,
            "{month}"
        );
    }
}

pub async fn rules_hold_from_a_month_on(bench: &Bench) {
    let operator = bench.login("op@example.org", &[Role::Operator]).await;
    let path = format!("/v1/titles/{}/royalty-rules", bench.title);
    let shown = async |query: &str| {
        bench.get(format!("{path}{query}")).bearer(&operator).send().await.expect(200).json()
    };
    let expected = |from: Value, rules: Value| json!({ "title": bench.title, "currency": "USD", "from": from, "rules": rules });
    assert_eq!(shown("").await, expected(Value::Null, json!([])));
    let ana = bench.viewer("ana@example.org").await;
    buy(bench, &ana, json!({ "plan": bench.plan })).await.expect(201);
    let set = put_rules(bench, &operator, bench.title, json!({ "rules": rules(5_000, 0) })).await;
    assert_eq!(set.expect(200).json(), expected(json!("2026-11"), rules(5_000, 0)));
    let later = json!({ "rules": rules(1_000, 0), "from": "2027-01" });
    put_rules(bench, &operator, bench.title, later).await.expect(200);
    assert_eq!(shown("").await, expected(json!("2026-11"), rules(5_000, 0)));
    assert_eq!(shown("?month=2026-10").await, expected(Value::Null, json!([])));
    assert_eq!(shown("?month=2027-02").await, expected(json!("2027-01"), rules(1_000, 0)));
    assert_eq!(lines(bench, &operator, "2026-11").await, [(bench.title, 0, 50, 25)]);

    // The month is over, and may still be set right; a day later its statement stays as it is.
    let november = Span::month("2026-11").unwrap();
    bench.clock.advance_ms(november.until_ms - bench.clock_ms());
    assert_eq!(statement(bench, &operator, "2026-11").await["final"], false);
    let right = json!({ "rules": rules(6_000, 0), "from": "2026-11" });
    put_rules(bench, &operator, bench.title, right).await.expect(200);
    bench.clock.advance_ms(FINAL_AFTER_MS - 1);
    assert_eq!(statement(bench, &operator, "2026-11").await["final"], false);
    bench.clock.advance_ms(1);
    let last = statement(bench, &operator, "2026-11").await;
    assert_eq!((&last["final"], &last["statement"]["lines"][0]["amount_minor"]), (&json!(true), &json!(30)));
    let late = json!({ "rules": rules(7_000, 0), "from": "2026-11" });
    let refused = put_rules(bench, &operator, bench.title, late).await.expect(422);
    assert_eq!(refused.code(), "royalty_month_final");
    // No rules from now on are rules too.
    put_rules(bench, &operator, bench.title, json!({ "rules": [] })).await.expect(200);
    assert_eq!(shown("").await, expected(json!("2026-12"), json!([])));
    assert_eq!(statement(bench, &operator, "2026-11").await, last);
    for (method, body) in [("PUT", json!({ "rules": [], "from": "2026-13" })), ("GET", json!({}))] {
        let wrong = bench.call(method, format!("{path}?month=x")).json(&body).bearer(&operator);
        assert_eq!(wrong.send().await.expect(400).code(), "month_invalid", "{method}");
    }
    let nothing = bench.get("/v1/titles/0190d9e4-0000-7000-8000-000000000000/royalty-rules");
    nothing.bearer(&operator).send().await.expect(404);
}
