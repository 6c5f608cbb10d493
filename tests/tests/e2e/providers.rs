//! Signing in at a real provider of identities, in a real browser.

use std::time::Duration;

use matinee_tests::browser::{Browser, Kind};
use matinee_tests::deployment::{Deployment, PASSWORD};
use matinee_tests::oidc::Provider;

const PATIENCE: Duration = Duration::from_secs(20);

async fn signed_in_by_a_provider(kind: Kind) {
    let mut provider = Provider::start().await;
    let deployment = Deployment::start_named(None, provider.environment()).await;
    let url = deployment.named_url();
    provider.open(&url).await;
    let browser = Browser::launch(kind).await.unwrap();
    let page = browser.page(&format!("{url}/sign-in?next=/account")).await.unwrap();
    page.click("button[data-provider=home]").await.unwrap();
    page.wait_for_selector("#identities li", PATIENCE).await.unwrap();
    assert!(page.text("main").await.unwrap().contains("alice@example.com"));
    // It is the only way in.
    page.click("#identities button[aria-label^=Unlink]").await.unwrap();
    page.wait_for_selector("[role=alert]", PATIENCE).await.unwrap();
    assert!(page.text("[role=alert]").await.unwrap().contains("another way to sign in"));

    // Somebody with a password links the provider, and is told what goes wrong when it is linked already.
    let other = browser.new_profile().await.unwrap();
    let page = other.page(&format!("{url}/sign-up?next=/account")).await.unwrap();
    page.fill("[name=name]", "Eve").await.unwrap();
    page.fill("[name=email]", "eve@example.com").await.unwrap();
    page.fill("[name=password]", PASSWORD).await.unwrap();
    page.click("button[type=submit]").await.unwrap();
    page.click("#identities button[data-provider=home]").await.unwrap();
    page.wait_for_selector("[role=alert]", PATIENCE).await.unwrap();
    assert!(page.text("[role=alert]").await.unwrap().contains("linked to an account already"));
    provider.be(Some("carol")).await;
    let third = browser.new_profile().await.unwrap();
    let page = third.page(&format!("{url}/sign-in")).await.unwrap();
    page.fill("[name=email]", "eve@example.com").await.unwrap();
    page.fill("[name=password]", PASSWORD).await.unwrap();
    page.click("button[type=submit]").await.unwrap();
    page.wait_for_selector("#sign-out", PATIENCE).await.unwrap();
    page.goto(&format!("{url}/account")).await.unwrap();
    page.click("#identities button[data-provider=home]").await.unwrap();
    page.wait_for_selector("#identities li", PATIENCE).await.unwrap();
    // Somebody else's word on the way back, in words.
    provider.be(None).await;
    let fourth = browser.new_profile().await.unwrap();
    let page = fourth.page(&format!("{url}/sign-in")).await.unwrap();
    page.click("button[data-provider=home]").await.unwrap();
    page.wait_for_selector("[role=alert]", PATIENCE).await.unwrap();
    assert!(page.text("[role=alert]").await.unwrap().contains("did not sign you in"));
    browser.close().await.unwrap();
}

#[tokio::test]
async fn chromium_signs_in_at_a_provider() {
    signed_in_by_a_provider(Kind::Chromium).await;
}

#[tokio::test]
async fn firefox_signs_in_at_a_provider() {
    signed_in_by_a_provider(Kind::Firefox).await;
}
