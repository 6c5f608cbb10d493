//! A link to sign in with, through a real mail server into a real browser.

use std::time::Duration;

use matinee_tests::browser::{Browser, Kind, Page};
use matinee_tests::deployment::{Deployment, PASSWORD};
use matinee_tests::mail::MailServer;

const PATIENCE: Duration = Duration::from_secs(20);

async fn shows(page: &Page, selector: &str, words: &str) {
    let asked = serde_json::json!({ "selector": selector, "words": words });
    let there = "return document.querySelector(args.selector)?.innerText.includes(args.words) ?? false";
    if let Err(error) = page.wait_for_with(there, asked, PATIENCE).await {
        let body: String = page.eval("return document.body.innerText", serde_json::json!({})).await.unwrap();
        panic!("no {words:?} in {selector}: {error}\n{body}\n{:?}", page.logs().await);
    }
}

/// A server that sends mail, and Ana's account opened on a page of her browser.
struct House {
    mail: MailServer,
    _deployment: Deployment,
    url: String,
    browser: Browser,
    page: Page,
}

impl House {
    async fn build() -> Self {
        let mut mail = MailServer::reserved();
        mail.start();
        let deployment = Deployment::start_named(None, mail.environment()).await;
        let url = deployment.named_url();
        let browser = Browser::launch(Kind::Chromium).await.unwrap();
        let page = browser.page(&format!("{url}/sign-up")).await.unwrap();
        page.fill("[name=name]", "Ana").await.unwrap();
        page.fill("[name=email]", "ana@example.com").await.unwrap();
        page.fill("[name=password]", PASSWORD).await.unwrap();
        page.click("button[type=submit]").await.unwrap();
        shows(&page, "#sign-out", "Sign out").await;
        Self { mail, _deployment: deployment, url, browser, page }
    }
}

async fn sign_out_and_in(page: &Page, url: &str, password: &str) {
    page.click("#sign-out").await.unwrap();
    page.wait_for_selector("a[href='/sign-in']", PATIENCE).await.unwrap();
    page.goto(&format!("{url}/sign-in")).await.unwrap();
    page.fill("[name=email]", "ana@example.com").await.unwrap();
    page.fill("[name=password]", password).await.unwrap();
    page.click("#sign-in button[type=submit]").await.unwrap();
    shows(page, "#sign-out", "Sign out").await;
}

/// Asks for a link on the page to sign in and gives the one that was mailed.
async fn ask(page: &Page, url: &str, mail: &mut MailServer) -> String {
    page.goto(&format!("{url}/sign-in")).await.unwrap();
    page.fill("[name=email]", "ana@example.com").await.unwrap();
    page.click("#send-link").await.unwrap();
    sent(page, url, mail).await
}

/// The link that was asked for and mailed.
async fn sent(page: &Page, url: &str, mail: &mut MailServer) -> String {
    shows(page, "#link-sent", "ana@example.com").await;
    let said = mail.next().await;
    assert!(said.iter().any(|line| line == "To: ana@example.com"), "{said:#?}");
    let link = said.iter().find(|line| line.starts_with(&format!("{url}/sign-in-link#")));
    link.unwrap_or_else(|| panic!("no link in {said:#?}")).clone()
}

#[tokio::test]
async fn a_viewer_signs_in_with_a_link_out_of_the_mail() {
    let House { mut mail, _deployment, url, browser, page } = House::build().await;
    page.click("#sign-out").await.unwrap();
    page.wait_for_selector("a[href='/sign-in']", PATIENCE).await.unwrap();

    // A program that looks at links in mailboxes opens the page, runs what is on it, and even presses the button.
    let link = ask(&page, &url, &mut mail).await;
    let scanner = browser.new_profile().await.unwrap();
    let scan = scanner.page(&link).await.unwrap();
    scan.click("#link button[type=submit]").await.unwrap();
    shows(&scan, "#link", "Email").await;
    scan.fill("[name=email]", "eve@example.com").await.unwrap();
    scan.click("#link button[type=submit]").await.unwrap();
    shows(&scan, "[role=alert]", "not sent to this address").await;

    // Where it was asked for, one press signs in. The token is gone from the address.
    page.goto(&link).await.unwrap();
    page.wait_for_selector("#link button[type=submit]", PATIENCE).await.unwrap();
    assert_eq!(page.url().await.unwrap(), format!("{url}/sign-in-link"));
    page.click("#link button[type=submit]").await.unwrap();
    shows(&page, "#sign-out", "Sign out").await;
    // Whoever opened the account had not shown that the address is theirs.
    shows(&page, "#ways-ended", "no longer work").await;
    // An account without a password is asked for none.
    page.goto(&format!("{url}/account/data")).await.unwrap();
    page.click("#close").await.unwrap();
    page.wait_for_selector("#closure", PATIENCE).await.unwrap();
    let asked = "return document.querySelectorAll('#closure input').length";
    assert_eq!(page.eval::<u32>(asked, serde_json::json!({})).await.unwrap(), 0);
    page.goto(&format!("{url}/account")).await.unwrap();
    shows(&page, "#password", "Set a password").await;
    page.goto(&link).await.unwrap();
    page.click("#link button[type=submit]").await.unwrap();
    shows(&page, "[role=alert]", "used before").await;

    // In another browser the address is named once more; a forgotten password is replaced.
    let link = ask(&page, &url, &mut mail).await;
    let phone = scanner.page(&link).await.unwrap();
    phone.click("#renew").await.unwrap();
    phone.fill("[name=password]", "another horse").await.unwrap();
    phone.click("#link button[type=submit]").await.unwrap();
    shows(&phone, "#link", "Email").await;
    phone.fill("[name=email]", "ana@example.com").await.unwrap();
    phone.click("#link button[type=submit]").await.unwrap();
    shows(&phone, "#sign-out", "Sign out").await;
    page.goto(&format!("{url}/library")).await.unwrap();
    shows(&page, "h1", "Sign in").await;
    browser.close().await.unwrap();
}

#[tokio::test]
async fn whoever_confirms_the_address_while_signed_in_keeps_the_password() {
    let House { mut mail, _deployment, url, browser, page } = House::build().await;
    page.goto(&format!("{url}/account")).await.unwrap();
    shows(&page, "#address", "Confirm your address").await;
    page.click("#address #send-link").await.unwrap();
    let link = sent(&page, &url, &mut mail).await;
    page.goto(&link).await.unwrap();
    shows(&page, "#link", "Confirm the address and sign in").await;
    page.click("#link button[type=submit]").await.unwrap();
    shows(&page, "#password", "Change the password").await;
    let left = "return document.querySelector('#address') !== null";
    assert!(!page.eval::<bool>(left, serde_json::json!({})).await.unwrap(), "nothing is left to confirm");
    sign_out_and_in(&page, &url, PASSWORD).await;

    // The page changes it, for who knows it.
    page.goto(&format!("{url}/account")).await.unwrap();
    page.click("#password button").await.unwrap();
    page.fill("#password [name=password]", "not the password").await.unwrap();
    page.fill("#password [name=new_password]", "another horse").await.unwrap();
    page.click("#password button[type=submit]").await.unwrap();
    shows(&page, "#password [role=alert]", "not the account's password").await;
    page.fill("#password [name=password]", PASSWORD).await.unwrap();
    page.click("#password button[type=submit]").await.unwrap();
    shows(&page, "#password", "The password is set").await;
    sign_out_and_in(&page, &url, "another horse").await;
    browser.close().await.unwrap();
}
