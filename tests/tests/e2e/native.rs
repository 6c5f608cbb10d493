//! The native peer: get, play, seed.

use matinee_tests::deployment::Deployment;
use matinee_tests::film;
use matinee_tests::peer::{Peer, wait_event};
use matinee_tests::process::{Running, run, run_ok};
use matinee_tests::viewer::Viewer;
use matinee_tests::watching::sha256_of;

const VIEWS: u32 = 5;

/// A native peer of a viewer who has rented the title.
async fn renter(
    deployment: &Deployment,
    published: &matinee_tests::deployment::Published,
    email: &str,
) -> Peer {
    let viewer: Viewer = deployment.viewer(email).await;
    viewer.buy(published).await;
    deployment.peer(email).await
}

#[tokio::test]
async fn get_verifies_and_goes_on_after_a_kill() {
    let deployment = Deployment::start().await;
    let zip = film::zip(60_000_000);
    let published = deployment.publish("Pictures", &[&zip], VIEWS).await;
    let peer = renter(&deployment, &published, "get@example.com").await;
    let output = deployment.folder().join("out.zip");
    let words = ["get", &published.title, "--json", "--output", output.to_str().unwrap()];
    let mut running = Running::start(peer.command(&words));
    wait_event(&mut running, "stats").await;
    running.kill().await;
    assert!(!output.exists(), "what is not whole has not the name of the whole");
    let printed = run_ok(peer.command(&words), "").await;
    assert_eq!(sha256_of(&output), sha256_of(&zip), "{printed}");
}

#[tokio::test]
async fn without_an_entitlement_nothing_is_got() {
    let deployment = Deployment::start().await;
    let published = deployment.publish("Closed", &[&film::exact(1_000)], VIEWS).await;
    deployment.viewer("poor@example.com").await;
    let peer = deployment.peer("poor@example.com").await;
    let output = deployment.folder().join("nothing");
    let words = ["get", &published.title, "--output", output.to_str().unwrap()];
    let ended = run(peer.command(&words), "").await;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert_eq!(ended.stderr.trim().lines().count(), 1, "{ended:?}");
    assert!(!output.exists());
}

#[tokio::test]
async fn the_loopback_gateway_answers_ranges() {
    let deployment = Deployment::start().await;
    let film = film::timecoded(20);
    let published = deployment.publish("Big Buck Bunny", &[&film], VIEWS).await;
    let peer = renter(&deployment, &published, "play@example.com").await;
    let (_running, url) = peer.play(&published.title).await;
    let whole = std::fs::read(&film).unwrap();
    let http = reqwest::Client::new();
    let got = http.get(&url).send().await.unwrap().bytes().await.unwrap();
    assert!(got == whole, "the gateway gives the film");
    for (asked, first, last) in [
        ("bytes=0-1".to_owned(), 0, 1),
        (format!("bytes={}-", whole.len() - 7), whole.len() - 7, whole.len() - 1),
        ("bytes=-9".to_owned(), whole.len() - 9, whole.len() - 1),
        ("bytes=262100-262200".to_owned(), 262_100, 262_200),
    ] {
        let answer = http.get(&url).header("range", &asked).send().await.unwrap();
        assert_eq!(answer.status(), 206, "{asked}");
        let range = answer.headers()["content-range"].to_str().unwrap().to_owned();
        assert_eq!(range, format!("bytes {first}-{last}/{}", whole.len()));
        assert!(answer.bytes().await.unwrap() == whole[first..=last], "{asked}");
    }
    let beyond = http.get(&url).header("range", format!("bytes={}-", whole.len())).send().await.unwrap();
    assert_eq!(beyond.status(), 416);
    let without_secret = url.split('?').next().unwrap();
    assert!(http.get(without_secret).send().await.unwrap().status().is_client_error());
    let rebound = http.get(&url).header("host", "evil.example").send().await.unwrap();
    assert!(rebound.status().is_client_error(), "a name that was pointed here by an attacker");
}

#[tokio::test]
async fn two_native_viewers_share_with_a_carrier() {
    let deployment = Deployment::start().await;
    let zip = film::zip(30_000_000);
    let published = deployment.publish("Shared", &[&zip], VIEWS).await;
    deployment.add_account("carrier@example.com", "carrier").await;
    let carrier = deployment.peer("carrier@example.com").await;
    let _seeding = carrier.seed(&published.release).await;
    // What the carrier holds is not the film: no 64 bytes of it stand anywhere in its folder.
    let plain = std::fs::read(&zip).unwrap();
    let needle = &plain[10_000_000..10_000_064];
    assert!(!anywhere_in(&carrier.state, needle), "a carrier holds ciphertext only");
    assert!(!anywhere_in(&deployment.data(), needle), "and so does the server");

    let peer = renter(&deployment, &published, "one@example.com").await;
    let output = deployment.folder().join("one.zip");
    let output_word = output.to_str().unwrap();
    let words = ["get", &published.title, "--json", "--origin", "never", "--output", output_word];
    let printed = run_ok(peer.command(&words), "").await;
    assert_eq!(sha256_of(&output), sha256_of(&zip));
    let mut stats = printed.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let last = stats.rfind(|line| line["bytes_from_peers"].is_u64()).expect("figures");
    assert!(last["bytes_from_peers"].as_u64().unwrap() >= 30_000_000, "the carrier carried it: {last}");
}

fn anywhere_in(folder: &std::path::Path, needle: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return anywhere_in(&path, needle);
        }
        let bytes = std::fs::read(&path).unwrap_or_default();
        bytes.windows(needle.len()).any(|window| window == needle)
    })
}
