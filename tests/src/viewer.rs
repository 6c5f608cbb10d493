//! A viewer without a player: calls the HTTP interface by hand, honestly or not.

use matinee_protocol::api::Opening;
use matinee_protocol::device::SigningKey;
use matinee_protocol::dpop::{self, ProofClaims};
use matinee_protocol::encoding::b64u;
use matinee_protocol::license::{AgreementSecret, License, NamedKey, open_keys};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::deployment::{PASSWORD, Published};

/// A device's keys.
#[derive(Clone, Debug)]
pub struct Device {
    /// Signing key.
    pub signing: SigningKey,
    /// Agreement key.
    pub agreement: AgreementSecret,
}

/// 16 random bytes as text.
pub fn nonce() -> String {
    b64u(uuid::Uuid::new_v4().as_bytes())
}

fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    seed[..16].copy_from_slice(uuid::Uuid::new_v4().as_bytes());
    seed[16..].copy_from_slice(uuid::Uuid::new_v4().as_bytes());
    seed
}

impl Device {
    /// New keys.
    #[expect(clippy::new_without_default, reason = "each call gives other keys")]
    pub fn new() -> Self {
        Self { signing: SigningKey::from_seed(&seed()), agreement: AgreementSecret::from_bytes(seed()) }
    }

    /// The claims of an honest proof for a request.
    pub fn claims(&self, method: &str, url: &str, token: Option<&str>, body: &[u8]) -> ProofClaims {
        ProofClaims {
            jti: nonce(),
            htm: method.to_owned(),
            htu: url.split(['?', '#']).next().unwrap_or(url).to_owned(),
            iat: now_s(),
            ath: token.map(|token| dpop::digest(token.as_bytes())),
            body_sha256: (!body.is_empty()).then(|| dpop::digest(body)),
            nonce: None,
        }
    }

    /// A proof with these claims.
    pub fn proof(&self, claims: &ProofClaims) -> String {
        dpop::create(&self.signing, claims)
    }

    /// The keys in a license.
    pub fn open(&self, license: &License) -> Vec<NamedKey> {
        open_keys(&self.agreement, license).expect("the license is sealed to this device")
    }
}

/// Unix seconds.
pub fn now_s() -> u64 {
    let elapsed = std::time::SystemTime::UNIX_EPOCH.elapsed();
    elapsed.expect("the clock is after 1970").as_secs()
}

/// An account signed in on a device.
#[derive(Clone, Debug)]
pub struct Viewer {
    /// Server.
    pub url: String,
    /// Sign-in name.
    pub email: String,
    /// Bearer token of the login session.
    pub session: String,
    /// The device.
    pub device: Device,
    http: Client,
}

impl Viewer {
    /// Makes an account.
    pub async fn sign_up(url: &str, email: &str) -> Self {
        let http = Client::new();
        let body = json!({ "email": email, "password": PASSWORD, "name": email });
        let made =
            http.post(format!("{url}/v1/accounts")).json(&body).send().await.expect("the server answers");
        assert_eq!(made.status(), 201, "{}", made.text().await.unwrap_or_default());
        Self::sign_in(url, email).await
    }

    /// Signs in to an account that exists, on a new device.
    pub async fn sign_in(url: &str, email: &str) -> Self {
        let http = Client::new();
        let body = json!({ "email": email, "password": PASSWORD, "bearer": true });
        let made =
            http.post(format!("{url}/v1/sessions")).json(&body).send().await.expect("the server answers");
        assert_eq!(made.status(), 201, "{}", made.text().await.unwrap_or_default());
        let made: Value = made.json().await.expect("an account");
        let session = made["session_token"].as_str().expect("a bearer session").to_owned();
        Self { url: url.to_owned(), email: email.to_owned(), session, device: Device::new(), http }
    }

    /// The same account on another device.
    pub fn on_new_device(&self) -> Self {
        Self { device: Device::new(), ..self.clone() }
    }

    /// A request with the login session.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url)).bearer_auth(&self.session)
    }

    /// A request without any authority.
    pub fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    /// Sends JSON with the login session and an idempotency key.
    pub async fn post(&self, path: &str, key: &str, body: &Value) -> Response {
        let request = self.request(Method::POST, path).header("idempotency-key", key).json(body);
        request.send().await.expect("the server answers")
    }

    /// Puts money into the wallet, and gives the payment's id.
    pub async fn top_up(&self, minor: i64) -> String {
        let body = json!({ "amount": { "minor": minor, "currency": "USD" } });
        let answer = self.post("/v1/wallet/top-ups", &nonce(), &body).await;
        assert_eq!(answer.status(), 201, "{}", answer.text().await.unwrap_or_default());
        let answer: Value = answer.json().await.expect("a payment");
        answer["payment"]["id"].as_str().expect("a payment has an id").to_owned()
    }

    /// What is left in the wallet, in cents.
    pub async fn wallet(&self) -> i64 {
        let answer = self.request(Method::GET, "/v1/account").send().await.expect("the server answers");
        let answer: Value = answer.json().await.expect("an account");
        answer["account"]["wallet"]["minor"].as_i64().unwrap_or_else(|| panic!("no wallet in {answer}"))
    }

    /// Buys a plan and gives the entitlement.
    pub async fn buy(&self, published: &Published) -> String {
        let answer = self.post("/v1/purchases", &nonce(), &json!({ "plan": published.plan })).await;
        assert_eq!(answer.status(), 201, "{}", answer.text().await.unwrap_or_default());
        let answer: Value = answer.json().await.expect("a purchase");
        answer["entitlement"]["id"].as_str().expect("an entitlement").to_owned()
    }

    /// Asks for a view on this device.
    pub async fn try_open(&self, entitlement: &str) -> Response {
        let path = "/v1/views";
        let body = json!({
            "entitlement": entitlement, "agreement_key": b64u(&self.device.agreement.public()),
        });
        let body = body.to_string().into_bytes();
        let claims = self.device.claims("POST", &format!("{}{path}", self.url), None, &body);
        self.request(Method::POST, path)
            .header("idempotency-key", nonce())
            .header("content-type", "application/json")
            .header("dpop", self.device.proof(&claims))
            .body(body)
            .send()
            .await
            .expect("the server answers")
    }

    /// Opens a view on this device.
    pub async fn open(&self, entitlement: &str) -> Opening {
        let answer = self.try_open(entitlement).await;
        let status = answer.status();
        let text = answer.text().await.expect("an answer");
        assert!(status.is_success(), "{status} {text}");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
    }

    /// Buys and opens.
    pub async fn rent(&self, published: &Published) -> Opening {
        let entitlement = self.buy(published).await;
        self.open(&entitlement).await
    }

    /// A request with a view token and an honest proof by this device.
    pub fn with_token(&self, method: Method, path: &str, token: &str, body: &[u8]) -> RequestBuilder {
        let url = format!("{}{path}", self.url);
        let proof = self.device.proof(&self.device.claims(method.as_str(), &url, Some(token), body));
        let request =
            self.bare(method, path).header("authorization", format!("DPoP {token}")).header("dpop", proof);
        if body.is_empty() {
            return request;
        }
        request.header("content-type", "application/json").body(body.to_vec())
    }

    /// Asks for the keys of an epoch.
    pub async fn try_license(&self, opening: &Opening, file: u32, epoch: u32) -> Response {
        let path = format!("/v1/views/{}/licenses", opening.view);
        let body = json!({ "file": file, "epoch": epoch }).to_string();
        let request = self.with_token(Method::POST, &path, &opening.view_token, body.as_bytes());
        request.send().await.expect("the server answers")
    }
}

/// The stable code of a problem answer, with its status.
pub async fn problem(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    let kind =
        answer.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or("").to_owned();
    let text = answer.text().await.unwrap_or_default();
    assert!(kind.starts_with("application/problem+json"), "{status} {kind} {text}");
    let body: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"));
    (status, body["code"].as_str().unwrap_or_else(|| panic!("no code in {text}")).to_owned())
}
