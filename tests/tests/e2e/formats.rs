//! Any file is a title: formats that browsers play, documents, and sizes at the edges of a chunk.

use matinee_tests::browser::{Browser, Kind};
use matinee_tests::deployment::Deployment;
use matinee_tests::film;
use matinee_tests::process::run_ok;
use matinee_tests::watching::{FIRST_FRAME_WAIT, Watching, sha256_of};

const VIEWS: u32 = 9;

/// Plays a file in a browser until its time has moved, and reads it whole.
async fn plays(browser: &Browser, deployment: &Deployment, file: &std::path::Path) {
    let published = deployment.publish(&file.file_name().unwrap().to_string_lossy(), &[file], VIEWS).await;
    let profile = browser.new_profile().await.unwrap();
    let watching = Watching::start(&profile, &deployment.url(), &published).await;
    let body = "const find = (root) => root.querySelector('video') ?? [...root.querySelectorAll('*')]
            .reduce((found, e) => found ?? (e.shadowRoot && find(e.shadowRoot)), null);
        return find(document)?.currentTime > 0.5";
    let played = watching.page.wait_for(body, FIRST_FRAME_WAIT).await;
    assert!(played.is_ok(), "{}: {played:?} {:?}", file.display(), watching.page.logs().await);
    assert_eq!(watching.gateway_sha256().await, sha256_of(file), "{}", file.display());
    profile.close().await.unwrap();
}

async fn every_format(kind: Kind) {
    let deployment = Deployment::start().await;
    let browser = Browser::launch(kind).await.unwrap();
    for file in [film::index_at_end(8), film::webm(4), film::mp3(4), film::flac(4), film::ogg(4)] {
        plays(&browser, &deployment, &file).await;
    }
    browser.close().await.unwrap();
}

#[tokio::test]
async fn chromium_plays_every_format() {
    every_format(Kind::Chromium).await;
}

#[tokio::test]
async fn firefox_plays_every_format() {
    every_format(Kind::Firefox).await;
}

#[tokio::test]
async fn files_of_every_size_arrive_whole() {
    let deployment = Deployment::start().await;
    let mut files: Vec<_> = film::chunk_edges().into_iter().map(film::exact).collect();
    files.extend([film::empty(), film::pdf(3), film::timecoded(6)]);
    let paths: Vec<_> = files.iter().map(|path| path.as_path()).collect();
    let published = deployment.publish("Edges", &paths, VIEWS).await;
    let viewer = deployment.viewer("edges@example.com").await;
    viewer.buy(&published).await;
    let peer = deployment.peer("edges@example.com").await;
    let output = deployment.folder().join("edges");
    run_ok(peer.command(&["get", &published.title, "--output", output.to_str().unwrap()]), "").await;
    for file in &files {
        let got = output.join(file.file_name().unwrap());
        assert_eq!(sha256_of(&got), sha256_of(file));
    }
}
