//! How many devices play at once, and races for what is limited.

use futures_util::future::join_all;
use matinee_server::config::Config;
use matinee_server::job;
use matinee_server::store::account::Role;
use serde_json::json;

use crate::bench::{Bench, DAY_MS, Device, opening};
use crate::terms::{buy, entitlement_of, plan, price};

/// No limit on devices, two guests an hour.
pub fn open() -> Config {
    let mut config = Config::default();
    config.account.guests_per_hour_max = 2;
    config
}

pub fn playing_at_once(devices: u32, at_limit: &str) -> Config {
    let mut config = open();
    config.license.concurrent_views_max = devices;
    config.license.concurrent_views_at_limit = at_limit.to_owned();
    config
}

pub async fn devices_wait_for_their_turn(bench: &Bench) {
    let (ana, id) = bench.viewer_with_rental("ana@example.org").await;
    let (bob, other) = bench.viewer_with_rental("bob@example.org").await;
    let first = opening(&bench.open(&ana, id, &Device::new(1)).await.expect(201));
    bench.open(&ana, id, &Device::new(2)).await.expect(201);
    assert_eq!(bench.open(&ana, id, &Device::new(3)).await.expect(403).code(), "too_many_views");
    bench.open(&ana, id, &Device::new(2)).await.expect(200);
    bench.open(&bob, other, &Device::new(3)).await.expect(201);
    let end = bench.call("DELETE", format!("/v1/views/{}", first.view));
    end.proof(&Device::new(1), Some(&first.view_token)).send().await.expect(204);
    bench.open(&ana, id, &Device::new(3)).await.expect(201);
    assert_eq!(bench.open(&ana, id, &Device::new(1)).await.expect(403).code(), "too_many_views");
    // What has asked for nothing for too long does not play, swept or not.
    bench.clock.advance_ms(900_000);
    assert_eq!(bench.open(&ana, id, &Device::new(1)).await.expect(403).code(), "too_many_views");
    bench.clock.advance_ms(1);
    bench.open(&ana, id, &Device::new(1)).await.expect(201);
    // A plan may say less than the operator.
    let path = format!("/v1/titles/{}/plans", bench.title);
    let one =
        plan(bench, &path, json!({ "kind": "purchase", "price": price(1), "concurrent_views": 1 })).await;
    let bought = entitlement_of(&buy(bench, &ana, json!({ "plan": one })).await.expect(201));
    assert_eq!(bench.open(&ana, bought, &Device::new(9)).await.expect(403).code(), "too_many_views");
}

pub async fn the_oldest_stops(bench: &Bench) {
    let (ana, id) = bench.viewer_with_rental("ana@example.org").await;
    let phone = Device::new(1);
    let first = opening(&bench.open(&ana, id, &phone).await.expect(201));
    bench.clock.advance_ms(1000);
    bench.open(&ana, id, &Device::new(2)).await.expect(201);
    let stopped = bench.license(first.view, &first.view_token, &phone, 3).await.expect(403);
    assert_eq!(stopped.code(), "view_stopped");
    job::tell_revocations(&bench.app).await.unwrap();
    let back = opening(&bench.open(&ana, id, &phone).await.expect(201));
    assert_ne!(back.view, first.view, "it takes its turn again with another view");
}

pub async fn races_stop_the_oldest_and_never_play_too_many(bench: &Bench) {
    let path = format!("/v1/titles/{}/plans", bench.title);
    let own = plan(bench, &path, json!({ "kind": "purchase", "price": price(1) })).await;
    let ana = bench.viewer("ana@example.org").await;
    let id = entitlement_of(&buy(bench, &ana, json!({ "plan": own })).await.expect(201));
    let ana = ana.as_str();
    let opens = (0..64).map(|device| async move {
        let opened = opening(&bench.open(ana, id, &Device::new(device)).await.expect(201));
        let played = bench.license(opened.view, &opened.view_token, &Device::new(device), 3).await;
        (device, opened, played)
    });
    let opened = join_all(opens).await;
    let mut playing = 0;
    for (device, opened, _) in &opened {
        let now = bench.license(opened.view, &opened.view_token, &Device::new(*device), 6).await;
        match now.status.as_u16() {
            200 => playing += 1,
            status => assert_eq!((status, now.code().as_str()), (403, "view_stopped")),
        }
    }
    assert_eq!(playing, 3, "as many as may, and not one more");
    for (_, _, played) in opened {
        assert!(played.status == 200 || played.code() == "view_stopped");
    }
}

pub async fn the_newest_stops(bench: &Bench) {
    let (ana, id) = bench.viewer_with_rental("ana@example.org").await;
    let mut opened = Vec::new();
    for device in 1..=3 {
        opened.push(opening(&bench.open(&ana, id, &Device::new(device)).await.expect(201)));
        bench.clock.advance_ms(1000);
    }
    let mut codes = Vec::new();
    for (device, opened) in (1..).zip(&opened) {
        let answer = bench.license(opened.view, &opened.view_token, &Device::new(device), 3).await;
        codes.push(if answer.status == 200 { "plays".to_owned() } else { answer.code() });
    }
    assert_eq!(codes, ["plays", "view_stopped", "plays"]);
}

pub async fn races_open_no_view_too_many(bench: &Bench) {
    let path = format!("/v1/titles/{}/plans", bench.title);
    let own = plan(bench, &path, json!({ "kind": "purchase", "price": price(1) })).await;
    let ana = bench.viewer("ana@example.org").await;
    let id = entitlement_of(&buy(bench, &ana, json!({ "plan": own })).await.expect(201));
    let ana = ana.as_str();
    let opens = (0..64).map(|device| async move { bench.open(ana, id, &Device::new(device)).await });
    let answers = join_all(opens).await;
    let (opened, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 201);
    assert_eq!(opened.len(), 3);
    for answer in refused {
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (403, "too_many_views"));
    }
}

pub async fn races_use_no_coupon_too_often(bench: &Bench) {
    let operator = bench.login("op@example.org", &[Role::Operator]).await;
    let body = json!({ "code": "RUSH", "percent_off": 100, "uses_max": 5 });
    bench.post("/v1/coupons", &body).bearer(&operator).send().await.expect(201);
    let gift = format!("/v1/plans/{}/gift-codes", bench.plan);
    let made = bench.post(&gift, &json!({ "count": 1 })).bearer(&operator).send().await.expect(201).json();
    let code = made["codes"][0].as_str().unwrap();
    let mut logins = Vec::new();
    for viewer in 0..64 {
        logins.push(bench.login(&format!("viewer{viewer}@example.org"), &[Role::Viewer]).await);
    }
    let bought =
        logins.iter().map(|login| buy(bench, login, json!({ "plan": bench.plan, "coupon": "rush" })));
    let bought = join_all(bought).await;
    assert_eq!(bought.iter().filter(|answer| answer.status == 201).count(), 5);
    assert!(bought.iter().all(|answer| answer.status == 201 || answer.code() == "coupon_refused"));
    let redeemed = logins.iter().map(|login| {
        let body = json!({ "code": code });
        async move { bench.post("/v1/gift-codes/redemptions", &body).bearer(login).key("k").send().await }
    });
    let redeemed = join_all(redeemed).await;
    assert_eq!(redeemed.iter().filter(|answer| answer.status == 201).count(), 1);
    assert!(redeemed.iter().all(|answer| answer.status == 201 || answer.code() == "gift_code_refused"));
}

pub fn two_devices() -> Config {
    let mut config = open();
    config.license.devices_max = 2;
    config.license.device_swaps_max = 1;
    config
}

pub async fn devices_are_named_removed_and_counted(bench: &Bench) {
    let (ana, id) = bench.viewer_with_rental("ana@example.org").await;
    let (phone, desk, tablet) = (Device::new(1), Device::new(2), Device::new(3));
    let opened = opening(&bench.open(&ana, id, &phone).await.expect(201));
    bench.clock.advance_ms(5);
    bench.open(&ana, id, &desk).await.expect(201);
    assert_eq!(bench.open(&ana, id, &tablet).await.expect(403).code(), "too_many_devices");
    let path = |device: &Device| format!("/v1/devices/{}", device.key.public().thumbprint());
    let name = json!({ "name": " Telephone " });
    bench.call("PUT", path(&phone)).json(&name).bearer(&ana).send().await.expect(204);
    bench.call("PUT", path(&tablet)).json(&name).bearer(&ana).send().await.expect(404);
    let empty = json!({ "name": " " });
    bench.call("PUT", path(&phone)).json(&empty).bearer(&ana).send().await.expect(422);
    let listed = bench.get("/v1/devices").bearer(&ana).send().await.expect(200).json();
    let names: Vec<_> = listed["devices"].as_array().unwrap().iter().map(|device| &device["name"]).collect();
    assert_eq!(names, [&serde_json::Value::Null, &json!("Telephone")], "the one used last in front");
    let bob = bench.login("bob@example.org", &[Role::Viewer]).await;
    bench.call("DELETE", path(&phone)).bearer(&bob).send().await.expect(404);
    bench.call("DELETE", path(&phone)).bearer(&ana).send().await.expect(204);
    let over = bench.license(opened.view, &opened.view_token, &phone, 3).await.expect(403);
    assert_eq!(over.code(), "view_ended", "its view ended with it");
    bench.open(&ana, id, &tablet).await.expect(201);
    assert_eq!(bench.open(&ana, id, &phone).await.expect(403).code(), "too_many_devices");
    let second = bench.call("DELETE", path(&desk)).bearer(&ana).send().await.expect(403);
    assert_eq!(second.code(), "device_swaps_used");
    bench.clock.advance_ms(30 * DAY_MS - 1);
    bench.call("DELETE", path(&desk)).bearer(&ana).send().await.expect(403);
    bench.clock.advance_ms(1);
    bench.call("DELETE", path(&desk)).bearer(&ana).send().await.expect(204);
    bench.call("DELETE", path(&desk)).bearer(&ana).send().await.expect(404);
}

pub async fn races_add_no_device_too_many(bench: &Bench) {
    let path = format!("/v1/titles/{}/plans", bench.title);
    let own = plan(bench, &path, json!({ "kind": "purchase", "price": price(1) })).await;
    let ana = bench.viewer("ana@example.org").await;
    let id = entitlement_of(&buy(bench, &ana, json!({ "plan": own })).await.expect(201));
    let ana = ana.as_str();
    let opens = (0..64).map(|device| async move { bench.open(ana, id, &Device::new(device)).await });
    let answers = join_all(opens).await;
    let (opened, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 201);
    assert_eq!(opened.len(), 2);
    for answer in refused {
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (403, "too_many_devices"));
    }
}
