//! Passkeys in a real browser, with Chromium's virtual authenticator (WebAuthn over CDP) in place of a fingerprint.

use std::time::Duration;

use matinee_tests::browser::{Browser, Kind, Page};
use matinee_tests::deployment::{Deployment, PASSWORD};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(20);

/// Gives the page an authenticator that keeps passkeys and always says yes.
async fn authenticator(page: &Page) -> String {
    page.cdp("WebAuthn.enable", json!({})).await.unwrap();
    let options = json!({
        "protocol": "ctap2", "transport": "internal", "hasResidentKey": true, "hasUserVerification": true,
        "isUserVerified": true, "automaticPresenceSimulation": true,
    });
    let added = page.cdp("WebAuthn.addVirtualAuthenticator", json!({ "options": options })).await.unwrap();
    added["authenticatorId"].as_str().unwrap().to_owned()
}

async fn credentials(page: &Page, authenticator: &str) -> Vec<Value> {
    let asked = json!({ "authenticatorId": authenticator });
    let got = page.cdp("WebAuthn.getCredentials", asked).await.unwrap();
    got["credentials"].as_array().unwrap().clone()
}

async fn shows(page: &Page, selector: &str) {
    if let Err(error) = page.wait_for_selector(selector, PATIENCE).await {
        let body: String = page.eval("return document.body.innerText", json!({})).await.unwrap();
        panic!("no {selector}: {error}\n{body}\n{:?}", page.logs().await);
    }
}

async fn sign_up_with_password(page: &Page, url: &str, email: &str) {
    page.goto(&format!("{url}/sign-up")).await.unwrap();
    page.fill("[name=name]", "Ana").await.unwrap();
    page.fill("[name=email]", email).await.unwrap();
    page.fill("[name=password]", PASSWORD).await.unwrap();
    page.click("button[type=submit]").await.unwrap();
    shows(page, "#sign-out").await;
}

async fn sign_out(page: &Page) {
    page.click("#sign-out").await.unwrap();
    shows(page, "a[href='/sign-in']").await;
}

/// Begins a sign-in at `server`, answers it on this page and gives what would be sent.
const ANSWERED: &str = "
    const { ceremony, options } = args.asked;
    const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
    const credential = await navigator.credentials.get({ publicKey });
    return { ceremony, credential: credential.toJSON(), bearer: true };";

async fn begin(url: &str) -> Value {
    let asked = reqwest::Client::new().post(format!("{url}/v1/passkey-challenges")).json(&json!({}));
    asked.send().await.unwrap().json().await.unwrap()
}

async fn enter(url: &str, answer: &Value) -> (u16, String) {
    let sent = reqwest::Client::new().post(format!("{url}/v1/passkey-sessions")).json(answer).send().await;
    let sent = sent.unwrap();
    let status = sent.status().as_u16();
    let body: Value = sent.json().await.unwrap();
    (status, body["code"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_viewer_registers_a_passkey_and_signs_in_with_it() {
    let deployment = Deployment::start_named(None, Vec::new()).await;
    let url = deployment.named_url();
    let browser = Browser::launch(Kind::Chromium).await.unwrap();
    let page = browser.page(&url).await.unwrap();
    let own = authenticator(&page).await;
    sign_up_with_password(&page, &url, "ana@example.com").await;
    page.goto(&format!("{url}/account")).await.unwrap();
    page.click("#add-passkey").await.unwrap();
    shows(&page, "#passkeys li").await;
    let row = page.text("#passkeys li").await.unwrap();
    assert!(row.contains("Chrome on Linux") && row.contains("not used yet"), "{row}");
    // The same device is not registered twice.
    page.click("#add-passkey").await.unwrap();
    shows(&page, "[role=alert]").await;
    assert!(page.text("[role=alert]").await.unwrap().contains("passkey of yours already"));
    let kept = credentials(&page, &own).await;
    assert_eq!(kept.len(), 1);
    assert_eq!((&kept[0]["rpId"], &kept[0]["isResidentCredential"]), (&json!("localhost"), &json!(true)));

    sign_out(&page).await;
    page.goto(&format!("{url}/sign-in?next=/account")).await.unwrap();
    page.click("#passkey-sign-in").await.unwrap();
    shows(&page, "#passkeys li").await;
    let row = page.text("#passkeys li").await.unwrap();
    assert!(row.contains("last used"), "{row}");
    page.click("#passkeys button[aria-label^=Rename]").await.unwrap();
    page.fill("#passkeys input[name=name]", "My laptop").await.unwrap();
    page.press("Enter").await.unwrap();
    let named = "return document.querySelector('#passkeys li strong')?.innerText === 'My laptop'";
    page.wait_for(named, PATIENCE).await.unwrap();
    page.click("#passkeys button[aria-label^=Remove]").await.unwrap();
    let none = "return document.querySelector('#passkeys') && !document.querySelector('#passkeys li')";
    page.wait_for(none, PATIENCE).await.unwrap();
    sign_out(&page).await;
    page.goto(&format!("{url}/sign-in")).await.unwrap();
    page.click("#passkey-sign-in").await.unwrap();
    shows(&page, "[role=alert]").await;
    assert!(page.text("[role=alert]").await.unwrap().contains("does not open an account"));
    browser.close().await.unwrap();
}

#[tokio::test]
async fn a_viewer_signs_up_with_a_passkey_alone() {
    let deployment = Deployment::start_named(None, Vec::new()).await;
    let url = deployment.named_url();
    let browser = Browser::launch(Kind::Chromium).await.unwrap();
    let page = browser.page(&format!("{url}/sign-up?next=/account")).await.unwrap();
    authenticator(&page).await;
    page.fill("[name=name]", "Ben").await.unwrap();
    page.click("#passkey-sign-up").await.unwrap();
    // The browser itself asks for the address; nothing was sent.
    assert!(page.url().await.unwrap().contains("/sign-up"));
    page.fill("[name=email]", "ben@example.com").await.unwrap();
    page.click("#passkey-sign-up").await.unwrap();
    shows(&page, "#passkeys li").await;
    sign_out(&page).await;
    page.goto(&format!("{url}/sign-in?next=/account")).await.unwrap();
    page.click("#passkey-sign-in").await.unwrap();
    shows(&page, "#passkeys li").await;
    browser.close().await.unwrap();
}

#[tokio::test]
async fn an_answer_is_worth_nothing_again_or_from_elsewhere() {
    let deployment = Deployment::start_named(None, Vec::new()).await;
    let url = deployment.named_url();
    let browser = Browser::launch(Kind::Chromium).await.unwrap();
    let page = browser.page(&url).await.unwrap();
    let own = authenticator(&page).await;
    sign_up_with_password(&page, &url, "ana@example.com").await;
    page.goto(&format!("{url}/account")).await.unwrap();
    page.click("#add-passkey").await.unwrap();
    shows(&page, "#passkeys li").await;

    let answer: Value = page.eval(ANSWERED, json!({ "asked": begin(&url).await })).await.unwrap();
    assert_eq!(enter(&url, &answer).await, (201, String::new()));
    assert_eq!(enter(&url, &answer).await, (401, "ceremony_over".to_owned()));
    let mut replayed = answer.clone();
    replayed["ceremony"] = begin(&url).await["ceremony"].clone();
    assert_eq!(enter(&url, &replayed).await, (401, "passkey_refused".to_owned()));

    // A page of another origin under the same name: the browser lets it ask, since ports are not part of a place.
    let phishing = Deployment::start_named(None, Vec::new()).await;
    let lure = browser.page(&phishing.named_url()).await.unwrap();
    let stolen = authenticator(&lure).await;
    let credential = credentials(&page, &own).await.remove(0);
    let add = json!({ "authenticatorId": stolen, "credential": credential });
    lure.cdp("WebAuthn.addCredential", add).await.unwrap();
    let answer: Value = lure.eval(ANSWERED, json!({ "asked": begin(&url).await })).await.unwrap();
    assert_eq!(enter(&url, &answer).await, (401, "passkey_refused".to_owned()));
    browser.close().await.unwrap();
}
