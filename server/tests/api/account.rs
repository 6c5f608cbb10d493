//! Accounts and logins.

use matinee_server::config::Config;
use matinee_server::store::account::Role;
use serde_json::{Value, json};

use crate::bench::{Bench, URL};

const PASSWORD: &str = "correct horse battery staple";

fn sign_up(email: &str) -> Value {
    json!({ "email": email, "password": PASSWORD, "name": "Ana" })
}

pub async fn a_viewer_signs_up_with_a_cookie_and_signs_out(bench: &Bench) {
    let answer = bench.post("/v1/accounts", &sign_up("Ana@Example.org")).send().await.expect(201);
    let mut body = answer.json();
    assert!(body["account"]["id"].take().is_string());
    let account = json!({
        "id": null, "email": "ana@example.org", "name": "Ana", "roles": ["viewer"],
        "email_verified": false, "has_password": true, "wallet": { "minor": 0, "currency": "USD" },
    });
    assert_eq!(body, json!({ "account": account }), "a cookie, and no token in the body");

    let cookie = answer.header("set-cookie");
    for part in ["HttpOnly", "SameSite=Lax", "Secure", "Path=/", "Max-Age=2592000"] {
        assert!(cookie.split("; ").any(|one| one == part), "{part} in {cookie}");
    }
    let pair = cookie.split(';').next().unwrap().to_owned();
    let shown = bench.get("/v1/account").header("cookie", &pair).send().await.expect(200);
    assert_eq!(shown.json()["account"]["email"], "ana@example.org");

    for origin in
        [None, Some("https://evil.example"), Some("null"), Some("https://cinema.example.evil.example")]
    {
        let mut call = bench.call("DELETE", "/v1/sessions/current").header("cookie", &pair);
        if let Some(origin) = origin {
            call = call.header("origin", origin);
        }
        assert_eq!(call.send().await.expect(403).code(), "origin_mismatch", "{origin:?}");
    }
    let end = bench.call("DELETE", "/v1/sessions/current").header("cookie", &pair).header("origin", URL);
    let ended = end.send().await.expect(204);
    assert!(ended.header("set-cookie").contains("Max-Age=0"), "{ended:?}");
    let after = bench.get("/v1/account").header("cookie", &pair).send().await.expect(401);
    assert_eq!(after.code(), "session_required");
    assert_eq!(after.header("www-authenticate"), "Bearer");
}

pub async fn a_program_signs_in_with_a_bearer_token(bench: &Bench) {
    bench.post("/v1/accounts", &sign_up("ana@example.org")).send().await.expect(201);
    let sign_in = json!({ "email": "ana@example.org", "password": PASSWORD });
    for (path, body) in [("/v1/accounts", sign_up("eve@example.org")), ("/v1/sessions", sign_in)] {
        let foreign = bench.post(path, &body).header("origin", "https://evil.example");
        assert_eq!(foreign.send().await.expect(403).code(), "origin_mismatch", "{path}");
    }
    let taken = bench.post("/v1/accounts", &sign_up(" ANA@example.org")).send().await.expect(409);
    assert_eq!(taken.code(), "email_taken");

    let body = json!({ "email": "ANA@example.org", "password": PASSWORD, "bearer": true });
    let answer = bench.post("/v1/sessions", &body).send().await.expect(201);
    assert_eq!(answer.header("set-cookie"), "");
    let token = answer.json()["session_token"].as_str().unwrap().to_owned();
    bench.get("/v1/account").bearer(&token).send().await.expect(200);
    // A bearer token is no cookie: it needs no Origin.
    bench.call("DELETE", "/v1/sessions/current").bearer(&token).send().await.expect(204);
    bench.get("/v1/account").bearer(&token).send().await.expect(401);
}

pub async fn wrong_passwords_and_unknown_emails_look_the_same_and_are_limited(bench: &Bench) {
    bench.post("/v1/accounts", &sign_up("ana@example.org")).send().await.expect(201);
    let wrong = |email: &str| json!({ "email": email, "password": "wrong wrong wrong" });
    let ask = |email: &str| bench.post("/v1/sessions", &wrong(email)).header("x-request-id", "same");
    let known = ask("ana@example.org").send().await.expect(401);
    let unknown = ask("bob@example.org").send().await.expect(401);
    assert_eq!(known.json(), unknown.json());
    assert_eq!(known.code(), "wrong_credentials");
    // One attempt was the sign-up, one failed: eight more of ten are left.
    for _ in 0..8 {
        bench.post("/v1/sessions", &wrong("ana@example.org")).send().await.expect(401);
    }
    let limited = bench.post("/v1/sessions", &wrong("ana@example.org")).send().await.expect(429);
    assert_eq!((limited.code().as_str(), limited.header("retry-after")), ("sign_in_too_fast", "60"));
    bench.post("/v1/sessions", &wrong("bob@example.org")).send().await.expect(401);
}

#[tokio::test]
async fn a_password_is_not_guessed_from_many_places_at_once() {
    let mut config = Config::default();
    config.account.sign_in_attempts_per_minute_max = 1;
    let bench = Bench::with(config).await;
    let guess = |email: &str, from: &str| {
        let body = json!({ "email": email, "password": "wrong wrong wrong" });
        bench.post("/v1/sessions", &body).from(from).send()
    };
    // Whoever has an IPv6 address has all of its network's.
    guess("ana@example.org", "2001:db8::1").await.expect(401);
    guess("ana@example.org", "2001:db8::2:1").await.expect(429);
    guess("ana@example.org", "2001:db8:0:1::1").await.expect(401);
    // Two of thirty are gone; an allowance comes back while the test runs, a little of it.
    let mut places = 0;
    while places < 40 && guess("ana@example.org", &format!("192.0.2.{places}")).await.status == 401 {
        places += 1;
    }
    assert!((28..40).contains(&places), "{places}");
    guess("bob@example.org", "192.0.2.200").await.expect(401);
}

#[tokio::test]
async fn bodies_are_checked() {
    let bench = Bench::new().await;
    let with = |key: &str, value: Value| {
        let mut body = sign_up("ana@example.org");
        body[key] = value;
        body
    };
    let table = [
        (with("email", json!("nobody")), 422, "email_invalid"),
        (with("email", json!("a b@c.d")), 422, "email_invalid"),
        (with("email", json!(format!("{}@c.d", "a".repeat(254)))), 422, "email_invalid"),
        (with("email", json!("closed-1@Accounts.invalid")), 422, "email_invalid"),
        (with("email", json!("ana@invalid.")), 422, "email_invalid"),
        (with("name", json!("  ")), 422, "name_invalid"),
        (with("name", json!("a\u{7}")), 422, "name_invalid"),
        (with("password", json!("short")), 422, "password_length"),
        (with("password", json!("a".repeat(513))), 422, "password_length"),
        (with("role", json!("operator")), 400, "malformed_request"),
        (json!({ "email": "a@b.c" }), 400, "malformed_request"),
        (with("name", json!("n".repeat(70_000))), 413, "body_too_large"),
    ];
    for (body, status, code) in table {
        let answer = bench.post("/v1/accounts", &body).send().await.expect(status);
        assert_eq!(answer.code(), code, "{}", body.to_string().chars().take(80).collect::<String>());
    }
    let not_json = bench.call("POST", "/v1/accounts").body(b"\xff{".to_vec()).send().await.expect(400);
    assert_eq!(not_json.code(), "malformed_request");
}

#[tokio::test]
async fn an_operator_may_close_sign_up() {
    let mut config = Config::default();
    config.account.open = false;
    let bench = Bench::with(config).await;
    let answer = bench.post("/v1/accounts", &sign_up("ana@example.org")).send().await.expect(403);
    assert_eq!(answer.code(), "accounts_closed");
    let body = json!({ "email": "ana@example.org", "name": "Ana" });
    let answer = bench.post("/v1/passkey-challenges/account", &body).send().await.expect(403);
    assert_eq!(answer.code(), "accounts_closed");
}

#[tokio::test]
async fn publishers_add_titles_and_plans() {
    let bench = Bench::new().await;
    let login = bench.login("p@example.org", &[Role::Publisher]).await;
    let title =
        bench.post("/v1/titles", &json!({ "name": " Sintel " })).bearer(&login).send().await.expect(201);
    let title = title.json()["title"].clone();
    assert_eq!(
        title,
        json!({ "id": title["id"], "name": "Sintel", "publisher": "Somebody", "plans": [], "release": null })
    );
    let terms = json!({
        "kind": "rental", "price": { "minor": 50, "currency": "USD" },
        "start_within_ms": 1000, "play_within_ms": 500, "views": null,
    });
    let path = format!("/v1/titles/{}/plans", title["id"].as_str().unwrap());
    let plan = bench.post(&path, &terms).bearer(&login).send().await.expect(201).json()["plan"].clone();
    let shown = bench.get(format!("/v1/titles/{}", title["id"].as_str().unwrap())).send().await.expect(200);
    assert_eq!(shown.json()["title"]["plans"], json!([plan]));
    let foreign = bench.post(format!("/v1/titles/{}/plans", bench.title), &terms).bearer(&login).send().await;
    assert_eq!(foreign.expect(404).code(), "not_found");
    let with = |key: &str, value: Value| {
        let mut terms = terms.clone();
        terms[key] = value;
        terms
    };
    for (terms, code) in [
        (with("kind", json!("loan")), "plan_kind_unknown"),
        (with("price", json!({ "minor": -1, "currency": "USD" })), "price_out_of_range"),
        (with("price", json!({ "minor": 1, "currency": "EUR" })), "currency_unknown"),
        (with("start_within_ms", json!(0)), "window_out_of_range"),
        (with("views", json!(0)), "views_out_of_range"),
    ] {
        let answer = bench.post(&path, &terms).bearer(&login).send().await.expect(422);
        assert_eq!(answer.code(), code, "{terms}");
    }
}
