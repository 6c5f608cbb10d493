//! What a publisher tries with what is another publisher's.

use matinee_server::store::account::Role;
use serde_json::{Value, json};

use crate::bench::{Bench, Device};
use crate::terms::price;

#[tokio::test]
async fn a_publisher_touches_nothing_of_another() {
    let bench = Bench::new().await;
    let studio = bench.studio_login().await;
    let rival = bench.login("rival@example.org", &[Role::Publisher]).await;
    bench.login("ana@example.org", &[Role::Viewer]).await;
    let made = async |login: &str, path: &str, kind: &str| {
        let body = json!({ "name": "One" });
        let made = bench.post(path, &body).bearer(login).send().await.expect(201).json();
        made[kind]["id"].as_str().unwrap().to_owned()
    };
    let collection = made(&studio, "/v1/collections", "collection").await;
    let group = made(&studio, "/v1/groups", "group").await;
    let own_title = made(&rival, "/v1/titles", "title").await;
    let own_collection = made(&rival, "/v1/collections", "collection").await;
    let title = bench.title.to_string();
    let plan = json!({ "kind": "purchase", "price": price(1) });
    let month = json!({ "kind": "subscription", "price": price(1), "period": "month" });
    let files =
        json!({ "sealed": true, "files": [{ "name": "a.bin", "media_type": "video/mp4", "size_bytes": 1 }] });
    let tier = json!({ "tier": 1 });
    let attempts: [(&str, String, Value); 10] = [
        ("POST", format!("/v1/titles/{title}/plans"), plan),
        ("PUT", format!("/v1/titles/{title}/rights"), json!({ "preview_ms": 60_000 })),
        ("POST", format!("/v1/titles/{title}/releases"), files),
        ("POST", format!("/v1/collections/{collection}/plans"), month),
        ("PUT", format!("/v1/collections/{collection}/titles/{title}"), tier.clone()),
        ("DELETE", format!("/v1/collections/{collection}/titles/{title}"), json!({})),
        ("POST", format!("/v1/groups/{group}/members"), json!({ "email": "ana@example.org" })),
        ("GET", format!("/v1/groups/{group}/members"), json!({})),
        ("GET", format!("/v1/titles/{title}/rights"), json!({})),
        ("DELETE", format!("/v1/plans/{}", bench.plan), json!({})),
    ];
    let mixed = [
        ("PUT", format!("/v1/collections/{collection}/titles/{own_title}"), tier.clone()),
        ("PUT", format!("/v1/collections/{own_collection}/titles/{title}"), tier),
        ("PUT", format!("/v1/titles/{own_title}/rights"), json!({ "group": group })),
    ];
    for (method, path, body) in attempts.iter().chain(&mixed) {
        let refused = bench.call(method, path).json(body).bearer(&rival).send().await;
        assert_eq!(refused.expect(404).code(), "not_found", "{method} {path}");
    }
    let carry = bench.post(format!("/v1/releases/{}/carries", bench.release), &json!({})).bearer(&rival);
    let carry = carry.proof(&Device::new(1), None).send().await.expect(403);
    assert_eq!(carry.code(), "role_required");
    let listed = bench.get("/v1/groups").bearer(&rival).send().await.expect(200).json();
    assert_eq!(listed["groups"], json!([]));
    // Whose they are may: nothing else was wrong with what was sent.
    for (method, path, body) in &attempts {
        let done = bench.call(method, path).json(body).bearer(&studio).send().await;
        assert!(done.status.is_success(), "{method} {path}: {done:?}");
    }
    let members = async |login: &str, account: &Value| {
        let path = format!("/v1/groups/{group}/members/{}", account.as_str().unwrap());
        bench.call("DELETE", path).bearer(login).send().await.status.as_u16()
    };
    let body = json!({ "email": "ana@example.org" });
    let added = bench.post(format!("/v1/groups/{group}/members"), &body).bearer(&studio).send().await;
    let ana = added.expect(200).json()["member"]["account"].clone();
    assert_eq!((members(&rival, &ana).await, members(&studio, &ana).await), (404, 204));
}
