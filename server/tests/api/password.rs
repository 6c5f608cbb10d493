//! The password of an account that is signed in: changed by who knows it, set first by who has just signed in.

use matinee_server::store::account::Role;
use serde_json::{Value, json};

use crate::authenticator::Authenticator;
use crate::bench::{Answer, Bench};
use crate::link::{enter, over, sent, sign_up};
use crate::passkey::register;

const OLD: &str = "correct horse battery staple";
const NEW: &str = "another horse";
const HOUR_MS: i64 = 60 * 60 * 1000;

async fn sign_in(bench: &Bench, password: &str) -> Answer {
    let body = json!({ "email": "ana@example.org", "password": password, "bearer": true });
    bench.post("/v1/sessions", &body).send().await
}

async fn set(bench: &Bench, login: &str, body: Value) -> Answer {
    bench.call("PUT", "/v1/account/password").json(&body).bearer(login).send().await
}

fn token(answer: Answer) -> String {
    answer.expect(201).json()["session_token"].as_str().unwrap().to_owned()
}

pub async fn who_knows_a_password_changes_it(bench: &Bench) {
    let ana = sign_up(bench, "ana@example.org").await;
    let thief = token(sign_in(bench, OLD).await);
    let link = sent(bench, "ana@example.org").await;
    // A session alone, however fresh, is not enough where there is a password.
    let refused = [json!({ "new_password": NEW }), json!({ "password": NEW, "new_password": NEW })];
    for body in refused {
        assert_eq!(set(bench, &thief, body).await.expect(401).code(), "wrong_credentials");
    }
    let short = set(bench, &ana, json!({ "password": OLD, "new_password": "short" })).await.expect(422);
    assert_eq!(short.code(), "password_length");
    sign_in(bench, OLD).await.expect(201);
    set(bench, &ana, json!({ "password": OLD, "new_password": NEW })).await.expect(204);
    // Whoever else was in is out, and the old password is of no use.
    let seen = bench.get("/v1/account").bearer(&ana).send().await.expect(200).json();
    assert_eq!(seen["account"]["has_password"], true);
    bench.get("/v1/account").bearer(&thief).send().await.expect(401);
    sign_in(bench, OLD).await.expect(401);
    over(enter(bench, &link).await, "link_replaced");
    sign_in(bench, NEW).await.expect(201);
}

pub async fn the_first_password_wants_a_fresh_login(bench: &Bench) {
    let ana = bench.login("ana@example.org", &[Role::Viewer]).await;
    register(bench, &ana, &mut Authenticator::new(1)).await;
    let first = || json!({ "new_password": NEW });
    let guess = set(bench, &ana, json!({ "password": "!", "new_password": NEW })).await.expect(401);
    assert_eq!(guess.code(), "wrong_credentials", "what stands for none is none");
    bench.clock.advance_ms(HOUR_MS + 1);
    assert_eq!(set(bench, &ana, first()).await.expect(403).code(), "login_too_old");
    bench.clock.advance_ms(-1);
    set(bench, &ana, first()).await.expect(204);
    let entered = sign_in(bench, NEW).await.expect(201).json();
    assert_eq!(entered["account"]["has_password"], true);
    assert_eq!(set(bench, &ana, first()).await.expect(401).code(), "wrong_credentials", "now there is one");
    let guest = bench.login("x@guest.invalid", &[Role::Guest]).await;
    assert_eq!(set(bench, &guest, first()).await.expect(403).code(), "account_required");
}

pub async fn a_password_is_not_guessed_with_a_session(bench: &Bench) {
    let body = json!({ "email": "ana@example.org", "password": OLD, "name": "Ana", "bearer": true });
    let thief = token(bench.post("/v1/accounts", &body).send().await);
    let mut codes = Vec::new();
    for n in 0..20 {
        let body = json!({ "password": format!("guess number {n}"), "new_password": NEW });
        codes.push(set(bench, &thief, body).await.code());
    }
    assert_eq!(codes.first().unwrap(), "wrong_credentials");
    assert_eq!(codes.last().unwrap(), "sign_in_too_fast");
}
