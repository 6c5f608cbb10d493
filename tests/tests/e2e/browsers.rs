//! The main job: a film is published, viewers pay, and it plays in browsers while peers carry it.

use matinee_tests::browser::{Browser, Kind};
use matinee_tests::deployment::Deployment;
use matinee_tests::film;
use matinee_tests::watching::{FIRST_FRAME_WAIT, Watching, sha256_of};

/// Length of the film in these tests.
const FILM_S: u32 = 150;
/// Where the tests seek to, far beyond what is fetched at the start.
const SEEK_S: f64 = 131.0;
/// Views of an entitlement.
const VIEWS: u32 = 5;

async fn two_viewers_and_a_seeder(kind: Kind) {
    let mut deployment = Deployment::start().await;
    let film = film::timecoded(FILM_S);
    let published = deployment.publish("Big Buck Bunny", &[&film], VIEWS).await;
    deployment.add_account("seeder@example.com", "carrier").await;
    let _seeder = deployment.peer("seeder@example.com").await.seed(&published.release).await;

    let browser = Browser::launch(kind).await.unwrap();
    let first = Watching::start(browser.profile(), &deployment.url(), &published).await;
    first.wait_shown(1.0).await;
    assert_eq!(first.gateway_sha256().await, sha256_of(&film), "the first viewer reads the film whole");
    let seen = first.stats().await;
    assert!(seen.bytes_from_peers > 0, "the seeder carries some of it: {seen:?}");

    // The second viewer is another browser's profile: another account on another device.
    let other = browser.new_profile().await.unwrap();
    let second = Watching::start(&other, &deployment.url(), &published).await;
    second.wait_shown(1.0).await;
    second.video("video.pause(); return null").await;
    let both = "return window.matinee.stats().peers >= 2";
    second.page.wait_for(both, FIRST_FRAME_WAIT).await.unwrap();
    second.seek(SEEK_S).await;
    second.seek(4.0).await;
    assert_eq!(second.gateway_sha256().await, sha256_of(&film), "the second viewer reads the film whole");
    let gives = "return window.matinee.stats().bytesToPeers > 0";
    first.page.wait_for(gives, FIRST_FRAME_WAIT).await.expect("the second viewer had chunks from the first");
    let (gave, got) = (first.stats().await, second.stats().await);
    assert!(got.bytes_from_peers > gave.bytes_to_peers, "and from the seeder: {gave:?} {got:?}");
    assert!(got.peers >= 2, "{got:?}");
    deployment.check_ledger().await;
    let errors = deployment.process().output();
    assert!(!errors.contains("ERROR"), "{errors}");
    browser.close().await.unwrap();
}

#[tokio::test]
async fn two_chromium_viewers_and_a_seeder() {
    two_viewers_and_a_seeder(Kind::Chromium).await;
}

#[tokio::test]
async fn two_firefox_viewers_and_a_seeder() {
    two_viewers_and_a_seeder(Kind::Firefox).await;
}

#[tokio::test]
async fn a_page_without_an_entitlement_plays_nothing() {
    let deployment = Deployment::start().await;
    let published = deployment.publish("Big Buck Bunny", &[&film::timecoded(6)], VIEWS).await;
    let browser = Browser::launch(Kind::Chromium).await.unwrap();
    let first = Watching::start(browser.profile(), &deployment.url(), &published).await;
    first.wait_shown(0.2).await;
    let address = first.page.url().await.unwrap();
    // Another account opens the same address.
    let thief = browser.new_profile().await.unwrap();
    let page = thief.page(&deployment.url()).await.unwrap();
    let args = serde_json::json!({});
    let sign_up = "const body = JSON.stringify({ email: 'thief@example.com', password: 'correct horse battery', name: 'T' });
        const answer = await fetch('/v1/accounts', { method: 'POST', body, headers: { 'content-type': 'application/json' } });
        return answer.status;";
    assert_eq!(page.eval::<u16>(sign_up, args).await.unwrap(), 201);
    page.goto(&address).await.unwrap();
    let failed = "return window.matinee?.stats()?.state === 'failed' ? window.matinee.stats().code : null";
    let code = page.wait_for(failed, FIRST_FRAME_WAIT).await.unwrap();
    assert_eq!(code, "not_found");
    browser.close().await.unwrap();
}
