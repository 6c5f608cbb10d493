//! `measure license`: the week of one film. Every viewer buys a rental, opens a view and receives a sealed license, over
//! HTTP from a server on durable storage; one in ten sends the purchase twice under its key. Then the server is killed
//! and the books are audited: who was charged, who was not, and whether the ledger sums to zero.

pub(crate) mod audit;
pub(crate) mod viewers;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use matinee_protocol::api::Opening;
use matinee_protocol::dpop::{self, ProofClaims};
use matinee_protocol::encoding::b64u;
use matinee_protocol::license::open_keys;
use matinee_server::store::Store;
use matinee_tests::deployment::{Deployment, Published};
use matinee_tests::film;
use matinee_tests::postgres::Cluster;
use matinee_tests::viewer::now_s;
use serde_json::{Value, json};

use self::viewers::Viewer;
use crate::progress;
use crate::publish::peak_mb;
use crate::table::{quantile, round, row};
use crate::transfer::cpu_s;
use crate::wire::{Answer, Wire};

/// Viewers where none are asked for.
const VIEWERS_DEFAULT: usize = 200_000;
/// Viewers under way at once where nothing else is asked for.
const CONNECTIONS: usize = 64;
/// Every so many viewers send the purchase twice: once more after the answer, or twice at the same time.
const REPEATED_EVERY: usize = 10;
/// Every so many licenses are kept and opened afterwards.
const OPENED_EVERY: usize = 1_000;
/// Bytes of the film: two epochs and a bit.
const FILM_BYTES: u64 = 40 << 20;

/// What one connection saw.
#[derive(Default)]
struct Seen {
    purchase_ms: Vec<f64>,
    view_ms: Vec<f64>,
    both_ms: Vec<f64>,
    /// Viewers and the openings to look into.
    kept: Vec<(usize, Vec<u8>)>,
    repeated: usize,
}

pub(crate) async fn measure(words: &[String]) -> Value {
    let Asked { count, kind, at_once } = asked(words, VIEWERS_DEFAULT);
    let cluster = (kind == "postgres").then(|| Cluster::start(&[]));
    let address = match &cluster {
        Some(cluster) => Some(cluster.database().await),
        None => None,
    };
    let mut deployment = Deployment::start_on(address.clone()).await;
    let published = deployment.publish("The Banquet", &[&film::exact(FILM_BYTES)], 5).await;
    let file = format!("sqlite:{}", deployment.data().join("matinee.db").display());
    let store = Store::open(&address.unwrap_or(file)).await.expect("the store opens");
    viewers::open_accounts(&store, count, i64::try_from(now_s()).expect("now") * 1000).await;
    store.close().await;
    let devices: Arc<[Viewer]> = viewers::devices(count).into();

    let (server, own) = (deployment.process().id(), std::process::id());
    let before = (cpu_s(server), cpu_s(own));
    let bar = progress::bar("bought, opened, licensed", count);
    let start = Instant::now();
    let seen = crowd(&deployment, &published, (&devices, at_once), &bar).await;
    let seconds = start.elapsed().as_secs_f64();
    bar.finish_and_clear();
    let cpu = (cpu_s(server) - before.0, cpu_s(own) - before.1);
    let peak_mb = peak_mb(server).unwrap_or_default();
    // Whatever was answered must be on the disk by now: nothing is closed in an orderly way.
    deployment.kill().await;

    let opened = opened(&seen);
    let books = audit::books(&deployment, cluster.as_ref(), &published, count).await;
    let all = Seen::merged(seen);
    println!(
        "{count} viewers of one film on {kind}, {at_once} at once, {} purchases sent twice",
        all.repeated
    );
    row("", &["p50", "p99", "most"].map(str::to_owned));
    row("purchase", &quantiles(&all.purchase_ms));
    row("view with a license", &quantiles(&all.view_ms));
    row("both", &quantiles(&all.both_ms));
    row("viewers a second", &[format!("{:.0}", count as f64 / seconds)]);
    row("CPU of the server", &[per_viewer(cpu.0, count), format!("{:.0} %", 100.0 * cpu.0 / seconds)]);
    row("CPU of the generator", &[per_viewer(cpu.1, count), format!("{:.0} %", 100.0 * cpu.1 / seconds)]);
    row("peak memory of the server", &[format!("{peak_mb:.0} MB")]);
    row("licenses opened on their devices", &[format!("{opened}")]);
    json!({
        "store": kind, "views": books.views, "seconds": round(seconds, 1),
        "double_charged": books.double_charged, "lost": books.lost, "ledger_sum": books.ledger_sum,
        "p50_ms": round(quantile(&all.both_ms, 0.5), 1), "p99_ms": round(quantile(&all.both_ms, 0.99), 1),
    })
}

/// What the words say.
pub(crate) struct Asked {
    pub(crate) count: usize,
    pub(crate) kind: &'static str,
    pub(crate) at_once: usize,
}

/// `[NUMBER] [--store sqlite|postgres] [--at-once NUMBER]`
pub(crate) fn asked(words: &[String], default: usize) -> Asked {
    let number = |word: &String| word.parse().unwrap_or_else(|_| panic!("a number, not {word:?}"));
    let mut asked = Asked { count: default, kind: "sqlite", at_once: CONNECTIONS };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--store" => match words.next().map(String::as_str) {
                Some("sqlite") => asked.kind = "sqlite",
                Some("postgres") => asked.kind = "postgres",
                other => panic!("--store is sqlite or postgres, not {other:?}"),
            },
            "--at-once" => {
                asked.at_once = words.next().map(number).expect("--at-once is followed by a number")
            }
            _ => asked.count = number(word),
        }
    }
    asked
}

/// Sends every viewer in, so many at once.
async fn crowd(
    deployment: &Deployment,
    published: &Published,
    (devices, at_once): (&Arc<[Viewer]>, usize),
    bar: &ProgressBar,
) -> Vec<Seen> {
    let next = Arc::new(AtomicUsize::new(0));
    let url = deployment.url();
    let purchase: Arc<str> = json!({ "plan": published.plan }).to_string().into();
    let mut tasks = Vec::new();
    for _ in 0..at_once {
        let (next, devices, bar) = (Arc::clone(&next), Arc::clone(devices), bar.clone());
        let (url, purchase) = (url.clone(), Arc::clone(&purchase));
        tasks.push(tokio::spawn(async move {
            let host = url.strip_prefix("http://").expect("an address");
            let (mut wire, mut other) = (Wire::connect(host).await, Wire::connect(host).await);
            let mut seen = Seen::default();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(viewer) = devices.get(number) else { return seen };
                let started = Instant::now();
                let bearer = format!("Bearer {}", viewer.login);
                let entitlement = buy(&mut wire, &mut other, number, &bearer, &purchase, &mut seen).await;
                let bought = started.elapsed();
                let kept = open(&mut wire, &url, &bearer, viewer, &entitlement).await;
                let both = started.elapsed();
                if number.is_multiple_of(OPENED_EVERY) {
                    seen.kept.push((number, kept.to_vec()));
                }
                seen.purchase_ms.push(ms(bought));
                seen.view_ms.push(ms(both - bought));
                seen.both_ms.push(ms(both));
                bar.inc(1);
            }
        }));
    }
    let mut all = Vec::new();
    for task in tasks {
        all.push(task.await.expect("every viewer is served"));
    }
    all
}

/// Buys, and gives the entitlement.
async fn buy(
    wire: &mut Wire,
    other: &mut Wire,
    number: usize,
    bearer: &str,
    body: &str,
    seen: &mut Seen,
) -> String {
    let key = format!("purchase-{number}");
    let headers = [("authorization", bearer), ("idempotency-key", key.as_str())];
    let body = body.as_bytes();
    let entitlement = |answer: Answer<'_>| {
        assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(answer.body));
        let answer: Value = serde_json::from_slice(answer.body).expect("a purchase");
        answer["entitlement"]["id"].as_str().expect("an entitlement").to_owned()
    };
    if !number.is_multiple_of(REPEATED_EVERY) {
        return entitlement(wire.post("/v1/purchases", &headers, body).await);
    }
    seen.repeated += 1;
    let (first, second, replayed) = if number.is_multiple_of(2 * REPEATED_EVERY) {
        let both = tokio::join!(
            wire.post("/v1/purchases", &headers, body),
            other.post("/v1/purchases", &headers, body)
        );
        let replayed = usize::from(both.0.replayed) + usize::from(both.1.replayed);
        (entitlement(both.0), entitlement(both.1), replayed)
    } else {
        let first = entitlement(wire.post("/v1/purchases", &headers, body).await);
        let second = wire.post("/v1/purchases", &headers, body).await;
        let replayed = usize::from(second.replayed);
        (first, entitlement(second), replayed)
    };
    assert_eq!(first, second, "one key buys once");
    assert_eq!(replayed, 1, "one of the two answers is the other's");
    first
}

/// Opens a view with a proof by the viewer's device, and gives the opening.
async fn open<'a>(
    wire: &'a mut Wire,
    url: &str,
    bearer: &str,
    viewer: &Viewer,
    entitlement: &str,
) -> &'a [u8] {
    let body = format!(r#"{{"entitlement":"{entitlement}","agreement_key":"{}"}}"#, b64u(&viewer.agreement));
    let claims = ProofClaims {
        jti: format!("view-of-{entitlement}"),
        htm: "POST".to_owned(),
        htu: format!("{url}/v1/views"),
        iat: now_s(),
        body_sha256: Some(dpop::digest(body.as_bytes())),
        ..ProofClaims::default()
    };
    let proof = dpop::create(&viewer.signing, &claims);
    let headers = [("authorization", bearer), ("idempotency-key", entitlement), ("dpop", proof.as_str())];
    let answer = wire.post("/v1/views", &headers, body.as_bytes()).await;
    assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(answer.body));
    answer.body
}

/// Opens the licenses that were kept, with each device's own key. Gives how many.
fn opened(seen: &[Seen]) -> usize {
    let kept = seen.iter().flat_map(|seen| &seen.kept);
    kept.map(|(number, bytes)| {
        let opening: Opening = serde_json::from_slice(bytes).expect("an opening");
        let license = opening.license.expect("a license");
        let keys = open_keys(&viewers::agreement(*number), &license).expect("it is sealed to this device");
        assert!(!keys.is_empty(), "a license holds keys");
    })
    .count()
}

impl Seen {
    fn merged(all: Vec<Self>) -> Self {
        let mut merged = Self::default();
        for seen in all {
            merged.purchase_ms.extend(seen.purchase_ms);
            merged.view_ms.extend(seen.view_ms);
            merged.both_ms.extend(seen.both_ms);
            merged.repeated += seen.repeated;
        }
        for figures in [&mut merged.purchase_ms, &mut merged.view_ms, &mut merged.both_ms] {
            figures.sort_by(f64::total_cmp);
        }
        merged
    }
}

pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn per_viewer(cpu_s: f64, count: usize) -> String {
    format!("{:.2} ms each", cpu_s * 1e3 / count as f64)
}

pub(crate) fn quantiles(sorted: &[f64]) -> Vec<String> {
    [0.5, 0.99, 1.0].map(|share| format!("{:.1} ms", quantile(sorted, share))).to_vec()
}
