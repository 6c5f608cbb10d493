//! What is kept about an account, given to its owner; and the account closed while the books stay.

use matinee_server::store::account::Role;
use serde_json::{Value, json};

use crate::bench::{Bench, Device, opening};

const PASSWORD: &str = "correct horse battery staple";

async fn sign_up(bench: &Bench, email: &str) -> String {
    let body = json!({ "email": email, "password": PASSWORD, "name": "Ana Example", "bearer": true });
    let answer = bench.post("/v1/accounts", &body).send().await.expect(201);
    answer.json()["session_token"].as_str().unwrap().to_owned()
}

async fn top_up(bench: &Bench, login: &str, minor: i64) {
    let body = json!({ "amount": { "minor": minor, "currency": "USD" } });
    let key = format!("top-{minor}");
    bench.post("/v1/wallet/top-ups", &body).bearer(login).key(&key).send().await.expect(201);
}

pub async fn an_account_is_exported_whole_and_without_secrets(bench: &Bench) {
    let login = sign_up(bench, "ana@example.org").await;
    top_up(bench, &login, 80).await;
    bench.clock.advance_ms(1);
    let plan = json!({ "plan": bench.plan });
    let bought = bench.post("/v1/purchases", &plan).bearer(&login).key("b").send().await.expect(201).json();
    let entitlement = bought["entitlement"]["id"].as_str().unwrap();
    let phone = Device::new(1);
    bench.open(&login, entitlement.parse().unwrap(), &phone).await.expect(201);
    let operator = bench.login("op@example.org", &[Role::Operator]).await;
    let back = format!("/v1/entitlements/{entitlement}/revocation");
    bench.post(back, &json!({ "reason": "a mistake" })).bearer(&operator).send().await.expect(200);
    let other = sign_up(bench, "eve@example.org").await;
    top_up(bench, &other, 70).await;

    let exported = bench.get("/v1/account/export").bearer(&login).send().await.expect(200).json();
    let tables = &exported["tables"];
    let rows = |name: &str| tables[name].as_array().unwrap_or_else(|| panic!("no {name}")).len();
    assert_eq!(tables["accounts"][0]["email"], "ana@example.org");
    let counts = ["sessions", "payments", "purchases", "entitlements", "views", "key_releases", "devices"];
    assert_eq!(counts.map(rows), [1, 1, 1, 1, 1, 1, 1]);
    assert_eq!(tables["entitlement_events"][0]["note"], "a mistake");
    let titles = ["titles", "collections", "viewer_groups", "audit", "disputes", "tax_lines"];
    assert_eq!(titles.map(rows), [0; 6]);
    assert_eq!(tables["entitlements"][0]["id"], entitlement);
    let money: Vec<_> =
        tables["ledger_entries"].as_array().unwrap().iter().map(|row| row["amount_minor"].clone()).collect();
    assert_eq!(money, [80, -50]);
    let text = exported.to_string();
    assert!(!text.contains("argon2") && !text.contains("eve@") && !text.contains(&login), "{text}");
    assert!(!text.contains("hash"), "{text}");
}

pub async fn a_closed_account_names_nobody_and_the_books_stay(bench: &Bench) {
    let login = sign_up(bench, "ana@example.org").await;
    top_up(bench, &login, 100).await;
    let plan = json!({ "plan": bench.plan });
    let bought = bench.post("/v1/purchases", &plan).bearer(&login).key("b").send().await.expect(201).json();
    let entitlement = bought["entitlement"]["id"].as_str().unwrap().parse().unwrap();
    let phone = Device::new(1);
    let opened = opening(&bench.open(&login, entitlement, &phone).await.expect(201));
    let id = bench.get("/v1/account").bearer(&login).send().await.expect(200).json()["account"]["id"].clone();
    let close =
        |password: &str| bench.post("/v1/account/closure", &json!({ "password": password })).bearer(&login);
    assert_eq!(close("another password").send().await.expect(401).code(), "wrong_credentials");
    let without = bench.post("/v1/account/closure", &json!({})).bearer(&login).send().await.expect(401);
    assert_eq!(without.code(), "wrong_credentials", "a password that there is must be named");
    assert_eq!(close(PASSWORD).send().await.expect(409).code(), "wallet_not_empty");
    bench.post("/v1/purchases", &plan).bearer(&login).key("c").send().await.expect(201);
    let operator = bench.login("op@example.org", &[Role::Operator]).await;
    let before = bench.get("/v1/ledger/balance").bearer(&operator).send().await.expect(200).json();
    close(PASSWORD).send().await.expect(204);

    // Nothing of it can be used.
    bench.get("/v1/account").bearer(&login).send().await.expect(401);
    let again = json!({ "email": "ana@example.org", "password": PASSWORD });
    bench.post("/v1/sessions", &again).send().await.expect(401);
    let refused = bench.license(opened.view, &opened.view_token, &phone, 0).await.expect(403);
    assert_eq!(refused.code(), "entitlement_revoked");
    // The books are what they were, and the address is free again.
    let after = bench.get("/v1/ledger/balance").bearer(&operator).send().await.expect(200).json();
    assert_eq!(after, before);
    assert_eq!(bench.balance().await, 3);
    sign_up(bench, "ana@example.org").await;
    let trail = bench.get("/v1/audit").bearer(&operator).send().await.expect(200).json();
    assert_eq!((&trail["audit"][0]["action"], &trail["audit"][0]["subject"]), (&json!("account.close"), &id));
    let mut tx = bench.app.store.read().await.unwrap();
    let id = id.as_str().unwrap().parse().unwrap();
    let row = matinee_server::store::account::by_id(&mut tx, id).await.unwrap().unwrap();
    assert_eq!((row.name.as_str(), row.roles.as_slice()), ("closed account", &[Role::Viewer][..]));
    assert!(!row.email.contains("ana"), "{}", row.email);
}

pub async fn who_publishes_hands_titles_over_first(bench: &Bench) {
    let login = sign_up(bench, "pub@example.org").await;
    let mut tx = bench.app.store.write().await.unwrap();
    let found = matinee_server::store::account::by_email(&mut tx, "pub@example.org").await.unwrap().unwrap();
    matinee_server::store::account::set_roles(&mut tx, found.id, &[Role::Viewer, Role::Publisher])
        .await
        .unwrap();
    tx.commit().await.unwrap();
    bench.post("/v1/titles", &json!({ "name": "Sintel" })).bearer(&login).send().await.expect(201);
    let close = bench.post("/v1/account/closure", &json!({ "password": PASSWORD })).bearer(&login);
    assert_eq!(close.send().await.expect(409).code(), "account_needed");
}

pub async fn an_integrator_closes_its_viewer(bench: &Bench) {
    let shop = bench.login("shop@example.org", &[Role::Integrator]).await;
    let viewer =
        |reference: &str| bench.post("/v1/viewers", &json!({ "reference": reference })).bearer(&shop).send();
    let made = viewer("a").await.expect(201).json()["viewer"]["id"].clone();
    let path = format!("/v1/viewers/{}", made.as_str().unwrap());
    bench.call("DELETE", &path).bearer(&shop).send().await.expect(204);
    bench.call("DELETE", &path).bearer(&shop).send().await.expect(404);
    let new = viewer("a").await.expect(201).json()["viewer"]["id"].clone();
    assert_ne!((&new, &new), (&made, &Value::Null));
}
