//! Views and licenses.

use matinee_protocol::api::LicenseAnswer;
use matinee_protocol::id::{EntitlementId, EpochIndex};
use matinee_protocol::jws::KeyUse;
use matinee_protocol::license::{License, open_keys};
use matinee_protocol::seal::{ReleaseSecret, derive_epoch_key};
use matinee_protocol::token::{self, Role as TokenRole};
use matinee_server::clock::Clock as _;
use matinee_server::config::Config;
use matinee_server::keyring;
use matinee_server::store::account::Role;
use matinee_server::store::{entitlement, key_release};
use serde_json::json;

use crate::bench::{Answer, Bench, DAY_MS, Device, NOW_MS, RELEASE_SECRET, opening};

fn epochs(device: &Device, license: &License) -> Vec<u32> {
    let keys = open_keys(&device.agreement, license).expect("the device opens its license");
    let secret = ReleaseSecret::from_bytes(RELEASE_SECRET);
    for (file, epoch, key) in &keys {
        assert_eq!(*key, derive_epoch_key(&secret, &license.release, *file, *epoch));
    }
    keys.into_iter().map(|(_, EpochIndex(epoch), _)| epoch).collect()
}

fn license_of(answer: &Answer) -> License {
    serde_json::from_value::<LicenseAnswer>(answer.json()).unwrap().license
}

async fn views_left(bench: &Bench, id: EntitlementId) -> Option<u32> {
    entitlement::by_id(&mut bench.app.store.read().await.unwrap(), id).await.unwrap().unwrap().views_left
}

pub async fn a_view_opens_plays_renews_and_ends(bench: &Bench) {
    let (login, bought) = bench.viewer_with_rental("ana@example.org").await;
    let device = Device::new(1);
    let answer = bench.open(&login, bought, &device).await.expect(201);
    let opened = opening(&answer);
    assert_eq!((opened.release, opened.role), (bench.release, TokenRole::Viewer));
    assert_eq!(opened.swarm, bench.app.swarm_id(bench.release));
    assert_eq!(opened.expires_at_ms, NOW_MS as u64 + 300_000);
    assert_eq!(opened.issuer, "https://cinema.example");
    let license = opened.license.unwrap();
    assert_eq!(license.play_until_ms, (NOW_MS + 2 * DAY_MS) as u64, "the first start fixes the window");
    assert_eq!(epochs(&device, &license), [0, 1, 2]);
    assert!(open_keys(&Device::new(2).agreement, &license).is_err(), "sealed to one device");
    assert_eq!(views_left(bench, bought).await, Some(4));

    // The token says what the protocol says, to both verifiers.
    let claims = bench.app.keyring.verify_view_token(&opened.view_token, bench.clock.now_s()).unwrap();
    let jwks = serde_json::to_vec(&bench.get("/v1/jwks").send().await.expect(200).json()).unwrap();
    let keys = matinee_protocol::jws::KeySet::from_jwks(&jwks).unwrap();
    let offline =
        token::verify(&opened.view_token, &keys, "https://cinema.example", bench.clock.now_s()).unwrap();
    assert_eq!(claims, offline);
    assert_eq!((claims.sub, claims.cnf.jkt), (opened.view, device.key.public().thumbprint()));
    assert!(opened.view_token.len() <= 512);
    assert!(!answer.json().to_string().contains("ana@example.org"));

    let next = bench.license(opened.view, &opened.view_token, &device, 3).await.expect(200);
    assert_eq!(epochs(&device, &license_of(&next)), [3, 4, 5]);
    let last = bench.license(opened.view, &opened.view_token, &device, 9).await.expect(200);
    assert_eq!(epochs(&device, &license_of(&last)), [9]);
    let beyond = bench.license(opened.view, &opened.view_token, &device, 10).await.expect(422);
    assert_eq!(beyond.code(), "epoch_out_of_range");
    let mut tx = bench.app.store.read().await.unwrap();
    assert_eq!(
        key_release::epochs_since(&mut tx, opened.view, 0).await.unwrap(),
        7,
        "every key is on the record"
    );
    drop(tx);

    // The token runs out; a renewal takes it all the same.
    bench.clock.advance_ms(310_000);
    let late = bench.license(opened.view, &opened.view_token, &device, 3).await.expect(401);
    assert_eq!(late.code(), "view_token_expired");
    let path = format!("/v1/views/{}/renewals", opened.view);
    let renewed =
        bench.post(&path, &json!({})).proof(&device, Some(&opened.view_token)).send().await.expect(200);
    let renewed_token = renewed.json()["view_token"].as_str().unwrap().to_owned();
    assert_eq!(renewed.json()["expires_at_ms"], NOW_MS + 610_000);
    bench.license(opened.view, &renewed_token, &device, 3).await.expect(200);

    let view = format!("/v1/views/{}", opened.view);
    bench.call("DELETE", &view).proof(&device, Some(&renewed_token)).send().await.expect(204);
    let after = bench.license(opened.view, &renewed_token, &device, 3).await.expect(403);
    assert_eq!(after.code(), "view_ended");
    let after = bench.post(&path, &json!({})).proof(&device, Some(&renewed_token)).send().await.expect(403);
    assert_eq!(after.code(), "view_ended");
    bench.call("DELETE", &view).proof(&device, Some(&renewed_token)).send().await.expect(204);
}

pub async fn a_device_goes_on_with_its_view(bench: &Bench) {
    let (login, bought) = bench.viewer_with_rental("ana@example.org").await;
    let (phone, desk) = (Device::new(1), Device::new(2));
    let first = opening(&bench.open(&login, bought, &phone).await.expect(201));
    bench.clock.advance_ms(60_000);
    let again = opening(&bench.open(&login, bought, &phone).await.expect(200));
    assert_eq!(again.view, first.view);
    assert_eq!(epochs(&phone, &again.license.unwrap()), [0, 1, 2]);
    assert_eq!(views_left(bench, bought).await, Some(4), "going on counts nothing");
    let other = opening(&bench.open(&login, bought, &desk).await.expect(201));
    assert_ne!(other.view, first.view);
    assert_eq!(views_left(bench, bought).await, Some(3));
    let foreign = bench.license(first.view, &other.view_token, &desk, 0).await.expect(404);
    assert_eq!(foreign.code(), "not_found", "a token opens its own view only");

    // A view that asks for nothing is over, and the next start is another.
    bench.clock.advance_ms(901_000);
    let idle = bench.post(format!("/v1/views/{}/renewals", first.view), &json!({}));
    let idle = idle.proof(&phone, Some(&again.view_token)).send().await.expect(403);
    assert_eq!(idle.code(), "view_expired");
    let fresh = opening(&bench.open(&login, bought, &phone).await.expect(201));
    assert_ne!(fresh.view, first.view);
    assert_eq!(views_left(bench, bought).await, Some(2));
}

pub async fn forty_starts_of_five_views_open_five(bench: &Bench) {
    let (login, bought) = bench.viewer_with_rental("ana@example.org").await;
    let devices: Vec<Device> = (0..40).map(Device::new).collect();
    let answers =
        futures_util::future::join_all(devices.iter().map(|device| bench.open(&login, bought, device))).await;
    let opened = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(opened, 5);
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        assert_eq!(answer.code(), "no_views_left");
        assert_eq!(answer.status, 403);
    }
    assert_eq!(views_left(bench, bought).await, Some(0));
}

pub async fn windows_close(bench: &Bench) {
    let (login, bought) = bench.viewer_with_rental("ana@example.org").await;
    let device = Device::new(1);
    let opened = opening(&bench.open(&login, bought, &device).await.expect(201));
    bench.clock.advance_ms(2 * DAY_MS - 100_000);
    // A token never outlives the window.
    let again = opening(&bench.open(&login, bought, &device).await.expect(201));
    assert_eq!(again.expires_at_ms, opened.license.unwrap().play_until_ms);
    bench.clock.advance_ms(100_000 - 1000);
    bench.license(again.view, &again.view_token, &device, 0).await.expect(200);
    // To the last millisecond, of a view that is open and of the next; and not one longer.
    bench.clock.advance_ms(999);
    let renewal = || bench.post(format!("/v1/views/{}/renewals", again.view), &json!({}));
    renewal().proof(&device, Some(&again.view_token)).send().await.expect(200);
    bench.open(&login, bought, &device).await.expect(200);
    bench.open(&login, bought, &Device::new(2)).await.expect(201);
    bench.clock.advance_ms(1);
    let over = renewal().proof(&device, Some(&again.view_token)).send().await.expect(403);
    assert_eq!(over.code(), "play_window_over");
    let over = bench.license(again.view, &again.view_token, &device, 0).await.expect(403);
    assert_eq!(over.code(), "play_window_over");
    for device in [device, Device::new(3)] {
        assert_eq!(bench.open(&login, bought, &device).await.expect(403).code(), "play_window_over");
    }
    let listed = bench.get("/v1/entitlements").bearer(&login).send().await.expect(200).json();
    assert_eq!(listed["entitlements"][0]["status"], "expired");
}

pub async fn what_is_not_started_in_time_is_over(bench: &Bench) {
    let (ana, early) = bench.viewer_with_rental("ana@example.org").await;
    let (bob, late) = bench.viewer_with_rental("bob@example.org").await;
    bench.clock.advance_ms(30 * DAY_MS - 1);
    let opened = opening(&bench.open(&ana, early, &Device::new(1)).await.expect(201));
    let until_ms = (NOW_MS + 32 * DAY_MS - 1) as u64;
    assert_eq!(opened.license.unwrap().play_until_ms, until_ms, "it plays for its time from then on");
    bench.clock.advance_ms(1);
    assert_eq!(bench.open(&bob, late, &Device::new(2)).await.expect(403).code(), "start_window_over");
    bench.open(&ana, early, &Device::new(3)).await.expect(201);
    let listed = bench.get("/v1/entitlements").bearer(&bob).send().await.expect(200).json();
    assert_eq!(listed["entitlements"][0]["status"], "expired");
}

/// Reopening what was idle and taking the right back each want the rows that the other holds: one waits for the other.
pub async fn reopening_and_revocation_wait_for_each_other(bench: &Bench) {
    let operator = bench.login("op@example.org", &[Role::Operator]).await;
    let mut held = Vec::new();
    for viewer in 0..24_u8 {
        let (login, bought) = bench.viewer_with_rental(&format!("viewer{viewer}@example.org")).await;
        bench.open(&login, bought, &Device::new(viewer)).await.expect(201);
        held.push((viewer, login, bought));
    }
    bench.clock.advance_ms(900_001);
    let races = held.iter().map(|(viewer, login, bought)| {
        let (path, reason) = (format!("/v1/entitlements/{bought}/revocation"), json!({ "reason": "late" }));
        let revoked = bench.post(path, &reason).bearer(&operator).send();
        let device = Device::new(*viewer);
        async move {
            let (opened, revoked) = tokio::join!(bench.open(login, *bought, &device), revoked);
            revoked.expect(200);
            if opened.status != 201 {
                assert_eq!(opened.expect(403).code(), "entitlement_revoked");
            }
            let after = bench.open(login, *bought, &device).await.expect(403);
            assert_eq!(after.code(), "entitlement_revoked");
        }
    });
    futures_util::future::join_all(races).await;
}

pub async fn revocation_ends_views_at_once(bench: &Bench) {
    let (login, bought) = bench.viewer_with_rental("ana@example.org").await;
    let operator = bench.login("op@example.org", &[Role::Operator]).await;
    let device = Device::new(1);
    let opened = opening(&bench.open(&login, bought, &device).await.expect(201));
    let path = format!("/v1/entitlements/{bought}/revocation");
    let reason = json!({ "reason": "charged back" });
    let forbidden = bench.post(&path, &reason).bearer(&login).send().await.expect(403);
    assert_eq!(forbidden.code(), "role_required");
    let revoked = bench.post(&path, &reason).bearer(&operator).send().await.expect(200).json();
    assert_eq!((&revoked["entitlement"]["status"], &revoked["views_ended"]), (&json!("revoked"), &json!(1)));
    let again = bench.post(&path, &reason).bearer(&operator).send().await.expect(200).json();
    assert_eq!(again["views_ended"], 0);
    let refused = bench.license(opened.view, &opened.view_token, &device, 0).await.expect(403);
    assert_eq!(refused.code(), "entitlement_revoked");
    assert_eq!(bench.open(&login, bought, &device).await.expect(403).code(), "entitlement_revoked");
    let none = bench.post("/v1/entitlements/0190d9e4-0000-7000-8000-000000000000/revocation", &reason);
    none.bearer(&operator).send().await.expect(404);
}

/// Seven epochs a minute.
pub fn slow() -> Config {
    let mut config = Config::default();
    config.license.epochs_per_minute_max = 7;
    config
}

pub async fn keys_are_released_no_faster_than_allowed(bench: &Bench) {
    let (login, bought) = bench.viewer_with_rental("ana@example.org").await;
    let device = Device::new(1);
    let opened = opening(&bench.open(&login, bought, &device).await.expect(201));
    bench.license(opened.view, &opened.view_token, &device, 3).await.expect(200);
    let fast = bench.license(opened.view, &opened.view_token, &device, 5).await.expect(429);
    assert_eq!((fast.code().as_str(), fast.header("retry-after")), ("keys_too_fast", "10"));
    bench.license(opened.view, &opened.view_token, &device, 9).await.expect(200);
    bench.clock.advance_ms(60_001);
    bench.license(opened.view, &opened.view_token, &device, 5).await.expect(200);
}

pub async fn proofs_are_for_one_request_of_one_device_once(bench: &Bench) {
    let (login, bought) = bench.viewer_with_rental("ana@example.org").await;
    let (phone, thief) = (Device::new(1), Device::new(2));
    let opened = opening(&bench.open(&login, bought, &phone).await.expect(201));
    let path = format!("/v1/views/{}/licenses", opened.view);
    let body = json!({ "file": 0, "epoch": 0 });
    let token = opened.view_token.as_str();
    let call = || bench.post(&path, &body);

    let unproven = call().header("authorization", format!("DPoP {token}")).send().await.expect(401);
    assert_eq!(unproven.code(), "proof_required");
    assert_eq!(unproven.header("www-authenticate"), "DPoP algs=\"EdDSA\"");
    assert_eq!(call().bearer(token).send().await.expect(401).code(), "view_token_required");
    let stolen = call().proof(&thief, Some(token)).send().await.expect(401);
    assert_eq!(stolen.code(), "proof_key_mismatch");
    let changed = call().proof(&phone, Some(token)).json(&json!({ "file": 0, "epoch": 4 })).send().await;
    assert_eq!(changed.expect(401).code(), "proof_invalid", "the proof covers the body");
    let no_ath = call().proof(&phone, None).header("authorization", format!("DPoP {token}")).send().await;
    assert_eq!(no_ath.expect(401).code(), "proof_invalid");
    bench.clock.advance_ms(-61_000);
    let early = call().proof(&phone, Some(token));
    bench.clock.advance_ms(61_000);
    assert_eq!(early.send().await.expect(401).code(), "proof_invalid", "too old");
    let renamed = opened.view_token.replacen("ey", "eY", 1);
    assert_eq!(call().proof(&phone, Some(&renamed)).send().await.expect(401).code(), "view_token_invalid");

    let proven = call().proof(&phone, Some(token));
    let again = proven.clone();
    proven.send().await.expect(200);
    assert_eq!(again.send().await.expect(401).code(), "proof_replayed");
}

pub async fn opening_is_idempotent_a_device(bench: &Bench) {
    let (login, bought) = bench.viewer_with_rental("ana@example.org").await;
    let (phone, desk) = (Device::new(1), Device::new(2));
    let call = |device: &Device| {
        bench.post("/v1/views", &device.open(bought)).bearer(&login).key("k").proof(device, None)
    };
    let first = call(&phone).send().await.expect(201);
    let again = call(&phone).send().await.expect(201);
    assert_eq!((again.header("idempotency-replayed"), &again.bytes), ("true", &first.bytes));
    assert_eq!(call(&desk).send().await.expect(422).code(), "idempotency_key_reused");
    let nothing = phone.open(EntitlementId::from_bytes([9; 16]));
    let reused = bench.post("/v1/views", &nothing).bearer(&login).key("k").proof(&phone, None).send().await;
    assert_eq!(reused.expect(422).code(), "idempotency_key_reused", "whatever the other body asks for");
    let other = bench.login("bob@example.org", &[Role::Viewer]).await;
    assert_eq!(bench.open(&other, bought, &desk).await.expect(404).code(), "not_found", "not Bob's");
    let zero = json!({ "entitlement": bought, "agreement_key": matinee_protocol::encoding::b64u(&[0; 32]) });
    let zero = bench.post("/v1/views", &zero).bearer(&login).key("z").proof(&desk, None).send().await;
    assert_eq!(zero.expect(422).code(), "agreement_key_invalid", "a key that any secret agrees with");
    assert_eq!(views_left(bench, bought).await, Some(4), "what was refused counts nothing");
}

pub async fn tokens_outlive_a_rotation_of_keys(bench: &Bench) {
    let (login, bought) = bench.viewer_with_rental("ana@example.org").await;
    let device = Device::new(1);
    let opened = opening(&bench.open(&login, bought, &device).await.expect(201));
    let published = |answer: &Answer| -> Vec<String> {
        let keys = answer.json()["keys"].as_array().unwrap().clone();
        keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    };
    let before = published(&bench.get("/v1/jwks").send().await.expect(200));
    let app = &bench.app;
    let kid = keyring::rotate(&app.store, &app.vault, &*app.clock, KeyUse::View).await.unwrap();
    assert!(before.contains(&kid), "the next key was published before it signs");
    app.keyring.reload(&app.store, &app.vault, &*app.clock).await.unwrap();
    bench.license(opened.view, &opened.view_token, &device, 0).await.expect(200);
    let fresh = opening(&bench.open(&login, bought, &device).await.expect(200));
    let header = fresh.view_token.split('.').next().unwrap();
    let header = matinee_protocol::encoding::from_b64u(header).unwrap();
    let header: serde_json::Value = serde_json::from_slice(&header).unwrap();
    assert_eq!(header, json!({ "alg": "EdDSA", "typ": "matinee-view+jwt", "kid": kid }));
    bench.clock.advance_ms(2 * DAY_MS);
    app.keyring.reload(&app.store, &app.vault, &*app.clock).await.unwrap();
    let gone = app.keyring.verify_view_token_at_any_age(&opened.view_token);
    assert!(matches!(gone, Err(keyring::Error::Token)), "a retired key is forgotten after a day");
    assert!(app.keyring.verify_view_token_at_any_age(&fresh.view_token).is_ok());
}

pub async fn carriers_get_a_token_and_no_keys(bench: &Bench) {
    let device = Device::new(1);
    let path = format!("/v1/releases/{}/carries", bench.release);
    let viewer = bench.login("ana@example.org", &[Role::Viewer]).await;
    let refused = bench.post(&path, &json!({})).bearer(&viewer).proof(&device, None).send().await.expect(403);
    assert_eq!(refused.code(), "role_required");
    let carrier = bench.login("car@example.org", &[Role::Carrier]).await;
    let answer = bench.post(&path, &json!({})).bearer(&carrier).proof(&device, None).send().await.expect(201);
    let opened = opening(&answer);
    assert_eq!((opened.role, opened.license), (TokenRole::Carrier, None));
    let again = bench.post(&path, &json!({})).bearer(&carrier).proof(&device, None).send().await.expect(200);
    assert_eq!(opening(&again).view, opened.view);
    for (method, path) in [
        ("POST", format!("/v1/views/{}/licenses", opened.view)),
        ("POST", format!("/v1/views/{}/renewals", opened.view)),
        ("DELETE", format!("/v1/views/{}", opened.view)),
    ] {
        let call = bench.call(method, &path).json(&json!({ "file": 0, "epoch": 0 }));
        let answer = call.proof(&device, Some(&opened.view_token)).send().await.expect(403);
        assert_eq!(answer.code(), "viewer_required", "{path}");
    }
}
