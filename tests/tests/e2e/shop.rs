//! The shop's own pages, by hand: subscriptions, coupons, gift codes, the account, and the player in another origin's frame.

use std::time::Duration;

use matinee_tests::browser::{Browser, Kind, Page};
use matinee_tests::deployment::{Deployment, PASSWORD, Published};
use matinee_tests::film;
use matinee_tests::process::run_ok;
use matinee_tests::stripe::Stripe;
use matinee_tests::viewer::Viewer;
use matinee_tests::watching::Watching;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// How long a page may take on a busy machine.
const PAGE_WAIT: Duration = Duration::from_secs(30);
const FILM_S: u32 = 12;

/// `matinee <words> --json`, and what it printed.
async fn told(deployment: &Deployment, words: &[&str]) -> Value {
    let mut command = deployment.command(words);
    command.arg("--json");
    let printed = run_ok(command, "").await;
    serde_json::from_str(printed.trim().lines().last().unwrap()).unwrap()
}

async fn signed_in(browser: &Browser, deployment: &Deployment, email: &str) -> Page {
    let page = browser.page(&format!("{}/sign-in", deployment.url())).await.unwrap();
    page.fill("input[type=email]", email).await.unwrap();
    page.fill("input[type=password]", PASSWORD).await.unwrap();
    page.click("form button[type=submit]").await.unwrap();
    page.wait_for("return location.pathname === '/'", PAGE_WAIT).await.unwrap();
    page
}

async fn wait(page: &Page, body: &str) -> Value {
    match page.wait_for(body, PAGE_WAIT).await {
        Ok(value) => value,
        Err(error) => panic!("{error}"),
    }
}

async fn wait_text(page: &Page, selector: &str, text: &str) {
    let args = json!({ "selector": selector, "text": text });
    let body = "return document.querySelector(args.selector)?.innerText.includes(args.text)";
    if let Err(error) = page.wait_for_with(body, args, PAGE_WAIT).await {
        panic!("{text} in {selector}: {error}; {:?}", page.text("main").await);
    }
}

/// A collection of two films with a monthly plan: its id.
async fn everything(deployment: &Deployment) -> (String, Published, Published) {
    let film = film::timecoded(FILM_S);
    let one = deployment.publish("Big Buck Bunny", &[&film], 3).await;
    let other = deployment.publish("Elephants Dream", &[&film], 3).await;
    deployment.add_account("studio@example.com", "publisher").await;
    let words = ["collection", "add", "--publisher", "studio@example.com", "--name", "Everything"];
    let collection = told(deployment, &words).await["collection"].as_str().unwrap().to_owned();
    told(deployment, &["collection", "put", "--collection", &collection, &one.title, &other.title]).await;
    told(deployment, &["plan", "add", "--collection", &collection, "--subscription", "3.00USD"]).await;
    (collection, one, other)
}

#[tokio::test]
async fn a_subscription_is_bought_in_the_page_and_plays() {
    let deployment = Deployment::start().await;
    let (collection, one, other) = everything(&deployment).await;
    deployment.viewer("ana@example.com").await;
    let browser = Browser::launch(Kind::Chromium).await.unwrap();
    let page = signed_in(&browser, &deployment, "ana@example.com").await;
    page.front().await.unwrap();
    page.click(&format!("a[href='/collections/{collection}']")).await.unwrap();
    wait_text(&page, ".offer", "$3.00 a month").await;
    let plays: u32 = page.eval("return document.querySelectorAll('a.play').length", json!({})).await.unwrap();
    assert_eq!(plays, 0, "nothing plays before it is paid");
    page.click("#buy").await.unwrap();
    wait_text(&page, "#entitlement", "Renewed on").await;
    wait(&page, "return document.querySelectorAll('a.play').length === 2").await;
    page.click(&format!("a.play[href$='title={}']", one.title)).await.unwrap();
    wait(&page, "return location.pathname.startsWith('/watch/')").await;
    let watching = Watching { page: page.clone() };
    watching.wait_shown(0.4).await;

    // The title's own page knows by what it plays, and the library what can be done about it.
    page.goto(&format!("{}/titles/{}", deployment.url(), other.title)).await.unwrap();
    wait_text(&page, "#entitlement", "Yours through Everything").await;
    page.click("#play").await.unwrap();
    watching.wait_shown(0.4).await;
    page.goto(&format!("{}/library", deployment.url())).await.unwrap();
    wait_text(&page, ".left", "It comes out of your wallet.").await;
    wait_text(&page, ".right", "Everything").await;
    page.click(".renewal").await.unwrap();
    wait_text(&page, ".left", "not renewed").await;
    page.click(".renewal").await.unwrap();
    wait_text(&page, ".left", "Renewed on").await;
    assert_eq!(Viewer::sign_in(&deployment.url(), "ana@example.com").await.wallet().await, 700);
    deployment.check_ledger().await;
    browser.close().await.unwrap();
}

#[tokio::test]
async fn a_subscription_is_paid_by_card_past_the_wallet() {
    let stripe = Stripe::start().await;
    let deployment = Deployment::start_with(None, stripe.environment()).await;
    stripe.tell(&deployment.url());
    stripe.tell_by_itself();
    let (collection, one, _) = everything(&deployment).await;
    deployment.add_account("ana@example.com", "viewer").await;
    let browser = Browser::launch(Kind::Chromium).await.unwrap();
    let page = signed_in(&browser, &deployment, "ana@example.com").await;
    let offers = format!("/collections/{collection}");
    page.goto(&format!("{}{offers}", deployment.url())).await.unwrap();
    wait_text(&page, ".offer", "The card is saved, and charged each month.").await;
    page.click("#pay").await.unwrap();
    wait_text(&page, "form button", "Pay 300").await;
    assert_ne!(page.url().await.unwrap(), format!("{}{offers}", deployment.url()));
    page.click("form button").await.unwrap();
    wait_text(&page, "payment-notice", "$3.00 was paid.").await;
    page.click("payment-notice #go-on").await.unwrap();
    page.wait_for_with("return location.pathname === args", json!(offers), PAGE_WAIT).await.unwrap();
    wait_text(&page, "#entitlement", "Renewed on").await;
    page.click(&format!("a.play[href$='title={}']", one.title)).await.unwrap();
    Watching { page: page.clone() }.wait_shown(0.4).await;
    page.goto(&format!("{}/library", deployment.url())).await.unwrap();
    wait_text(&page, ".left", "The payment method that you saved is charged.").await;
    assert_eq!(Viewer::sign_in(&deployment.url(), "ana@example.com").await.wallet().await, 0);
    deployment.check_ledger().await;
    browser.close().await.unwrap();
}

#[tokio::test]
async fn a_coupon_lowers_the_price_before_it_is_paid() {
    let deployment = Deployment::start().await;
    let published = deployment.publish("Big Buck Bunny", &[&film::timecoded(FILM_S)], 3).await;
    told(&deployment, &["coupon", "SPRING-20", "--percent-off", "20"]).await;
    deployment.viewer("ana@example.com").await;
    let browser = Browser::launch(Kind::Chromium).await.unwrap();
    let page = signed_in(&browser, &deployment, "ana@example.com").await;
    page.goto(&format!("{}/titles/{}", deployment.url(), published.title)).await.unwrap();
    wait_text(&page, "#buy", "Buy for $0.50").await;
    page.fill("input[name=coupon]", "nothing").await.unwrap();
    page.click("#coupon button[type=submit]").await.unwrap();
    wait_text(&page, "[role=alert]", "This coupon is unknown").await;
    wait_text(&page, "#buy", "Buy for $0.50").await;
    page.fill("input[name=coupon]", " spring-20 ").await.unwrap();
    page.press("Enter").await.unwrap();
    wait_text(&page, "ins.lowered", "$0.40").await;
    wait_text(&page, "#buy", "Buy for $0.40").await;
    page.click("#buy").await.unwrap();
    wait(&page, "return location.pathname.startsWith('/watch/')").await;
    assert_eq!(Viewer::sign_in(&deployment.url(), "ana@example.com").await.wallet().await, 960);
    page.goto(&format!("{}/account/payments", deployment.url())).await.unwrap();
    wait_text(&page, ".purchase", "$0.40").await;
    page.click(".purchase a").await.unwrap();
    wait_text(&page, ".bill", "SPRING-20").await;
    deployment.check_ledger().await;
    browser.close().await.unwrap();
}

#[tokio::test]
async fn a_gift_code_is_redeemed_once() {
    let deployment = Deployment::start().await;
    let published = deployment.publish("Big Buck Bunny", &[&film::timecoded(FILM_S)], 3).await;
    let made = told(&deployment, &["gift", "--plan", &published.plan]).await;
    let code = made["codes"][0].as_str().unwrap_or_else(|| panic!("no code in {made}"));
    deployment.viewer("ana@example.com").await;
    let browser = Browser::launch(Kind::Chromium).await.unwrap();
    let page = signed_in(&browser, &deployment, "ana@example.com").await;
    page.goto(&format!("{}/gift?code={code}", deployment.url())).await.unwrap();
    page.click("#gift button").await.unwrap();
    wait_text(&page, "#given", "Ready to play").await;
    page.click("#go-on").await.unwrap();
    page.wait_for_selector("#play", PAGE_WAIT).await.unwrap();
    page.goto(&format!("{}/gift", deployment.url())).await.unwrap();
    page.fill("input[name=code]", code).await.unwrap();
    page.click("#gift button").await.unwrap();
    wait_text(&page, "[role=alert]", "was redeemed").await;
    assert_eq!(Viewer::sign_in(&deployment.url(), "ana@example.com").await.wallet().await, 1_000);
    browser.close().await.unwrap();
}

#[tokio::test]
async fn an_account_is_looked_after_in_the_page() {
    let deployment = Deployment::start().await;
    let published = deployment.publish("Big Buck Bunny", &[&film::timecoded(FILM_S)], 3).await;
    let elsewhere = deployment.viewer("ana@example.com").await;
    elsewhere.rent(&published).await;
    let url = deployment.url();
    let browser = Browser::launch(Kind::Chromium).await.unwrap();
    let page = signed_in(&browser, &deployment, "ana@example.com").await;

    page.goto(&format!("{url}/account/devices")).await.unwrap();
    page.click(".rename").await.unwrap();
    page.fill("input[name=name]", "Kitchen radio").await.unwrap();
    page.press("Enter").await.unwrap();
    wait_text(&page, ".device", "Kitchen radio").await;
    page.click("careful-button button").await.unwrap();
    page.click(".danger").await.unwrap();
    wait_text(&page, "account-devices", "No device has played anything yet").await;

    page.goto(&format!("{url}/account/sessions")).await.unwrap();
    // Signing up, signing in elsewhere, and this browser.
    wait(&page, "return document.querySelectorAll('.session').length === 3").await;
    let others = "return [...document.querySelectorAll('.session')].findIndex((one) => !one.innerText.includes('Here'))";
    for left in [2, 1] {
        let at: u32 = page.eval(others, json!({})).await.unwrap();
        page.click(&format!(".session:nth-child({}) .end", at + 1)).await.unwrap();
        wait(&page, &format!("return document.querySelectorAll('.session').length === {left}")).await;
    }
    let gone = elsewhere.request(reqwest::Method::GET, "/v1/account").send().await.unwrap();
    assert_eq!(gone.status(), 401, "the other sign-in is over");

    page.goto(&format!("{url}/account/data")).await.unwrap();
    let saved = deployment.folder().join("export.json");
    assert_eq!(page.download("#export", &saved, PAGE_WAIT).await.unwrap(), "matinee-account.json");
    let exported = std::fs::read_to_string(&saved).unwrap();
    assert!(exported.contains("ana@example.com"), "{exported}");
    wait_text(&page, "account-data", "$9.50 in your wallet").await;

    page.goto(&format!("{url}/library")).await.unwrap();
    page.click("careful-button button").await.unwrap();
    page.click(".danger").await.unwrap();
    wait_text(&page, ".right", "You gave it back").await;

    page.goto(&format!("{url}/account/sessions")).await.unwrap();
    page.click("#end-all button").await.unwrap();
    page.click("#end-all .danger").await.unwrap();
    wait(&page, "return location.pathname === '/sign-in'").await;

    // An account without money closes for good.
    Viewer::sign_up(&url, "bob@example.com").await;
    let page = signed_in(&browser, &deployment, "bob@example.com").await;
    page.goto(&format!("{url}/account/data")).await.unwrap();
    page.click("#close").await.unwrap();
    page.fill("#closure input", "not the password").await.unwrap();
    page.click("#closure .danger").await.unwrap();
    wait_text(&page, "[role=alert]", "not the account's password").await;
    page.fill("#closure input", PASSWORD).await.unwrap();
    page.click("#closure .danger").await.unwrap();
    wait_text(&page, "h1", "Closed").await;
    let body = json!({ "email": "bob@example.com", "password": PASSWORD });
    let refused = elsewhere.bare(reqwest::Method::POST, "/v1/sessions").json(&body).send().await.unwrap();
    assert_eq!(refused.status(), 401);
    browser.close().await.unwrap();
}

/// A page of another origin that shows the player in a frame. Answers until it is aborted.
fn other_site(listener: tokio::net::TcpListener, frame: &str) -> tokio::task::JoinHandle<()> {
    let page = format!(
        "<!doctype html><title>A shop</title><h1>A shop of another origin</h1>\
         <iframe src=\"{frame}\" width=640 height=560 allow=\"autoplay; fullscreen\"></iframe>"
    );
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{page}",
        page.len()
    );
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = socket.read(&mut request).await;
            let _ = socket.write_all(answer.as_bytes()).await;
        }
    })
}

#[tokio::test]
async fn the_player_plays_in_another_origins_frame() {
    // Another origin of the same site, as player.shop.example is for shop.example. This Chromium gives frames of another
    // site no service worker: see docs/API.md.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let site = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
    let origins = ("MATINEE_SERVER__EMBED_ORIGINS".to_owned(), site.clone());
    let deployment = Deployment::start_with(None, vec![origins]).await;
    let published = deployment.publish("Big Buck Bunny", &[&film::timecoded(FILM_S)], 3).await;
    deployment.add_account("shop@example.com", "integrator").await;
    let shop = Viewer::sign_in(&deployment.url(), "shop@example.com").await;
    let post = async |path: String, body: Value| -> Value {
        let answer = shop.post(&path, &matinee_tests::viewer::nonce(), &body).await;
        assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
        answer.json().await.unwrap()
    };
    let viewer = post("/v1/viewers".to_owned(), json!({ "reference": "customer-17" })).await;
    let viewer = viewer["viewer"]["id"].as_str().unwrap().to_owned();
    post(format!("/v1/viewers/{viewer}/entitlements"), json!({ "title": published.title, "views": 2 })).await;
    let embed = post(format!("/v1/viewers/{viewer}/embed-tokens"), json!({ "title": published.title })).await;
    let address = embed["url"].as_str().unwrap().to_owned();
    let served = other_site(listener, &address);
    let browser = Browser::launch(Kind::Chromium).await.unwrap();
    let page = browser.page(&site).await.unwrap();
    page.front().await.unwrap();
    let frame = page.in_frame(&deployment.url());
    frame.wait_for("return document.querySelector('#play') !== null", PAGE_WAIT).await.unwrap();
    let bar: bool = frame.eval("return document.querySelector('.bar') !== null", json!({})).await.unwrap();
    assert!(!bar, "no shop of ours within the other's");
    frame.click("#play").await.unwrap();
    let watching = Watching { page: frame.clone() };
    watching.wait_shown(0.4).await;
    // Loaded again, the frame brings a token that was used, and goes on.
    page.reload().await.unwrap();
    frame.wait_for("return document.querySelector('#play') !== null", PAGE_WAIT).await.unwrap();
    browser.close().await.unwrap();
    served.abort();
}
