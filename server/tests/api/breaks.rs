//! Ad-supported plans: keys behind a break come when it was shown, by the server's clock.

use futures_util::future::join_all;
use matinee_protocol::api::{LicenseAnswer, Opening};
use matinee_protocol::id::EntitlementId;
use matinee_server::store::account::Role;
use serde_json::{Value, json};

use crate::bench::{Answer, Bench, Device, opening};
use crate::terms::{buy, entitlement_of, plan};

/// Of the film's ten minutes, an epoch each: before the first, at the end of the third, in the middle of the sixth.
const BREAKS: [(u64, u64); 3] = [(0, 15_000), (180_000, 30_000), (330_000, 20_000)];

struct Seat<'a> {
    bench: &'a Bench,
    device: Device,
    opening: Opening,
}

impl Seat<'_> {
    /// A token that has not run out, whatever the time.
    async fn token(&self) -> String {
        let path = format!("/v1/views/{}/renewals", self.opening.view);
        let renewed = self.bench.post(path, &json!({})).proof(&self.device, Some(&self.opening.view_token));
        let renewed = renewed.send().await;
        // A view that is over has none: what it is asked with is the last.
        if renewed.status != 200 {
            return self.opening.view_token.clone();
        }
        renewed.json()["view_token"].as_str().unwrap().to_owned()
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        let token = self.token().await;
        let path = format!("/v1/views/{}/{path}", self.opening.view);
        self.bench.post(path, body).proof(&self.device, Some(&token)).send().await
    }

    async fn start(&self, number: u32) -> Answer {
        self.post("breaks", &json!({ "break": number })).await
    }

    async fn complete(&self, number: u32) -> Answer {
        self.post(&format!("breaks/{number}/completion"), &json!({})).await
    }

    /// Shows a break from its beginning to its end.
    async fn show(&self, number: u32) {
        self.start(number).await.expect(201);
        self.bench.clock.advance_ms(BREAKS[number as usize].1 as i64 - 1_000);
        self.complete(number).await.expect(200);
    }

    /// Which epochs of the film are given, and how many each license holds.
    async fn given(&self) -> Vec<u32> {
        let mut given = Vec::new();
        for epoch in 0..10 {
            let token = self.token().await;
            let answer = self.bench.license(self.opening.view, &token, &self.device, epoch).await;
            if answer.status == 200 {
                let answer: LicenseAnswer = serde_json::from_value(answer.json()).unwrap();
                given.push(answer.license.epochs[0].count);
            } else {
                assert_eq!(answer.expect(403).code(), "break_not_shown", "{epoch}");
                given.push(0);
            }
        }
        given
    }
}

async fn ad_supported(bench: &Bench, skipped: &str, guests: bool) -> String {
    let path = format!("/v1/titles/{}/plans", bench.title);
    let breaks: Vec<_> = BREAKS
        .iter()
        .map(|(at_ms, duration_ms)| json!({ "at_ms": at_ms, "duration_ms": duration_ms }))
        .collect();
    let body =
        json!({ "kind": "ad_supported", "breaks": breaks, "breaks_skipped": skipped, "guests": guests });
    plan(bench, &path, body).await
}

async fn sit<'a>(bench: &'a Bench, login: &str, right: EntitlementId, seed: u8) -> Seat<'a> {
    let device = Device::new(seed);
    let answer = bench.open(login, right, &device).await;
    assert!(answer.status == 200 || answer.status == 201, "{answer:?}");
    Seat { bench, opening: opening(&answer), device }
}

pub async fn keys_behind_a_break_wait_for_it(bench: &Bench) {
    let own = ad_supported(bench, "last", true).await;
    let ana = bench.login("ana@example.org", &[Role::Guest]).await;
    let id = entitlement_of(&buy(bench, &ana, json!({ "plan": own })).await.expect(201));
    let seat = sit(bench, &ana, id, 1).await;
    let told = seat.opening.breaks.as_ref().expect("the opening tells of the breaks");
    assert_eq!((told.skipped.as_str(), told.list.len(), told.list[1].at_ms), ("last", 3, 180_000));
    let first = seat.opening.license.as_ref().unwrap();
    assert!(first.epochs.is_empty(), "the film begins with a break: {first:?}");
    assert_eq!(seat.given().await, [0; 10]);
    // Completed without a start, at once, a millisecond too early, and in time.
    assert_eq!(seat.complete(0).await.expect(403).code(), "break_not_started");
    let started = seat.start(0).await.expect(201).json();
    assert_eq!(started["shown_from_ms"], matinee_server::clock::Clock::now_ms(&*bench.clock) + 14_000);
    assert_eq!(seat.complete(0).await.expect(403).code(), "break_not_over");
    bench.clock.advance_ms(13_999);
    assert_eq!(seat.complete(0).await.expect(403).code(), "break_not_over");
    bench.clock.advance_ms(1);
    let shown = seat.complete(0).await.expect(200).json();
    assert_eq!(shown["breaks"]["list"][0]["shown"], true, "{shown}");
    // A license never reaches behind the next break: the second lies where the fourth epoch begins.
    assert_eq!(seat.given().await, [3, 2, 1, 0, 0, 0, 0, 0, 0, 0]);
    // Again, and what there is not.
    seat.complete(0).await.expect(200);
    seat.start(0).await.expect(200);
    for number in [3, u32::MAX] {
        seat.start(number).await.expect(404);
        seat.complete(number).await.expect(404);
    }
    // A seek behind the third asks for the third alone, and opens nothing of what lies between.
    seat.show(2).await;
    assert_eq!(seat.given().await, [3, 2, 1, 0, 0, 0, 3, 3, 2, 1]);
    // The same device goes on with its view, and with what was shown in it.
    let again = sit(bench, &ana, id, 1).await;
    let told = again.opening.breaks.clone().unwrap();
    assert_eq!(told.list.iter().map(|one| one.shown).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!(again.opening.license.as_ref().unwrap().epochs[0].count, 3);
    seat.show(1).await;
    assert_eq!(seat.given().await, [3, 3, 3, 3, 3, 3, 3, 3, 2, 1]);
    // Another view shows its own.
    let other = sit(bench, &ana, id, 2).await;
    assert_eq!(other.given().await, [0; 10]);
}

pub async fn all_that_a_seek_skips_is_shown_where_the_plan_says_so(bench: &Bench) {
    let own = ad_supported(bench, "all", false).await;
    let ana = bench.viewer("ana@example.org").await;
    let id = entitlement_of(&buy(bench, &ana, json!({ "plan": own })).await.expect(201));
    let seat = sit(bench, &ana, id, 1).await;
    seat.show(2).await;
    assert_eq!(seat.given().await, [0; 10]);
    seat.show(0).await;
    assert_eq!(seat.given().await, [3, 2, 1, 0, 0, 0, 0, 0, 0, 0]);
    seat.show(1).await;
    assert_eq!(seat.given().await, [3, 3, 3, 3, 3, 3, 3, 3, 2, 1]);
    // What a title without breaks is asked, and what is no plan.
    let (bob, rented) = bench.viewer_with_rental("bob@example.org").await;
    let bob = sit(bench, &bob, rented, 3).await;
    assert_eq!(bob.opening.breaks, None);
    bob.start(0).await.expect(404);
    bob.complete(0).await.expect(404);
    let studio = bench.studio_login().await;
    let path = format!("/v1/titles/{}/plans", bench.title);
    let one = json!([{ "at_ms": 0, "duration_ms": 5_000 }]);
    for (body, code) in [
        (json!({ "kind": "ad_supported" }), "plan_field_missing"),
        (json!({ "kind": "ad_supported", "breaks": [] }), "breaks_invalid"),
        (
            json!({ "kind": "ad_supported", "breaks": [{ "at_ms": 0, "duration_ms": 1_999 }] }),
            "breaks_invalid",
        ),
        (
            json!({ "kind": "ad_supported", "breaks": [{ "at_ms": 5, "duration_ms": 5_000 }, { "at_ms": 5, "duration_ms": 5_000 }] }),
            "breaks_invalid",
        ),
        (json!({ "kind": "ad_supported", "breaks": one, "breaks_skipped": "none" }), "breaks_invalid"),
        (
            json!({ "kind": "ad_supported", "breaks": one, "price": crate::terms::price(1) }),
            "plan_field_unexpected",
        ),
        (json!({ "kind": "free", "breaks": one }), "plan_field_unexpected"),
    ] {
        let refused = bench.post(&path, &body).bearer(&studio).send().await.expect(422);
        assert_eq!(refused.code(), code, "{body}");
    }
    let rights = format!("/v1/titles/{}/rights", bench.title);
    for (url, status) in [
        ("https://ads.example/1.mp4", 204),
        ("/clips/1.mp4", 204),
        ("//ads.example/1", 422),
        ("javascript:x", 422),
    ] {
        let body = json!({ "ad_clip_url": url });
        bench.call("PUT", &rights).json(&body).bearer(&studio).send().await.expect(status);
    }
    let again = sit(bench, &ana, id, 1).await;
    assert_eq!(again.opening.breaks.unwrap().clip_url.as_deref(), Some("/clips/1.mp4"));
}

/// Whoever would rather not wait: all at once, in two tabs, in two views of one device, and a proof sent twice.
pub async fn breaks_are_shown_one_after_the_other(bench: &Bench) {
    let own = ad_supported(bench, "last", false).await;
    let ana = bench.viewer("ana@example.org").await;
    let id = entitlement_of(&buy(bench, &ana, json!({ "plan": own })).await.expect(201));
    let seat = sit(bench, &ana, id, 1).await;
    for number in 0..3 {
        seat.start(number).await.expect(201);
    }
    bench.clock.advance_ms(60_000);
    assert_eq!(seat.complete(0).await.expect(403).code(), "break_not_started");
    assert_eq!(seat.complete(1).await.expect(403).code(), "break_not_started");
    seat.complete(2).await.expect(200);
    assert_eq!(seat.given().await, [0, 0, 0, 0, 0, 0, 3, 3, 2, 1]);
    // Many tabs at once start what they like: one of them is under way.
    let tab = &seat;
    let started = join_all((0..32).map(|tab_number| tab.start(tab_number % 2))).await;
    assert!(started.iter().all(|answer| answer.status == 201));
    bench.clock.advance_ms(60_000);
    let completed = join_all((0..2).map(|number| tab.complete(number))).await;
    assert_eq!(completed.iter().filter(|answer| answer.status == 200).count(), 1, "{completed:?}");
    // Started again, a break begins again.
    let left = u32::from(completed[0].status == 200);
    seat.start(left).await.expect(201);
    bench.clock.advance_ms(10_000);
    seat.start(left).await.expect(201);
    bench.clock.advance_ms(BREAKS[left as usize].1 as i64 - 1_001);
    assert_eq!(seat.complete(left).await.expect(403).code(), "break_not_over");
    // The same plan taken twice gives two views on one device, and one break at a time all the same.
    let second = entitlement_of(&buy(bench, &ana, json!({ "plan": own })).await.expect(201));
    let twin = sit(bench, &ana, second, 1).await;
    assert_ne!(twin.opening.view, seat.opening.view);
    let racing =
        (0..32).map(|turn| if turn % 2 == 0 { seat.start(left) } else { twin.start(1 + turn / 2 % 2) });
    let racing = join_all(racing).await;
    assert!(racing.iter().all(|answer| answer.status == 201));
    bench.clock.advance_ms(60_000);
    let ended = join_all([seat.complete(left), twin.complete(1), twin.complete(2)]).await;
    assert_eq!(ended.iter().filter(|answer| answer.status == 200).count(), 1, "{ended:?}");
    // A view that is over shows no more; its token starts nothing in another view.
    let foreign = bench.post(format!("/v1/views/{}/breaks", twin.opening.view), &json!({ "break": 0 }));
    let foreign = foreign.proof(&seat.device, Some(&seat.token().await)).send().await;
    assert_eq!(foreign.expect(404).code(), "not_found");
    let path = format!("/v1/views/{}", seat.opening.view);
    let token = seat.token().await;
    bench.call("DELETE", path).proof(&seat.device, Some(&token)).send().await.expect(204);
    for path in ["breaks", "breaks/0/completion"] {
        let body = json!({ "break": 0 });
        let path = format!("/v1/views/{}/{path}", seat.opening.view);
        let over = bench.post(path, &body).proof(&seat.device, Some(&token)).send().await.expect(403);
        assert_eq!(over.code(), "view_ended");
    }
    // A proof is good once.
    let call = bench.post(format!("/v1/views/{}/breaks", twin.opening.view), &json!({ "break": 0 }));
    let call = call.proof(&twin.device, Some(&twin.token().await));
    call.clone().send().await.expect(201);
    assert_eq!(call.send().await.expect(401).code(), "proof_replayed");
    bench.clock.advance_ms(60_000);
    let call = bench.post(format!("/v1/views/{}/breaks/0/completion", twin.opening.view), &json!({}));
    let call = call.proof(&twin.device, Some(&twin.token().await));
    call.clone().send().await.expect(200);
    assert_eq!(call.send().await.expect(401).code(), "proof_replayed");
}
