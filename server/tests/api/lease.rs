//! Leases for playing offline.

use futures_util::future::join_all;
use matinee_protocol::api::LeaseAnswer;
use matinee_protocol::encoding::b64u;
use matinee_protocol::id::{EntitlementId, TitleId};
use matinee_protocol::license::open_keys;
use matinee_server::clock::Clock as _;
use matinee_server::job::renewal;
use matinee_server::store::account::Role;
use serde_json::{Value, json};

use crate::bench::{Answer, Bench, DAY_MS, Device, NOW_MS};
use crate::subscription::{MONTH_MS, NEXT_MONTH_MS, put, subscribed, two_a_month};
use crate::terms::{buy, entitlement_of, plan, price, status};

async fn take(bench: &Bench, login: &str, right: EntitlementId, device: &Device) -> Answer {
    take_of(bench, login, (right, bench.title), device).await
}

async fn take_of(
    bench: &Bench,
    login: &str,
    (right, title): (EntitlementId, TitleId),
    device: &Device,
) -> Answer {
    let key = hex::encode(matinee_server::random::bytes::<8>());
    let body = json!({ "agreement_key": b64u(&device.agreement.public()), "title": title });
    let call = bench.post(format!("/v1/entitlements/{right}/leases"), &body).bearer(login).key(&key);
    call.proof(device, None).send().await
}

async fn renew(bench: &Bench, login: &str, lease: &str, device: &Device) -> Answer {
    let body = json!({ "agreement_key": b64u(&device.agreement.public()) });
    bench.post(format!("/v1/leases/{lease}/renewals"), &body).bearer(login).proof(device, None).send().await
}

async fn give_back(bench: &Bench, login: &str, lease: &str, device: &Device) -> Answer {
    bench.call("DELETE", format!("/v1/leases/{lease}")).bearer(login).proof(device, None).send().await
}

fn answer(of: &Answer) -> LeaseAnswer {
    serde_json::from_value(of.json()).unwrap()
}

async fn owned(bench: &Bench, login: &str, body: Value) -> EntitlementId {
    let path = format!("/v1/titles/{}/plans", bench.title);
    let own = plan(bench, &path, body).await;
    entitlement_of(&buy(bench, login, json!({ "plan": own })).await.expect(201))
}

pub async fn a_lease_holds_every_key_for_its_time(bench: &Bench) {
    let ana = bench.viewer("ana@example.org").await;
    let online = owned(bench, &ana, json!({ "kind": "purchase", "price": price(1) })).await;
    let offline = json!({ "kind": "purchase", "price": price(1), "offline_ms": 7 * DAY_MS });
    let id = owned(bench, &ana, offline).await;
    let (phone, desk, tablet) = (Device::new(1), Device::new(2), Device::new(3));
    assert_eq!(take(bench, &ana, online, &phone).await.expect(403).code(), "offline_not_allowed");
    let first = answer(&take(bench, &ana, id, &phone).await.expect(201));
    assert_eq!(first.lease.expires_at_ms as i64, NOW_MS + 7 * DAY_MS);
    assert_eq!(first.license.play_until_ms, first.lease.expires_at_ms);
    assert_eq!(first.license.issued_at_ms as i64, NOW_MS);
    let keys = open_keys(&phone.agreement, &first.license).unwrap();
    assert_eq!(keys.len(), 10, "every key of the film");
    assert!(open_keys(&desk.agreement, &first.license).is_err(), "on this device only");
    // The device goes on with the lease that it has; another takes the second; a third finds none left.
    bench.clock.advance_ms(1000);
    let again = answer(&take(bench, &ana, id, &phone).await.expect(200));
    assert_eq!(
        (again.lease.id, again.lease.expires_at_ms),
        (first.lease.id, first.lease.expires_at_ms + 1000)
    );
    let second = answer(&take(bench, &ana, id, &desk).await.expect(201));
    assert_eq!(take(bench, &ana, id, &tablet).await.expect(403).code(), "too_many_leases");
    // Only its own device renews it or gives it back, of its own account.
    let named = second.lease.id.to_string();
    let bob = bench.viewer("bob@example.org").await;
    for (login, device) in [(&ana, &phone), (&bob, &desk)] {
        renew(bench, login, &named, device).await.expect(404);
        give_back(bench, login, &named, device).await.expect(404);
    }
    give_back(bench, &ana, &named, &desk).await.expect(204);
    give_back(bench, &ana, &named, &desk).await.expect(204);
    assert_eq!(renew(bench, &ana, &named, &desk).await.expect(403).code(), "lease_over");
    bench.clock.advance_ms(1);
    take(bench, &ana, id, &tablet).await.expect(201);
    // Renewed to the last millisecond, and over with the next; then its slot is free.
    let named = first.lease.id.to_string();
    bench.clock.advance_ms(7 * DAY_MS - 2);
    let renewed = answer(&renew(bench, &ana, &named, &phone).await.expect(200));
    assert_eq!(renewed.lease.expires_at_ms as i64, bench.clock.now_ms() + 7 * DAY_MS);
    bench.clock.advance_ms(7 * DAY_MS);
    assert_eq!(renew(bench, &ana, &named, &phone).await.expect(403).code(), "lease_over");
    let listed = bench.get("/v1/leases").bearer(&ana).send().await.expect(200).json();
    let states: Vec<_> = listed["leases"].as_array().unwrap().iter().map(|one| &one["state"]).collect();
    assert_eq!(states, ["expired", "returned", "expired"]);
    take(bench, &ana, id, &phone).await.expect(201);
    take(bench, &ana, id, &desk).await.expect(201);
    let nothing = bench.get("/v1/leases").bearer(&bob).send().await.expect(200).json();
    assert_eq!(nothing["leases"], json!([]));
}

pub async fn a_lease_counts_as_a_view_and_ends_with_its_right(bench: &Bench) {
    let ana = bench.viewer("ana@example.org").await;
    let rental = json!({ "kind": "rental", "price": price(50), "start_within_ms": DAY_MS,
        "play_within_ms": 2 * DAY_MS, "views": 1, "offline_ms": 7 * DAY_MS });
    let id = owned(bench, &ana, rental).await;
    let phone = Device::new(1);
    let key = "once";
    let body = json!({ "agreement_key": b64u(&phone.agreement.public()) });
    let call = || {
        let call = bench.post(format!("/v1/entitlements/{id}/leases"), &body).bearer(&ana).key(key);
        call.proof(&phone, None).send()
    };
    let taken = answer(&call().await.expect(201));
    assert_eq!(answer(&call().await.expect(201)), taken, "sent again, it is answered again");
    assert_eq!(taken.lease.expires_at_ms as i64, NOW_MS + 2 * DAY_MS, "not beyond the rental's window");
    assert_eq!(bench.open(&ana, id, &Device::new(2)).await.expect(403).code(), "no_views_left");
    assert_eq!(take(bench, &ana, id, &Device::new(2)).await.expect(403).code(), "no_views_left");
    // Its device fetches the ciphertext by a carry, without being a carrier; another does not.
    let carry = |device: Device, login: String| async move {
        let call = bench.post(format!("/v1/releases/{}/carries", bench.release), &json!({}));
        call.bearer(&login).proof(&device, None).send().await
    };
    let carried = carry(Device::new(1), ana.clone()).await.expect(201).json();
    assert!(carried["license"].is_null(), "a carry brings no keys: {carried}");
    carry(Device::new(2), ana.clone()).await.expect(403);
    let named = taken.lease.id.to_string();
    bench.clock.advance_ms(DAY_MS);
    let renewed = answer(&renew(bench, &ana, &named, &phone).await.expect(200));
    assert_eq!(renewed.lease.expires_at_ms, taken.lease.expires_at_ms);
    // A proof is good once.
    let call = bench.post(format!("/v1/leases/{named}/renewals"), &body).bearer(&ana).proof(&phone, None);
    call.clone().send().await.expect(200);
    assert_eq!(call.send().await.expect(401).code(), "proof_replayed");
    // Taken back, it is renewed no more; what the device holds lasts as long as it was told.
    let operator = bench.login("op@example.org", &[Role::Operator]).await;
    let revoke = bench.post(format!("/v1/entitlements/{id}/revocation"), &json!({ "reason": "chargeback" }));
    revoke.bearer(&operator).send().await.expect(200);
    assert_eq!(renew(bench, &ana, &named, &phone).await.expect(403).code(), "entitlement_revoked");
    assert_eq!(take(bench, &ana, id, &phone).await.expect(403).code(), "entitlement_revoked");
    let call = bench.call("DELETE", format!("/v1/leases/{named}")).bearer(&ana).proof(&phone, None);
    call.clone().send().await.expect(204);
    assert_eq!(call.send().await.expect(401).code(), "proof_replayed");
    // Ads cannot be shown offline, nor may a lease be of no time.
    let studio = bench.studio_login().await;
    let path = format!("/v1/titles/{}/plans", bench.title);
    let breaks = json!([{ "at_ms": 0, "duration_ms": 5000 }]);
    for (body, code) in [
        (json!({ "kind": "ad_supported", "breaks": breaks, "offline_ms": DAY_MS }), "plan_field_unexpected"),
        (json!({ "kind": "purchase", "price": price(1), "offline_ms": 0 }), "window_out_of_range"),
    ] {
        assert_eq!(bench.post(&path, &body).bearer(&studio).send().await.expect(422).code(), code);
    }
}

pub async fn a_lease_counts_its_title_in_each_period(bench: &Bench) {
    let ana = bench.viewer("ana@example.org").await;
    let mut body = two_a_month();
    body["offline_ms"] = json!(40 * DAY_MS);
    let (id, collection, second) = subscribed(bench, &ana, body).await;
    let third = bench.another_film().await;
    put(bench, &collection, third, 1).await;
    let left = || async { status(bench, &ana, id).await["entitlement"]["titles_left"].as_i64().unwrap() };
    let (phone, desk) = (Device::new(1), Device::new(2));
    let taken = answer(&take(bench, &ana, id, &phone).await.expect(201));
    let named = taken.lease.id.to_string();
    renew(bench, &ana, &named, &phone).await.expect(200);
    assert_eq!(left().await, 1, "once a period");
    bench.clock.advance_ms(MONTH_MS);
    renewal::run(&bench.app).await.unwrap();
    assert_eq!(left().await, 2);
    renew(bench, &ana, &named, &phone).await.expect(200);
    assert_eq!(left().await, 1, "it is renewed into this period");
    take(bench, &ana, id, &phone).await.expect(200);
    assert_eq!(left().await, 1);
    bench.clock.advance_ms(NEXT_MONTH_MS);
    renewal::run(&bench.app).await.unwrap();
    for title in [second, third] {
        bench.open_title(&ana, id, title, &desk).await.expect(201);
    }
    assert_eq!(renew(bench, &ana, &named, &phone).await.expect(403).code(), "quota_used_up");
    assert_eq!(take(bench, &ana, id, &phone).await.expect(403).code(), "quota_used_up");
    let other = take_of(bench, &ana, (id, second), &phone).await.expect(201);
    assert_ne!(answer(&other).lease.id, taken.lease.id, "what is counted is leased");
}

pub async fn leases_are_counted_whoever_races(bench: &Bench) {
    let ana = bench.viewer("ana@example.org").await;
    let offline = json!({ "kind": "purchase", "price": price(1), "offline_ms": DAY_MS });
    let id = owned(bench, &ana, offline).await;
    let ana = ana.as_str();
    let takes = (0..64).map(|device| async move { take(bench, ana, id, &Device::new(device)).await });
    let answers = join_all(takes).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 2);
    let refused = answers.iter().filter(|answer| answer.status == 403 && answer.code() == "too_many_leases");
    assert_eq!(refused.count(), 62);
    // One device that asks many times at once has one.
    let device = (0..64).find(|device| answers[usize::from(*device)].status == 201).unwrap();
    let again =
        join_all((0..16).map(|_| async move { take(bench, ana, id, &Device::new(device)).await })).await;
    assert!(again.iter().all(|answer| answer.status == 200), "{again:?}");
    let listed = bench.get("/v1/leases").bearer(ana).send().await.expect(200).json();
    assert_eq!(listed["leases"].as_array().unwrap().len(), 2);
}
