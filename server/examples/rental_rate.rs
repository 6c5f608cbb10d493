//! How many rentals a second one process sells and opens: purchase, view and first license, each with its own viewer,
//! device, proof and idempotency key. In process, without sockets.
//!
//! `cargo run --release -p matinee-server --example rental_rate -- [rentals] [store address]`

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on should say where")]
#![expect(clippy::disallowed_methods, reason = "a stopwatch")]

use std::io::Write as _;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use futures_util::stream::{self, StreamExt as _};
use matinee_protocol::api::Money;
use matinee_protocol::device::SigningKey;
use matinee_protocol::dpop::{self, ProofClaims};
use matinee_protocol::encoding::b64u;
use matinee_protocol::id::{AccountId, FileIndex, PaymentId, PlanId, ReleaseId, TitleId};
use matinee_protocol::license::AgreementSecret;
use matinee_server::app::{App, Parts};
use matinee_server::clock::SystemClock;
use matinee_server::config::Config;
use matinee_server::license::plan::Terms;
use matinee_server::origin::Origin;
use matinee_server::store::account::{self, Account, Role};
use matinee_server::store::payment::{self, Payment};
use matinee_server::store::plan::{self, Plan};
use matinee_server::store::release::{self, File};
use matinee_server::store::sealed::Shelf;
use matinee_server::store::{Store, ledger, session, title};
use matinee_server::vault::Vault;
use matinee_server::{random, router};
use serde_json::{Value, json};
use tower::ServiceExt as _;

/// Rentals where none are asked for.
const RENTALS_DEFAULT: usize = 5000;
/// Requests under way at once.
const CONCURRENT: usize = 64;
const URL: &str = "https://cinema.example";

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let mut words = std::env::args().skip(1);
    let rentals: usize = words.next().map_or(RENTALS_DEFAULT, |word| word.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let address =
        words.next().unwrap_or_else(|| format!("sqlite:{}", folder.path().join("rate.db").display()));
    let store = Store::open(&address).await.unwrap();
    store.migrate().await.unwrap();
    let parts = Parts {
        config: Config::default(),
        public_url: URL.to_owned(),
        clock: Arc::new(SystemClock),
        store,
        vault: Vault::ephemeral(),
        origin: Origin::open(folder.path().join("objects").to_str().unwrap()).unwrap(),
        ice_servers: Vec::new(),
    };
    let app = App::open(parts).await.unwrap();
    let plan = shop(&app, rentals).await;
    let router = router::router(app.clone());

    let started = Instant::now();
    let sold = stream::iter(0..rentals).map(|viewer| rent(&router, viewer, plan));
    let sold: Vec<String> = sold.buffer_unordered(CONCURRENT).collect().await;
    let selling_s = started.elapsed().as_secs_f64();
    let started = Instant::now();
    let opened = stream::iter(sold).map(|rental| open(&router, &app, rental));
    let opened = opened.buffer_unordered(CONCURRENT).count().await;
    let opening_s = started.elapsed().as_secs_f64();
    assert_eq!(opened, rentals);

    let check = ledger::check(&mut app.store.read().await.unwrap()).await.unwrap();
    assert!(check.is_sound() && check.journals == 2 * rentals as i64, "{check:?}");
    let rate = |seconds: f64| rentals as f64 / seconds;
    writeln!(
        std::io::stdout(),
        "{rentals} rentals: sold {:.0}/s, opened with a license {:.0}/s, both {:.0}/s; each charged once",
        rate(selling_s),
        rate(opening_s),
        rate(selling_s + opening_s)
    )
}

/// A film for rent and viewers with money.
async fn shop(app: &App, viewers: usize) -> PlanId {
    let now_ms = app.clock.now_ms();
    let publisher = AccountId::from_bytes(random::id(now_ms));
    let title = TitleId::from_bytes(random::id(now_ms));
    let release = ReleaseId::from_bytes(random::id(now_ms));
    let dollars = |minor| Money { minor, currency: "USD".to_owned() };
    let terms = Terms::Rental { start_within_ms: 86_400_000, play_within_ms: 86_400_000, views: Some(5) };
    let rental = Plan::of_title(PlanId::from_bytes(random::id(now_ms)), title, dollars(50), terms, now_ms);
    let film = File {
        file: FileIndex(0),
        name: "film.mp4".to_owned(),
        media_type: "video/mp4".to_owned(),
        size_bytes: 1 << 30,
        duration_ms: None,
        epoch_chunks: 64,
        uploaded_bytes: 1 << 30,
    };
    let secret = app.vault.seal(&Shelf::Releases.vault_name(&release.to_string()), &[1; 32]);
    let mut tx = app.store.write().await.unwrap();
    let somebody = |id, email| Account {
        id,
        email,
        name: "N".to_owned(),
        roles: vec![Role::Viewer],
        created_at_ms: now_ms,
    };
    assert!(account::insert(&mut tx, &somebody(publisher, "studio".to_owned()), "!").await.unwrap());
    title::insert(&mut tx, title, publisher, "The Banquet", now_ms).await.unwrap();
    plan::insert(&mut tx, &rental).await.unwrap();
    release::insert(&mut tx, release, title, Some(&secret), &[film], now_ms).await.unwrap();
    assert!(release::publish(&mut tx, release, "a.b.c", now_ms).await.unwrap());
    for viewer in 0..viewers {
        let id = AccountId::from_bytes(random::id(now_ms));
        assert!(account::insert(&mut tx, &somebody(id, format!("viewer{viewer}")), "!").await.unwrap());
        let hash = session::hash(&format!("login{viewer}"));
        session::insert(&mut tx, &hash, id, now_ms, now_ms + 86_400_000).await.unwrap();
        let payment_id = PaymentId::from_bytes(random::id(now_ms));
        let payment = Payment::new(payment_id, id, "simulated", dollars(50), now_ms);
        payment::insert(&mut tx, &payment).await.unwrap();
        let reference = payment_id.to_string();
        assert!(payment::succeed(&mut tx, &payment, &reference, &reference, now_ms).await.unwrap());
    }
    tx.commit().await.unwrap();
    rental.id
}

async fn send(router: &Router, path: &str, login: &str, proof: Option<String>, body: String) -> Value {
    let mut request = Request::post(path).header("authorization", format!("Bearer {login}"));
    request = request.header("idempotency-key", hex::encode(random::bytes::<8>()));
    if let Some(proof) = proof {
        request = request.header("dpop", proof);
    }
    // A task of its own, so that both cores work.
    let service = router.clone().oneshot(request.body(Body::from(body)).unwrap());
    let answer = tokio::spawn(service).await.unwrap().unwrap();
    let status = answer.status();
    let bytes = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    assert_eq!(status, 201, "{}", String::from_utf8_lossy(&bytes));
    serde_json::from_slice(&bytes).unwrap()
}

/// Buys a rental. Gives the viewer's number and the entitlement.
async fn rent(router: &Router, viewer: usize, plan: PlanId) -> String {
    let body = json!({ "plan": plan }).to_string();
    let sold = send(router, "/v1/purchases", &format!("login{viewer}"), None, body).await;
    format!("{viewer} {}", sold["entitlement"]["id"].as_str().unwrap())
}

/// Opens it on a device of its own, with the first license.
async fn open(router: &Router, app: &App, rental: String) {
    let (viewer, entitlement) = rental.split_once(' ').unwrap();
    let key = SigningKey::from_seed(&random::bytes());
    let agreement = AgreementSecret::from_bytes(random::bytes()).public();
    let body = json!({ "entitlement": entitlement, "agreement_key": b64u(&agreement) }).to_string();
    let claims = ProofClaims {
        jti: hex::encode(random::bytes::<12>()),
        htm: "POST".to_owned(),
        htu: format!("{URL}/v1/views"),
        iat: app.clock.now_s(),
        body_sha256: Some(dpop::digest(body.as_bytes())),
        ..ProofClaims::default()
    };
    let opened =
        send(router, "/v1/views", &format!("login{viewer}"), Some(dpop::create(&key, &claims)), body).await;
    assert!(opened["license"]["sealed_keys"].is_string());
}
