//! What every endpoint has in common: the document, request ids, tags, pages, limits, and keys under way.

use std::collections::BTreeSet;

use matinee_server::config::Config;
use matinee_server::router::{ROUTES, endpoints};
use matinee_server::store::account::Role;
use serde_json::{Value, json};

use crate::bench::Bench;
use crate::room::leave_room;

async fn document(bench: &Bench) -> Value {
    bench.get("/v1/openapi.json").send().await.expect(200).json()
}

#[tokio::test]
async fn the_document_has_every_route_and_no_other() {
    let bench = Bench::new().await;
    let document = document(&bench).await;
    assert_eq!(document["openapi"], "3.1.0");
    let mut told = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            told.insert((method.to_uppercase(), path.clone()));
        }
    }
    let routed: BTreeSet<_> =
        ROUTES.iter().map(|route| (route.method.to_owned(), route.path.to_owned())).collect();
    assert_eq!(told, routed);
    assert_eq!(routed.len(), ROUTES.len(), "no route is there twice");
}

#[tokio::test]
async fn every_operation_tells_its_problems_and_every_name_in_it_resolves() {
    let bench = Bench::new().await;
    let document = document(&bench).await;
    let mut ids = BTreeSet::new();
    for endpoint in endpoints() {
        let method = endpoint.route.method.to_lowercase();
        let operation = &document["paths"][endpoint.route.path][&method];
        let shown = format!("{method} {}", endpoint.route.path);
        assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{shown}: its own id");
        assert!(!endpoint.answers().is_empty(), "{shown}: an answer");
        for (status, code) in endpoint.problems() {
            let codes = operation["responses"][status.to_string()]["x-codes"].as_array().unwrap();
            assert!(codes.contains(&json!(code)), "{shown}: {status} {code}");
        }
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        for part in endpoint.route.path.split('/').filter(|part| part.starts_with('{')) {
            let name = part.trim_matches(['{', '}']);
            assert!(
                parameters.iter().any(|one| one["name"] == name && one["in"] == "path"),
                "{shown} {name}"
            );
        }
    }
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"").skip(1) {
        let reference = reference.split('"').next().unwrap();
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

#[tokio::test]
async fn the_page_shows_every_route_and_loads_nothing() {
    let bench = Bench::new().await;
    let page = bench.get("/v1/reference").send().await.expect(200);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert!(page.header("content-security-policy").starts_with("default-src 'none'; style-src 'sha256-"));
    let text = String::from_utf8(page.bytes).unwrap();
    for route in ROUTES {
        assert!(text.contains(&format!("<code>{}</code>", route.path)), "{}", route.path);
    }
    assert!(!text.contains("<script") && !text.contains("src=") && !text.contains("http://"), "{text}");
}

#[tokio::test]
async fn a_problem_names_its_request() {
    let bench = Bench::new().await;
    let call = || bench.get("/v1/account");
    let told = call().header("x-request-id", "from-a-proxy-7").send().await.expect(401);
    assert_eq!(told.json()["request_id"], "from-a-proxy-7");
    let (one, other) = (call().send().await.expect(401), call().send().await.expect(401));
    assert_eq!(one.json()["request_id"], one.header("x-request-id"));
    assert_ne!(one.json()["request_id"], other.json()["request_id"]);
}

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again() {
    let bench = Bench::new().await;
    let publisher = bench.login("p@example.org", &[Role::Publisher]).await;
    let read = |tag: &str| bench.get("/v1/titles").header("if-none-match", tag);
    let first = read("\"another\"").send().await.expect(200);
    assert_eq!(first.header("cache-control"), "private, no-cache");
    let tag = first.header("etag").to_owned();
    assert!(tag.starts_with("W/\""), "{tag}");
    for known in [tag.clone(), format!("\"x\", {tag}"), tag.replace("W/", ""), "*".to_owned()] {
        let unchanged = read(&known).send().await.expect(304);
        assert_eq!((unchanged.bytes.len(), unchanged.header("etag")), (0, tag.as_str()), "{known}");
        assert!(!unchanged.header("x-request-id").is_empty());
    }
    let title = json!({ "name": "Sintel" });
    bench.post("/v1/titles", &title).bearer(&publisher).send().await.expect(201);
    assert_ne!(read(&tag).send().await.expect(200).header("etag"), tag);
    // What is refused is nobody's to keep.
    let refused = bench.get("/v1/account").send().await.expect(401);
    assert_eq!((refused.header("etag"), refused.header("cache-control")), ("", "no-store"));
}

pub async fn listings_come_page_by_page(bench: &Bench) {
    let login = bench.login("p@example.org", &[Role::Publisher]).await;
    for name in ["A", "B", "C", "D"] {
        bench.clock.advance_ms(if name == "C" { 0 } else { 1 });
        bench.post("/v1/titles", &json!({ "name": name })).bearer(&login).send().await.expect(201);
    }
    let whole = bench.get("/v1/titles").send().await.expect(200).json();
    let (mut seen, mut path, mut pages) = (Vec::new(), "/v1/titles?limit=2".to_owned(), 0);
    loop {
        let page = bench.get(&path).send().await.expect(200).json();
        seen.extend(page["titles"].as_array().unwrap().iter().cloned());
        pages += 1;
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/titles?limit=2&cursor={next}");
        // What is added meanwhile comes before the first page, and moves nothing.
        bench.clock.advance_ms(1);
        bench.post("/v1/titles", &json!({ "name": "later" })).bearer(&login).send().await.expect(201);
    }
    assert_eq!((pages, json!(seen), whole["next"].clone()), (3, whole["titles"].clone(), Value::Null));
    for (query, code) in [
        ("limit=0", "query_invalid"),
        ("limit=501", "query_invalid"),
        ("limit=many", "query_invalid"),
        ("cursor=none", "cursor_invalid"),
        ("cursor=AAAA", "cursor_invalid"),
    ] {
        let refused = bench.get(format!("/v1/titles?{query}")).send().await.expect(400);
        assert_eq!(refused.code(), code, "{query}");
    }
}

#[tokio::test]
async fn a_login_that_asks_too_fast_is_told_to_wait() {
    let mut config = Config::default();
    config.server.requests_per_minute_max = 3;
    let bench = Bench::with(config).await;
    let (ana, bob) =
        (bench.login("ana@e.org", &[Role::Viewer]).await, bench.login("bob@e.org", &[Role::Viewer]).await);
    for left in [2, 1, 0] {
        let answer = bench.get("/v1/account").bearer(&ana).send().await.expect(200);
        assert_eq!(answer.header("ratelimit-policy"), "\"requests\";q=3;w=60");
        assert!(answer.header("ratelimit").starts_with(&format!("\"requests\";r={left};t=")));
    }
    let refused = bench.get("/v1/account").bearer(&ana).send().await.expect(429);
    assert_eq!(refused.code(), "too_fast");
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=21).contains(&wait), "{wait}");
    assert!(refused.header("ratelimit").starts_with("\"requests\";r=0;t="));
    bench.get("/v1/account").bearer(&bob).send().await.expect(200);
    for _ in 0..5 {
        bench.get("/healthz").send().await.expect(200);
    }
}

#[tokio::test]
async fn no_header_buys_more_requests() {
    let mut config = Config::default();
    config.server.requests_per_minute_max = 3;
    let bench = Bench::with(config).await;
    let ana = bench.login("ana@example.org", &[Role::Viewer]).await;
    bench.get("/v1/account").bearer(&ana).from("2001:db8::1").send().await.expect(200);
    let ask = |authority: String, from: &str| {
        bench.get("/v1/titles").header("authorization", authority).from(from).send()
    };
    for (n, status) in [(0, 200), (1, 200), (2, 200), (3, 429)] {
        assert_eq!(ask(format!("DPoP {n}"), "192.0.2.1").await.status, status, "no view token opens this");
        assert_eq!(ask(format!("Bearer {n}"), "192.0.2.2").await.status, status, "no login");
    }
    // A host has a whole network's addresses to ask from; the login that was found is not held up by it.
    for n in 2..4 {
        bench.get("/v1/titles").from(&format!("2001:db8::{n}")).send().await.expect(200);
    }
    bench.get("/v1/titles").from("2001:db8::5").send().await.expect(429);
    bench.get("/v1/titles").from("2001:db8:0:1::5").send().await.expect(200);
    bench.get("/v1/account").bearer(&ana).from("2001:db8::1").send().await.expect(200);
    // What a view token opens has the limits of the view.
    let page = format!("/v1/releases/{}/manifest", bench.release);
    for _ in 0..5 {
        let call = bench.get(&page).header("authorization", "DPoP x").from("192.0.2.1");
        call.send().await.expect(401);
    }
}

#[tokio::test]
async fn a_key_under_way_is_waited_for_and_then_told() {
    let bench = Bench::new().await;
    let login = bench.login("ana@example.org", &[Role::Viewer]).await;
    let body = json!({ "amount": { "minor": 100, "currency": "USD" } });
    let top_up = || bench.post("/v1/wallet/top-ups", &body).bearer(&login).key("once").send();
    // Nobody writes as long as this transaction lives: the first request stays under way.
    let hold = bench.app.store.write().await.unwrap();
    // Either of the two may take the key.
    let (one, other) = (std::pin::pin!(top_up()), std::pin::pin!(top_up()));
    let (told, first) = futures_util::future::select(one, other).await.factor_first();
    let told = told.expect(409);
    assert_eq!((told.code().as_str(), told.header("retry-after")), ("idempotency_key_in_flight", "1"));
    drop(hold);
    let first = first.await.expect(201);
    let again = top_up().await.expect(201);
    assert_eq!((again.header("idempotency-replayed"), &again.bytes), ("true", &first.bytes));
    assert_eq!(bench.balance().await, 1);
}

#[tokio::test]
async fn a_full_disk_is_told_and_what_was_refused_can_be_sent_again() {
    let bench = Bench::new().await;
    let ana = bench.viewer("ana@example.org").await;
    let amount = json!({ "amount": { "minor": 100, "currency": "USD" } });
    let top_up =
        |key: usize| bench.post("/v1/wallet/top-ups", &amount).bearer(&ana).key(&key.to_string()).send();
    leave_room(&bench.app.store, Some(2)).await;
    let mut paid = 0;
    let refused = loop {
        let answer = top_up(paid).await;
        if answer.status != 201 {
            break answer;
        }
        paid += 1;
        assert!(paid < 1000, "there is no end to it");
    };
    assert_eq!(refused.header("retry-after"), "5");
    assert_eq!(refused.expect(503).code(), "store_unavailable");
    let wallet = async || {
        let shown = bench.get("/v1/account").bearer(&ana).send().await.expect(200).json();
        shown["account"]["wallet"]["minor"].as_u64().unwrap()
    };
    assert_eq!(wallet().await, 1000 + 100 * paid as u64, "it is read all the same");
    leave_room(&bench.app.store, None).await;
    top_up(paid).await.expect(201);
    assert_eq!(wallet().await, 1100 + 100 * paid as u64);
}
