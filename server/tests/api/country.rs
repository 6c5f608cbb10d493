//! Countries, by a database file and through proxies, with whoever would rather be somewhere else.

use matinee_protocol::encoding::b64u;
use matinee_protocol::id::EntitlementId;
use matinee_server::config::Config;
use matinee_server::job;
use serde_json::json;

use crate::bench::{Answer, Bench, Call, DAY_MS, Device, opening};
use crate::policy::open;
use crate::terms::{buy, entitlement_of, plan, price};

const FIRST: &[u8] = include_bytes!("../countries/first.mmdb");
const SECOND: &[u8] = include_bytes!("../countries/second.mmdb");
const PROXY: &str = "10.0.0.1";
/// The file says where it is.
const GERMAN_PROXY: &str = "192.0.2.99";
const GERMANY: &str = "192.0.2.7";
const FRANCE: &str = "198.51.100.7";
const NOWHERE: &str = "203.0.113.7";

pub fn behind_a_proxy(unknown: &str) -> Config {
    let mut config = open();
    let folder = tempfile::tempdir().unwrap().keep();
    let file = folder.join("countries.mmdb");
    std::fs::write(&file, FIRST).unwrap();
    config.country.database = file.display().to_string();
    config.country.unknown = unknown.to_owned();
    config.server.trusted_proxies = vec!["10.0.0.0/8".to_owned(), GERMAN_PROXY.to_owned()];
    config
}

fn opens<'a>(bench: &'a Bench, login: &str, entitlement: EntitlementId, device: &Device) -> Call<'a> {
    let key = hex::encode(matinee_server::random::bytes::<8>());
    bench.post("/v1/views", &device.open(entitlement)).bearer(login).key(&key).proof(device, None)
}

async fn rights(bench: &Bench, countries: serde_json::Value) -> Answer {
    let studio = bench.studio_login().await;
    let path = format!("/v1/titles/{}/rights", bench.title);
    bench.call("PUT", path).json(&json!({ "countries": countries })).bearer(&studio).send().await
}

pub async fn a_title_plays_in_its_countries(bench: &Bench) {
    for (body, code) in [
        (json!({ "rule": "only", "countries": [] }), "countries_invalid"),
        (json!({ "rule": "only", "countries": ["UK"] }), "countries_invalid"),
        (json!({ "rule": "only", "countries": ["Germany"] }), "countries_invalid"),
        (json!({ "rule": "but", "countries": ["DE"] }), "countries_invalid"),
        (json!({ "rule": "only", "countries": ["DE"], "unknown": "perhaps" }), "countries_invalid"),
    ] {
        assert_eq!(rights(bench, body).await.expect(422).code(), code);
    }
    rights(bench, json!({ "rule": "only", "countries": ["DE", "us"] })).await.expect(204);
    let (ana, id) = bench.viewer_with_rental("ana@example.org").await;
    let phone = Device::new(1);
    let mut attempts = 0;
    for (connected, header, expected) in [
        (GERMANY, None, Ok(201)),
        ("2001:db8:aa::1", None, Ok(200)),
        (FRANCE, None, Err("country_not_allowed")),
        (NOWHERE, None, Err("country_unknown")),
        // Forged by whoever is no proxy.
        (FRANCE, Some(GERMANY), Err("country_not_allowed")),
        ("::ffff:198.51.100.7", Some(GERMANY), Err("country_not_allowed")),
        (NOWHERE, Some(GERMANY), Err("country_unknown")),
        // Told by a proxy, and forged on the way to it.
        (PROXY, Some(GERMANY), Ok(200)),
        ("::ffff:10.0.0.1", Some("::ffff:192.0.2.7"), Ok(200)),
        (PROXY, Some("192.0.2.7, 198.51.100.7"), Err("country_not_allowed")),
        (PROXY, Some("198.51.100.7, 192.0.2.7, 10.3.3.3"), Ok(200)),
        (PROXY, Some("192.0.2.7, garbage"), Err("country_unknown")),
        (PROXY, None, Err("country_unknown")),
        // Where the proxy is, the viewer need not be.
        (GERMAN_PROXY, None, Err("country_unknown")),
        (GERMAN_PROXY, Some(FRANCE), Err("country_not_allowed")),
        (GERMAN_PROXY, Some(GERMANY), Ok(200)),
    ] {
        attempts += 1;
        let mut call = opens(bench, &ana, id, &phone).from(connected);
        if let Some(header) = header {
            call = call.header("x-forwarded-for", header).header("forwarded", format!("for={GERMANY}"));
        }
        let answer = call.send().await;
        match expected {
            Ok(status) => drop(answer.expect(status)),
            Err(code) => assert_eq!(answer.expect(403).code(), code, "{attempts}: {connected} {header:?}"),
        }
    }
    // Whoever opened a view at home is given no keys, and no token, elsewhere.
    let opened = opening(&opens(bench, &ana, id, &phone).from(GERMANY).send().await.expect(200));
    let path = |what: &str| format!("/v1/views/{}/{what}", opened.view);
    let keys = |from: &'static str| {
        let call = bench.post(path("licenses"), &json!({ "file": 0, "epoch": 3 }));
        call.proof(&phone, Some(&opened.view_token)).from(from).send()
    };
    keys(GERMANY).await.expect(200);
    assert_eq!(keys(FRANCE).await.expect(403).code(), "country_not_allowed");
    let renewal = bench.call("POST", path("renewals")).proof(&phone, Some(&opened.view_token));
    assert_eq!(renewal.from(NOWHERE).send().await.expect(403).code(), "country_unknown");
    // Addresses move, and the server does not stop for it.
    let file = &bench.app.config.country.database;
    std::fs::write(file, SECOND).unwrap();
    job::refresh_atlas(&bench.app, true).await.unwrap();
    assert_eq!(keys(GERMANY).await.expect(403).code(), "country_not_allowed", "it is in Austria now");
    std::fs::write(file, &FIRST[..100]).unwrap();
    job::refresh_atlas(&bench.app, true).await.unwrap_err();
    assert_eq!(keys(GERMANY).await.expect(403).code(), "country_not_allowed", "half a file changes nothing");
    std::fs::write(file, FIRST).unwrap();
    job::refresh_atlas(&bench.app, true).await.unwrap();
    keys(GERMANY).await.expect(200);
}

pub async fn a_titles_page_says_where_it_plays(bench: &Bench) {
    let (ana, _) = bench.viewer_with_rental("ana@example.org").await;
    rights(bench, json!({ "rule": "only", "countries": ["DE"] })).await.expect(204);
    let path = format!("/v1/titles/{}/entitlements", bench.title);
    for (from, code) in
        [(GERMANY, json!(null)), (FRANCE, json!("country_not_allowed")), (NOWHERE, json!("country_unknown"))]
    {
        let ways = bench.get(&path).bearer(&ana).from(from).send().await.expect(200).json();
        assert_eq!(ways["entitlements"][0]["code"], code, "{from}");
    }
}

pub async fn unknown_places_have_a_rule_of_their_own(bench: &Bench) {
    let (ana, id) = bench.viewer_with_rental("ana@example.org").await;
    let phone = Device::new(1);
    rights(bench, json!({ "rule": "except", "countries": ["FR"] })).await.expect(204);
    opens(bench, &ana, id, &phone).from(NOWHERE).send().await.expect(201);
    opens(bench, &ana, id, &phone).from(GERMANY).send().await.expect(200);
    let abroad = opens(bench, &ana, id, &phone).from(FRANCE).send().await.expect(403);
    assert_eq!(abroad.code(), "country_not_allowed");
    rights(bench, json!({ "rule": "except", "countries": ["FR"], "unknown": "deny" })).await.expect(204);
    let nowhere = opens(bench, &ana, id, &phone).from(NOWHERE).send().await.expect(403);
    assert_eq!(nowhere.code(), "country_unknown", "the title's word is before the operator's");
    // A plan for one country, of a title for all: it is the plan that is refused.
    rights(bench, serde_json::Value::Null).await.expect(204);
    let path = format!("/v1/titles/{}/plans", bench.title);
    let countries = json!({ "rule": "only", "countries": ["FR"], "unknown": "deny" });
    let body = json!({ "kind": "purchase", "price": price(1), "countries": countries });
    let french = plan(bench, &path, body).await;
    let bought = entitlement_of(&buy(bench, &ana, json!({ "plan": french })).await.expect(201));
    for (from, expected) in [(GERMANY, "country_not_allowed"), (NOWHERE, "country_unknown")] {
        let refused = opens(bench, &ana, bought, &phone).from(from).send().await.expect(403);
        assert_eq!(refused.code(), expected);
        opens(bench, &ana, id, &phone).from(from).send().await.expect(200);
    }
    opens(bench, &ana, bought, &phone).from(FRANCE).send().await.expect(201);
}

pub async fn a_lease_is_taken_and_renewed_in_its_countries(bench: &Bench) {
    rights(bench, json!({ "rule": "only", "countries": ["DE"] })).await.expect(204);
    let ana = bench.viewer("ana@example.org").await;
    let path = format!("/v1/titles/{}/plans", bench.title);
    let body = json!({ "kind": "purchase", "price": price(1), "offline_ms": 7 * DAY_MS });
    let own = plan(bench, &path, body).await;
    let id = entitlement_of(&buy(bench, &ana, json!({ "plan": own })).await.expect(201));
    let phone = Device::new(1);
    let body = json!({ "agreement_key": b64u(&phone.agreement.public()) });
    let take = async |from: &str| {
        let call = bench.post(format!("/v1/entitlements/{id}/leases"), &body).bearer(&ana).key(from);
        call.proof(&phone, None).from(from).send().await
    };
    assert_eq!(take(FRANCE).await.expect(403).code(), "country_not_allowed");
    assert_eq!(take(NOWHERE).await.expect(403).code(), "country_unknown");
    let taken = take(GERMANY).await.expect(201).json();
    let path = format!("/v1/leases/{}/renewals", taken["lease"]["id"].as_str().unwrap());
    let renew =
        async |from: &str| bench.post(&path, &body).bearer(&ana).proof(&phone, None).from(from).send().await;
    assert_eq!(renew(FRANCE).await.expect(403).code(), "country_not_allowed");
    assert_eq!(renew(NOWHERE).await.expect(403).code(), "country_unknown");
    renew(GERMANY).await.expect(200);
}
