//! What is told outside: signed webhooks to a receiver that checks them, email to a mail server, both with the patience
//! that the outside needs.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use matinee_server::clock::{Clock as _, SystemClock};
use matinee_server::config::Config;
use matinee_server::job::{deliver, renewal};
use matinee_server::letter::{LASTS_MS, Letter};
use matinee_server::store::account::Role;
use matinee_server::store::outbox::{
    self, BACKOFF_FIRST_MS, LEASE_MS, Outcome, WEBHOOK_LASTS_MS, next_at_ms,
};
use matinee_server::store::{Store, Tx};
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::bench::{Bench, DAY_MS, NOW_MS};
use crate::subscription::subscribed;
use crate::terms::price;

/// A place that is told; it answers as the test says.
#[derive(Clone, Default)]
struct Receiver(Arc<Mutex<Received>>);

#[derive(Default)]
struct Received {
    answer: Option<StatusCode>,
    messages: Vec<(HeaderMap, String)>,
}

impl Receiver {
    /// Listens, and gives the URL.
    async fn listen(&self) -> String {
        async fn hear(
            State(receiver): State<Receiver>,
            headers: HeaderMap,
            body: String,
        ) -> (StatusCode, HeaderMap) {
            let mut received = receiver.0.lock().unwrap();
            received.messages.push((headers, body));
            let mut answer = HeaderMap::new();
            answer.insert("location", "/elsewhere".parse().unwrap());
            (received.answer.unwrap_or(StatusCode::NO_CONTENT), answer)
        }
        let routes =
            Router::new().route("/hook", post(hear)).route("/elsewhere", post(hear)).with_state(self.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, routes).await });
        format!("http://{address}/hook")
    }

    fn messages(&self) -> Vec<(HeaderMap, String)> {
        self.0.lock().unwrap().messages.clone()
    }

    fn answer(&self, status: StatusCode) {
        self.0.lock().unwrap().answer = Some(status);
    }
}

/// Webhooks may be on this machine.
pub fn private() -> Config {
    let mut config = Config::default();
    config.outbox.private_webhooks = true;
    config
}

/// Emails are written, for a mail server that is not there.
pub fn writing() -> Config {
    let mut config = Config::default();
    config.outbox.smtp_url = "smtp://127.0.0.1:1".to_owned().into();
    config
}

/// Adds a webhook and gives its id and its secret.
async fn webhook(bench: &Bench, login: &str, url: &str, topics: &[&str]) -> (String, String) {
    let body = json!({ "url": url, "topics": topics });
    let added = bench.post("/v1/webhooks", &body).bearer(login).send().await.expect(201).json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&added["webhook"]["id"]), text(&added["secret"]))
}

async fn deliveries(bench: &Bench, login: &str, webhook: &str) -> Vec<Value> {
    let path = format!("/v1/webhooks/{webhook}/deliveries");
    let listed = bench.get(path).bearer(login).send().await.expect(200).json();
    listed["deliveries"].as_array().unwrap().clone()
}

/// Delivers, and gives the topics that this receiver was told since it was asked last.
async fn told(bench: &Bench, receiver: &Receiver) -> Vec<String> {
    deliver::run(&bench.app).await.unwrap();
    let messages = std::mem::take(&mut receiver.0.lock().unwrap().messages);
    let topic =
        |body: &String| serde_json::from_str::<Value>(body).unwrap()["type"].as_str().unwrap().to_owned();
    let mut topics: Vec<_> = messages.iter().map(|(_, body)| topic(body)).collect();
    topics.sort_unstable();
    topics
}

pub async fn a_purchase_is_told_by_a_signed_message(bench: &Bench) {
    // The library that checks the signature looks at the time too, and takes no other than the machine's.
    let now_ms = SystemClock.now_ms();
    bench.clock.advance_ms(now_ms - NOW_MS);
    let operator = bench.login("op@example.org", &[Role::Operator]).await;
    let receiver = Receiver::default();
    let url = receiver.listen().await;
    let (id, secret) = webhook(bench, &operator, &url, &["purchase.completed"]).await;
    let (login, entitlement) = bench.viewer_with_rental("ana@example.org").await;
    // What was refused, and what was answered before, is not told.
    let poor = bench.login("poor@example.org", &[Role::Viewer]).await;
    let plan = json!({ "plan": bench.plan });
    bench.post("/v1/purchases", &plan).bearer(&poor).key("no").send().await.expect(402);
    bench.post("/v1/purchases", &plan).bearer(&login).key("buy").send().await.expect(201);
    assert_eq!(deliver::run(&bench.app).await.unwrap(), 1);
    assert_eq!(deliver::run(&bench.app).await.unwrap(), 0, "once");

    let messages = receiver.messages();
    let (headers, body) = &messages[0];
    let told: Value = serde_json::from_str(body).unwrap();
    assert_eq!((&told["type"], &told["at_ms"]), (&json!("purchase.completed"), &json!(now_ms)));
    assert_eq!(told["data"]["entitlements"], json!([entitlement]));
    let verifier = Webhook::new(&secret).unwrap();
    verifier.verify(body.as_bytes(), headers).unwrap();
    verifier.verify(body.replace("50", "51").as_bytes(), headers).unwrap_err();
    let log = deliveries(bench, &operator, &id).await;
    assert_eq!((&log[0]["status"], &log[0]["state"]), (&json!(204), &json!("delivered")));
    assert_eq!(log[0]["message"], headers["webhook-id"].to_str().unwrap());
}

pub async fn who_does_not_answer_well_is_asked_again_later_and_at_last_no_more(bench: &Bench) {
    let operator = bench.login("op@example.org", &[Role::Operator]).await;
    let receiver = Receiver::default();
    let url = receiver.listen().await;
    let (id, _) = webhook(bench, &operator, &url, &["purchase.completed"]).await;
    // A redirect is no delivery, and is not followed: it could lead inside.
    receiver.answer(StatusCode::TEMPORARY_REDIRECT);
    bench.viewer_with_rental("ana@example.org").await;
    let until_ms = NOW_MS + WEBHOOK_LASTS_MS;
    let mut attempts = 0;
    loop {
        assert_eq!(deliver::run(&bench.app).await.unwrap(), 1, "attempt {attempts}");
        attempts += 1;
        receiver.answer(StatusCode::SERVICE_UNAVAILABLE);
        let now_ms = bench.clock.now_ms();
        let Some(again_ms) = next_at_ms(attempts, now_ms, until_ms) else { break };
        bench.clock.advance_ms(again_ms - now_ms - 1);
        assert_eq!(deliver::run(&bench.app).await.unwrap(), 0, "not before its time");
        bench.clock.advance_ms(1);
    }
    bench.clock.advance_ms(WEBHOOK_LASTS_MS);
    assert_eq!(deliver::run(&bench.app).await.unwrap(), 0, "given up");
    let attempts = usize::try_from(attempts).unwrap();
    assert!(attempts > 15, "{attempts}");
    let messages = receiver.messages();
    assert_eq!(messages.len(), attempts);
    let ids: BTreeSet<_> =
        messages.iter().map(|(headers, _)| headers["webhook-id"].to_str().unwrap()).collect();
    assert_eq!(ids.len(), 1, "under one id");
    let log = deliveries(bench, &operator, &id).await;
    assert_eq!(log.len(), attempts);
    assert!(log.iter().all(|one| one["state"] == "given_up"), "{log:?}");
    assert_eq!((&log[0]["error"], &log[attempts - 1]["status"]), (&json!("answered 503"), &json!(307)));
}

pub async fn what_a_killed_server_had_taken_is_sent_again(bench: &Bench) {
    let operator = bench.login("op@example.org", &[Role::Operator]).await;
    let receiver = Receiver::default();
    let url = receiver.listen().await;
    let (id, _) = webhook(bench, &operator, &url, &["purchase.completed"]).await;
    bench.viewer_with_rental("ana@example.org").await;
    // A server takes the message and is gone, before it sent it or after.
    let mut tx = bench.app.store.write().await.unwrap();
    let taken = outbox::take(&mut tx, NOW_MS).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(taken.len(), 1);
    assert_eq!(deliver::run(&bench.app).await.unwrap(), 0, "it is another's");
    bench.clock.advance_ms(LEASE_MS);
    assert_eq!(deliver::run(&bench.app).await.unwrap(), 1);
    assert_eq!(receiver.messages()[0].0["webhook-id"].to_str().unwrap(), taken[0].id);
    let log = deliveries(bench, &operator, &id).await;
    assert_eq!(log.len(), 2);
    assert_eq!((&log[0]["attempt"], &log[0]["status"]), (&json!(2), &json!(204)));
    assert_eq!((&log[1]["took_ms"], &log[1]["error"]), (&Value::Null, &Value::Null), "it was cut off");
    // The first server comes back late, and says that it failed: what was delivered stays so.
    let late = Outcome { status: None, error: Some("cut off".to_owned()), took_ms: 5 };
    let mut tx = bench.app.store.write().await.unwrap();
    outbox::finish(&mut tx, &taken[0], &late, bench.clock.now_ms()).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(deliveries(bench, &operator, &id).await[0]["state"], "delivered");
    // Nor is a message sent again whose webhook was removed while it was under way.
    bench.viewer_with_rental("bob@example.org").await;
    let mut tx = bench.app.store.write().await.unwrap();
    let taken = outbox::take(&mut tx, bench.clock_ms()).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(taken.len(), 1);
    bench.call("DELETE", format!("/v1/webhooks/{id}")).bearer(&operator).send().await.expect(204);
    let mut tx = bench.app.store.write().await.unwrap();
    outbox::finish(&mut tx, &taken[0], &late, bench.clock_ms()).await.unwrap();
    tx.commit().await.unwrap();
    bench.clock.advance_ms(DAY_MS);
    assert_eq!(deliver::run(&bench.app).await.unwrap(), 0);
}

pub async fn an_account_has_so_many_webhooks_and_no_more(bench: &Bench) {
    let shop = bench.login("shop@example.org", &[Role::Integrator]).await;
    let body = json!({ "url": "https://shop.example/hook", "topics": ["*"] });
    let add = || bench.post("/v1/webhooks", &body).bearer(&shop).send();
    let answers = futures_util::future::join_all((0..40).map(|_| add())).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 20);
    assert_eq!(add().await.expect(409).code(), "webhooks_too_many");
}

pub async fn an_integrator_is_told_of_its_own_viewers_only(bench: &Bench) {
    let receiver = Receiver::default();
    let url = receiver.listen().await;
    let shop = bench.login("shop@example.org", &[Role::Integrator]).await;
    let rival = bench.login("rival@example.org", &[Role::Integrator]).await;
    let (id, _) = webhook(bench, &shop, &url, &["*"]).await;
    let grant = async |login: &str| {
        let made =
            bench.post("/v1/viewers", &json!({ "reference": "a" })).bearer(login).send().await.expect(201);
        let path = format!("/v1/viewers/{}/entitlements", made.json()["viewer"]["id"].as_str().unwrap());
        let granted = bench.post(&path, &json!({ "title": bench.title })).bearer(login).key("g").send().await;
        let path = format!("{path}/{}", granted.expect(201).json()["entitlement"]["id"].as_str().unwrap());
        (path.rsplit('/').next().unwrap().to_owned(), path)
    };
    grant(&rival).await;
    let (own, path) = grant(&shop).await;
    bench.viewer_with_rental("ana@example.org").await;
    deliver::run(&bench.app).await.unwrap();
    let messages = receiver.messages();
    assert_eq!(messages.len(), 1);
    assert!(messages[0].1.contains(&own), "{}", messages[0].1);
    bench.call("DELETE", path).bearer(&shop).send().await.expect(204);
    deliver::run(&bench.app).await.unwrap();
    let told: Value = serde_json::from_str(&receiver.messages().last().unwrap().1).unwrap();
    assert_eq!((&told["type"], &told["data"]["entitlement"]), (&json!("entitlement.cancelled"), &json!(own)));
    let path = format!("/v1/webhooks/{id}/deliveries");
    bench.get(&path).bearer(&rival).send().await.expect(404);
    bench.call("DELETE", format!("/v1/webhooks/{id}")).bearer(&rival).send().await.expect(404);
    bench.call("DELETE", format!("/v1/webhooks/{id}")).bearer(&shop).send().await.expect(204);
    let listed = bench.get("/v1/webhooks").bearer(&shop).send().await.expect(200).json();
    assert_eq!(listed, json!({ "webhooks": [] }));
}

pub async fn a_webhook_does_not_reach_into_the_servers_own_network(bench: &Bench) {
    let operator = bench.login("op@example.org", &[Role::Operator]).await;
    for url in
        ["http://shop.example/", "https://127.0.0.1/", "https://[::1]:1/", "https://169.254.169.254/", "x"]
    {
        let body = json!({ "url": url, "topics": ["*"] });
        let refused = bench.post("/v1/webhooks", &body).bearer(&operator).send().await.expect(422);
        assert_eq!(refused.code(), "url_invalid", "{url}");
    }
    for topics in [json!([]), json!(["everything"]), json!(["*", "purchase.completed"])] {
        let body = json!({ "url": "https://shop.example/", "topics": topics });
        let refused = bench.post("/v1/webhooks", &body).bearer(&operator).send().await.expect(422);
        assert_eq!(refused.code(), "topic_unknown");
    }
    // A name that leads inside is found out when it is looked up, at every attempt, and nobody is called.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
    let (id, _) = webhook(bench, &operator, &url, &["purchase.completed"]).await;
    bench.viewer_with_rental("ana@example.org").await;
    assert_eq!(deliver::run(&bench.app).await.unwrap(), 1);
    let log = deliveries(bench, &operator, &id).await;
    assert_eq!(log[0]["error"], "the URL leads to an address that is not on the internet");
    // So is an address of this network that was taken while those were allowed.
    let port = listener.local_addr().unwrap().port();
    let sql = format!("update webhook_endpoints set url = 'https://127.0.0.1:{port}/'");
    change(bench, sql).await;
    bench.viewer_with_rental("bob@example.org").await;
    assert_eq!(deliver::run(&bench.app).await.unwrap(), 1);
    for attempt in deliveries(bench, &operator, &id).await {
        assert_eq!(attempt["error"], "the URL leads to an address that is not on the internet");
    }
    let called = tokio::time::timeout(Duration::from_millis(200), listener.accept()).await;
    assert!(called.is_err(), "it was called");
}

/// Changes rows by hand.
async fn change(bench: &Bench, sql: String) {
    let sql = sqlx::AssertSqlSafe(sql);
    let mut tx = bench.app.store.write().await.unwrap();
    match &mut tx {
        Tx::Sqlite(link) => drop(sqlx::query(sql).execute(link.settled().await.unwrap()).await.unwrap()),
        Tx::Postgres(link) => drop(sqlx::query(sql).execute(&mut **link).await.unwrap()),
    }
    tx.commit().await.unwrap();
}

pub async fn what_happens_to_rights_and_money_is_told(bench: &Bench) {
    let operator = bench.login("op@example.org", &[Role::Operator]).await;
    let receiver = Receiver::default();
    let url = receiver.listen().await;
    webhook(bench, &operator, &url, &["*"]).await;
    let (ana, rental) = bench.viewer_with_rental("ana@example.org").await;
    assert_eq!(told(bench, &receiver).await, ["payment.succeeded", "purchase.completed"]);

    let reason = json!({ "reason": "a scratch" });
    let path = format!("/v1/entitlements/{rental}/revocation");
    bench.post(&path, &reason).bearer(&operator).send().await.expect(200);
    bench.post(&path, &reason).bearer(&operator).send().await.expect(200);
    assert_eq!(told(bench, &receiver).await, ["entitlement.cancelled"], "once, for it was never used");
    let trail = bench.get(format!("/v1/audit?subject={rental}")).bearer(&operator).send().await.expect(200);
    assert_eq!(trail.json()["audit"].as_array().unwrap().len(), 1, "what changed nothing was no act");

    let bought = bench.post("/v1/purchases", &json!({ "plan": bench.plan })).bearer(&ana).key("b");
    let bought = bought.send().await.expect(201).json();
    let path = format!("/v1/purchases/{}/refund", bought["purchase"]["id"].as_str().unwrap());
    bench.post(&path, &reason).bearer(&operator).key("r").send().await.expect(201);
    let topics = ["entitlement.cancelled", "purchase.completed", "refund.created"];
    assert_eq!(told(bench, &receiver).await, topics);

    // Through the provider it is on its way at first.
    let paid = bench.post("/v1/checkouts", &json!({ "plan": bench.plan })).bearer(&ana).key("p");
    let paid = paid.send().await.expect(201).json();
    let path = format!("/v1/purchases/{}/refund", paid["payment"]["purchase"].as_str().unwrap());
    bench.post(&path, &reason).bearer(&operator).key("s").send().await.expect(201);
    let topics = [
        "entitlement.cancelled",
        "payment.succeeded",
        "purchase.completed",
        "refund.created",
        "refund.succeeded",
    ];
    assert_eq!(told(bench, &receiver).await, topics);

    let bought = bench.post("/v1/purchases", &json!({ "plan": bench.plan })).bearer(&ana).key("c");
    let id = bought.send().await.expect(201).json()["entitlement"]["id"].as_str().unwrap().to_owned();
    bench.call("POST", format!("/v1/entitlements/{id}/return")).bearer(&ana).send().await.expect(200);
    assert_eq!(told(bench, &receiver).await, ["entitlement.returned", "purchase.completed"]);
}

pub async fn the_course_of_a_subscription_is_told(bench: &Bench) {
    let operator = bench.login("op@example.org", &[Role::Operator]).await;
    let receiver = Receiver::default();
    let url = receiver.listen().await;
    let ana = bench.viewer("ana@example.org").await;
    let body = json!({ "kind": "subscription", "price": price(600), "period": "month", "grace_ms": DAY_MS });
    let (id, _, _) = subscribed(bench, &ana, body).await;
    let (bob, _) = bench.viewer_with_rental("bob@example.org").await;
    webhook(bench, &operator, &url, &["*"]).await;
    let pass = async |days: i64| {
        bench.clock.advance_ms(days * DAY_MS);
        renewal::run(&bench.app).await.unwrap();
        renewal::tell_endings(&bench.app).await.unwrap();
        renewal::tell_endings(&bench.app).await.unwrap();
        told(bench, &receiver).await
    };
    // What is renewed by itself is not announced; what cannot be started for much longer is.
    assert_eq!(pass(27).await, ["entitlement.ending"]);
    assert_eq!(pass(3).await, ["entitlement.renewal_failed"], "four dollars are not six");
    let top = json!({ "amount": price(900) });
    bench.post("/v1/wallet/top-ups", &top).bearer(&ana).key("more").send().await.expect(201);
    bench.clock.advance_ms(DAY_MS / 2);
    assert_eq!(pass(0).await, ["entitlement.renewed", "payment.succeeded"]);
    let path = format!("/v1/entitlements/{id}/renewal");
    bench.call("PUT", &path).json(&json!({ "renews": false })).bearer(&ana).send().await.expect(200);
    assert_eq!(pass(26).await, [""; 0]);
    assert_eq!(pass(2).await, ["entitlement.ending"]);
    assert_eq!(pass(3).await, [""; 0], "what was given up ends without another word");
    drop(bob);
}

/// The texts of all emails, as the database holds them.
async fn texts(bench: &Bench) -> Vec<String> {
    const SQL: &str = "select payload from outbox where kind = 'email' order by id";
    let rows: Vec<(String,)> = match &bench.app.store {
        Store::Sqlite { readers, .. } => {
            sqlx::query_as(SQL).fetch_all(&mut *readers.lend().await.unwrap()).await.unwrap()
        }
        Store::Postgres(pool) => sqlx::query_as(SQL).fetch_all(pool).await.unwrap(),
    };
    rows.into_iter().map(|(text,)| text).collect()
}

pub async fn a_receipt_names_what_can_be_refunded(bench: &Bench) {
    let ana = bench.viewer("ana@example.org").await;
    let body = json!({ "kind": "subscription", "price": price(300), "period": "month", "grace_ms": DAY_MS });
    subscribed(bench, &ana, body).await;
    bench.clock.advance_ms(30 * DAY_MS);
    renewal::run(&bench.app).await.unwrap();
    let bought = bench.get("/v1/purchases").bearer(&ana).send().await.expect(200).json();
    let receipts = texts(bench).await;
    assert_eq!(receipts.len(), 2, "of the first month and of its renewal");
    for (receipt, purchase) in receipts.iter().rev().zip(bought["purchases"].as_array().unwrap()) {
        assert!(receipt.contains(purchase["id"].as_str().unwrap()), "{receipt}");
    }
}

pub async fn an_email_that_cannot_be_sent_is_tried_and_given_up(bench: &Bench) {
    let (ana, _) = bench.viewer_with_rental("ana@example.org").await;
    let kept = async || {
        let all = bench.get("/v1/account/export").bearer(&ana).send().await.expect(200).json();
        let rows = all["tables"]["outbox"].as_array().unwrap().iter();
        let shown = |row: &Value| {
            let text = |name: &str| row[name].as_str().unwrap().to_owned();
            (text("topic"), text("recipient"), text("state"))
        };
        rows.map(shown).collect::<Vec<_>>()
    };
    let row = |state: &str| ("receipt".to_owned(), "ana@example.org".to_owned(), state.to_owned());
    assert_eq!(kept().await, [row("waiting")]);
    assert_eq!(deliver::run(&bench.app).await.unwrap(), 1);
    assert_eq!(kept().await, [row("waiting")]);
    assert!(texts(bench).await[0].contains("Paid: 0.50 USD"));
    bench.clock.advance_ms(LASTS_MS);
    assert_eq!(deliver::run(&bench.app).await.unwrap(), 0, "too old");
    assert_eq!(kept().await, [row("given_up")]);
    assert_eq!(texts(bench).await, ["{}"], "it is forgotten");
    // To an address that is nobody's, nothing; to one that is no account's, what was asked for.
    let mut tx = bench.app.store.write().await.unwrap();
    let mut letter = Letter::new("hello", "Hello", "secret words");
    letter.lasts_ms = 1000;
    let now_ms = bench.clock.now_ms();
    outbox::enqueue_email(&mut tx, "new@example.org", &letter, now_ms).await.unwrap();
    let taken = outbox::take(&mut tx, now_ms).await.unwrap();
    assert_eq!(taken.len(), 1);
    assert_eq!((taken[0].recipient.as_deref(), taken[0].until_ms), (Some("new@example.org"), now_ms + 1000));
    assert!(!format!("{:?}", taken[0]).contains("secret"), "a message is not logged");
}

/// A mail server that refuses as many mails as it is told, for now, and keeps the next one.
async fn mail_server(mut refuse: usize) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let kept = Arc::new(Mutex::new(Vec::new()));
    let mails = Arc::clone(&kept);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let refused = refuse > 0;
            refuse = refuse.saturating_sub(1);
            if let Some(mail) = converse(stream, refused).await {
                mails.lock().unwrap().push(mail);
            }
        }
    });
    (format!("smtp://{address}"), kept)
}

/// One conversation (RFC 5321).
async fn converse(stream: TcpStream, refused: bool) -> Option<String> {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    write.write_all(b"220 mail.example\r\n").await.ok()?;
    let mut mail = String::new();
    while let Ok(Some(line)) = lines.next_line().await {
        let word = line.split([' ', ':']).next().unwrap_or_default().to_uppercase();
        let answer = match word.as_str() {
            "EHLO" | "HELO" => "250 mail.example",
            "RCPT" if refused => "451 come back later",
            "MAIL" | "RCPT" => "250 fine",
            "DATA" => "354 go on",
            "QUIT" => {
                write.write_all(b"221 bye\r\n").await.ok()?;
                break;
            }
            _ => "250 fine",
        };
        mail.push_str(&format!("{line}\n"));
        write.write_all(format!("{answer}\r\n").as_bytes()).await.ok()?;
        if word == "DATA" {
            while let Ok(Some(line)) = lines.next_line().await {
                if line == "." {
                    break;
                }
                mail.push_str(&format!("{line}\n"));
            }
            write.write_all(b"250 taken\r\n").await.ok()?;
            return Some(mail);
        }
    }
    None
}

#[tokio::test]
async fn a_receipt_is_mailed_and_a_mail_server_that_refuses_is_asked_again() {
    let (url, mails) = mail_server(1).await;
    let mut config = Config::default();
    config.outbox.smtp_url = url.into();
    config.outbox.mail_from = "Cinema <films@cinema.example>".to_owned();
    let bench = Bench::with(config).await;
    bench.viewer_with_rental("ana@example.org").await;
    assert_eq!(deliver::run(&bench.app).await.unwrap(), 1);
    assert!(mails.lock().unwrap().is_empty(), "refused for now");
    bench.clock.advance_ms(BACKOFF_FIRST_MS);
    assert_eq!(deliver::run(&bench.app).await.unwrap(), 1);
    assert_eq!(texts(&bench).await, ["{}"], "what was sent is forgotten");
    let mails = mails.lock().unwrap().clone();
    let mail = &mails[0];
    for part in [
        "RCPT TO:<ana@example.org>",
        "From: Cinema <films@cinema.example>",
        "Your receipt: Big Buck Bunny",
        "Paid: 0.50 USD",
    ] {
        assert!(mail.contains(part), "{part} in {mail}");
    }
}
