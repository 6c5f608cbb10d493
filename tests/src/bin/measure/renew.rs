//! `measure renew`: the first of the month, and the minute of a big match.
//!
//! First every subscription falls due in the same moment and the server's own job charges the next period of each. Then
//! subscribers who play have their view tokens renewed over HTTP, each with a proof by their device, as every player does.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use matinee_protocol::api::{Money, Opening, Renewal as Renewed};
use matinee_protocol::dpop::{self, ProofClaims};
use matinee_protocol::encoding::b64u;
use matinee_protocol::id::{AccountId, EntitlementId, PlanId, PurchaseId, TitleId};
use matinee_server::license::calendar::Period;
use matinee_server::license::plan::{Plan, Renewal, Terms};
use matinee_server::store::purchase::{self, Conditions, Settled};
use matinee_server::store::{Store, ledger, plan};
use matinee_tests::deployment::{Deployment, PRICE_MINOR};
use matinee_tests::film;
use matinee_tests::postgres::Cluster;
use matinee_tests::viewer::now_s;
use serde_json::{Value, json};

use crate::license::audit::rows;
use crate::license::viewers::{self, Viewer, id};
use crate::license::{Asked, asked, ms, quantiles};
use crate::progress;
use crate::table::{quantile, round, row};
use crate::wire::Wire;

/// Subscribers where none are asked for.
const SUBSCRIBERS_DEFAULT: usize = 150_000;
/// Purchases in one transaction.
const BATCH: usize = 2_000;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// When they subscribed: a month and a few days ago, within the grace of the period that ended.
const SUBSCRIBED_BEFORE_MS: i64 = 33 * DAY_MS;
const GRACE_MS: u64 = 7 * DAY_MS.unsigned_abs();
/// Subscribers who play.
const PLAYING_MAX: usize = 5_000;
/// How often the books are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long the job may take in all, a subscriber, before it is given up.
const PATIENCE_A_SUBSCRIBER_MS: u64 = 20;

/// Subscriptions whose next period was not charged yet.
const DUE: &str = "select (select count(*) from entitlements where renews) \
                   - (select count(*) from journals where kind = 'renewal')";

pub(crate) async fn measure(words: &[String]) -> Value {
    let Asked { count, kind, at_once } = asked(words, SUBSCRIBERS_DEFAULT);
    let postgres = kind == "postgres";
    let cluster = postgres.then(|| Cluster::start(&[]));
    let address = match &cluster {
        Some(cluster) => Some(cluster.database().await),
        None => None,
    };
    let mut deployment = Deployment::start_on(address).await;
    let published = deployment.publish("Every Channel", &[&film::exact(40 << 20)], 5).await;
    // The job must not begin before everything is there.
    deployment.kill().await;
    let subscriptions = subscribe(&deployment, count, published.title.parse().expect("an id")).await;

    deployment.serve().await;
    let seconds = charged(&deployment, count, postgres).await;
    let renewals_per_minute = count as f64 / seconds * 60.0;
    let double_charged = rows(
        &deployment,
        postgres,
        "select count(*) from (select reference from journals where kind = 'renewal' \
         group by reference having count(*) > 1) d",
    );
    let double_charged = double_charged.await;
    let renewed = "select count(*) from journals where kind = 'renewal'";
    let lost = i64::try_from(count).expect("so many") - rows(&deployment, postgres, renewed).await;

    let tokens = tokens(&deployment, &subscriptions, at_once).await;
    deployment.kill().await;
    let store = Store::open(&deployment.store_address()).await.expect("the store opens again");
    let check = ledger::check(&mut store.write().await.expect("a transaction")).await.expect("a ledger");
    assert!(check.is_sound(), "{check:?}");
    store.close().await;

    println!("{count} subscriptions on {kind} fall due at once; {} subscribers play", tokens.views);
    row("periods charged a minute", &[format!("{renewals_per_minute:.0}")]);
    row("view tokens renewed a minute", &[format!("{:.0}", tokens.per_minute())]);
    row("", &["p50", "p99", "most"].map(str::to_owned));
    row("renewing a view token", &quantiles(&tokens.took_ms));
    json!({
        "store": kind, "subscribers": count, "seconds": round(seconds, 1),
        "renewals_per_minute": renewals_per_minute.round(),
        "double_charged": double_charged, "lost": lost, "ledger_sum": check.sum_minor,
        "view_renewals_per_minute": tokens.per_minute().round(),
        "p50_ms": round(quantile(&tokens.took_ms, 0.5), 1), "p99_ms": round(quantile(&tokens.took_ms, 0.99), 1),
    })
}

/// Gives every subscriber an account and a monthly subscription that is due.
async fn subscribe(deployment: &Deployment, count: usize, title: TitleId) -> Vec<EntitlementId> {
    let store = Store::open(&deployment.store_address()).await.expect("the store opens");
    let now_ms = i64::try_from(now_s()).expect("now") * 1000;
    let then_ms = now_ms - SUBSCRIBED_BEFORE_MS;
    let accounts = viewers::open_accounts(&store, count, then_ms).await;
    let price = Money { minor: PRICE_MINOR / 2, currency: "USD".to_owned() };
    let renewal = Renewal { period: Period::Month, grace_ms: GRACE_MS, trial_ms: None };
    let monthly = PlanId::from_bytes(id(then_ms));
    let monthly = Plan::of_title(monthly, title, price, Terms::Subscription(renewal), then_ms);
    let mut tx = store.write().await.expect("a transaction");
    plan::insert(&mut tx, &monthly).await.expect("a plan is kept");
    tx.commit().await.expect("the store commits");

    let bar = progress::bar("subscriptions", count);
    let mut bought = Vec::with_capacity(count);
    for some in accounts.chunks(BATCH) {
        let mut tx = store.write().await.expect("a transaction");
        for account in some {
            bought.push(buy(&mut tx, *account, &monthly, then_ms).await);
            bar.inc(1);
        }
        tx.commit().await.expect("the store commits");
    }
    bar.finish_and_clear();
    store.close().await;
    bought
}

async fn buy(
    tx: &mut matinee_server::store::Tx,
    account: AccountId,
    plan: &Plan,
    then_ms: i64,
) -> EntitlementId {
    let fresh = || EntitlementId::from_bytes(id(then_ms));
    let purchase = PurchaseId::from_bytes(id(then_ms));
    let sale = purchase::draft(account, plan, purchase, fresh, Conditions::default(), then_ms);
    let sale = sale.expect("the plan can be sold");
    let settled = purchase::settle(tx, plan, &sale).await.expect("it is written");
    assert_eq!(settled, Settled::Yes, "there is money for two months");
    sale.entitlement().id
}

/// Waits until nothing is due, and gives how long that took from the job's first charge on, in seconds.
async fn charged(deployment: &Deployment, count: usize, postgres: bool) -> f64 {
    let bar = progress::bar("next months charged", count);
    let patience = Duration::from_millis(PATIENCE_A_SUBSCRIBER_MS * count as u64 + 60_000);
    let mut begun = Instant::now();
    let waiting = Instant::now();
    loop {
        let left = usize::try_from(rows(deployment, postgres, DUE).await).expect("a count");
        bar.set_position((count - left) as u64);
        if left == count {
            begun = Instant::now();
        }
        if left == 0 {
            bar.finish_and_clear();
            return begun.elapsed().as_secs_f64();
        }
        assert!(waiting.elapsed() < patience, "{left} subscriptions are still due");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

struct Tokens {
    views: usize,
    seconds: f64,
    took_ms: Vec<f64>,
}

impl Tokens {
    fn per_minute(&self) -> f64 {
        self.took_ms.len() as f64 / self.seconds * 60.0
    }
}

/// Opens a view for some of the subscribers, and has all their tokens renewed.
async fn tokens(deployment: &Deployment, subscriptions: &[EntitlementId], at_once: usize) -> Tokens {
    let playing = subscriptions.len().min(PLAYING_MAX);
    let devices = viewers::devices(playing);
    let url: Arc<str> = deployment.url().into();
    let host: Arc<str> = url.strip_prefix("http://").expect("an address").into();
    let bar = progress::bar("views opened", playing);
    let mut views: Vec<(Viewer, Opening)> = Vec::with_capacity(playing);
    let mut wire = Wire::connect(&host).await;
    for (number, (viewer, subscription)) in devices.into_iter().zip(subscriptions).enumerate() {
        views.push((open(&mut wire, &url, viewer, *subscription, number).await, bar.inc(1)).0);
    }
    bar.finish_and_clear();

    let views: Arc<[(Viewer, Opening)]> = views.into();
    let next = Arc::new(AtomicUsize::new(0));
    let bar = progress::bar("view tokens renewed", playing);
    let start = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..at_once {
        let (views, next, bar) = (Arc::clone(&views), Arc::clone(&next), bar.clone());
        let (url, host) = (Arc::clone(&url), Arc::clone(&host));
        tasks.push(tokio::spawn(async move {
            let mut wire = Wire::connect(&host).await;
            let mut took_ms = Vec::new();
            while let Some((viewer, opening)) = views.get(next.fetch_add(1, Ordering::Relaxed)) {
                let started = Instant::now();
                renew(&mut wire, &url, viewer, opening).await;
                took_ms.push(ms(started.elapsed()));
                bar.inc(1);
            }
            took_ms
        }));
    }
    let mut took_ms = Vec::new();
    for task in tasks {
        took_ms.extend(task.await.expect("every token is renewed"));
    }
    let seconds = start.elapsed().as_secs_f64();
    bar.finish_and_clear();
    took_ms.sort_by(f64::total_cmp);
    Tokens { views: playing, seconds, took_ms }
}

fn claims(url: &str, path: &str, token: Option<&str>, body: &[u8], jti: String) -> ProofClaims {
    ProofClaims {
        jti,
        htm: "POST".to_owned(),
        htu: format!("{url}{path}"),
        iat: now_s(),
        ath: token.map(|token| dpop::digest(token.as_bytes())),
        body_sha256: Some(dpop::digest(body)),
        ..ProofClaims::default()
    }
}

async fn open(
    wire: &mut Wire,
    url: &str,
    viewer: Viewer,
    subscription: EntitlementId,
    number: usize,
) -> (Viewer, Opening) {
    let agreement = b64u(&viewer.agreement);
    let body = format!(r#"{{"entitlement":"{subscription}","agreement_key":"{agreement}"}}"#);
    let claims = claims(url, "/v1/views", None, body.as_bytes(), format!("view-of-subscriber-{number:08}"));
    let proof = dpop::create(&viewer.signing, &claims);
    let bearer = format!("Bearer {}", viewer.login);
    let key = format!("view-{number}");
    let headers =
        [("authorization", bearer.as_str()), ("idempotency-key", key.as_str()), ("dpop", proof.as_str())];
    let answer = wire.post("/v1/views", &headers, body.as_bytes()).await;
    assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(answer.body));
    let opening = serde_json::from_slice(answer.body).expect("an opening");
    (viewer, opening)
}

async fn renew(wire: &mut Wire, url: &str, viewer: &Viewer, opening: &Opening) {
    let path = format!("/v1/views/{}/renewals", opening.view);
    let claims = claims(url, &path, Some(&opening.view_token), b"{}", format!("renewal-{}", opening.view));
    let proof = dpop::create(&viewer.signing, &claims);
    let token = format!("DPoP {}", opening.view_token);
    let headers = [("authorization", token.as_str()), ("dpop", proof.as_str())];
    let answer = wire.post(&path, &headers, b"{}").await;
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(answer.body));
    let renewed: Renewed = serde_json::from_slice(answer.body).expect("a renewal");
    assert!(renewed.expires_at_ms >= opening.expires_at_ms, "it holds longer");
}
