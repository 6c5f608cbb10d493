//! Peers that lie: what they send is never played and never stored, they are dropped and remembered, and the film goes on.

use std::sync::atomic::Ordering;
use std::time::Duration;

use matinee_tests::browser::{Browser, Kind};
use matinee_tests::deployment::{Deployment, Published, wait_until};
use matinee_tests::film;
use matinee_tests::liar::{Liar, Lie};
use matinee_tests::process::run_ok;
use matinee_tests::watching::{Watching, sha256_of};

const VIEWS: u32 = 5;

async fn liar(deployment: &Deployment, published: &Published, file: &std::path::Path, lie: Lie) -> Liar {
    let viewer = deployment.viewer(&format!("{lie:?}@example.com").to_lowercase()).await;
    let opening = viewer.rent(published).await;
    let size = std::fs::metadata(file).unwrap().len();
    Liar::join(lie, viewer, opening, size.div_ceil(262_144) as u32).await
}

#[tokio::test]
async fn a_native_peer_among_liars_of_every_kind_gets_the_true_file() {
    let deployment = Deployment::start().await;
    let zip = film::zip(24_000_000);
    let published = deployment.publish("Lied about", &[&zip], VIEWS).await;
    let mut liars = Vec::new();
    for lie in Lie::ALL {
        liars.push(liar(&deployment, &published, &zip, lie).await);
    }
    let viewer = deployment.viewer("victim@example.com").await;
    viewer.buy(&published).await;
    let peer = deployment.peer("victim@example.com").await;
    let output = deployment.folder().join("true.zip");
    let words = ["get", &published.title, "--json", "--output", output.to_str().unwrap()];
    run_ok(peer.command(&words), "").await;
    assert_eq!(sha256_of(&output), sha256_of(&zip));
    let met = liars.iter().filter(|liar| liar.seen.channels.load(Ordering::Relaxed) > 0).count();
    assert!(met >= Lie::ALL.len() - 1, "the victim met {met} of the liars");
    // Whoever sent what can be seen to be wrong was dropped on the spot; the slow ones may outlast a quick download.
    for liar in liars.iter().filter(|liar| !matches!(liar.lie, Lie::TooSlowly | Lie::Nothing)) {
        let (ended, requests) = (&liar.seen.ended, &liar.seen.requests);
        assert!(ended.load(Ordering::Relaxed) > 0 || requests.load(Ordering::Relaxed) == 0, "{:?}", liar.lie);
    }
}

#[tokio::test]
async fn a_liar_is_dropped_and_stays_dropped() {
    for lie in
        [Lie::WrongBytes, Lie::OldBytes, Lie::OtherChunk, Lie::TooMuch, Lie::Garbage, Lie::RelayedHello]
    {
        let deployment = Deployment::start().await;
        let file = film::zip(24_000_000);
        let published = deployment.publish("Lied about", &[&file], VIEWS).await;
        let liar = liar(&deployment, &published, &file, lie).await;
        let viewer = deployment.viewer("victim@example.com").await;
        viewer.buy(&published).await;
        let peer = deployment.peer("victim@example.com").await;
        let (_playing, url) = peer.play(&published.title).await;
        let read = tokio::spawn(async move { reqwest::get(&url).await.unwrap().bytes().await.unwrap() });
        wait_until(&format!("{lie:?} is dropped"), Duration::from_secs(60), || async {
            (liar.seen.ended.load(Ordering::Relaxed) > 0).then_some(())
        })
        .await;
        let requests = liar.seen.requests.load(Ordering::Relaxed);
        assert!(
            read.await.unwrap() == std::fs::read(&file).unwrap(),
            "{lie:?}: the film is true all the same"
        );
        // Nothing more is asked of it, whoever connects to whom.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let later = liar.seen.requests.load(Ordering::Relaxed);
        assert!(later <= requests + 1, "{lie:?}: {requests} requests until it was dropped, {later} later");
        if lie == Lie::RelayedHello {
            assert_eq!(later, 0, "nothing is asked of a peer whose handshake was relayed");
            assert_eq!(liar.seen.data_bytes.load(Ordering::Relaxed), 0, "nor is anything given to it");
        }
    }
}

#[tokio::test]
async fn a_film_plays_on_among_liars() {
    let deployment = Deployment::start().await;
    let film = film::timecoded(40);
    let published = deployment.publish("Big Buck Bunny", &[&film], VIEWS).await;
    for lie in [Lie::WrongBytes, Lie::TooSlowly, Lie::Nothing, Lie::OtherChunk] {
        liar(&deployment, &published, &film, lie).await;
    }
    let browser = Browser::launch(Kind::Chromium).await.unwrap();
    let watching = Watching::start(browser.profile(), &deployment.url(), &published).await;
    watching.wait_shown(0.2).await;
    let started: f64 = watching.video("globalThis.stalls = 0; video.addEventListener('waiting', () => { globalThis.stalls += 1; }); return video.currentTime").await.as_f64().unwrap();
    watching.wait_shown(started + 15.0).await;
    let stalls = watching.video("return globalThis.stalls").await;
    assert_eq!(stalls, 0, "the film waited for a liar: {:?}", watching.stats().await);
    assert_eq!(watching.gateway_sha256().await, sha256_of(&film));
    browser.close().await.unwrap();
}

#[tokio::test]
async fn a_corrupt_origin_is_never_played() {
    let deployment = Deployment::start().await;
    let film = film::timecoded(30);
    let published = deployment.publish("Big Buck Bunny", &[&film], VIEWS).await;
    // A seeder that has it all, then the origin's disk rots: every object but the hash pages.
    deployment.add_account("seeder@example.com", "carrier").await;
    let _seeder = deployment.peer("seeder@example.com").await.seed(&published.release).await;
    rot(&deployment.data(), &published.release);
    let viewer = deployment.viewer("victim@example.com").await;
    viewer.buy(&published).await;
    let peer = deployment.peer("victim@example.com").await;
    let output = deployment.folder().join("true.mp4");
    run_ok(peer.command(&["get", &published.title, "--output", output.to_str().unwrap()]), "").await;
    assert_eq!(sha256_of(&output), sha256_of(&film));
}

/// Flips a byte in every chunk of every segment object of a release.
fn rot(data: &std::path::Path, release: &str) {
    let mut rotted = 0;
    let mut folders = vec![data.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().contains(release) && !path.to_string_lossy().contains("page") {
                let mut bytes = std::fs::read(&path).unwrap();
                bytes.chunks_mut(262_160).for_each(|chunk| chunk[chunk.len() / 2] ^= 1);
                std::fs::write(&path, bytes).unwrap();
                rotted += 1;
            }
        }
    }
    assert!(rotted > 0, "the origin keeps its objects where this test looks");
}
