//! Stripe's own library against ours, both ways: what it signs is taken, and what our stand-in signs it takes.

use std::path::Path;
use std::process::Stdio;

use matinee_tests::deployment::Deployment;
use matinee_tests::stripe::{Stripe, WEBHOOK_SECRET, sign};
use matinee_tests::viewer::{Viewer, nonce, now_s};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// A Node process with the library in it; it ends when its input closes.
pub(crate) struct Library {
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Library {
    pub(crate) fn start() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("stripe");
        assert!(folder.join("node_modules/stripe").is_dir(), "run `cargo xtask setup` once");
        let mut command = Command::new("node");
        command.arg("check.mjs").current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("node starts");
        let stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { stdin: child.stdin.take().unwrap(), stdout, _child: child }
    }

    async fn ask(&mut self, question: &Value) -> Value {
        self.stdin.write_all(format!("{question}\n").as_bytes()).await.unwrap();
        let line = self.stdout.next_line().await.unwrap().expect("an answer");
        serde_json::from_str(&line).unwrap()
    }

    pub(crate) async fn check(&mut self, body: &str, header: &str) -> Value {
        let question = json!({ "op": "check", "payload": body, "header": header, "secret": WEBHOOK_SECRET });
        self.ask(&question).await
    }
}

#[tokio::test]
async fn signatures_hold_both_ways() {
    let stripe = Stripe::start().await;
    let deployment = Deployment::start_with(None, stripe.environment()).await;
    stripe.tell(&deployment.url());
    let viewer = Viewer::sign_up(&deployment.url(), "payer@example.com").await;
    let body = json!({ "amount": { "minor": 1_000, "currency": "USD" } });
    let answer = viewer.post("/v1/wallet/top-ups", &nonce(), &body).await;
    let answer: Value = answer.json().await.unwrap();
    stripe.pay(answer["payment"]["checkout_url"].as_str().unwrap()).await;
    let intent = stripe.book().intent_of(answer["payment"]["id"].as_str().unwrap());
    let dispute = stripe.book().dispute(&intent);
    stripe.book().close_dispute(&dispute, true);
    let events = std::mem::take(&mut stripe.book().events);
    assert_eq!(events.len(), 5);
    let mut library = Library::start();

    for event in &events {
        let body = event.to_string();
        let seen = library.check(&body, &sign(&body, WEBHOOK_SECRET, now_s())).await;
        assert_eq!(seen, json!({ "id": event["id"], "type": event["type"] }));
    }
    let body = events[0].to_string();
    let late = library.check(&body, &sign(&body, WEBHOOK_SECRET, now_s() - 310)).await;
    assert!(late["error"].as_str().unwrap().contains("tolerance"), "{late}");
    let forged = library.check(&body, &sign(&body, "whsec_guess", now_s())).await;
    assert!(forged["error"].is_string(), "{forged}");

    for event in &events {
        let body = event.to_string();
        let question = json!({ "op": "sign", "payload": body, "secret": WEBHOOK_SECRET });
        let signed = library.ask(&question).await;
        let header = signed["header"].as_str().unwrap().to_owned();
        assert_eq!(stripe.deliver_as(body.clone(), &header).await, 200, "{event}");
        assert_eq!(stripe.deliver_as(body.replacen("livemode", "livemoda", 1), &header).await, 400);
    }
    let late_s = now_s() - 310;
    let question = json!({ "op": "sign", "payload": body, "secret": WEBHOOK_SECRET, "timestamp": late_s });
    let signed = library.ask(&question).await;
    assert_eq!(stripe.deliver_as(body, signed["header"].as_str().unwrap()).await, 400, "too late");
    assert_eq!(viewer.wallet().await, 1_000, "paid, taken back, won");
    deployment.check_ledger().await;
}
