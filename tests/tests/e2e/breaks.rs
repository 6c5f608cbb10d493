//! A film with breaks in a real browser: it stands still while they are shown, and goes on after.

use std::time::Duration;

use matinee_tests::browser::{Browser, Kind};
use matinee_tests::deployment::{Deployment, Published};
use matinee_tests::film;
use matinee_tests::process::run_ok;
use matinee_tests::watching::{FIRST_FRAME_WAIT, Watching};

/// Length of the film: more than two epochs.
const FILM_S: u32 = 150;
/// What tells whether a break is on the screen, and which seconds it says are left.
const CARD: &str = "
    const players = [...document.querySelectorAll('*')].map((e) => e.shadowRoot?.querySelector('matinee-player') ?? e);
    const card = players.map((e) => e.shadowRoot?.querySelector('.break')).find(Boolean);
    return card?.textContent.includes('goes on in') ? card.textContent.trim() : null;";

#[tokio::test]
async fn a_film_stands_still_for_its_breaks_and_goes_on() {
    let deployment = Deployment::start().await;
    let rented = deployment.publish("Big Buck Bunny", &[&film::timecoded(FILM_S)], 5).await;
    let words = [
        "plan",
        "add",
        "--title",
        &rented.title,
        "--ad-supported",
        "--break",
        "0+3s",
        "--break",
        "1m+4s",
        "--json",
    ];
    let added = run_ok(deployment.command(&words), "").await;
    let added: serde_json::Value = serde_json::from_str(added.lines().last().unwrap()).unwrap();
    let published = Published { plan: added["plan"].as_str().unwrap().to_owned(), ..rented };
    let browser = Browser::launch(Kind::Chromium).await.unwrap();
    let watching = Watching::start(browser.profile(), &deployment.url(), &published).await;
    watching.page.wait_for(CARD, FIRST_FRAME_WAIT).await.expect("the film begins with a break");
    assert_eq!(watching.time_code().await, None, "and nothing of the film is to be seen before it");
    watching.wait_shown(1.0).await;
    // Far behind the second break: it comes first, for its time.
    let clock = || async {
        watching.page.eval::<f64>("return performance.now()", serde_json::json!({})).await.unwrap()
    };
    let began_ms = clock().await;
    watching.video("video.currentTime = 131; return null").await;
    watching.page.wait_for(CARD, Duration::from_secs(3)).await.expect("the break that was skipped");
    watching.wait_shown(131.0).await;
    let took_ms = clock().await - began_ms;
    assert!(took_ms >= 3_000.0, "{took_ms}");
    // What was shown is not shown again.
    watching.seek(90.0).await;
    watching.seek(10.0).await;
    browser.close().await.unwrap();
}
