//! Things that break in the middle of a film: playback resumes, nothing is charged twice, the cache is intact.

use std::time::Duration;

use matinee_tests::browser::{Browser, Kind};
use matinee_tests::deployment::{Deployment, Published};
use matinee_tests::film;
use matinee_tests::peer::{Peer, wait_event};
use matinee_tests::process::{Running, run_ok};
use matinee_tests::watching::{FIRST_FRAME_WAIT, Watching, sha256_of};

const FILM_S: u32 = 60;
const VIEWS: u32 = 2;

async fn watched(deployment: &Deployment, browser: &Browser) -> (Watching, Published) {
    let published = deployment.publish("Big Buck Bunny", &[&film::timecoded(FILM_S)], VIEWS).await;
    let watching = Watching::start(browser.profile(), &deployment.url(), &published).await;
    watching.wait_shown(1.0).await;
    (watching, published)
}

#[tokio::test]
async fn a_server_killed_in_the_middle_comes_back_and_the_film_goes_on() {
    let mut deployment = Deployment::start().await;
    let browser = Browser::launch(Kind::Chromium).await.unwrap();
    let (watching, _) = watched(&deployment, &browser).await;
    let view = watching.stats().await.view;
    deployment.kill().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    deployment.serve().await;
    watching.seek(52.0).await;
    watching.seek(20.0).await;
    assert_eq!(watching.gateway_sha256().await, sha256_of(&film::timecoded(FILM_S)));
    assert_eq!(watching.stats().await.view, view, "still the same view");
    deployment.check_ledger().await;
    browser.close().await.unwrap();
}

#[tokio::test]
async fn a_reloaded_page_goes_on_with_its_view_and_its_cache() {
    let deployment = Deployment::start().await;
    let browser = Browser::launch(Kind::Chromium).await.unwrap();
    let (watching, _) = watched(&deployment, &browser).await;
    assert_eq!(watching.gateway_sha256().await, sha256_of(&film::timecoded(FILM_S)));
    let before = watching.stats().await;
    // The cache writes its record every few seconds.
    tokio::time::sleep(Duration::from_secs(12)).await;
    watching.page.reload().await.unwrap();
    watching.wait_shown(0.5).await;
    assert_eq!(watching.gateway_sha256().await, sha256_of(&film::timecoded(FILM_S)));
    let after = watching.stats().await;
    assert_eq!(after.view, before.view, "a reload is not a second view");
    assert!(after.bytes_from_cache > 0, "{after:?}");
    assert_eq!(after.bytes_from_origin + after.bytes_from_peers, 0, "everything was in the cache: {after:?}");
    browser.close().await.unwrap();
}

#[tokio::test]
async fn ten_seconds_without_a_network_are_survived() {
    let deployment = Deployment::start().await;
    let browser = Browser::launch(Kind::Chromium).await.unwrap();
    let (watching, _) = watched(&deployment, &browser).await;
    browser.profile().set_offline(true).await.unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    browser.profile().set_offline(false).await.unwrap();
    watching.seek(55.0).await;
    watching.video("video.currentTime = 30; await video.play(); return null").await;
    watching.wait_shown(31.0).await;
    browser.close().await.unwrap();
}

#[tokio::test]
async fn a_seeder_killed_in_the_middle_of_a_chunk_is_replaced() {
    let deployment = Deployment::start().await;
    let zip = film::zip(120_000_000);
    let published = deployment.publish("Big", &[&zip], VIEWS).await;
    deployment.add_account("seeder@example.com", "carrier").await;
    let mut seeder = deployment.peer("seeder@example.com").await.seed(&published.release).await;
    let viewer = deployment.viewer("victim@example.com").await;
    viewer.buy(&published).await;
    let peer = deployment.peer("victim@example.com").await;
    let output = deployment.folder().join("big.zip");
    let mut getting = Running::start(peer.command(&[
        "get",
        &published.title,
        "--json",
        "--output",
        output.to_str().unwrap(),
    ]));
    let from_peers = |line: &str| {
        let event: serde_json::Value = serde_json::from_str(line).ok()?;
        event["bytes_from_peers"].as_u64().filter(|bytes| *bytes > 0)
    };
    let had = getting.wait_line("bytes from the seeder", from_peers).await;
    seeder.kill().await;
    assert_eq!(getting.wait().await, Some(0), "{}", getting.output());
    assert!(had < 120_000_000, "the seeder was killed before it had given everything");
    assert_eq!(sha256_of(&output), sha256_of(&zip));
}

#[tokio::test]
async fn a_full_disk_stops_the_cache_and_not_the_film() {
    let deployment = Deployment::start().await;
    let film = film::timecoded(30);
    let published = deployment.publish("Big Buck Bunny", &[&film], VIEWS).await;
    let viewer = deployment.viewer("full@example.com").await;
    viewer.buy(&published).await;
    // A disk of one megabyte, some of which the peer's state itself takes.
    let disk = deployment.folder().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let mounted = tokio::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs", disk.to_str().unwrap()])
        .status()
        .await
        .unwrap();
    assert!(mounted.success(), "this test mounts a small disk and needs root");
    let peer = Peer::sign_in(&deployment.url(), "full@example.com", &disk).await;
    let mut playing = Running::start(peer.command(&["play", &published.title, "--player", "none", "--json"]));
    let ready = wait_event(&mut playing, "ready").await;
    let got = reqwest::get(ready["url"].as_str().unwrap()).await.unwrap().bytes().await;
    playing.kill().await;
    let unmounted = tokio::process::Command::new("umount").arg(&disk).status().await.unwrap();
    assert!(unmounted.success());
    assert!(
        got.unwrap() == std::fs::read(&film).unwrap(),
        "the film is whole although nothing could be kept"
    );
}

#[tokio::test]
async fn a_cache_outlives_a_kill_and_rot_is_noticed() {
    let deployment = Deployment::start().await;
    let zip = film::zip(24_000_000);
    let published = deployment.publish("Kept", &[&zip], VIEWS).await;
    let viewer = deployment.viewer("kept@example.com").await;
    viewer.buy(&published).await;
    let peer = deployment.peer("kept@example.com").await;
    let output = deployment.folder().join("kept.zip");
    let words = ["get", &published.title, "--json", "--output", output.to_str().unwrap()];
    run_ok(peer.command(&words), "").await;
    std::fs::remove_file(&output).unwrap();
    let printed = run_ok(peer.command(&words), "").await;
    let mut again = printed.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let last = again.rfind(|line| line["bytes_from_origin"].is_u64()).expect("figures");
    assert_eq!(last["bytes_from_origin"], 0, "everything was in the cache: {last}");
    assert_eq!(sha256_of(&output), sha256_of(&zip));
}

#[tokio::test]
async fn a_revoked_viewer_stops_within_the_keys_that_are_out() {
    let deployment = Deployment::start().await;
    let browser = Browser::launch(Kind::Chromium).await.unwrap();
    let published = deployment.publish("Big Buck Bunny", &[&film::timecoded(FILM_S)], VIEWS).await;
    let watching = Watching::start(browser.profile(), &deployment.url(), &published).await;
    watching.wait_shown(1.0).await;
    let url = watching.page.url().await.unwrap();
    let entitlement = url.rsplit('/').next().unwrap();
    run_ok(deployment.command(&["revoke", entitlement, "--reason", "chargeback"]), "").await;
    let over = "return ['over', 'failed'].includes(window.matinee.stats().state)";
    watching.page.wait_for(over, FIRST_FRAME_WAIT).await.unwrap();
    browser.close().await.unwrap();
}
