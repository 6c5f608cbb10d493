//! Signing in at a real provider of identities, and what a thief or a lying provider tries.

use matinee_tests::deployment::{Deployment, PASSWORD};
use matinee_tests::oidc::{Provider, Wanderer};
use matinee_tests::postgres::Cluster;
use reqwest::Method;
use serde_json::{Value, json};

struct House {
    deployment: Deployment,
    provider: Provider,
    url: String,
}

impl House {
    async fn build(store: Option<String>) -> Self {
        Self::build_with(store, |_| Vec::new()).await
    }

    /// The same with more in the server's environment.
    async fn build_with(
        store: Option<String>,
        more: impl FnOnce(&Provider) -> Vec<(String, String)>,
    ) -> Self {
        let mut provider = Provider::start().await;
        let mut environment = provider.environment();
        environment.extend(more(&provider));
        let deployment = Deployment::start_named(store, environment).await;
        let url = deployment.named_url();
        provider.open(&url).await;
        Self { deployment, provider, url }
    }

    fn start(&self) -> String {
        format!("{}/v1/oidc/home/start?next=/library", self.url)
    }

    /// To the provider and as far back as the server's door: the address with the code.
    async fn to_the_door(&self, browser: &Wanderer) -> String {
        browser.walk(&self.start(), &format!("{}/v1/oidc/home/callback", self.url)).await
    }

    /// Where the server sends who comes through the door.
    async fn through(&self, browser: &Wanderer, door: &str) -> String {
        let answer = browser.send(Method::GET, door, &[]).await;
        assert_eq!(answer.status(), 303, "{door}");
        answer.headers()["location"].to_str().unwrap().to_owned()
    }

    async fn sign_in(&self, browser: &Wanderer) -> String {
        let door = self.to_the_door(browser).await;
        self.through(browser, &door).await
    }

    /// The account that a browser is signed in to.
    async fn account(&self, browser: &Wanderer) -> Option<Value> {
        let answer = browser.send(Method::GET, &format!("{}/v1/account", self.url), &[]).await;
        if answer.status() == 401 {
            return None;
        }
        let body: Value = answer.json().await.unwrap();
        Some(body["account"].clone())
    }

    async fn post(&self, browser: &Wanderer, path: &str) -> reqwest::Response {
        browser.send(Method::POST, &format!("{}{path}", self.url), &[("origin", &self.url)]).await
    }

    async fn identities(&self, browser: &Wanderer) -> Vec<Value> {
        let answer = browser.send(Method::GET, &format!("{}/v1/identities", self.url), &[]).await;
        let body: Value = answer.json().await.unwrap();
        body["identities"].as_array().unwrap().clone()
    }

    /// An account with a password, signed in in this browser by its cookie.
    async fn with_password(&self, browser: &Wanderer, email: &str) -> Value {
        let body = json!({ "email": email, "password": PASSWORD, "name": "Somebody" });
        let http = reqwest::Client::new();
        http.post(format!("{}/v1/accounts", self.url)).json(&body).send().await.unwrap();
        let answer = http.post(format!("{}/v1/sessions", self.url)).json(&body_of_sign_in(email));
        let answer = answer.send().await.unwrap();
        let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
        browser.keep(&self.url, &cookie);
        self.account(browser).await.expect("it is signed in")
    }
}

fn body_of_sign_in(email: &str) -> Value {
    json!({ "email": email, "password": PASSWORD })
}

async fn one_signs_in_and_is_the_same_again(mut house: House) {
    let first = Wanderer::new();
    assert_eq!(house.sign_in(&first).await, "/library");
    let account = house.account(&first).await.expect("she is signed in");
    assert_eq!((&account["email"], &account["name"]), (&json!("alice@example.com"), &json!("Alice Example")));
    assert_eq!(account["roles"], json!(["viewer"]));
    assert_eq!(account["email_verified"], true, "the provider has checked it");
    let second = Wanderer::new();
    assert_eq!(house.sign_in(&second).await, "/library");
    assert_eq!(house.account(&second).await.unwrap()["id"], account["id"]);
    // Another address at the provider is the same person still.
    house.provider.lie(json!({ "profile": { "email": "new@example.com" } })).await;
    let third = Wanderer::new();
    house.sign_in(&third).await;
    assert_eq!(house.account(&third).await.unwrap()["id"], account["id"]);
    house.provider.lie(json!({})).await;
    let linked = house.identities(&first).await;
    assert_eq!(
        (linked.len(), &linked[0]["provider"], &linked[0]["label"]),
        (1, &json!("home"), &json!("Home"))
    );
    // Its only way in stays.
    let path = format!("{}/v1/identities/{}", house.url, linked[0]["id"].as_str().unwrap());
    let removed = first.send(Method::DELETE, &path, &[("origin", &house.url)]).await;
    assert_eq!(removed.status(), 409);
    // The person says no.
    house.provider.be(None).await;
    let nobody = Wanderer::new();
    assert_eq!(house.sign_in(&nobody).await, "/sign-in?problem=provider_refused");
    assert!(house.account(&nobody).await.is_none());
    house.provider.be(Some("carol")).await;
    let carol = Wanderer::new();
    house.sign_in(&carol).await;
    assert_eq!(house.account(&carol).await.unwrap()["email"], "carol@example.com");
    house.deployment.check_ledger().await;
}

#[tokio::test]
async fn one_signs_in_at_a_provider_on_sqlite() {
    one_signs_in_and_is_the_same_again(House::build(None).await).await;
}

#[tokio::test]
async fn one_signs_in_at_a_provider_on_postgres() {
    let cluster = tokio::task::spawn_blocking(Cluster::shared).await.unwrap();
    one_signs_in_and_is_the_same_again(House::build(Some(cluster.database().await)).await).await;
}

#[tokio::test]
async fn an_address_opens_nobodys_account() {
    let mut house = House::build(None).await;
    let owner = Wanderer::new();
    let account = house.with_password(&owner, "alice@example.com").await;
    // The provider's Alice has the address, and still is not let in.
    let other = Wanderer::new();
    assert_eq!(house.sign_in(&other).await, "/sign-in?problem=email_taken");
    assert!(house.account(&other).await.is_none());
    // An address that the provider has not checked opens no account either.
    house.provider.be(Some("bob")).await;
    assert_eq!(house.sign_in(&Wanderer::new()).await, "/sign-in?problem=email_unverified");
    // Nor one of which it does not say whether it has, wherever it names it.
    house.provider.lie(json!({ "claims": { "email": "dave@example.com" } })).await;
    assert_eq!(house.sign_in(&Wanderer::new()).await, "/sign-in?problem=email_unverified");
    house.provider.be(Some("carol")).await;
    house.provider.lie(json!({ "told": { "email_verified": null } })).await;
    assert_eq!(house.sign_in(&Wanderer::new()).await, "/sign-in?problem=email_unverified");
    house.provider.lie(json!({})).await;
    // Linked by its owner, it opens.
    house.provider.be(Some("alice")).await;
    let begun = house.post(&owner, "/v1/oidc/home/links").await;
    assert_eq!(begun.status(), 201);
    let begun: Value = begun.json().await.unwrap();
    let door = format!("{}/v1/oidc/home/callback", house.url);
    let door = owner.walk(begun["url"].as_str().unwrap(), &door).await;
    assert_eq!(house.through(&owner, &door).await, "/account");
    assert_eq!(house.sign_in(&other).await, "/library");
    assert_eq!(house.account(&other).await.unwrap()["id"], account["id"]);
    // One identity has one account.
    let thief = Wanderer::new();
    house.with_password(&thief, "eve@example.com").await;
    let begun: Value = house.post(&thief, "/v1/oidc/home/links").await.json().await.unwrap();
    let door = format!("{}/v1/oidc/home/callback", house.url);
    let door = thief.walk(begun["url"].as_str().unwrap(), &door).await;
    assert_eq!(house.through(&thief, &door).await, "/account?problem=identity_known");
    // There is a password: the identity may go, and opens nothing any more.
    let linked = house.identities(&owner).await;
    let path = format!("{}/v1/identities/{}", house.url, linked[0]["id"].as_str().unwrap());
    assert_eq!(thief.send(Method::DELETE, &path, &[("origin", &house.url)]).await.status(), 404);
    assert_eq!(owner.send(Method::DELETE, &path, &[("origin", &house.url)]).await.status(), 204);
    assert_eq!(house.sign_in(&Wanderer::new()).await, "/sign-in?problem=email_taken");
}

#[tokio::test]
async fn a_way_back_is_for_one_browser_and_once() {
    let house = House::build(None).await;
    let over = "/sign-in?problem=ceremony_over";
    let (eve, victim) = (Wanderer::new(), Wanderer::new());
    // Eve's own way back, in the browser of somebody who has begun nothing, and of somebody who has.
    let door = house.to_the_door(&eve).await;
    assert_eq!(house.through(&victim, &door).await, over);
    assert_eq!(house.through(&eve, &door).await, over, "whoever tried it, it was tried");
    let door = house.to_the_door(&eve).await;
    let own = house.to_the_door(&victim).await;
    assert_eq!(house.through(&victim, &door).await, over);
    assert!(house.account(&victim).await.is_none());
    // The same door twice.
    let victim = Wanderer::new();
    let door = house.to_the_door(&victim).await;
    assert_eq!(house.through(&victim, &door).await, "/library");
    assert_eq!(house.through(&victim, &door).await, over);
    assert_eq!(house.through(&Wanderer::new(), &own).await, over);
    // A code that was used, and one of another browser that was not, under a state of one's own.
    let state = |door: &str| door.split_once("state=").unwrap().1.split('&').next().unwrap().to_owned();
    let with_code = |door: &str, code: &str| {
        format!("{}/v1/oidc/home/callback?code={code}&state={}", house.url, state(door))
    };
    let code = |door: &str| door.split_once("code=").unwrap().1.split('&').next().unwrap().to_owned();
    let fresh = Wanderer::new();
    let mine = house.to_the_door(&fresh).await;
    assert_eq!(
        house.through(&fresh, &with_code(&mine, &code(&door))).await,
        "/sign-in?problem=provider_refused"
    );
    let stolen = house.to_the_door(&Wanderer::new()).await;
    let fresh = Wanderer::new();
    let mine = house.to_the_door(&fresh).await;
    assert_eq!(
        house.through(&fresh, &with_code(&mine, &code(&stolen))).await,
        "/sign-in?problem=provider_refused"
    );
    assert!(house.account(&fresh).await.is_none());
    // Another issuer's word (RFC 9207), and no code at all.
    for made in ["&iss=https://evil.example&code=1", ""] {
        let fresh = Wanderer::new();
        let mine = house.to_the_door(&fresh).await;
        let door = format!("{}/v1/oidc/home/callback?state={}{made}", house.url, state(&mine));
        assert_eq!(house.through(&fresh, &door).await, "/sign-in?problem=provider_refused", "{made}");
    }
    assert_eq!(house.through(&victim, &format!("{}/v1/oidc/home/callback", house.url)).await, over);
}

#[tokio::test]
async fn a_token_must_be_for_this_client_and_this_sign_in() {
    let mut house = House::build(None).await;
    let lies = [
        json!({ "claims": { "nonce": "another" } }),
        json!({ "claims": { "nonce": null } }),
        json!({ "claims": { "aud": "another-client" } }),
        json!({ "claims": { "aud": ["matinee", "another-client"] } }),
        json!({ "claims": { "azp": "another-client" } }),
        json!({ "claims": { "iss": "https://evil.example" } }),
        json!({ "claims": { "exp": 1_700_000_000 } }),
        json!({ "claims": { "at_hash": "AAAAAAAAAAAAAAAAAAAAAA" } }),
        json!({ "alg": "none" }),
        json!({ "alg": "HS256" }),
        json!({ "alg": "stranger" }),
    ];
    for lie in lies {
        house.provider.lie(lie.clone()).await;
        let browser = Wanderer::new();
        assert_eq!(house.sign_in(&browser).await, "/sign-in?problem=provider_refused", "{lie}");
        assert!(house.account(&browser).await.is_none(), "{lie}");
    }
    // What forges above is honest where it is told nothing: it is the claim that is refused.
    house.provider.lie(json!({ "claims": {} })).await;
    assert_eq!(house.sign_in(&Wanderer::new()).await, "/library");
    // What is told of somebody else is not taken for one's own: no checked address is left.
    house.provider.be(Some("carol")).await;
    house.provider.lie(json!({ "told": { "sub": "alice" } })).await;
    assert_eq!(house.sign_in(&Wanderer::new()).await, "/sign-in?problem=email_unverified");
    house.provider.lie(json!({})).await;
    assert_eq!(house.sign_in(&Wanderer::new()).await, "/library");
}

#[tokio::test]
async fn a_provider_that_calls_itself_something_else_is_not_asked() {
    let mut house = House::build(None).await;
    house.provider.lie(json!({ "issuer": "https://evil.example" })).await;
    let there = house.through(&Wanderer::new(), &house.start()).await;
    assert_eq!(there, "/sign-in?problem=provider_unreachable");
    house.provider.lie(json!({})).await;
    assert_eq!(house.sign_in(&Wanderer::new()).await, "/library");
}

#[tokio::test]
async fn only_pages_of_this_site_begin() {
    let house = House::build(None).await;
    let browser = Wanderer::new();
    let cross = [("sec-fetch-site", "cross-site")];
    assert_eq!(browser.send(Method::GET, &house.start(), &cross).await.status(), 403);
    house.with_password(&browser, "ana@example.com").await;
    let links = format!("{}/v1/oidc/home/links", house.url);
    assert_eq!(browser.send(Method::POST, &links, &[("origin", "https://evil.example")]).await.status(), 403);
    assert_eq!(Wanderer::new().send(Method::POST, &links, &[]).await.status(), 401);
    let unknown = format!("{}/v1/oidc/nobody/start", house.url);
    assert_eq!(browser.send(Method::GET, &unknown, &[]).await.status(), 404);
    // Wherever one is to be sent afterwards, it is this site.
    let start = format!("{}/v1/oidc/home/start?next=https://evil.example", house.url);
    let door = browser.walk(&start, &format!("{}/v1/oidc/home/callback", house.url)).await;
    assert_eq!(house.through(&browser, &door).await, "/");
}

#[tokio::test]
async fn a_link_is_for_the_account_that_began_it() {
    let house = House::build(None).await;
    let browser = Wanderer::new();
    house.with_password(&browser, "ana@example.com").await;
    let begun: Value = house.post(&browser, "/v1/oidc/home/links").await.json().await.unwrap();
    let door = format!("{}/v1/oidc/home/callback", house.url);
    let door = browser.walk(begun["url"].as_str().unwrap(), &door).await;
    // Somebody else signs in here before the provider sends the browser back.
    house.with_password(&browser, "eve@example.com").await;
    assert_eq!(house.through(&browser, &door).await, "/account?problem=ceremony_over");
    for email in ["eve@example.com", "ana@example.com"] {
        house.with_password(&browser, email).await;
        assert_eq!(house.identities(&browser).await, [Value::Null; 0], "{email}");
    }
}

#[tokio::test]
async fn one_comes_back_from_where_one_went() {
    let twice = |provider: &Provider| {
        let home = provider.environment();
        home.iter().map(|(key, value)| (key.replace("__HOME__", "__AWAY__"), value.clone())).collect()
    };
    let house = House::build_with(None, twice).await;
    let browser = Wanderer::new();
    let door = house.to_the_door(&browser).await;
    // The code is shown to no other provider, not even by the browser that it is for.
    let away = door.replace("/oidc/home/callback", "/oidc/away/callback");
    assert_eq!(house.through(&browser, &away).await, "/sign-in?problem=ceremony_over");
    assert!(house.account(&browser).await.is_none());
}

#[tokio::test]
async fn where_accounts_are_not_open_a_provider_opens_none() {
    let closed = |_: &Provider| vec![("MATINEE_ACCOUNT__OPEN".to_owned(), "false".to_owned())];
    let house = House::build_with(None, closed).await;
    let browser = Wanderer::new();
    assert_eq!(house.sign_in(&browser).await, "/sign-in?problem=accounts_closed");
    assert!(house.account(&browser).await.is_none());
}
