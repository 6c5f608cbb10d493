//! The flow without our shop: viewers, entitlements and embed tokens by API key.

use matinee_server::router::{Authority, ROUTES};
use matinee_server::store::account::Role;
use serde_json::{Value, json};

use crate::bench::{Bench, DAY_MS, Device, NOW_MS, opening};

const ALL: [&str; 3] = ["viewers", "entitlements", "embed"];

/// Makes a key and gives its id and what it is.
async fn key(bench: &Bench, login: &str, scopes: &[&str]) -> (String, String) {
    let body = json!({ "name": "shop", "scopes": scopes, "days": 30 });
    let made = bench.post("/v1/api-keys", &body).bearer(login).send().await.expect(201).json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&made["api_key"]["id"]), text(&made["secret"]))
}

async fn viewer(bench: &Bench, key: &str, reference: &str) -> String {
    let made = bench.post("/v1/viewers", &json!({ "reference": reference })).bearer(key).send().await;
    assert!(made.status.is_success(), "{made:?}");
    made.json()["viewer"]["id"].as_str().unwrap().to_owned()
}

pub async fn a_shop_of_its_own_brings_a_viewer_to_the_player(bench: &Bench) {
    let shop = bench.login("shop@example.org", &[Role::Viewer, Role::Integrator]).await;
    let (_, key) = key(bench, &shop, &ALL).await;
    let ana = viewer(bench, &key, "customer-17").await;
    assert_eq!(viewer(bench, &key, "customer-17").await, ana, "asking twice makes one");

    let grant = json!({ "title": bench.title, "views": 2, "play_within_ms": DAY_MS });
    let path = format!("/v1/viewers/{ana}/entitlements");
    let granted = bench.post(&path, &grant).bearer(&key).key("g").send().await.expect(201);
    let again = bench.post(&path, &grant).bearer(&key).key("g").send().await.expect(201);
    assert_eq!((again.header("idempotency-replayed"), &again.bytes), ("true", &granted.bytes));
    let entitlement = granted.json()["entitlement"].clone();
    assert_eq!((&entitlement["status"], &entitlement["views_left"]), (&json!("ready"), &json!(2)));
    let shown = bench.get(format!("/v1/viewers/{ana}")).bearer(&key).send().await.expect(200).json();
    assert_eq!(
        shown,
        json!({
            "viewer": { "id": ana, "reference": "customer-17" }, "entitlements": [entitlement], "next": null,
        })
    );

    let path = format!("/v1/viewers/{ana}/embed-tokens");
    let embed =
        bench.post(&path, &json!({ "title": bench.title })).bearer(&key).send().await.expect(201).json();
    let token = embed["embed_token"].as_str().unwrap();
    assert_eq!(embed["url"], format!("https://cinema.example/embed/{}#{token}", bench.title));
    let exchange = json!({ "token": token, "bearer": true });
    let entered = bench.post("/v1/embed-sessions", &exchange).send().await.expect(201).json();
    assert_eq!(entered["account"]["id"], json!(ana));
    let login = entered["session_token"].as_str().unwrap();
    let used = bench.post("/v1/embed-sessions", &exchange).send().await.expect(401);
    assert_eq!(used.code(), "embed_token_invalid", "once");

    // Whoever reads an embed token on its way has it for as long as the session lasts, and makes it no longer.
    let first = json!({ "new_password": "a password that stays" });
    let lasting = [
        bench.call("PUT", "/v1/account/password").json(&first),
        bench.call("POST", "/v1/passkey-challenges/registration"),
        bench.post("/v1/account/closure", &json!({})),
    ];
    for call in lasting {
        assert_eq!(call.bearer(login).send().await.expect(403).code(), "account_required");
    }

    // From here on it is a viewer like any other.
    let phone = Device::new(1);
    let id = entitlement["id"].as_str().unwrap().parse().unwrap();
    let opened = opening(&bench.open(login, id, &phone).await.expect(201));
    bench.license(opened.view, &opened.view_token, &phone, 0).await.expect(200);
    bench.clock.advance_ms(DAY_MS / 2);
    bench.get("/v1/account").bearer(login).send().await.expect(401);
}

pub async fn what_was_given_is_taken_back(bench: &Bench) {
    let shop = bench.login("shop@example.org", &[Role::Viewer, Role::Integrator]).await;
    let (_, key) = key(bench, &shop, &ALL).await;
    let mut viewers = Vec::new();
    for reference in ["a", "b", "c"] {
        bench.clock.advance_ms(1);
        viewers.push(viewer(bench, &key, reference).await);
    }
    let first = bench.get("/v1/viewers?limit=2").bearer(&key).send().await.expect(200).json();
    let references = |page: &Value| {
        page["viewers"].as_array().unwrap().iter().map(|one| one["reference"].clone()).collect()
    };
    let (seen, next): (Vec<_>, _) = (references(&first), first["next"].as_str().unwrap());
    assert_eq!(seen, ["c", "b"]);
    let rest = bench.get(format!("/v1/viewers?limit=2&cursor={next}")).bearer(&key).send().await.expect(200);
    let rest = rest.json();
    assert_eq!(rest["viewers"][0]["id"], json!(viewers[0]));
    assert_eq!((rest["viewers"].as_array().unwrap().len(), &rest["next"]), (1, &Value::Null));

    let path = format!("/v1/viewers/{}/entitlements", viewers[0]);
    let grant = json!({ "title": bench.title });
    let granted = bench.post(&path, &grant).bearer(&key).key("g").send().await.expect(201).json();
    let id = granted["entitlement"]["id"].as_str().unwrap();
    let token = format!("/v1/viewers/{}/embed-tokens", viewers[0]);
    let embed = bench.post(&token, &grant).bearer(&key).send().await.expect(201).json();
    let exchange = json!({ "token": embed["embed_token"], "bearer": true });
    let entered = bench.post("/v1/embed-sessions", &exchange).send().await.expect(201).json();
    let phone = Device::new(1);
    let login = entered["session_token"].as_str().unwrap();
    let view = opening(&bench.open(login, id.parse().unwrap(), &phone).await.expect(201));

    // Another viewer's, another integrator's, and what was paid for here stay.
    let take = |viewer: &str, id: &str, bearer: &str| {
        bench.call("DELETE", format!("/v1/viewers/{viewer}/entitlements/{id}")).bearer(bearer).send()
    };
    take(&viewers[1], id, &key).await.expect(404);
    let rival = bench.login("rival@example.org", &[Role::Integrator]).await;
    take(&viewers[0], id, &rival).await.expect(404);
    let amount = json!({ "amount": { "minor": 50, "currency": "USD" } });
    bench.post("/v1/wallet/top-ups", &amount).bearer(login).key("top").send().await.expect(201);
    let plan = json!({ "plan": bench.plan });
    let bought = bench.post("/v1/purchases", &plan).bearer(login).key("buy").send().await.expect(201).json();
    let bought = bought["entitlement"]["id"].as_str().unwrap();
    assert_eq!(take(&viewers[0], bought, &key).await.expect(409).code(), "entitlement_bought");

    for _ in 0..2 {
        take(&viewers[0], id, &key).await.expect(204);
    }
    let refused = bench.license(view.view, &view.view_token, &phone, 0).await.expect(403);
    assert_eq!(refused.code(), "entitlement_revoked");
    let shown = bench.get(format!("/v1/viewers/{}", viewers[0])).bearer(&key).send().await.expect(200).json();
    let states: Vec<_> = shown["entitlements"].as_array().unwrap().iter().map(|one| &one["status"]).collect();
    assert!(states.contains(&&json!("revoked")) && states.contains(&&json!("ready")), "{shown}");
}

pub async fn an_embed_token_runs_out(bench: &Bench) {
    let shop = bench.login("shop@example.org", &[Role::Integrator]).await;
    let ana = viewer(bench, &shop, "a").await;
    for (after_ms, status) in [(299_999, 201), (300_000, 401)] {
        let path = format!("/v1/viewers/{ana}/embed-tokens");
        let embed =
            bench.post(&path, &json!({ "title": bench.title })).bearer(&shop).send().await.expect(201);
        bench.clock.advance_ms(after_ms);
        let exchange = json!({ "token": embed.json()["embed_token"], "bearer": true });
        bench.post("/v1/embed-sessions", &exchange).send().await.expect(status);
    }
}

pub async fn a_key_opens_what_its_scopes_say_for_its_own_viewers_as_long_as_it_holds(bench: &Bench) {
    let shop = bench.login("shop@example.org", &[Role::Integrator]).await;
    let rival = bench.login("rival@example.org", &[Role::Integrator]).await;
    let (id, whole) = key(bench, &shop, &ALL).await;
    let ana = viewer(bench, &whole, "a").await;
    let grant = json!({ "title": bench.title });
    let body =
        |path: &str| if path.ends_with("viewers") { json!({ "reference": "b" }) } else { grant.clone() };
    let routes: Vec<_> = ROUTES.iter().filter(|route| route.authority == Authority::ApiKey).collect();
    assert!(routes.len() >= 7);
    let path = format!("/v1/viewers/{ana}/entitlements");
    let granted = bench.post(&path, &grant).bearer(&whole).key("first").send().await.expect(201).json();
    let granted = granted["entitlement"]["id"].as_str().unwrap();
    let ask = |bearer: &str, method: &'static str, path: &str, account: &str| {
        let path = path.replace("{account}", account).replace("{entitlement}", granted);
        bench.call(method, &path).json(&body(&path)).bearer(bearer).key("k").send()
    };
    // Another integrator's viewer does not exist, whoever's account it is.
    let (_, other) = key(bench, &rival, &ALL).await;
    let victim = bench.login("op@example.org", &[Role::Operator]).await;
    let victim = bench.get("/v1/account").bearer(&victim).send().await.expect(200).json();
    let victim = victim["account"]["id"].as_str().unwrap();
    for route in routes.iter().filter(|route| route.path.contains('{')) {
        for (bearer, account) in [(&other, ana.as_str()), (&whole, victim)] {
            let refused = ask(bearer, route.method, route.path, account).await.expect(404);
            assert_eq!(refused.code(), "not_found", "{} {}", route.method, route.path);
        }
    }
    // Each scope opens its own routes.
    for scope in ALL {
        let (_, narrow) = key(bench, &shop, &[scope]).await;
        for route in &routes {
            let needed = match route.path.rsplit('/').next().unwrap() {
                "entitlements" | "{entitlement}" => "entitlements",
                "embed-tokens" => "embed",
                _ => "viewers",
            };
            if (route.method, needed) == ("DELETE", "viewers") && needed == scope {
                continue; // would end what the others need
            }
            let answer = ask(&narrow, route.method, route.path, &ana).await;
            let shown = format!("{scope} at {} {}", route.method, route.path);
            match needed == scope {
                true => assert!(answer.status.is_success(), "{shown}: {answer:?}"),
                false => assert_eq!(answer.expect(403).code(), "scope_required", "{shown}"),
            }
        }
        // No key is a login, and none makes keys.
        bench.get("/v1/account").bearer(&narrow).send().await.expect(401);
        bench.get("/v1/api-keys").bearer(&narrow).send().await.expect(401);
    }
    let listed = bench.get("/v1/api-keys").bearer(&shop).send().await.expect(200).json();
    let listed = listed["api_keys"].as_array().unwrap().clone();
    assert_eq!(listed.len(), 4);
    assert!(listed.iter().all(|key| key["prefix"].as_str().unwrap().starts_with("mtn_")));
    assert!(!json!(listed).to_string().contains(&whole[13..]), "no key is shown twice");

    bench.call("DELETE", format!("/v1/api-keys/{id}")).bearer(&rival).send().await.expect(404);
    bench.call("DELETE", format!("/v1/api-keys/{id}")).bearer(&shop).send().await.expect(204);
    assert_eq!(
        ask(&whole, "GET", "/v1/viewers/{account}", &ana).await.expect(401).code(),
        "session_required"
    );
    bench.clock.advance_ms(30 * DAY_MS - 1);
    ask(&other, "POST", "/v1/viewers", "").await.expect(201);
    bench.clock.advance_ms(1);
    ask(&other, "POST", "/v1/viewers", "").await.expect(401);
}

pub async fn what_is_privileged_is_on_the_trail(bench: &Bench) {
    let operator = bench.login("op@example.org", &[Role::Operator]).await;
    let publisher = bench.login("pub@example.org", &[Role::Publisher]).await;
    // The trail is in the order of time; each act has its own.
    let (id, key) = key(bench, &operator, &ALL).await;
    bench.clock.advance_ms(1);
    let ana = viewer(bench, &key, "a").await;
    bench.clock.advance_ms(1);
    let grant = json!({ "title": bench.title });
    let path = format!("/v1/viewers/{ana}/entitlements");
    let granted = bench.post(&path, &grant).bearer(&key).key("g").header("x-request-id", "from-the-shop");
    let granted = granted.send().await.expect(201).json();
    let entitlement = granted["entitlement"]["id"].as_str().unwrap();
    bench.clock.advance_ms(1);
    let path = format!("/v1/entitlements/{entitlement}/revocation");
    bench.post(&path, &json!({ "reason": "a mistake" })).bearer(&operator).send().await.expect(200);
    bench.clock.advance_ms(1);
    bench.post("/v1/titles", &json!({ "name": "Sintel" })).bearer(&publisher).send().await.expect(201);
    // What is refused leaves no trace.
    bench.post("/v1/viewers", &json!({ "reference": "" })).bearer(&key).send().await.expect(422);

    let trail = bench.get("/v1/audit").bearer(&operator).send().await.expect(200).json();
    let acts: Vec<_> = trail["audit"].as_array().unwrap().iter().rev().cloned().collect();
    let actions: Vec<_> = acts.iter().map(|act| act["action"].as_str().unwrap()).collect();
    assert_eq!(
        actions,
        ["api_key.create", "viewer.create", "entitlement.grant", "entitlement.revoke", "title.create"]
    );
    assert_eq!(acts[2]["request_id"], "from-the-shop");
    assert_eq!((&acts[2]["actor_kind"], &acts[2]["actor"]), (&json!("api_key"), &json!(id)));
    assert_eq!(acts[2]["detail"], json!({ "account": ana, "title": bench.title, "views": null }));
    assert_eq!((&acts[2]["subject"], &acts[2]["at_ms"]), (&json!(entitlement), &json!(NOW_MS + 2)));
    assert!(!trail.to_string().contains("example.org"), "no person is named");
    let one = bench.get(format!("/v1/audit?subject={entitlement}&limit=1")).bearer(&operator).send().await;
    let one = one.expect(200).json();
    assert_eq!(one["audit"][0]["action"], "entitlement.revoke");
    let next = one["next"].as_str().unwrap();
    let rest = bench.get(format!("/v1/audit?subject={entitlement}&cursor={next}")).bearer(&operator);
    let rest = rest.send().await.expect(200).json();
    assert_eq!((&rest["audit"][0]["action"], &rest["next"]), (&json!("entitlement.grant"), &Value::Null));
}

pub async fn keys_are_asked_for_in_range(bench: &Bench) {
    let shop = bench.login("shop@example.org", &[Role::Integrator]).await;
    for (body, status, code) in [
        (json!({ "name": " ", "scopes": ALL, "days": 1 }), 422, "name_invalid"),
        (json!({ "name": "a", "scopes": [], "days": 1 }), 422, "scopes_missing"),
        (json!({ "name": "a", "scopes": ALL, "days": 0 }), 422, "days_out_of_range"),
        (json!({ "name": "a", "scopes": ALL, "days": 367 }), 422, "days_out_of_range"),
        (json!({ "name": "a", "scopes": ["everything"], "days": 1 }), 400, "malformed_request"),
    ] {
        let refused = bench.post("/v1/api-keys", &body).bearer(&shop).send().await.expect(status);
        assert_eq!(refused.code(), code, "{body}");
    }
    let ana = viewer(bench, &shop, "a").await;
    let path = format!("/v1/viewers/{ana}/entitlements");
    for (body, status, code) in [
        (json!({ "title": bench.title, "views": 0 }), 422, "views_out_of_range"),
        (json!({ "title": bench.title, "play_within_ms": 0 }), 422, "window_out_of_range"),
        (json!({ "title": "0190d9e4-0000-7000-8000-000000000000" }), 404, "not_found"),
    ] {
        let refused = bench.post(&path, &body).bearer(&shop).key("k").send().await.expect(status);
        assert_eq!(refused.code(), code, "{body}");
    }
}
