//! Every route that needs a right of its own, and changes something, leaves a row in the audit trail.

use std::collections::BTreeSet;

use matinee_server::router::{Authority, ROUTES};
use matinee_server::store::account::Role;
use serde_json::{Value, json};

use crate::bench::Bench;
use crate::terms::price;

/// Routes that leave none, with the reason.
const NO_ACTS: &[(&str, &str, &str)] = &[(
    "PATCH",
    "/v1/releases/{release}/files/{file}/upload",
    "a part of what was announced: the announcement and the publication are the acts",
)];

/// Walks the routes as somebody who may do everything.
struct Walk<'a> {
    bench: &'a Bench,
    login: String,
    walked: BTreeSet<(String, String)>,
    calls: u32,
}

impl Walk<'_> {
    /// Calls a route whose parameters are filled in order, and checks that it left exactly this act.
    async fn act(&mut self, route: &str, ids: &[&str], body: Value, action: &str) -> Value {
        // The trail is in the order of time; each act has its own.
        self.bench.clock.advance_ms(1);
        let (method, template) = route.split_once(' ').unwrap();
        let route = ROUTES.iter().find(|one| (one.method, one.path) == (method, template)).unwrap();
        let mut ids = ids.iter();
        let parts = template.split('/').map(|part| match part.starts_with('{') {
            true => *ids.next().unwrap(),
            false => part,
        });
        let path = parts.collect::<Vec<_>>().join("/");
        self.calls += 1;
        let request = format!("walk-{}", self.calls);
        let call = self.bench.call(route.method, path).json(&body).bearer(&self.login);
        let answer = call.key(&request).header("x-request-id", &request).send().await;
        assert!(answer.status.is_success(), "{method} {template}: {answer:?}");
        let listed = self.bench.get("/v1/audit?limit=2").bearer(&self.login).send().await.expect(200).json();
        let seen: Vec<_> = listed["audit"].as_array().unwrap().iter().map(|act| &act["request_id"]).collect();
        assert_eq!(seen[0], &json!(request), "{method} {template} left no row");
        assert_ne!(seen.get(1), Some(&&json!(request)), "{method} {template} left two rows");
        assert_eq!(listed["audit"][0]["action"], action, "{method} {template}");
        assert_eq!(listed["audit"][0]["actor_kind"], "account");
        self.walked.insert((method.to_owned(), template.to_owned()));
        serde_json::from_slice(&answer.bytes).unwrap_or_default()
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

/// A release with one small file, and whether all of it was uploaded.
async fn release(walk: &mut Walk<'_>, title: &str, upload: bool) -> String {
    let file = json!({ "name": "a.bin", "media_type": "application/octet-stream", "size_bytes": 4 });
    let body = json!({ "sealed": true, "files": [file] });
    let made = walk.act("POST /v1/titles/{title}/releases", &[title], body, "release.create").await;
    let id = text(&made["release"]).to_owned();
    if upload {
        let call = walk.bench.call("PATCH", format!("/v1/releases/{id}/files/0/upload")).bearer(&walk.login);
        let call =
            call.header("content-type", "application/offset+octet-stream").header("upload-offset", "0");
        call.body(b"four".to_vec()).send().await.expect(204);
    }
    id
}

async fn titles(walk: &mut Walk<'_>) -> String {
    let made = walk.act("POST /v1/titles", &[], json!({ "name": "One" }), "title.create").await;
    let title = text(&made["title"]["id"]).to_owned();
    let body = json!({ "preview_ms": 1000 });
    walk.act("PUT /v1/titles/{title}/rights", &[&title], body, "rights.set").await;
    let body = json!({ "kind": "purchase", "price": price(1) });
    let plan = walk.act("POST /v1/titles/{title}/plans", &[&title], body, "plan.create").await;
    let plan = text(&plan["plan"]["id"]);
    let body = json!({ "rules": [{ "holder": "Studio", "share_basis_points": 5000 }] });
    walk.act("PUT /v1/titles/{title}/royalty-rules", &[&title], body, "royalty.set").await;
    let body = json!({ "code": "SPRING-20", "percent_off": 20 });
    walk.act("POST /v1/coupons", &[], body, "coupon.create").await;
    let codes = "POST /v1/plans/{plan}/gift-codes";
    walk.act(codes, &[plan], json!({ "count": 2 }), "gift_codes.create").await;
    walk.act("DELETE /v1/coupons/{code}", &["spring-20"], json!({}), "coupon.end").await;
    walk.act("DELETE /v1/plans/{plan}", &[plan], json!({}), "plan.end").await;
    title
}

async fn collections_and_groups(walk: &mut Walk<'_>, title: &str, member: &str) {
    let made = walk.act("POST /v1/collections", &[], json!({ "name": "All" }), "collection.create").await;
    let id = text(&made["collection"]["id"]).to_owned();
    let route = "PUT /v1/collections/{collection}/titles/{title}";
    walk.act(route, &[&id, title], json!({ "tier": 1 }), "collection.put").await;
    let body = json!({ "kind": "subscription", "price": price(300), "period": "month" });
    walk.act("POST /v1/collections/{collection}/plans", &[&id], body, "plan.create").await;
    let route = "DELETE /v1/collections/{collection}/titles/{title}";
    walk.act(route, &[&id, title], json!({}), "collection.remove").await;

    let made = walk.act("POST /v1/groups", &[], json!({ "name": "Stations" }), "group.create").await;
    let id = text(&made["group"]["id"]).to_owned();
    let route = "POST /v1/groups/{group}/members";
    let added = walk.act(route, &[&id], json!({ "email": member }), "group.add").await;
    let account = text(&added["member"]["account"]).to_owned();
    let route = "DELETE /v1/groups/{group}/members/{account}";
    walk.act(route, &[&id, &account], json!({}), "group.remove").await;
}

async fn integrators(walk: &mut Walk<'_>, title: &str) {
    let body = json!({ "name": "shop", "scopes": ["viewers"], "days": 1 });
    let key = walk.act("POST /v1/api-keys", &[], body, "api_key.create").await;
    let id = text(&key["api_key"]["id"]);
    walk.act("DELETE /v1/api-keys/{key}", &[id], json!({}), "api_key.revoke").await;
    let body = json!({ "url": "https://shop.example/hook", "topics": ["*"] });
    let hook = walk.act("POST /v1/webhooks", &[], body, "webhook.create").await;
    let id = text(&hook["webhook"]["id"]);
    walk.act("DELETE /v1/webhooks/{webhook}", &[id], json!({}), "webhook.remove").await;
    let viewer = walk.act("POST /v1/viewers", &[], json!({ "reference": "a" }), "viewer.create").await;
    let id = text(&viewer["viewer"]["id"]);
    let body = json!({ "title": title });
    let route = "POST /v1/viewers/{account}/entitlements";
    let given = walk.act(route, &[id], body.clone(), "entitlement.grant").await;
    let route = "DELETE /v1/viewers/{account}/entitlements/{entitlement}";
    walk.act(route, &[id, text(&given["entitlement"]["id"])], json!({}), "entitlement.revoke").await;
    let route = "POST /v1/viewers/{account}/embed-tokens";
    walk.act(route, &[id], body, "embed_token.create").await;
    walk.act("DELETE /v1/viewers/{account}", &[id], json!({}), "account.close").await;
}

pub async fn every_privileged_act_leaves_a_row(bench: &Bench) {
    let all = [Role::Viewer, Role::Publisher, Role::Operator, Role::Integrator];
    let login = bench.login("all@example.org", &all).await;
    let ana = bench.viewer("ana@example.org").await;
    let mut walk = Walk { bench, login, walked: BTreeSet::new(), calls: 0 };
    let title = titles(&mut walk).await;
    collections_and_groups(&mut walk, &title, "ana@example.org").await;
    integrators(&mut walk, &title).await;

    let whole = release(&mut walk, &title, true).await;
    walk.act("POST /v1/releases/{release}/publication", &[&whole], json!({}), "release.publish").await;
    let open = release(&mut walk, &title, false).await;
    walk.act("DELETE /v1/releases/{release}", &[&open], json!({}), "release.remove").await;

    let buy = bench.post("/v1/purchases", &json!({ "plan": bench.plan })).bearer(&ana).key("buy");
    let bought = buy.send().await.expect(201).json();
    let reason = json!({ "reason": "a scratch" });
    let route = "POST /v1/entitlements/{entitlement}/revocation";
    let entitlement = text(&bought["entitlement"]["id"]);
    walk.act(route, &[entitlement], reason.clone(), "entitlement.revoke").await;
    let route = "POST /v1/purchases/{purchase}/refund";
    walk.act(route, &[text(&bought["purchase"]["id"])], reason, "purchase.refund").await;

    let privileged = [
        Authority::Publisher,
        Authority::Seller,
        Authority::Operator,
        Authority::Integrator,
        Authority::ApiKey,
    ];
    for route in ROUTES {
        let changes = privileged.contains(&route.authority) && !["GET", "HEAD"].contains(&route.method);
        let excused = NO_ACTS.iter().any(|(method, path, _)| (*method, *path) == (route.method, route.path));
        let walked = walk.walked.contains(&(route.method.to_owned(), route.path.to_owned()));
        assert!(!changes || excused || walked, "teach this test to walk {} {}", route.method, route.path);
    }
    let trail = bench.get("/v1/audit?limit=500").bearer(&walk.login).send().await.expect(200).json();
    for person in ["example.org", "Studio", "Stations"] {
        assert!(!trail.to_string().contains(person), "{person} is named");
    }
}
