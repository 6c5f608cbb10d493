//! Where an account is signed in, and pages of other sites that would use its cookie.

use matinee_server::router::{Authority, ROUTES};
use matinee_server::store::account::Role;
use serde_json::{Value, json};

use crate::bench::{Bench, DAY_MS, URL};

const PASSWORD: &str = "correct horse battery staple";

/// Signs up with a cookie and gives the cookie's pair.
async fn cookie(bench: &Bench, email: &str) -> String {
    let body = json!({ "email": email, "password": PASSWORD, "name": "Ana" });
    let answer = bench.post("/v1/accounts", &body).header("user-agent", "Browser/1").send().await.expect(201);
    answer.header("set-cookie").split(';').next().unwrap().to_owned()
}

async fn sign_in(bench: &Bench, email: &str, agent: &str) -> String {
    let body = json!({ "email": email, "password": PASSWORD, "bearer": true });
    let answer = bench.post("/v1/sessions", &body).header("user-agent", agent).send().await.expect(201);
    answer.json()["session_token"].as_str().unwrap().to_owned()
}

async fn sessions(bench: &Bench, token: &str) -> Vec<Value> {
    let listed = bench.get("/v1/sessions").bearer(token).send().await.expect(200).json();
    listed["sessions"].as_array().unwrap().clone()
}

pub async fn logins_are_listed_and_ended_one_by_one_and_all_at_once(bench: &Bench) {
    cookie(bench, "ana@example.org").await;
    bench.clock.advance_ms(1);
    let phone = sign_in(bench, "ana@example.org", "Phone/2").await;
    bench.clock.advance_ms(1);
    let laptop = sign_in(bench, "ana@example.org", &"L".repeat(500)).await;
    let listed = sessions(bench, &phone).await;
    let agents: Vec<_> = listed.iter().map(|one| one["agent"].as_str().unwrap().to_owned()).collect();
    assert_eq!(agents, ["L".repeat(200), "Phone/2".to_owned(), "Browser/1".to_owned()]);
    let current: Vec<_> = listed.iter().map(|one| one["current"].as_bool().unwrap()).collect();
    assert_eq!(current, [false, true, false]);
    assert!(!json!(listed).to_string().contains(&phone), "no token is told");

    let end = |token: &str, id: &Value| {
        bench.call("DELETE", format!("/v1/sessions/{}", id.as_str().unwrap())).bearer(token)
    };
    let bob = bench.login("bob@example.org", &[Role::Viewer]).await;
    end(&bob, &listed[0]["id"]).send().await.expect(404);
    end(&phone, &listed[0]["id"]).send().await.expect(204);
    bench.get("/v1/account").bearer(&laptop).send().await.expect(401);
    end(&phone, &listed[0]["id"]).send().await.expect(404);
    assert_eq!(sessions(bench, &phone).await.len(), 2);

    bench.call("DELETE", "/v1/sessions").bearer(&phone).send().await.expect(204);
    bench.get("/v1/account").bearer(&phone).send().await.expect(401);
    bench.get("/v1/account").bearer(&bob).send().await.expect(200);
    let again = sign_in(bench, "ana@example.org", "Phone/2").await;
    assert_eq!(sessions(bench, &again).await.len(), 1);
}

pub async fn a_login_ends_with_its_last_day(bench: &Bench) {
    let pair = cookie(bench, "ana@example.org").await;
    let account = async || bench.get("/v1/account").header("cookie", &pair).send().await.status.as_u16();
    bench.clock.advance_ms(i64::from(bench.app.config.account.session_days) * DAY_MS - 1);
    assert_eq!(account().await, 200);
    bench.clock.advance_ms(1);
    assert_eq!(account().await, 401);
    matinee_server::job::sweep(&bench.app).await.unwrap();
    assert_eq!(account().await, 401);
}

/// What a page of another site can make a browser send, with this site's cookie, to every route that changes something.
pub async fn no_page_of_another_site_acts_with_the_cookie(bench: &Bench) {
    let pair = cookie(bench, "ana@example.org").await;
    let attacks: [&[(&'static str, &str)]; 8] = [
        &[],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("origin", "http://cinema.example")],
        &[("origin", "https://cinema.example:444")],
        &[("origin", "https://cinema.example"), ("sec-fetch-site", "cross-site")],
        &[("origin", "https://cinema.example"), ("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "cross-site"), ("content-type", "text/plain")],
    ];
    let id = "0190d9e4-0000-7000-8000-000000000000";
    for route in ROUTES {
        let by_cookie = !matches!(
            route.authority,
            Authority::None | Authority::View | Authority::Swarm | Authority::Signaling
        );
        if !by_cookie || matches!(route.method, "GET" | "HEAD") {
            continue;
        }
        let parts = route.path.split('/').map(|part| match part {
            "{file}" => "0",
            part if part.starts_with('{') => id,
            part => part,
        });
        let path = parts.collect::<Vec<_>>().join("/");
        for headers in attacks {
            let mut call = bench.call(route.method, &path).json(&json!({})).header("cookie", &pair);
            for (name, value) in headers {
                call = call.header(name, *value);
            }
            let refused = call.send().await.expect(403);
            assert_eq!(refused.code(), "origin_mismatch", "{} {path} {headers:?}", route.method);
        }
    }
    // Signing in and up need no cookie, and still nobody is signed in from elsewhere.
    let ways_in = [
        "/v1/sessions",
        "/v1/accounts",
        "/v1/embed-sessions",
        "/v1/guests",
        "/v1/passkey-challenges",
        "/v1/passkey-challenges/account",
        "/v1/sign-in-links",
        "/v1/sign-in-link-sessions",
    ];
    for path in ways_in {
        let body = match path {
            "/v1/sign-in-links" => json!({ "email": "eve@example.org" }),
            "/v1/sign-in-link-sessions" => json!({ "token": "t", "email": "eve@example.org" }),
            "/v1/passkey-challenges" | "/v1/guests" => json!({}),
            "/v1/passkey-challenges/account" => json!({ "email": "eve@example.org", "name": "Eve" }),
            "/v1/embed-sessions" => json!({ "token": "t" }),
            "/v1/sessions" => json!({ "email": "eve@example.org", "password": PASSWORD }),
            _ => json!({ "email": "eve@example.org", "password": PASSWORD, "name": "Eve" }),
        };
        let refused = bench.post(path, &body).header("sec-fetch-site", "cross-site").send().await.expect(403);
        assert_eq!(refused.code(), "origin_mismatch", "{path}");
    }
    // The site's own page may.
    let own = bench.call("DELETE", "/v1/sessions/current").header("cookie", &pair).header("origin", URL);
    own.header("sec-fetch-site", "same-origin").send().await.expect(204);
}
