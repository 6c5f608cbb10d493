//! Each kind of plan that does not renew, bought and used.

use matinee_protocol::api::LicenseAnswer;
use matinee_protocol::id::EntitlementId;
use matinee_protocol::token::Role as TokenRole;
use matinee_server::store::account::Role;
use serde_json::{Value, json};

use crate::bench::{Answer, Bench, DAY_MS, Device, NOW_MS, opening};

pub fn price(minor: i64) -> Value {
    json!({ "minor": minor, "currency": "USD" })
}

pub fn entitlement_of(answer: &Answer) -> EntitlementId {
    answer.json()["entitlement"]["id"].as_str().unwrap().parse().unwrap()
}

/// Adds a plan and gives its id.
pub async fn plan(bench: &Bench, path: &str, body: Value) -> String {
    let studio = bench.studio_login().await;
    let added = bench.post(path, &body).bearer(&studio).send().await.expect(201);
    added.json()["plan"]["id"].as_str().unwrap().to_owned()
}

/// Buys a plan under a key of its own.
pub async fn buy(bench: &Bench, login: &str, body: Value) -> Answer {
    let key = hex::encode(matinee_server::random::bytes::<8>());
    bench.post("/v1/purchases", &body).bearer(login).key(&key).send().await
}

pub async fn balance(bench: &Bench, login: &str) -> i64 {
    let account = bench.get("/v1/account").bearer(login).send().await.expect(200);
    account.json()["account"]["wallet"]["minor"].as_i64().unwrap()
}

pub async fn status(bench: &Bench, login: &str, entitlement: EntitlementId) -> Value {
    let path = format!("/v1/entitlements/{entitlement}/status");
    bench.get(path).bearer(login).send().await.expect(200).json()
}

pub async fn a_purchase_is_for_ever(bench: &Bench) {
    let path = format!("/v1/titles/{}/plans", bench.title);
    let own = plan(bench, &path, json!({ "kind": "purchase", "price": price(900) })).await;
    let ana = bench.viewer("ana@example.org").await;
    let bought = buy(bench, &ana, json!({ "plan": own })).await.expect(201);
    let id = entitlement_of(&bought);
    assert_eq!(bought.json()["entitlement"]["kind"], "purchase");
    assert_eq!(balance(bench, &ana).await, 100);
    for years in [0, 10, 40] {
        bench.clock.advance_ms(years * 365 * DAY_MS);
        bench.open(&ana, id, &Device::new(1)).await.expect(201);
        bench.clock.advance_ms(DAY_MS);
    }
    assert_eq!(status(bench, &ana, id).await["status"], "active");
    let studio = bench.studio_login().await;
    for (body, code) in [
        (json!({ "kind": "lease", "price": price(1) }), "plan_kind_unknown"),
        (json!({ "kind": "purchase" }), "plan_field_missing"),
        (json!({ "kind": "purchase", "price": price(1), "views": 3 }), "plan_field_unexpected"),
        (json!({ "kind": "free", "price": price(1) }), "plan_field_unexpected"),
        (json!({ "kind": "subscription", "price": price(1), "period": "week" }), "period_unknown"),
        (
            json!({ "kind": "quota", "price": price(1), "period": "month", "quota_titles": 1 }),
            "collection_required",
        ),
        (json!({ "kind": "purchase", "price": price(1), "titles": [bench.title] }), "bundle_invalid"),
        (json!({ "kind": "purchase", "price": price(-1) }), "price_out_of_range"),
        (
            json!({ "kind": "purchase", "price": price(1), "concurrent_views": 0 }),
            "concurrent_views_out_of_range",
        ),
    ] {
        let refused = bench.post(&path, &body).bearer(&studio).send().await.expect(422);
        assert_eq!(refused.code(), code, "{body}");
    }
}

pub async fn a_bundle_gives_an_entitlement_a_title(bench: &Bench) {
    let second = bench.another_film().await;
    let path = format!("/v1/titles/{}/plans", bench.title);
    let body = json!({ "kind": "purchase", "price": price(700), "titles": [second], "name": "Both" });
    let both = plan(bench, &path, body).await;
    let ana = bench.viewer("ana@example.org").await;
    let bought = buy(bench, &ana, json!({ "plan": both })).await.expect(201).json();
    let given = bought["entitlements"].as_array().unwrap();
    let titles: Vec<&Value> = given.iter().map(|given| &given["title"]).collect();
    assert_eq!(titles, [&json!(bench.title), &json!(second)]);
    let listed = bench.get("/v1/entitlements").bearer(&ana).send().await.expect(200).json();
    assert_eq!(listed["entitlements"].as_array().unwrap().len(), 2);
    let first: EntitlementId = given[0]["id"].as_str().unwrap().parse().unwrap();
    let other = bench.open_title(&ana, first, second, &Device::new(1)).await.expect(403);
    assert_eq!(other.code(), "title_not_covered", "each is to its own title");
    for (given, title) in given.iter().zip([bench.title, second]) {
        let id = given["id"].as_str().unwrap().parse().unwrap();
        bench.open_title(&ana, id, title, &Device::new(1)).await.expect(201);
    }
    let shown = bench.get(format!("/v1/titles/{second}")).send().await.expect(200).json();
    assert_eq!(shown["title"]["plans"][0]["name"], "Both", "a bundle is a way to each of its titles");
    assert_eq!(bench.balance().await, 2, "one top-up, one purchase");
}

pub async fn coupons_lower_a_price_once_an_account(bench: &Bench) {
    let operator = bench.login("op@example.org", &[Role::Operator]).await;
    let make = |body: Value| bench.post("/v1/coupons", &body).bearer(&operator).send();
    let until = NOW_MS + DAY_MS;
    make(json!({ "code": "spring-20", "percent_off": 20, "uses_max": 2, "expires_at_ms": until }))
        .await
        .expect(201);
    make(json!({ "code": "TEN", "amount_off": price(1000) })).await.expect(201);
    let again = make(json!({ "code": "Spring-20", "percent_off": 1 })).await.expect(409);
    assert_eq!(again.code(), "coupon_exists");
    for body in [
        json!({ "code": "x", "percent_off": 101 }),
        json!({ "code": "x" }),
        json!({ "code": "x y", "percent_off": 1 }),
        json!({ "code": "x", "percent_off": 1, "uses_max": 0 }),
    ] {
        make(body).await.expect(422);
    }
    let (ana, bob, eve) = (
        bench.viewer("ana@example.org").await,
        bench.viewer("bob@example.org").await,
        bench.viewer("eve@example.org").await,
    );
    let with = |code: &str| json!({ "plan": bench.plan, "coupon": code });
    let bought = buy(bench, &ana, with("SPRING-20")).await.expect(201).json();
    assert_eq!(bought["purchase"]["amount"], price(40));
    assert_eq!(balance(bench, &ana).await, 960);
    assert_eq!(
        buy(bench, &ana, with("spring-20")).await.expect(403).code(),
        "coupon_refused",
        "once an account"
    );
    bench.clock.advance_ms(DAY_MS - 1);
    buy(bench, &bob, with("Spring-20")).await.expect(201);
    assert_eq!(buy(bench, &eve, with("Spring-20")).await.expect(403).code(), "coupon_refused", "two uses");
    let free = buy(bench, &eve, with("ten")).await.expect(201).json();
    assert_eq!(free["purchase"]["amount"], price(0), "a price does not fall below nothing");
    make(json!({ "code": "LATE", "percent_off": 50, "expires_at_ms": until })).await.expect(201);
    make(json!({ "code": "MINE", "percent_off": 50, "plan": bench.plan })).await.expect(201);
    buy(bench, &ana, with("LATE")).await.expect(201);
    bench.clock.advance_ms(1);
    assert_eq!(
        buy(bench, &bob, with("LATE")).await.expect(403).code(),
        "coupon_refused",
        "a millisecond late"
    );
    let path = format!("/v1/titles/{}/plans", bench.title);
    let other = plan(bench, &path, json!({ "kind": "purchase", "price": price(10) })).await;
    let foreign = buy(bench, &bob, json!({ "plan": other, "coupon": "mine" })).await.expect(403);
    assert_eq!(foreign.code(), "coupon_refused", "it is for another plan");
    assert_eq!(balance(bench, &eve).await, 1000, "what was refused cost nothing");
    bench.balance().await;
}

pub async fn gift_codes_give_a_plan_once(bench: &Bench) {
    let operator = bench.login("op@example.org", &[Role::Operator]).await;
    let path = format!("/v1/plans/{}/gift-codes", bench.plan);
    let body = json!({ "count": 2, "expires_at_ms": NOW_MS + DAY_MS });
    let made = bench.post(&path, &body).bearer(&operator).send().await.expect(201).json();
    let codes: Vec<&str> =
        made["codes"].as_array().unwrap().iter().map(|code| code.as_str().unwrap()).collect();
    assert!(codes.len() == 2 && codes[0] != codes[1] && codes[0].len() == 23, "{codes:?}");
    bench.post(&path, &json!({ "count": 0 })).bearer(&operator).send().await.expect(422);
    let ana = bench.login("ana@example.org", &[Role::Viewer]).await;
    let redeem = |login: &str, code: &str, key: &str| {
        bench.post("/v1/gift-codes/redemptions", &json!({ "code": code })).bearer(login).key(key).send()
    };
    let spelled = codes[0].to_lowercase().replace('-', " ");
    let given = redeem(&ana, &spelled, "a").await.expect(201);
    assert_eq!(given.json()["purchase"]["amount"], price(0));
    bench.open(&ana, entitlement_of(&given), &Device::new(1)).await.expect(201);
    assert_eq!(
        redeem(&ana, &spelled, "a").await.expect(201).bytes,
        given.bytes,
        "the same key, the same answer"
    );
    assert_eq!(redeem(&ana, codes[0], "b").await.expect(403).code(), "gift_code_refused");
    bench.clock.advance_ms(DAY_MS);
    assert_eq!(redeem(&ana, codes[1], "c").await.expect(403).code(), "gift_code_refused", "it is over");
}

pub async fn guests_play_what_is_free_for_them(bench: &Bench) {
    let path = format!("/v1/titles/{}/plans", bench.title);
    let members = plan(bench, &path, json!({ "kind": "free" })).await;
    let all = plan(bench, &path, json!({ "kind": "free", "guests": true })).await;
    let guest = bench.post("/v1/guests", &json!({ "bearer": true })).send().await.expect(201).json();
    assert_eq!(guest["account"]["roles"], json!(["guest"]));
    let guest = guest["session_token"].as_str().unwrap();
    for plan in [json!(bench.plan), json!(members)] {
        let refused = buy(bench, guest, json!({ "plan": plan })).await.expect(403);
        assert_eq!(refused.code(), "account_required");
    }
    // Nor is it to be had another way: by a payment of its own, out of a wallet, for a gift code.
    let operator = bench.login("op@example.org", &[Role::Operator]).await;
    let gift = async |plan: &str| {
        let path = format!("/v1/plans/{plan}/gift-codes");
        let made = bench.post(&path, &json!({ "count": 1 })).bearer(&operator).send().await.expect(201);
        made.json()["codes"][0].clone()
    };
    let post = |login: &str, path: &str, body: &Value, key: &str| {
        bench.post(path, body).bearer(login).key(key).send()
    };
    let code = json!({ "code": gift(&bench.plan.to_string()).await });
    for (path, body) in [
        ("/v1/checkouts", json!({ "plan": bench.plan })),
        ("/v1/wallet/top-ups", json!({ "amount": price(500) })),
        ("/v1/gift-codes/redemptions", code.clone()),
    ] {
        let refused = post(guest, path, &body, "a").await.expect(403);
        assert_eq!(refused.code(), "account_required", "{path}");
    }
    let free = post(guest, "/v1/checkouts", &json!({ "plan": all }), "b").await.expect(422);
    assert_eq!(free.code(), "plan_is_free");
    let bought = buy(bench, guest, json!({ "plan": all })).await.expect(201);
    bench.open(guest, entitlement_of(&bought), &Device::new(1)).await.expect(201);
    let ana = bench.login("ana@example.org", &[Role::Viewer]).await;
    let bought = buy(bench, &ana, json!({ "plan": members })).await.expect(201);
    bench.open(&ana, entitlement_of(&bought), &Device::new(2)).await.expect(201);
    post(&ana, "/v1/gift-codes/redemptions", &code, "a").await.expect(201);
    let code = json!({ "code": gift(&all).await });
    post(guest, "/v1/gift-codes/redemptions", &code, "b").await.expect(201);
    assert_eq!(bench.balance().await, 0, "no guest has paid anything");
    bench.post("/v1/guests", &json!({})).send().await.expect(201);
    let third = bench.post("/v1/guests", &json!({})).send().await.expect(429);
    assert_eq!(third.code(), "guests_too_many", "two an hour, as configured");
    bench.clock.advance_ms(60 * 60 * 1000);
    bench.post("/v1/guests", &json!({})).send().await.expect(201);
}

pub async fn a_preview_ends_with_its_last_whole_epoch(bench: &Bench) {
    let studio = bench.studio_login().await;
    let ana = bench.login("ana@example.org", &[Role::Viewer]).await;
    let path = format!("/v1/titles/{}/previews", bench.title);
    bench.post(&path, &json!({})).bearer(&ana).send().await.expect(404);
    let rights = |preview_ms: u64| {
        let body = json!({ "preview_ms": preview_ms });
        bench.call("PUT", format!("/v1/titles/{}/rights", bench.title)).json(&body).bearer(&studio).send()
    };
    // Ten epochs of a minute: a millisecond less than five minutes is four of them.
    rights(5 * 60_000 - 1).await.expect(204);
    let given = bench.post(&path, &json!({})).bearer(&ana).send().await.expect(201);
    let id = entitlement_of(&given);
    let device = Device::new(1);
    let opened = opening(&bench.open(&ana, id, &device).await.expect(201));
    assert_eq!(opened.license.unwrap().epochs[0].count, 3);
    let next = bench.license(opened.view, &opened.view_token, &device, 2).await.expect(200);
    let next = serde_json::from_value::<LicenseAnswer>(next.json()).unwrap().license;
    assert_eq!((next.epochs[0].first.get(), next.epochs[0].count), (2, 2), "no lead beyond the preview");
    let over = bench.license(opened.view, &opened.view_token, &device, 4).await.expect(403);
    assert_eq!(over.code(), "preview_over");
    rights(5 * 60_000).await.expect(204);
    let again = bench.post(&path, &json!({})).bearer(&ana).send().await.expect(200);
    assert_eq!(entitlement_of(&again), id, "one an account");
    bench.license(opened.view, &opened.view_token, &device, 4).await.expect(200);
    let over = bench.license(opened.view, &opened.view_token, &device, 5).await.expect(403);
    assert_eq!(over.code(), "preview_over");
}

pub async fn a_preview_is_what_its_title_says_now(bench: &Bench) {
    let studio = bench.studio_login().await;
    let ana = bench.login("ana@example.org", &[Role::Viewer]).await;
    let path = format!("/v1/titles/{}/previews", bench.title);
    let rights = |body: Value| {
        bench.call("PUT", format!("/v1/titles/{}/rights", bench.title)).json(&body).bearer(&studio).send()
    };
    // The film's epochs are of a minute: less than one gives nothing.
    let short = rights(json!({ "preview_ms": 59_999 })).await.expect(422);
    assert_eq!(short.code(), "preview_too_short");
    rights(json!({ "preview_ms": 60_000 })).await.expect(204);
    rights(json!({ "preview_ms": 300_000 })).await.expect(204);
    let id = entitlement_of(&bench.post(&path, &json!({})).bearer(&ana).send().await.expect(201));
    let device = Device::new(1);
    let opened = opening(&bench.open(&ana, id, &device).await.expect(201));
    bench.license(opened.view, &opened.view_token, &device, 4).await.expect(200);
    // Shortened, and withdrawn, for whoever has it too.
    rights(json!({ "preview_ms": 120_000 })).await.expect(204);
    let over = bench.license(opened.view, &opened.view_token, &device, 2).await.expect(403);
    assert_eq!(over.code(), "preview_over");
    let again = opening(&bench.open(&ana, id, &device).await.expect(200));
    assert_eq!(again.license.unwrap().epochs[0].count, 2);
    rights(json!({})).await.expect(204);
    for epoch in [0, 1] {
        let over = bench.license(opened.view, &opened.view_token, &device, epoch).await.expect(403);
        assert_eq!(over.code(), "preview_over");
    }
    assert_eq!(bench.open(&ana, id, &Device::new(2)).await.expect(403).code(), "preview_over");
    bench.post(&path, &json!({})).bearer(&ana).send().await.expect(404);
    let ways = format!("/v1/titles/{}/entitlements", bench.title);
    let ways = bench.get(ways).bearer(&ana).send().await.expect(200).json();
    assert_eq!(ways["entitlements"][0]["code"], "preview_over");
    // Given back, it is given again; taken back, it is not.
    rights(json!({ "preview_ms": 120_000 })).await.expect(204);
    let back = format!("/v1/entitlements/{id}/return");
    bench.post(back, &json!({})).bearer(&ana).send().await.expect(200);
    let next = entitlement_of(&bench.post(&path, &json!({})).bearer(&ana).send().await.expect(201));
    bench.open(&ana, next, &device).await.expect(201);
    let operator = bench.login("op@example.org", &[Role::Operator]).await;
    let revoke = format!("/v1/entitlements/{next}/revocation");
    bench.post(revoke, &json!({ "reason": "copied" })).bearer(&operator).send().await.expect(200);
    let refused = bench.post(&path, &json!({})).bearer(&ana).send().await.expect(403);
    assert_eq!(refused.code(), "entitlement_revoked");
}

pub async fn a_premiere_opens_at_its_millisecond(bench: &Bench) {
    let studio = bench.studio_login().await;
    let premiere = NOW_MS + DAY_MS;
    let path = format!("/v1/titles/{}/rights", bench.title);
    let body = json!({ "available_from_ms": premiere, "available_until_ms": premiere + DAY_MS });
    bench.call("PUT", &path).json(&body).bearer(&studio).send().await.expect(204);
    let wrong = json!({ "available_from_ms": premiere, "available_until_ms": premiere });
    bench.call("PUT", &path).json(&wrong).bearer(&studio).send().await.expect(422);
    let (ana, id) = bench.viewer_with_rental("ana@example.org").await;
    let device = Device::new(1);
    bench.clock.advance_ms(DAY_MS - 1);
    assert_eq!(bench.open(&ana, id, &device).await.expect(403).code(), "not_available_yet");
    // What is sealed may be carried before.
    let carry = format!("/v1/releases/{}/carries", bench.release);
    let carried = bench.post(&carry, &json!({})).bearer(&ana).proof(&device, None).send().await.expect(201);
    let carried = opening(&carried);
    assert_eq!((carried.role, carried.license.is_none()), (TokenRole::Carrier, true));
    let bob = bench.login("bob@example.org", &[Role::Viewer]).await;
    let stranger = bench.post(&carry, &json!({})).bearer(&bob).proof(&device, None).send().await.expect(403);
    assert_eq!(stranger.code(), "role_required", "who has no right to it waits outside");
    bench.clock.advance_ms(1);
    let second = Device::new(2);
    bench.post(&carry, &json!({})).bearer(&ana).proof(&second, None).send().await.expect(201);
    let opened = opening(&bench.open(&ana, id, &device).await.expect(201));
    let license = opened.license.unwrap();
    assert_eq!(license.play_until_ms, (premiere + DAY_MS) as u64, "play ends with the title");
    bench.clock.advance_ms(DAY_MS - 1);
    let last = opening(&bench.open(&ana, id, &Device::new(3)).await.expect(201));
    bench.clock.advance_ms(1);
    let path = format!("/v1/views/{}/renewals", last.view);
    let over = bench.post(&path, &json!({})).proof(&Device::new(3), Some(&last.view_token)).send().await;
    assert_eq!(over.expect(403).code(), "no_longer_available");
    assert_eq!(bench.open(&ana, id, &Device::new(4)).await.expect(403).code(), "no_longer_available");
    let late = Device::new(5);
    let after = bench.post(&carry, &json!({})).bearer(&ana).proof(&late, None).send().await.expect(403);
    assert_eq!(after.code(), "role_required", "nor is it carried any more");
}

pub async fn a_premiere_that_is_moved_stops_what_plays(bench: &Bench) {
    let studio = bench.studio_login().await;
    let (ana, id) = bench.viewer_with_rental("ana@example.org").await;
    let device = Device::new(1);
    let opened = opening(&bench.open(&ana, id, &device).await.expect(201));
    let path = format!("/v1/titles/{}/rights", bench.title);
    let moved = json!({ "available_from_ms": NOW_MS + 1000 });
    bench.call("PUT", &path).json(&moved).bearer(&studio).send().await.expect(204);
    bench.clock.advance_ms(999);
    let early = bench.license(opened.view, &opened.view_token, &device, 3).await.expect(403);
    assert_eq!(early.code(), "not_available_yet");
    let renewals = format!("/v1/views/{}/renewals", opened.view);
    let early = bench.post(&renewals, &json!({})).proof(&device, Some(&opened.view_token)).send().await;
    assert_eq!(early.expect(403).code(), "not_available_yet");
    bench.clock.advance_ms(1);
    bench.license(opened.view, &opened.view_token, &device, 3).await.expect(200);
}

pub async fn what_may_be_played_may_be_placed_before(bench: &Bench) {
    let (ana, id) = bench.viewer_with_rental("ana@example.org").await;
    let path = format!("/v1/releases/{}/carries", bench.release);
    let (first, second) = (Device::new(1), Device::new(2));
    let carry = bench.post(&path, &json!({})).bearer(&ana).proof(&first, None).send().await.expect(201);
    assert!(opening(&carry).license.is_none(), "it opens nothing");
    let held = bench.get("/v1/entitlements").bearer(&ana).send().await.expect(200).json();
    assert_eq!(held["entitlements"][0]["status"], "ready", "nor does it count: {held}");
    bench.open(&ana, id, &first).await.expect(201);
    let operator = bench.login("op@example.org", &[Role::Operator]).await;
    let revoke = format!("/v1/entitlements/{id}/revocation");
    bench.post(&revoke, &json!({ "reason": "late" })).bearer(&operator).send().await.expect(200);
    let gone = bench.post(&path, &json!({})).bearer(&ana).proof(&second, None).send().await.expect(403);
    assert_eq!(gone.code(), "role_required", "whose right is gone");
}

pub async fn a_private_title_is_for_its_group(bench: &Bench) {
    let studio = bench.studio_login().await;
    let made =
        bench.post("/v1/groups", &json!({ "name": "Stations" })).bearer(&studio).send().await.expect(201);
    let group = made.json()["group"]["id"].as_str().unwrap().to_owned();
    let (ana, id) = bench.viewer_with_rental("ana@example.org").await;
    let (bob, bobs) = bench.viewer_with_rental("bob@example.org").await;
    let (device, desk) = (Device::new(1), Device::new(2));
    let playing = opening(&bench.open(&bob, bobs, &desk).await.expect(201));
    let path = format!("/v1/titles/{}/rights", bench.title);
    bench.call("PUT", &path).json(&json!({ "group": group })).bearer(&studio).send().await.expect(204);
    let outside = bench.license(playing.view, &playing.view_token, &desk, 3).await.expect(403);
    assert_eq!(outside.code(), "group_required", "what plays is asked again");
    assert_eq!(bench.open(&bob, bobs, &desk).await.expect(403).code(), "group_required");
    assert_eq!(bench.open(&ana, id, &device).await.expect(403).code(), "group_required");
    let title = format!("/v1/titles/{}", bench.title);
    bench.get(&title).bearer(&ana).send().await.expect(404);
    bench.get(&title).send().await.expect(404);
    bench.get(&title).bearer(&studio).send().await.expect(200);
    let members = format!("/v1/groups/{group}/members");
    let add = |email: &str| bench.post(&members, &json!({ "email": email })).bearer(&studio).send();
    add("nobody@example.org").await.expect(404);
    let member =
        add("ana@example.org").await.expect(201).json()["member"]["account"].as_str().unwrap().to_owned();
    add("ana@example.org").await.expect(200);
    bench.get(&title).bearer(&ana).send().await.expect(200);
    let opened = opening(&bench.open(&ana, id, &device).await.expect(201));
    let listed = bench.get("/v1/titles").send().await.expect(200).json();
    assert!(!listed.to_string().contains(&bench.title.to_string()), "it is not listed");
    let remove = format!("{members}/{member}");
    bench.call("DELETE", &remove).bearer(&studio).send().await.expect(204);
    let ended = bench.license(opened.view, &opened.view_token, &device, 3).await.expect(403);
    assert_eq!(ended.code(), "group_required", "the view ended with the membership");
    assert_eq!(bench.open(&ana, id, &device).await.expect(403).code(), "group_required");
}

/// What was set and who is in a group can be read again, page by page, for setting replaces everything.
pub async fn rights_and_groups_are_read_again(bench: &Bench) {
    let studio = bench.studio_login().await;
    let get = async |path: &str| bench.get(path).bearer(&studio).send().await.expect(200).json();
    let mut groups = Vec::new();
    for name in ["Stations", "Schools", "Press"] {
        bench.clock.advance_ms(1);
        let made = bench.post("/v1/groups", &json!({ "name": name })).bearer(&studio).send().await;
        groups.push(made.expect(201).json()["group"]["id"].as_str().unwrap().to_owned());
    }
    let first = get("/v1/groups?limit=2").await;
    assert_eq!(
        (&first["groups"][0]["name"], &first["groups"][1]["name"]),
        (&json!("Press"), &json!("Schools"))
    );
    let rest = get(&format!("/v1/groups?limit=2&cursor={}", first["next"].as_str().unwrap())).await;
    let stations = json!([{ "id": groups[0], "name": "Stations", "created_at_ms": NOW_MS + 1 }]);
    assert_eq!((&rest["groups"], &rest["next"]), (&stations, &Value::Null));

    let members = format!("/v1/groups/{}/members", groups[0]);
    assert_eq!(get(&members).await["members"], json!([]));
    for email in ["ana@example.org", "bob@example.org"] {
        bench.login(email, &[Role::Viewer]).await;
        bench.clock.advance_ms(1);
        bench.post(&members, &json!({ "email": email })).bearer(&studio).send().await.expect(201);
    }
    let first = get(&format!("{members}?limit=1")).await;
    assert_eq!(first["members"][0]["email"], "bob@example.org", "the one added last in front");
    let rest = get(&format!("{members}?limit=1&cursor={}", first["next"].as_str().unwrap())).await;
    assert_eq!(
        (&rest["members"][0]["email"], &rest["members"][0]["added_at_ms"], &rest["next"]),
        (&json!("ana@example.org"), &json!(NOW_MS + 4), &Value::Null)
    );

    let rights = format!("/v1/titles/{}/rights", bench.title);
    assert_eq!(get(&rights).await, json!({}));
    let whole = json!({ "available_from_ms": NOW_MS, "available_until_ms": NOW_MS + DAY_MS, "group": groups[1],
        "preview_ms": 60_000, "countries": { "rule": "only", "countries": ["AT", "DE"], "unknown": "deny" },
        "ad_clip_url": "/clips/soap.mp4" });
    for body in [whole, json!({ "countries": { "rule": "except", "countries": ["FR"] } })] {
        bench.call("PUT", &rights).json(&body).bearer(&studio).send().await.expect(204);
        assert_eq!(get(&rights).await, body, "as it was set");
    }
}

pub async fn what_is_given_back_is_over(bench: &Bench) {
    let (ana, id) = bench.viewer_with_rental("ana@example.org").await;
    let device = Device::new(1);
    let opened = opening(&bench.open(&ana, id, &device).await.expect(201));
    let before = status(bench, &ana, id).await;
    assert_eq!((&before["status"], &before["code"]), (&json!("active"), &Value::Null));
    assert_eq!(before["potential_rights"]["end_ms"], NOW_MS + 2 * DAY_MS);
    let links: Vec<&Value> = before["links"].as_array().unwrap().iter().map(|link| &link["rel"]).collect();
    assert_eq!(links, ["self", "return"]);
    let path = format!("/v1/entitlements/{id}/return");
    let bob = bench.login("bob@example.org", &[Role::Viewer]).await;
    bench.post(&path, &json!({})).bearer(&bob).send().await.expect(404);
    bench.get(format!("/v1/entitlements/{id}/status")).bearer(&bob).send().await.expect(404);
    bench.clock.advance_ms(5);
    let after = bench.post(&path, &json!({})).bearer(&ana).send().await.expect(200).json();
    assert_eq!((&after["status"], &after["code"]), (&json!("returned"), &json!("entitlement_returned")));
    assert_eq!(
        after["events"],
        json!([{ "type": "return", "note": "given back by its viewer", "at_ms": NOW_MS + 5 }])
    );
    assert_eq!(after["updated_at_ms"], NOW_MS + 5);
    bench.post(&path, &json!({})).bearer(&ana).send().await.expect(200);
    let ended = bench.license(opened.view, &opened.view_token, &device, 3).await.expect(403);
    assert_eq!(ended.code(), "entitlement_returned");
    assert_eq!(bench.open(&ana, id, &device).await.expect(403).code(), "entitlement_returned");
    let operator = bench.login("op@example.org", &[Role::Operator]).await;
    let revoke = format!("/v1/entitlements/{id}/revocation");
    bench.post(&revoke, &json!({ "reason": "late" })).bearer(&operator).send().await.expect(200);
    let still = bench.get(format!("/v1/entitlements/{id}/status")).bearer(&operator).send().await.expect(200);
    assert_eq!(still.json()["status"], "returned", "what is over stays as it ended");
    // Nor is what time has ended given back.
    let (eve, late) = bench.viewer_with_rental("eve@example.org").await;
    let path = format!("/v1/entitlements/{late}/return");
    bench.clock.advance_ms(30 * DAY_MS);
    let over = bench.post(&path, &json!({})).bearer(&eve).send().await.expect(409);
    assert_eq!(over.code(), "entitlement_over");
    assert_eq!(status(bench, &eve, late).await["status"], "expired");
}
