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

#[tokio::test]
async fn a_lease_plays_while_no_server_is_there() {
    let mut deployment = Deployment::start().await;
    let film = film::timecoded(20);
    let published = deployment.publish("Holiday film", &[&film], VIEWS).await;
    let plan =
        ["plan", "add", "--title", &published.title, "--purchase", "0.10USD", "--offline", "7d", "--json"];
    let added = run_ok(deployment.command(&plan), "").await;
    let added: serde_json::Value = serde_json::from_str(added.lines().last().unwrap()).unwrap();
    let viewer: Viewer = deployment.viewer("holiday@example.com").await;
    let peer = deployment.peer("holiday@example.com").await;
    let refused = run(peer.command(&["lease", "take", "Holiday film"]), "").await;
    assert_eq!(refused.code, Some(3), "nothing was bought: {refused:?}");
    viewer.top_up(10).await;
    let bought = viewer.post("/v1/purchases", "k", &serde_json::json!({ "plan": added["plan"] })).await;
    assert_eq!(bought.status(), 201);
    run_ok(peer.command(&["lease", "take", "Holiday film", "--json"]), "").await;
    let listed = run_ok(peer.command(&["lease", "list", "--json"]), "").await;
    assert!(listed.contains("\"refused\":null"), "{listed}");

    deployment.kill().await;
    // By itself where the server cannot be reached, and at once where it is not asked.
    for extra in [None, Some("--offline")] {
        let words: Vec<&str> =
            ["play", "Holiday film", "--player", "none", "--json"].into_iter().chain(extra).collect();
        let mut running = Running::start(peer.command(&words));
        let ready = wait_event(&mut running, "ready").await;
        assert_eq!(ready["offline"], true, "{ready}");
        let got = reqwest::get(ready["url"].as_str().unwrap()).await.unwrap().bytes().await.unwrap();
        assert!(got == std::fs::read(&film).unwrap(), "the whole film, without a server");
        running.interrupt().await;
    }
    // What is kept is no good to another device, nor to an editor.
    let file = std::fs::read_dir(&peer.state).unwrap().map(|entry| entry.unwrap().path());
    let file = file.into_iter().find(|path| path.to_string_lossy().contains("lease-")).unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(!text.contains("expires") && !text.contains("Holiday"), "{text}");
    std::fs::write(&file, text.replacen('A', "B", 1)).unwrap();
    let spoiled = run(peer.command(&["play", "Holiday film", "--player", "none", "--offline"]), "").await;
    assert_eq!(spoiled.code, Some(3), "{spoiled:?}");
    std::fs::write(&file, text).unwrap();

    deployment.serve().await;
    run_ok(peer.command(&["lease", "return", "Holiday film"]), "").await;
    let gone = run(peer.command(&["play", "Holiday film", "--player", "none", "--offline"]), "").await;
    assert_eq!(gone.code, Some(3), "{gone:?}");
    let leases = viewer.request(reqwest::Method::GET, "/v1/leases").send().await.unwrap();
    let leases: serde_json::Value = leases.json().await.unwrap();
    assert_eq!(leases["leases"][0]["state"], "returned", "{leases}");
}

/// The grace of a server that cannot be reached: the keys that are out, three epochs from the one that was asked for.
#[tokio::test]
async fn without_a_server_play_goes_on_as_far_as_the_keys_that_are_out() {
    const EPOCH_BYTES: usize = 64 * 262_144;
    let mut deployment = Deployment::start().await;
    let zip = film::zip(6 * EPOCH_BYTES as u64);
    let published = deployment.publish("Pictures", &[&zip], VIEWS).await;
    let peer = renter(&deployment, &published, "grace@example.com").await;
    run_ok(peer.command(&["get", &published.title, "--ciphertext-only", "--json"]), "").await;
    let (_running, url) = peer.play(&published.title).await;
    deployment.kill().await;
    let whole = std::fs::read(&zip).unwrap();
    let http = reqwest::Client::builder().timeout(std::time::Duration::from_secs(10)).build().unwrap();
    let read = |first: usize, last: usize| {
        let request = http.get(&url).header("range", format!("bytes={first}-{last}"));
        async move { request.send().await?.error_for_status()?.bytes().await }
    };
    let held = read(0, 3 * EPOCH_BYTES - 1).await.unwrap();
    assert!(held == whole[..3 * EPOCH_BYTES], "three epochs play without the server");
    assert!(read(3 * EPOCH_BYTES, 3 * EPOCH_BYTES + 9).await.is_err(), "and no byte more");
    deployment.serve().await;
    let http = reqwest::Client::new();
    let request =
        http.get(&url).header("range", format!("bytes={}-{}", 3 * EPOCH_BYTES, 3 * EPOCH_BYTES + 9));
    let back = request.send().await.unwrap().bytes().await.unwrap();
    assert!(back == whole[3 * EPOCH_BYTES..3 * EPOCH_BYTES + 10], "until it is back");
}
