//! `measure connect`: from joining a swarm to the first verified chunk from a peer.

use matinee_tests::browser::{Browser, Kind};
use matinee_tests::deployment::Deployment;
use matinee_tests::film;
use matinee_tests::process::Running;
use matinee_tests::watching::{FIRST_FRAME_WAIT, Watching};
use serde_json::{Value, json};

use crate::table::{head, median, round, row, spread};

pub(crate) async fn measure(runs: usize) -> Value {
    let film = film::timecoded(60);
    let deployment = Deployment::start().await;
    let published = deployment.publish("Big Buck Bunny", &[&film], 1000).await;
    deployment.add_account("seeder@example.com", "carrier").await;
    let _seeder = deployment.peer("seeder@example.com").await.seed(&published.release).await;
    let browser = Browser::launch(Kind::Chromium).await.expect("Chromium starts");
    let (mut native, mut in_browser) = (Vec::new(), Vec::new());
    for run in 0..runs {
        let email = format!("native{run}@example.com");
        deployment.viewer(&email).await.buy(&published).await;
        let peer = deployment.peer(&email).await;
        let words = ["get", &published.title, "--json", "--origin", "never", "--ciphertext-only"];
        let mut getting = Running::start(peer.command(&words));
        let first = getting.wait_line("first chunk", |line| {
            let event: Value = serde_json::from_str(line).ok()?;
            event["first_peer_chunk_ms"].as_f64()
        });
        native.push(first.await);
        getting.wait().await;

        let profile = browser.new_profile().await.expect("a profile opens");
        let watching = Watching::start(&profile, &deployment.url(), &published).await;
        let body = "return window.matinee?.stats()?.firstPeerChunkMs";
        let first =
            watching.page.wait_for(body, FIRST_FRAME_WAIT).await.expect("a chunk comes from the seeder");
        in_browser.push(first.as_f64().expect("milliseconds"));
        profile.close().await.expect("the profile closes");
    }
    browser.close().await.expect("Chromium ends");
    head(&format!("joining to the first verified chunk from a seeder, {runs} runs"));
    row("native to native", &spread(&native, "ms"));
    row("browser to native", &spread(&in_browser, "ms"));
    json!({ "native_ms": round(median(&native), 1), "browser_ms": round(median(&in_browser), 1) })
}
