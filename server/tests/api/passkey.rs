//! Passkeys: registered, used, removed; and what a thief tries with them.

use matinee_server::config::Config;
use matinee_server::store::account::{self, Role};
use matinee_server::store::identity::{self, Identity};
use serde_json::{Value, json};

use crate::authenticator::{Authenticator, PRESENT};
use crate::bench::{Answer, Bench, Call, DAY_MS};

const PASSWORD: &str = "correct horse battery staple";
const MINUTE_MS: i64 = 60 * 1000;

/// Enough attempts for a test.
pub fn patient() -> Config {
    let mut config = Config::default();
    config.account.sign_in_attempts_per_minute_max = 1000;
    config
}

/// Begins a ceremony: its token and the options for the browser.
async fn begin(call: Call<'_>) -> (Value, Value) {
    let asked = call.send().await.expect(201).json();
    (asked["ceremony"].clone(), asked["options"].clone())
}

async fn begin_registration(bench: &Bench, login: &str) -> (Value, Value) {
    begin(bench.call("POST", "/v1/passkey-challenges/registration").bearer(login)).await
}

async fn begin_sign_in(bench: &Bench) -> (Value, Value) {
    begin(bench.post("/v1/passkey-challenges", &json!({}))).await
}

async fn add(bench: &Bench, login: &str, ceremony: &Value, credential: &Value) -> Answer {
    let body = json!({ "ceremony": ceremony, "credential": credential, "name": " Phone " });
    bench.post("/v1/passkeys", &body).bearer(login).send().await
}

pub async fn register(bench: &Bench, login: &str, authenticator: &mut Authenticator) -> Value {
    let (ceremony, options) = begin_registration(bench, login).await;
    let credential = authenticator.create(&options);
    add(bench, login, &ceremony, &credential).await.expect(201).json()["passkey"].clone()
}

async fn enter(bench: &Bench, ceremony: &Value, credential: &Value) -> Answer {
    let body = json!({ "ceremony": ceremony, "credential": credential, "bearer": true });
    bench.post("/v1/passkey-sessions", &body).send().await
}

pub async fn sign_in(bench: &Bench, authenticator: &mut Authenticator) -> Answer {
    let (ceremony, options) = begin_sign_in(bench).await;
    let credential = authenticator.get(&options);
    enter(bench, &ceremony, &credential).await
}

async fn listed(bench: &Bench, login: &str) -> Vec<Value> {
    let listed = bench.get("/v1/passkeys").bearer(login).send().await.expect(200).json();
    listed["passkeys"].as_array().unwrap().clone()
}

fn refused(answer: Answer) {
    assert_eq!(answer.expect(401).code(), "passkey_refused");
}

fn over(answer: Answer) {
    assert_eq!(answer.expect(401).code(), "ceremony_over");
}

pub async fn passkeys_are_registered_used_and_removed(bench: &Bench) {
    let login = bench.login("ana@example.org", &[Role::Viewer]).await;
    let (mut phone, mut laptop) = (Authenticator::new(1), Authenticator::new(2));
    let first = register(bench, &login, &mut phone).await;
    assert_eq!((&first["name"], &first["last_used_at_ms"]), (&json!("Phone"), &Value::Null));
    bench.clock.advance_ms(1);
    register(bench, &login, &mut laptop).await;
    assert_eq!(listed(bench, &login).await.len(), 2);

    bench.clock.advance_ms(1);
    let entered = sign_in(bench, &mut phone).await.expect(201).json();
    assert_eq!(entered["account"]["email"], "ana@example.org");
    let fresh = entered["session_token"].as_str().unwrap();
    bench.get("/v1/account").bearer(fresh).send().await.expect(200);
    let all = listed(bench, fresh).await;
    assert_eq!(all[1]["id"], first["id"], "the newest stands first");
    assert_eq!(all[1]["last_used_at_ms"], bench.clock_ms());
    assert_eq!(all[0]["last_used_at_ms"], Value::Null);

    let path = format!("/v1/passkeys/{}", first["id"].as_str().unwrap());
    let name = |name: &str| bench.call("PUT", &path).json(&json!({ "name": name })).bearer(&login);
    name("Old phone").send().await.expect(204);
    assert_eq!(name(" ").send().await.expect(422).code(), "name_invalid");
    assert_eq!(listed(bench, &login).await[1]["name"], "Old phone");
    let eve = bench.login("eve@example.org", &[Role::Viewer]).await;
    let by_eve = bench.call("PUT", &path).json(&json!({ "name": "Mine" })).bearer(&eve);
    by_eve.send().await.expect(404);
    bench.call("DELETE", &path).bearer(&eve).send().await.expect(404);
    bench.call("DELETE", &path).bearer(&login).send().await.expect(204);
    refused(sign_in(bench, &mut phone).await);
    sign_in(bench, &mut laptop).await.expect(201);
    // The account has no password: its last passkey stays.
    let last = format!("/v1/passkeys/{}", listed(bench, &login).await[0]["id"].as_str().unwrap());
    let refused = bench.call("DELETE", &last).bearer(&login).send().await.expect(409);
    assert_eq!(refused.code(), "last_way_in");
    assert_eq!(listed(bench, &login).await.len(), 1);
}

pub async fn an_answer_is_taken_once(bench: &Bench) {
    let login = bench.login("ana@example.org", &[Role::Viewer]).await;
    let mut phone = Authenticator::new(1);
    register(bench, &login, &mut phone).await;
    let (ceremony, options) = begin_sign_in(bench).await;
    let credential = phone.get(&options);
    enter(bench, &ceremony, &credential).await.expect(201);
    over(enter(bench, &ceremony, &credential).await);
    // Under another ceremony it answers another challenge.
    let (other, _) = begin_sign_in(bench).await;
    refused(enter(bench, &other, &credential).await);
    // An answer that was refused has taken its ceremony with it.
    over(enter(bench, &other, &phone.get(&options)).await);
    let (late, options) = begin_sign_in(bench).await;
    bench.clock.advance_ms(5 * MINUTE_MS - 1);
    let (in_time, in_time_options) = (late.clone(), options.clone());
    enter(bench, &in_time, &phone.get(&in_time_options)).await.expect(201);
    let (late, options) = begin_sign_in(bench).await;
    bench.clock.advance_ms(5 * MINUTE_MS);
    over(enter(bench, &late, &phone.get(&options)).await);
    over(enter(bench, &json!("nothing"), &phone.get(&options)).await);
}

pub async fn a_passkey_opens_its_own_account_only(bench: &Bench) {
    let ana = bench.login("ana@example.org", &[Role::Viewer]).await;
    let eve = bench.login("eve@example.org", &[Role::Viewer]).await;
    let (mut anas, mut eves) = (Authenticator::new(1), Authenticator::new(2));
    register(bench, &ana, &mut anas).await;
    register(bench, &eve, &mut eves).await;
    // Eve's own answer says that it is Ana's.
    let (ceremony, options) = begin_sign_in(bench).await;
    let own = eves.handle.clone();
    eves.handle.clone_from(&anas.handle);
    refused(enter(bench, &ceremony, &eves.get(&options)).await);
    // Eve signs under the name of Ana's passkey.
    let (ceremony, options) = begin_sign_in(bench).await;
    let name = std::mem::replace(&mut eves.credential_id, anas.credential_id.clone());
    refused(enter(bench, &ceremony, &eves.get(&options)).await);
    (eves.handle, eves.credential_id) = (own, name);
    sign_in(bench, &mut eves).await.expect(201);
    // Eve registers Ana's passkey as her own.
    let (ceremony, options) = begin_registration(bench, &eve).await;
    let mut copy = Authenticator::new(1);
    let taken = add(bench, &eve, &ceremony, &copy.create(&options)).await.expect(409);
    assert_eq!(taken.code(), "passkey_known");
    // Eve ends what Ana began, and begins one kind and ends another.
    let (ceremony, options) = begin_registration(bench, &ana).await;
    over(add(bench, &eve, &ceremony, &Authenticator::new(3).create(&options)).await);
    let (ceremony, _) = begin_sign_in(bench).await;
    over(add(bench, &eve, &ceremony, &Authenticator::new(3).create(&options)).await);
    let (_, options) = begin_sign_in(bench).await;
    for (begun, body) in [
        ("/v1/passkey-challenges/registration", json!({})),
        ("/v1/passkey-challenges/account", json!({ "email": "new@example.org", "name": "New" })),
    ] {
        let (ceremony, _) = begin(bench.post(begun, &body).bearer(&eve)).await;
        over(enter(bench, &ceremony, &eves.get(&options)).await);
    }
    assert_eq!(listed(bench, &eve).await.len(), 1);
    // A page of another site sends Eve's answer to have somebody signed in as Eve. It is not even taken.
    let (ceremony, options) = begin_sign_in(bench).await;
    let credential = eves.get(&options);
    let body = json!({ "ceremony": ceremony, "credential": credential });
    for (name, value) in [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")] {
        let foreign = bench.post("/v1/passkey-sessions", &body).header(name, value).send().await;
        assert_eq!(foreign.expect(403).code(), "origin_mismatch");
    }
    enter(bench, &ceremony, &credential).await.expect(201);
    sign_in(bench, &mut anas).await.expect(201);
}

pub async fn what_does_not_prove_the_person_is_refused(bench: &Bench) {
    let login = bench.login("ana@example.org", &[Role::Viewer]).await;
    let mut phone = Authenticator::new(1);
    register(bench, &login, &mut phone).await;
    let lies: [fn(&mut Authenticator); 6] = [
        |it| it.origin = "https://cinema.example.evil.example".to_owned(),
        |it| it.origin = "https://cinema.example:444".to_owned(),
        |it| it.origin = "http://cinema.example".to_owned(),
        |it| it.origin = "https://www.cinema.example".to_owned(),
        |it| it.place = "evil.example".to_owned(),
        |it| it.flags = PRESENT,
    ];
    for (at, lie) in lies.into_iter().enumerate() {
        let (ceremony, options) = begin_sign_in(bench).await;
        let mut lying = Authenticator::new(1);
        lying.handle.clone_from(&phone.handle);
        lying.counter = 100;
        lie(&mut lying);
        let answer = enter(bench, &ceremony, &lying.get(&options)).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (401, "passkey_refused".to_owned()), "lie {at}");
        let (ceremony, options) = begin_registration(bench, &login).await;
        let mut lying = Authenticator::new(9);
        lie(&mut lying);
        let answer = add(bench, &login, &ceremony, &lying.create(&options)).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (401, "passkey_refused".to_owned()), "lie {at}");
    }
    // What was registered does not sign in, and the other way round.
    let (ceremony, options) = begin_sign_in(bench).await;
    let mut answer = phone.get(&options);
    let created = phone.create(&json!({ "challenge": options["challenge"], "user": { "id": "" } }));
    answer["response"]["clientDataJSON"] = created["response"]["clientDataJSON"].clone();
    refused(enter(bench, &ceremony, &answer).await);
    assert_eq!(listed(bench, &login).await.len(), 1);
}

pub async fn a_counter_that_goes_back_is_refused(bench: &Bench) {
    let login = bench.login("ana@example.org", &[Role::Viewer]).await;
    let mut phone = Authenticator::new(1);
    register(bench, &login, &mut phone).await;
    sign_in(bench, &mut phone).await.expect(201);
    let used = phone.counter;
    for counter in [used, used - 1, 0] {
        let (ceremony, options) = begin_sign_in(bench).await;
        phone.counter = counter;
        refused(enter(bench, &ceremony, &phone.get_again(&options)).await);
    }
    // Two at once with one counter: one of them is a copy.
    phone.counter = used + 5;
    let (first, one) = begin_sign_in(bench).await;
    let (second, two) = begin_sign_in(bench).await;
    let (one, two) = (phone.get_again(&one), phone.get_again(&two));
    let (one, two) = tokio::join!(enter(bench, &first, &one), enter(bench, &second, &two));
    let mut seen = [one.status.as_u16(), two.status.as_u16()];
    seen.sort_unstable();
    assert_eq!(seen, [201, 401]);
    // Passkeys that travel between devices count nothing.
    let mut synced = Authenticator::new(2);
    synced.counter = 0;
    register(bench, &login, &mut synced).await;
    for _ in 0..3 {
        let (ceremony, options) = begin_sign_in(bench).await;
        enter(bench, &ceremony, &synced.get_again(&options)).await.expect(201);
    }
}

pub async fn an_account_is_opened_with_a_passkey_alone(bench: &Bench) {
    let ask = |email: &str| {
        bench.post("/v1/passkey-challenges/account", &json!({ "email": email, "name": " Ana " }))
    };
    let open = async |ceremony: &Value, credential: &Value| {
        let body = json!({
            "ceremony": ceremony, "credential": credential, "passkey_name": "Phone", "bearer": true,
        });
        bench.post("/v1/passkey-accounts", &body).send().await
    };
    let (mut phone, mut other) = (Authenticator::new(1), Authenticator::new(2));
    let (ceremony, options) = begin(ask("Ana@Example.org")).await;
    let (rival, rival_options) = begin(ask("ana@example.org")).await;
    assert_eq!(options["user"]["name"], "ana@example.org");
    let body = json!({ "ceremony": ceremony, "credential": phone.create(&options), "passkey_name": "Phone" });
    let foreign =
        bench.post("/v1/passkey-accounts", &body).header("sec-fetch-site", "cross-site").send().await;
    assert_eq!(foreign.expect(403).code(), "origin_mismatch");
    let opened = open(&ceremony, &phone.create(&options)).await.expect(201).json();
    let (login, account) = (opened["session_token"].as_str().unwrap(), &opened["account"]);
    assert_eq!(
        (&account["email"], &account["name"], &account["roles"]),
        (&json!("ana@example.org"), &json!("Ana"), &json!(["viewer"]))
    );
    over(open(&ceremony, &phone.create(&options)).await);
    // Who began at the same time comes too late, and nothing of it stays.
    assert_eq!(open(&rival, &other.create(&rival_options)).await.expect(409).code(), "email_taken");
    refused(sign_in(bench, &mut other).await);
    assert_eq!(ask("ana@example.org").send().await.expect(409).code(), "email_taken");
    assert_eq!(ask("ana").send().await.expect(422).code(), "email_invalid");
    sign_in(bench, &mut phone).await.expect(201);
    // No password opens it, not even the one that stands for none.
    for password in ["!", PASSWORD, ""] {
        let body = json!({ "email": "ana@example.org", "password": password });
        let answer = bench.post("/v1/sessions", &body).send().await.expect(401);
        assert_eq!(answer.code(), "wrong_credentials");
    }
    let export = bench.get("/v1/account/export").bearer(login).send().await.expect(200).json();
    assert_eq!(export["tables"]["passkeys"][0]["name"], "Phone");
    assert!(export["tables"]["passkeys"][0].get("credential").is_none());
    // It is closed by a fresh login, and its passkey is forgotten.
    let close = |login: &str| bench.post("/v1/account/closure", &json!({})).bearer(login);
    bench.clock.advance_ms(60 * MINUTE_MS + 1);
    assert_eq!(close(login).send().await.expect(403).code(), "login_too_old");
    let fresh = sign_in(bench, &mut phone).await.expect(201).json();
    close(fresh["session_token"].as_str().unwrap()).send().await.expect(204);
    refused(sign_in(bench, &mut phone).await);
}

/// An identity at a provider that is not configured any more does not open the account.
pub async fn what_lets_nobody_in_is_no_way_in(bench: &Bench) {
    let login = bench.login("ana@example.org", &[Role::Viewer]).await;
    let kept = register(bench, &login, &mut Authenticator::new(1)).await;
    let mut tx = bench.app.store.write().await.unwrap();
    let ana = account::by_email(&mut tx, "ana@example.org").await.unwrap().unwrap();
    let gone = Identity {
        id: uuid::Uuid::from_u128(1),
        issuer: "https://gone.example".to_owned(),
        subject: "ana".to_owned(),
        account: ana.id,
        created_at_ms: bench.clock_ms(),
        last_used_at_ms: None,
    };
    assert!(identity::insert(&mut tx, &gone).await.unwrap());
    tx.commit().await.unwrap();
    let path = format!("/v1/passkeys/{}", kept["id"].as_str().unwrap());
    let refused = bench.call("DELETE", path).bearer(&login).send().await.expect(409);
    assert_eq!(refused.code(), "last_way_in");
}

pub async fn only_a_fresh_login_changes_how_one_signs_in(bench: &Bench) {
    let body = json!({ "email": "ana@example.org", "password": PASSWORD, "name": "Ana", "bearer": true });
    let opened = bench.post("/v1/accounts", &body).send().await.expect(201).json();
    let login = opened["session_token"].as_str().unwrap();
    let mut phone = Authenticator::new(1);
    bench.clock.advance_ms(60 * MINUTE_MS);
    let kept = register(bench, login, &mut phone).await;
    let (ceremony, options) = begin_registration(bench, login).await;
    bench.clock.advance_ms(1);
    let path = "/v1/passkey-challenges/registration";
    let begun = bench.call("POST", path).bearer(login).send().await.expect(403);
    assert_eq!(begun.code(), "login_too_old");
    let added = add(bench, login, &ceremony, &Authenticator::new(2).create(&options)).await.expect(403);
    assert_eq!(added.code(), "login_too_old");
    let kept = format!("/v1/passkeys/{}", kept["id"].as_str().unwrap());
    let removed = bench.call("DELETE", &kept).bearer(login).send().await.expect(403);
    assert_eq!(removed.code(), "login_too_old");
    let identity = "/v1/identities/0190d9e4-0000-7000-8000-000000000000";
    for (method, path) in [("DELETE", identity), ("POST", "/v1/oidc/home/links")] {
        let refused = bench.call(method, path).bearer(login).send().await.expect(403);
        assert_eq!(refused.code(), "login_too_old", "{path}");
    }
    // Signing in with the passkey makes a fresh one; there is a password, so the last passkey may go.
    let fresh = sign_in(bench, &mut phone).await.expect(201).json();
    let fresh = fresh["session_token"].as_str().unwrap();
    bench.call("DELETE", &kept).bearer(fresh).send().await.expect(204);
    bench.clock.advance_ms(DAY_MS);

    let guest = bench.login("guest@guest.invalid", &[Role::Guest]).await;
    let begun = bench.call("POST", path).bearer(&guest).send().await.expect(403);
    assert_eq!(begun.code(), "account_required");
}

#[tokio::test]
async fn an_account_has_so_many_passkeys_and_no_more() {
    let bench = Bench::with(patient()).await;
    let login = bench.login("ana@example.org", &[Role::Viewer]).await;
    for seed in 1..20 {
        register(&bench, &login, &mut Authenticator::new(seed)).await;
    }
    // Two at once for the last place.
    let (first, one) = begin_registration(&bench, &login).await;
    let (second, two) = begin_registration(&bench, &login).await;
    let (one, two) = (Authenticator::new(20).create(&one), Authenticator::new(21).create(&two));
    let (one, two) = tokio::join!(add(&bench, &login, &first, &one), add(&bench, &login, &second, &two));
    let (added, refused) = if one.status == 201 { (one, two) } else { (two, one) };
    added.expect(201);
    assert_eq!(refused.expect(409).code(), "passkeys_too_many");
    assert_eq!(listed(&bench, &login).await.len(), 20);
}

#[tokio::test]
async fn what_runs_out_is_swept() {
    let bench = Bench::new().await;
    for _ in 0..3 {
        begin_sign_in(&bench).await;
    }
    bench.clock.advance_ms(5 * MINUTE_MS);
    matinee_server::job::sweep(&bench.app).await.unwrap();
    let mut tx = bench.app.store.write().await.unwrap();
    let left = matinee_server::store::ceremony::delete_expired(&mut tx, i64::MAX).await.unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn signing_in_from_one_address_has_a_limit() {
    let bench = Bench::new().await;
    let ask = async || bench.post("/v1/passkey-challenges", &json!({})).send().await;
    for _ in 0..60 {
        ask().await.expect(201);
    }
    // The allowance comes back while the test runs, one a second.
    let mut answer = ask().await;
    for _ in 0..60 {
        if answer.status == 429 {
            break;
        }
        answer = ask().await;
    }
    assert_eq!(answer.expect(429).code(), "sign_in_too_fast");
}

#[tokio::test]
async fn the_page_is_told_what_there_is() {
    let bench = Bench::new().await;
    let ways = bench.get("/v1/sign-in").send().await.expect(200).json();
    assert_eq!((&ways["passkeys"], &ways["accounts_open"]), (&json!(true), &json!(true)));
}
