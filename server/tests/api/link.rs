//! Links to sign in with: sent to who has an account, to nobody else, and good once.

use std::time::Duration;

use futures_util::future::join_all;
use matinee_protocol::id::AccountId;
use matinee_server::config::Config;
use matinee_server::store::Store;
use matinee_server::store::account::{self, Role};
use matinee_server::store::outbox::{self, Message, Outcome};
use matinee_server::store::sign_in_link;
use serde_json::{Value, json};

use crate::authenticator::Authenticator;
use crate::bench::{Answer, Bench, DAY_MS, Device, URL, opening};
use crate::passkey::{patient, register};

const PASSWORD: &str = "correct horse battery staple";
const LINK_MS: i64 = 15 * 60 * 1000;

/// Emails are written, for a mail server that is not there.
pub fn writing() -> Config {
    let mut config = crate::outbox::writing();
    config.account = patient().account;
    config
}

/// Asks for a link and gives the browser's cookie.
async fn ask(bench: &Bench, email: &str) -> String {
    let asked = bench.post("/v1/sign-in-links", &json!({ "email": email })).send().await.expect(202);
    let cookie = asked.header("set-cookie");
    for part in ["; HttpOnly", "; SameSite=Strict", "; Secure", "; Path=/v1/sign-in-link-sessions"] {
        assert!(cookie.contains(part), "{part} in {cookie}");
    }
    cookie.split(';').next().unwrap().to_owned()
}

/// The letters that are waiting, once there are so many, as if they were delivered; what is written is written after the
/// answer.
async fn letters(bench: &Bench, count: usize) -> Vec<Message> {
    let mut found: Vec<Message> = Vec::new();
    for _ in 0..50 {
        let mut tx = bench.app.store.write().await.unwrap();
        let taken = outbox::take(&mut tx, bench.clock_ms()).await.unwrap();
        for letter in &taken {
            let outcome = Outcome { status: None, error: None, took_ms: 1 };
            outbox::finish(&mut tx, letter, &outcome, bench.clock_ms()).await.unwrap();
        }
        found.extend(taken);
        tx.commit().await.unwrap();
        if found.len() >= count && count > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(found.len(), count, "{found:?}");
    found
}

fn text(letter: &Message) -> String {
    let payload: Value = serde_json::from_str(&letter.payload).unwrap();
    payload["text"].as_str().unwrap().to_owned()
}

fn token(letter: &Message) -> String {
    let text = text(letter);
    let link = text.split_whitespace().find(|word| word.contains("/sign-in-link")).expect("a link");
    link.strip_prefix(&format!("{URL}/sign-in-link#")).expect(link).to_owned()
}

/// Asks, and gives the token of the letter and the browser's cookie.
pub async fn sent(bench: &Bench, email: &str) -> (String, String) {
    let cookie = ask(bench, email).await;
    (token(&letters(bench, 1).await[0]), cookie)
}

pub async fn enter(bench: &Bench, (token, cookie): &(String, String)) -> Answer {
    let body = json!({ "token": token, "bearer": true });
    bench.post("/v1/sign-in-link-sessions", &body).header("cookie", cookie).send().await
}

#[track_caller]
pub fn over(answer: Answer, code: &str) {
    assert_eq!(answer.expect(401).code(), code);
}

/// Opens an account with a password; whose the address is nobody knows.
async fn open(bench: &Bench, email: &str) -> (AccountId, String) {
    let body = json!({ "email": email, "password": PASSWORD, "name": "Ana", "bearer": true });
    let opened = bench.post("/v1/accounts", &body).send().await.expect(201).json();
    let id = opened["account"]["id"].as_str().unwrap().parse().unwrap();
    (id, opened["session_token"].as_str().unwrap().to_owned())
}

/// The same, of somebody who has confirmed the address.
pub async fn sign_up(bench: &Bench, email: &str) -> String {
    let (id, login) = open(bench, email).await;
    let mut tx = bench.app.store.write().await.unwrap();
    assert!(account::verify_email(&mut tx, id, bench.clock_ms()).await.unwrap());
    tx.commit().await.unwrap();
    login
}

async fn sign_in(bench: &Bench, email: &str, password: &str) -> Answer {
    bench.post("/v1/sessions", &json!({ "email": email, "password": password })).send().await
}

async fn sessions(bench: &Bench, login: &str) -> usize {
    let listed = bench.get("/v1/sessions").bearer(login).send().await.expect(200).json();
    listed["sessions"].as_array().unwrap().len()
}

pub async fn a_link_signs_in_once(bench: &Bench) {
    sign_up(bench, "ana@example.org").await;
    let bob = sign_up(bench, "bob@example.org").await;
    let cookie = ask(bench, " Ana@Example.org ").await;
    let letter = letters(bench, 1).await.remove(0);
    assert_eq!(letter.recipient.as_deref(), Some("ana@example.org"));
    assert!(text(&letter).contains("on 18 November 2026"), "since when the account is there");
    assert_eq!(letter.until_ms, bench.clock_ms() + LINK_MS);
    let ana = (token(&letter), cookie);
    // What looks at links in mailboxes does so by GET, and without what stands behind the `#`.
    bench.get("/sign-in-link").send().await.expect(200);
    bench.get(format!("/sign-in-link?{}", ana.0)).send().await.expect(200);
    bench.get("/v1/sign-in-link-sessions").send().await.expect(405);
    let body = json!({ "token": ana.0 });
    let call = bench.post("/v1/sign-in-link-sessions", &body).header("cookie", &ana.1);
    let entered = call.header("user-agent", "Phone/2").header("origin", URL).send().await.expect(201);
    assert_eq!(entered.json()["account"]["email"], "ana@example.org");
    assert_eq!(entered.json().get("session_token"), None);
    let login = entered.header("set-cookie").split(';').next().unwrap().to_owned();
    let listed = bench.get("/v1/sessions").header("cookie", &login).send().await.expect(200).json();
    assert_eq!(listed["sessions"].as_array().unwrap().len(), 2);
    assert!(listed["sessions"].as_array().unwrap().iter().any(|one| one["agent"] == "Phone/2"));
    assert_eq!(sessions(bench, &bob).await, 1, "nobody else is signed in");
    over(enter(bench, &ana).await, "link_used");
    over(enter(bench, &("guess".to_owned(), ana.1.clone())).await, "link_unknown");
    // To the millisecond.
    let late = sent(bench, "ana@example.org").await;
    bench.clock.advance_ms(LINK_MS - 1);
    enter(bench, &late).await.expect(201);
    let late = sent(bench, "ana@example.org").await;
    bench.clock.advance_ms(LINK_MS);
    over(enter(bench, &late).await, "link_expired");
    // It is forgotten a day later.
    bench.clock.advance_ms(DAY_MS - 1);
    matinee_server::job::sweep(&bench.app).await.unwrap();
    over(enter(bench, &late).await, "link_expired");
    bench.clock.advance_ms(1);
    matinee_server::job::sweep(&bench.app).await.unwrap();
    over(enter(bench, &late).await, "link_unknown");
}

pub async fn only_the_newest_link_of_an_account_is_good(bench: &Bench) {
    let ana = sign_up(bench, "ana@example.org").await;
    sign_up(bench, "bob@example.org").await;
    let bobs = sent(bench, "bob@example.org").await;
    let first = sent(bench, "ana@example.org").await;
    let second = sent(bench, "ana@example.org").await;
    over(enter(bench, &first).await, "link_replaced");
    enter(bench, &second).await.expect(201);
    enter(bench, &bobs).await.expect(201);
    // Who closes the account ends its links.
    let third = sent(bench, "ana@example.org").await;
    let body = json!({ "password": PASSWORD });
    bench.post("/v1/account/closure", &body).bearer(&ana).send().await.expect(204);
    over(enter(bench, &third).await, "link_unknown");
    ask(bench, "ana@example.org").await;
    letters(bench, 0).await;
}

pub async fn nobody_is_told_who_has_an_account(bench: &Bench) {
    sign_up(bench, "ana@example.org").await;
    let asked = async |email: &str| {
        let answer = bench.post("/v1/sign-in-links", &json!({ "email": email })).send().await.expect(202);
        let shown = |name: &str, value: &str| match name {
            "x-request-id" | "ratelimit" => String::new(),
            "set-cookie" => value.split_once(';').unwrap().1.to_owned(),
            _ => value.to_owned(),
        };
        let headers = answer.headers.iter();
        let headers: Vec<_> = headers
            .map(|(name, value)| (name.clone(), shown(name.as_str(), value.to_str().unwrap())))
            .collect();
        (headers, answer.bytes)
    };
    assert_eq!(asked("ana@example.org").await, asked("eve@example.org").await);
    assert_eq!(asked("not an address").await.1, b"{}");
    let letter = letters(bench, 1).await.remove(0);
    assert_eq!(letter.recipient.as_deref(), Some("ana@example.org"));
    // A mailbox is not filled by asking again and again; what was asked for stays good.
    sent(bench, "ana@example.org").await;
    let third = sent(bench, "ana@example.org").await;
    for _ in 0..5 {
        ask(bench, "ana@example.org").await;
    }
    letters(bench, 0).await;
    enter(bench, &third).await.expect(201);
    bench.clock.advance_ms(LINK_MS - 1);
    ask(bench, "ana@example.org").await;
    letters(bench, 0).await;
    bench.clock.advance_ms(1);
    sent(bench, "ana@example.org").await;
}

pub async fn a_link_is_used_where_it_was_asked_for(bench: &Bench) {
    sign_up(bench, "ana@example.org").await;
    sign_up(bench, "eve@example.org").await;
    let (token, cookie) = sent(bench, "ana@example.org").await;
    let call = |body: &Value| bench.post("/v1/sign-in-link-sessions", body);
    let plain = json!({ "token": token, "bearer": true });
    // From another site's page, whoever's cookie it comes with.
    let foreign: [&[(&'static str, &str)]; 4] = [
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("origin", URL), ("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "cross-site")],
    ];
    for headers in foreign {
        let mut asked = bench.post("/v1/sign-in-links", &json!({ "email": "eve@example.org" }));
        let mut used = call(&plain).header("cookie", &cookie);
        for (name, value) in headers {
            (asked, used) = (asked.header(name, *value), used.header(name, *value));
        }
        assert_eq!(asked.send().await.expect(403).code(), "origin_mismatch", "{headers:?}");
        assert_eq!(used.send().await.expect(403).code(), "origin_mismatch", "{headers:?}");
    }
    letters(bench, 0).await;
    // Who is sent somebody else's link names the own address, and is not signed in to the other's account.
    let elsewhere = async |call: crate::bench::Call<'_>| {
        assert_eq!(call.send().await.expect(403).code(), "link_elsewhere");
    };
    elsewhere(call(&plain)).await;
    let eves = ask(bench, "eve@example.org").await;
    elsewhere(call(&plain).header("cookie", eves)).await;
    elsewhere(call(&plain).header("cookie", "matinee_link=")).await;
    let named = |email: &str| json!({ "token": token, "email": email, "bearer": true });
    elsewhere(call(&named("eve@example.org"))).await;
    elsewhere(call(&named(""))).await;
    // None of this has used it.
    let entered = call(&named(" ANA@example.org")).send().await.expect(201).json();
    assert_eq!(entered["account"]["email"], "ana@example.org");
}

pub async fn a_link_sets_another_password(bench: &Bench) {
    let old = sign_up(bench, "ana@example.org").await;
    let bob = sign_up(bench, "bob@example.org").await;
    let (token, cookie) = sent(bench, "ana@example.org").await;
    let with = |password: &str| {
        let body = json!({ "token": token, "new_password": password, "bearer": true });
        bench.post("/v1/sign-in-link-sessions", &body).header("cookie", &cookie)
    };
    // What is refused costs no link.
    assert_eq!(with("short").send().await.expect(422).code(), "password_length");
    let entered = with("another horse").send().await.expect(201).json();
    // Whoever knew the old password is out.
    bench.get("/v1/account").bearer(&old).send().await.expect(401);
    assert_eq!(sessions(bench, entered["session_token"].as_str().unwrap()).await, 1);
    sign_in(bench, "ana@example.org", PASSWORD).await.expect(401);
    sign_in(bench, "ana@example.org", "another horse").await.expect(201);
    over(with("a third horse").send().await, "link_used");
    sign_in(bench, "ana@example.org", "another horse").await.expect(201);
    assert_eq!(sessions(bench, &bob).await, 1);
    sign_in(bench, "bob@example.org", PASSWORD).await.expect(201);
}

/// Account pre-hijacking (Sudhodanan and Paverd, "Pre-hijacked accounts", USENIX Security 2022): Eve opens an account under
/// Ana's address, adds whatever opens it, stays signed in and waits until Ana comes.
pub async fn who_opened_an_account_under_anothers_address_is_out(bench: &Bench) {
    let (_, eve) = open(bench, "ana@example.org").await;
    let mut passkey = Authenticator::new(1);
    register(bench, &eve, &mut passkey).await;
    let seen = bench.get("/v1/account").bearer(&eve).send().await.expect(200).json();
    assert_eq!(seen["account"]["email_verified"], false);
    let amount = json!({ "amount": { "minor": 50, "currency": "USD" } });
    bench.post("/v1/wallet/top-ups", &amount).bearer(&eve).key("top").send().await.expect(201);
    let plan = json!({ "plan": bench.plan });
    let bought = bench.post("/v1/purchases", &plan).bearer(&eve).key("buy").send().await.expect(201).json();
    let phone = Device::new(1);
    let bought = bought["entitlement"]["id"].as_str().unwrap().parse().unwrap();
    let view = opening(&bench.open(&eve, bought, &phone).await.expect(201));
    bench.license(view.view, &view.view_token, &phone, 0).await.expect(200);
    letters(bench, 1).await; // the receipt
    let link = sent(bench, "ana@example.org").await;
    // Whoever is signed in keeps no link from the mailbox's owner, by setting another password again and again.
    for _ in 0..2 {
        let body = json!({ "password": PASSWORD, "new_password": PASSWORD });
        bench.call("PUT", "/v1/account/password").json(&body).bearer(&eve).send().await.expect(204);
    }
    let entered = enter(bench, &link).await.expect(201).json();
    assert_eq!(entered["ways_ended"], true);
    assert_eq!(entered["account"]["email_verified"], true);
    let ana = entered["session_token"].as_str().unwrap();
    bench.get("/v1/account").bearer(&eve).send().await.expect(401);
    sign_in(bench, "ana@example.org", PASSWORD).await.expect(401);
    crate::passkey::sign_in(bench, &mut passkey).await.expect(401);
    assert_eq!(sessions(bench, ana).await, 1);
    let refused = bench.license(view.view, &view.view_token, &phone, 1).await.expect(403);
    assert_eq!(refused.code(), "view_ended");
    let devices = bench.get("/v1/devices").bearer(ana).send().await.expect(200).json();
    assert_eq!(devices["devices"], json!([]));
    // From now on it is Ana's: what she adds stays.
    let (token, cookie) = sent(bench, "ana@example.org").await;
    let body = json!({ "token": token, "new_password": "another horse", "bearer": true });
    let set = bench.post("/v1/sign-in-link-sessions", &body).header("cookie", &cookie).send().await;
    assert_eq!(set.expect(201).json().get("ways_ended"), None);
    let again = enter(bench, &sent(bench, "ana@example.org").await).await.expect(201).json();
    assert_eq!(again.get("ways_ended"), None);
    sign_in(bench, "ana@example.org", "another horse").await.expect(201);
}

pub async fn who_confirms_an_address_while_signed_in_keeps_what_is_there(bench: &Bench) {
    let (_, ana) = open(bench, "ana@example.org").await;
    let (_, bob) = open(bench, "bob@example.org").await;
    let mut passkey = Authenticator::new(1);
    register(bench, &ana, &mut passkey).await;
    let with = |login: &str, (token, cookie): &(String, String)| {
        let body = json!({ "token": token, "bearer": true });
        bench.post("/v1/sign-in-link-sessions", &body).header("cookie", cookie).bearer(login)
    };
    let entered = with(&ana, &sent(bench, "ana@example.org").await).send().await.expect(201).json();
    assert_eq!(entered.get("ways_ended"), None);
    assert_eq!(entered["account"]["email_verified"], true);
    bench.get("/v1/account").bearer(&ana).send().await.expect(200);
    sign_in(bench, "ana@example.org", PASSWORD).await.expect(201);
    crate::passkey::sign_in(bench, &mut passkey).await.expect(201);
    // To be signed in to another account says nothing about this one.
    let entered = with(&ana, &sent(bench, "bob@example.org").await).send().await.expect(201).json();
    assert_eq!(entered["ways_ended"], true);
    bench.get("/v1/account").bearer(&bob).send().await.expect(401);
    sign_in(bench, "bob@example.org", PASSWORD).await.expect(401);
    bench.get("/v1/account").bearer(&ana).send().await.expect(200);
}

/// Eve signs in and sets another password at the very moment at which Ana's link is used.
pub async fn races_leave_no_way_in_to_who_was_there_before(bench: &Bench) {
    const EVES: &str = "a horse of Eve's";
    for round in 0..8 {
        let email = &format!("ana{round}@example.org");
        let (_, eve) = &open(bench, email).await;
        let link = &sent(bench, email).await;
        let body = &json!({ "password": PASSWORD, "new_password": EVES });
        let setting = || bench.call("PUT", "/v1/account/password").json(body).bearer(eve).send();
        let (signing, setting) =
            (join_all((0..6).map(|_| sign_in(bench, email, PASSWORD))), join_all((0..6).map(|_| setting())));
        let late = async {
            // What was asked before is looked at, and not yet done.
            tokio::time::sleep(Duration::from_millis(3 * round)).await;
            enter(bench, link).await
        };
        let (entered, signed_in, set) = tokio::join!(late, signing, setting);
        let ana = entered.expect(201).json();
        for answer in signed_in.iter().chain(&set) {
            assert!([201, 204, 401].contains(&answer.status.as_u16()), "{answer:?}");
        }
        assert_eq!(sessions(bench, ana["session_token"].as_str().unwrap()).await, 1, "round {round}");
        for password in [PASSWORD, EVES] {
            sign_in(bench, email, password).await.expect(401);
        }
    }
}

/// A link is used while another is asked for: whoever holds the account first goes first, and neither waits for the other.
pub async fn asking_and_entering_wait_in_one_order(bench: &Bench) {
    let (id, _) = open(bench, "ana@example.org").await;
    let link = sent(bench, "ana@example.org").await;
    let mut tx = bench.app.store.write().await.unwrap();
    assert!(account::hold(&mut tx, id).await.unwrap());
    let asking = async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        sign_in_link::replace(&mut tx, id, bench.clock_ms()).await.unwrap();
        tx.commit().await.unwrap();
    };
    let (entered, ()) = tokio::join!(enter(bench, &link), asking);
    over(entered, "link_replaced");
}

pub async fn races_use_a_link_once(bench: &Bench) {
    let ana = sign_up(bench, "ana@example.org").await;
    let link = sent(bench, "ana@example.org").await;
    let answers = join_all((0..64).map(|_| enter(bench, &link))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    let used = answers.iter().filter(|answer| answer.status == 401 && answer.code() == "link_used");
    assert_eq!(used.count(), 63, "and nothing else happened to them");
    assert_eq!(sessions(bench, &ana).await, 2);
    // As many who ask at once are sent no more than who asks one after the other.
    join_all((0..40).map(|_| ask(bench, "ana@example.org"))).await;
    letters(bench, 2).await;
    letters(bench, 0).await;
}

#[tokio::test]
async fn only_a_hash_of_a_link_is_kept() {
    let bench = Bench::with(writing()).await;
    sign_up(&bench, "ana@example.org").await;
    let (token, cookie) = sent(&bench, "ana@example.org").await;
    assert_eq!(token.len(), 43, "32 random bytes");
    let Store::Sqlite { readers, .. } = &bench.app.store else { panic!("not SQLite") };
    let rows: Vec<(Vec<u8>, Vec<u8>)> = sqlx::query_as("select token_hash, browser_hash from sign_in_links")
        .fetch_all(&mut *readers.lend().await.unwrap())
        .await
        .unwrap();
    let hash = |text: &str| matinee_protocol::encoding::sha256(text.as_bytes()).to_vec();
    assert_eq!(rows, [(hash(&token), hash(cookie.split_once('=').unwrap().1))]);
}

#[tokio::test]
async fn without_a_mail_server_there_are_no_links() {
    let bench = Bench::new().await;
    let asked = bench.post("/v1/sign-in-links", &json!({ "email": "ana@example.org" })).send().await;
    assert_eq!(asked.expect(403).code(), "mail_off");
    let ways = async |bench: &Bench| bench.get("/v1/sign-in").send().await.expect(200).json()["mail"].clone();
    assert_eq!(ways(&bench).await, false);
    assert_eq!(ways(&Bench::with(writing()).await).await, true);
}

#[tokio::test]
async fn guests_and_operators_are_sent_no_link() {
    let bench = Bench::with(writing()).await;
    bench.login("x@guest.invalid", &[Role::Guest]).await;
    bench.login("op@example.org", &[Role::Viewer, Role::Operator]).await;
    ask(&bench, "x@guest.invalid").await;
    ask(&bench, "op@example.org").await;
    letters(&bench, 0).await;
}

#[tokio::test]
async fn asking_and_trying_have_limits() {
    let bench = Bench::with(crate::outbox::writing()).await;
    let ask = |email: String, from: &'static str| {
        bench.post("/v1/sign-in-links", &json!({ "email": email })).from(from).send()
    };
    // An allowance comes back while the test runs, a little of it.
    assert!((10..15).contains(&until_refused(|_| ask("eve@example.org".to_owned(), "192.0.2.1")).await));
    ask("eve@example.org".to_owned(), "192.0.2.2").await.expect(202);
    let many = until_refused(|n| ask(format!("eve{n}@example.org"), "192.0.2.3")).await;
    assert!((60..120).contains(&many), "{many}");
    let guess = |token: &str| {
        let body = json!({ "token": token, "email": "ana@example.org" });
        bench.post("/v1/sign-in-link-sessions", &body).from("192.0.2.4").send()
    };
    assert!((10..15).contains(&until_refused(|_| guess("a")).await));
    guess("b").await.expect(401);
}

/// How many requests are let through before one is too many.
async fn until_refused<W: Future<Output = Answer>>(send: impl Fn(usize) -> W) -> usize {
    for n in 0..200 {
        let answer = send(n).await;
        if answer.status == 429 {
            assert_eq!(answer.code(), "sign_in_too_fast");
            return n;
        }
        // What is done after an answer has its time, so that only the allowance is what runs out.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    200
}
