//! `measure start`: click to first frame, and seek, in Chromium: a film through the gateway beside the plain file over HTTP.

use std::time::Duration;

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use matinee_tests::browser::{Browser, Kind, Page};
use matinee_tests::deployment::Deployment;
use matinee_tests::film;
use matinee_tests::viewer::nonce;
use matinee_tests::watching;
use serde_json::{Value, json};
use tower_http::services::ServeFile;

use crate::table::{head, median, round, row, spread};

/// Length of the film.
const FILM_S: u32 = 120;
/// Where the seek goes, far beyond what is buffered.
const SEEK_S: f64 = 95.0;

const CONTROL_WAIT: Duration = Duration::from_secs(10);
/// How long the title's page is looked at before the click.
const READING: Duration = Duration::from_secs(1);

/// Finds the film's video wherever it is on the page.
const FIND: &str = "const find = (root) => root.querySelector('video') ?? [...root.querySelectorAll('*')]
    .reduce((found, e) => found ?? (e.shadowRoot && find(e.shadowRoot)), null);
const frame = (video) => new Promise((shown) => video.requestVideoFrameCallback(() => shown(performance.now())));
const appear = async () => {
    for (;;) {
        const video = find(document);
        if (video) return video;
        await new Promise((next) => setTimeout(next, 1));
    }
};";

struct Times {
    start_ms: f64,
    seek_ms: f64,
}

pub(crate) async fn measure(runs: usize) -> Value {
    let film = film::timecoded(FILM_S);
    let deployment = Deployment::start().await;
    let published = deployment.publish("Big Buck Bunny", &[&film], 1000).await;
    let plain_url = serve_plain(&film).await;
    let browser = Browser::launch(Kind::Chromium).await.expect("Chromium starts");
    let mut origin = Vec::new();
    let mut plain = Vec::new();
    for _ in 0..runs {
        origin.push(through_gateway(&browser, &deployment, &published, false).await);
        plain.push(plain_file(&browser, &plain_url).await);
    }
    deployment.add_account("seeder@example.com", "carrier").await;
    let _seeder = deployment.peer("seeder@example.com").await.seed(&published.release).await;
    let mut peer = Vec::new();
    let mut plain_beside_peer = Vec::new();
    for _ in 0..runs {
        peer.push(through_gateway(&browser, &deployment, &published, true).await);
        plain_beside_peer.push(plain_file(&browser, &plain_url).await);
    }
    browser.close().await.expect("Chromium ends");
    report(runs, &origin, &plain, &peer, &plain_beside_peer)
}

fn report(runs: usize, origin: &[Times], plain: &[Times], peer: &[Times], plain_beside: &[Times]) -> Value {
    let starts = |times: &[Times]| times.iter().map(|time| time.start_ms).collect::<Vec<_>>();
    let seeks = |times: &[Times]| times.iter().map(|time| time.seek_ms).collect::<Vec<_>>();
    head(&format!("Chromium, page warm, {runs} runs in turn with the plain file"));
    row("first frame, from the origin", &spread(&starts(origin), "ms"));
    row("first frame, a seeder in the swarm", &spread(&starts(peer), "ms"));
    row("first frame, plain file", &spread(&starts(plain), "ms"));
    row("seek, from the origin", &spread(&seeks(origin), "ms"));
    row("seek, from a peer", &spread(&seeks(peer), "ms"));
    row("seek, plain file", &spread(&seeks(plain), "ms"));
    let ratio = |one: Vec<f64>, other: Vec<f64>| round(median(&one) / median(&other), 2);
    json!({
        "ratio": ratio(starts(origin), starts(plain)),
        "peer_ratio": ratio(starts(peer), starts(plain_beside)),
        "gateway_ms": round(median(&starts(origin)), 1),
        "peer_ms": round(median(&starts(peer)), 1),
        "plain_ms": round(median(&starts(plain)), 1),
        "seek_ratio": ratio(seeks(origin), seeks(plain)),
        "peer_seek_ratio": ratio(seeks(peer), seeks(plain_beside)),
        "seek_ms": round(median(&seeks(origin)), 1),
        "peer_seek_ms": round(median(&seeks(peer)), 1),
        "plain_seek_ms": round(median(&seeks(plain)), 1),
    })
}

/// A page with nothing but the plain film on it, on a server of its own.
async fn serve_plain(film: &std::path::Path) -> String {
    let page = Html("<!doctype html><title>Plain</title><main></main>");
    let router = Router::new()
        .route("/", get(move || async move { page }))
        .route_service("/film.mp4", ServeFile::new(film));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}/")
}

async fn times(page: &Page, start: &str) -> Times {
    let body = format!(
        "{FIND}
        const clicked = performance.now();
        {start}
        const video = await appear();
        video.muted = true;
        const first = frame(video);
        void video.play().catch(() => undefined);
        const start_ms = await first - clicked;
        {SETTLE}
        video.pause();
        const jumped = performance.now();
        const next = new Promise((done) => video.addEventListener('seeked', () => done(performance.now()), {{ once: true }}));
        video.currentTime = {SEEK_S};
        return {{ start_ms, seek_ms: await next - jumped }};"
    );
    let measured: Value = page.eval(&body, json!({})).await.expect("the film plays");
    let figure = |name: &str| measured[name].as_f64().unwrap_or_else(|| panic!("no {name} in {measured}"));
    Times { start_ms: figure("start_ms"), seek_ms: figure("seek_ms") }
}

/// A moment of playing before the seek.
const SETTLE: &str = "await new Promise((next) => setTimeout(next, 1500));";

async fn plain_file(browser: &Browser, url: &str) -> Times {
    let profile = browser.new_profile().await.expect("a profile opens");
    let page = profile.page(url).await.expect("the page opens");
    page.front().await.expect("the page can be shown");
    let start =
        "const made = document.createElement('video'); made.src = '/film.mp4'; document.body.append(made);";
    let measured = times(&page, start).await;
    profile.close().await.expect("the profile closes");
    measured
}

async fn through_gateway(
    browser: &Browser,
    deployment: &Deployment,
    published: &matinee_tests::deployment::Published,
    with_peer: bool,
) -> Times {
    let profile = browser.new_profile().await.expect("a profile opens");
    let page = profile.page(&deployment.url()).await.expect("the shop opens");
    page.front().await.expect("the page can be shown");
    let email = format!("{}@example.com", nonce().to_lowercase());
    let entitlement = watching::rent(&page, &email, published).await;
    // Warm: the service worker controls the page, and the player was prepared while the title's page was read.
    page.goto(&format!("{}/titles/{}", deployment.url(), published.title))
        .await
        .expect("the title's page opens");
    let warm = "return navigator.serviceWorker.controller !== null";
    page.wait_for(warm, CONTROL_WAIT).await.expect("the service worker takes control");
    tokio::time::sleep(READING).await;
    let start = format!(
        "history.pushState(null, '', '/watch/{entitlement}'); dispatchEvent(new PopStateEvent('popstate'));"
    );
    let measured = times(&page, &start).await;
    if with_peer {
        let stats: watching::Stats =
            page.eval("return window.matinee.stats()", json!({})).await.expect("figures");
        assert!(stats.peers > 0, "the seeder is connected: {stats:?}");
    }
    profile.close().await.expect("the profile closes");
    measured
}
