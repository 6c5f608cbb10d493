//! Every route with every role, and with tokens that are expired, misdirected, forged, tampered with or stolen.
//!
//! The table of routes is the server's own (`router::ROUTES`): a route that is added is walked from then on, and one whose
//! path this test cannot fill in fails it.

use matinee_protocol::api::Opening;
use matinee_protocol::device::SigningKey;
use matinee_protocol::encoding::b64u;
use matinee_protocol::jws;
use matinee_protocol::token::{self, Role, ViewTokenClaims};
use matinee_server::keyring::Keyring;
use matinee_server::router::{Authority, ROUTES, Route};
use matinee_tests::deployment::{Deployment, Published};
use matinee_tests::film;
use matinee_tests::viewer::{Device, Viewer, nonce, now_s, problem};
use reqwest::{Method, RequestBuilder};
use serde_json::json;

/// An id of nothing.
const NOBODYS: &str = "0190d9e4-0000-7000-8000-000000000000";

/// Everything the walk needs: a server with two titles, and one of each role.
struct House {
    _deployment: Deployment,
    keyring: Keyring,
    viewer: Viewer,
    other_viewer: Viewer,
    publisher: Viewer,
    operator: Viewer,
    published: Published,
    opening: Opening,
    other_opening: Opening,
    carry: (Viewer, Opening),
    entitlement: String,
    payment: String,
    purchase: String,
}

impl House {
    async fn build() -> Self {
        let deployment = Deployment::start().await;
        let url = deployment.url();
        let published = deployment.publish("One", &[&film::exact(300_000)], 3).await;
        let other = deployment.publish("Two", &[&film::exact(1_000)], 3).await;
        for role in ["publisher", "operator", "carrier"] {
            deployment.add_account(&format!("{role}@example.com"), role).await;
        }
        let viewer = deployment.viewer("viewer@example.com").await;
        let other_viewer = deployment.viewer("other@example.com").await;
        let entitlement = viewer.buy(&published).await;
        let opening = viewer.open(&entitlement).await;
        let payment = viewer.top_up(1).await;
        let plan = json!({ "plan": published.plan });
        let bought = viewer.post("/v1/purchases", &nonce(), &plan).await;
        let bought: serde_json::Value = bought.json().await.unwrap();
        let purchase = bought["purchase"]["id"].as_str().unwrap().to_owned();
        let other_opening = other_viewer.rent(&other).await;
        let carrier = Viewer::sign_in(&url, "carrier@example.com").await;
        let carry = open_carry(&carrier, &published.release).await;
        Self {
            keyring: keyring(&deployment).await,
            publisher: Viewer::sign_in(&url, "publisher@example.com").await,
            operator: Viewer::sign_in(&url, "operator@example.com").await,
            viewer,
            other_viewer,
            published,
            opening,
            other_opening,
            carry: (carrier, carry),
            entitlement,
            payment,
            purchase,
            _deployment: deployment,
        }
    }

    /// The route's path with ids that exist, those of `viewer` and its release.
    fn path(&self, route: &Route) -> String {
        let path = route
            .path
            .replace("{view}", &self.opening.view.to_string())
            .replace("{release}", &self.published.release)
            .replace("{title}", &self.published.title)
            .replace("{entitlement}", &self.entitlement)
            .replace("{account}", uuid::Uuid::nil().to_string().as_str())
            .replace("{webhook}", uuid::Uuid::nil().to_string().as_str())
            .replace("{passkey}", NOBODYS)
            .replace("{identity}", NOBODYS)
            .replace("{provider}", "nobody")
            .replace("{session}", "00000000000000000000000000000000")
            .replace("{key}", uuid::Uuid::nil().to_string().as_str())
            .replace("{payment}", &self.payment)
            .replace("{track}", "1")
            .replace("{artist}", "1")
            .replace("{album}", "1")
            .replace("{genre}", "1")
            // Of these there are none: nobody's collection is everybody else's 404.
            .replace("{collection}", NOBODYS)
            .replace("{group}", NOBODYS)
            .replace("{account}", NOBODYS)
            .replace("{plan}", NOBODYS)
            .replace("{code}", "nobodys")
            .replace("{device}", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
            .replace("{purchase}", &self.purchase)
            .replace("{month}", "2026-10")
            .replace("{lease}", NOBODYS)
            .replace("{break}", "0")
            .replace("{file}", "0")
            .replace("{page}", "0");
        assert!(!path.contains('{'), "teach this test to fill in {path}");
        path
    }

    fn claims(&self) -> ViewTokenClaims {
        ViewTokenClaims {
            iss: self.opening.issuer.clone(),
            aud: token::AUDIENCE.to_owned(),
            sub: self.opening.view,
            jti: nonce(),
            exp: now_s() + 300,
            cnf: token::Confirmation { jkt: self.viewer.device.signing.public().thumbprint() },
            swm: self.opening.swarm,
            rol: Role::Viewer,
        }
    }
}

/// The running server's own signing keys, read as an operator with both database and key file could.
async fn keyring(deployment: &Deployment) -> Keyring {
    matinee_tests::forge::keyring(&deployment.data(), &deployment.url()).await
}

async fn open_carry(carrier: &Viewer, release: &str) -> Opening {
    let path = format!("/v1/releases/{release}/carries");
    let claims = carrier.device.claims("POST", &format!("{}{path}", carrier.url), None, b"{}");
    let request = carrier.request(Method::POST, &path).header("dpop", carrier.device.proof(&claims));
    let answer = request.header("content-type", "application/json").body("{}").send().await.unwrap();
    let text = answer.text().await.unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

fn method(route: &Route) -> Method {
    route.method.parse().unwrap()
}

/// Sends, and gives status and code (empty where the answer is no problem or has no body).
async fn outcome(request: RequestBuilder) -> (u16, String) {
    let answer = request.send().await.unwrap();
    let has_body = answer.content_length() != Some(0);
    match answer.status().as_u16() {
        status if status < 400 || !has_body => (status, String::new()),
        _ => problem(answer).await,
    }
}

fn with_json(viewer: &Viewer, route: &Route, path: &str) -> RequestBuilder {
    let request = viewer.request(method(route), path).header("idempotency-key", nonce());
    if method(route).is_safe() { request } else { request.json(&json!({})) }
}

#[tokio::test]
async fn every_route_asks_for_its_authority() {
    let house = House::build().await;
    for route in ROUTES {
        let path = house.path(route);
        let shown = format!("{} {}", route.method, route.path);
        let expected: (u16, &[&str]) = match route.authority {
            Authority::None | Authority::Signaling => continue,
            Authority::View | Authority::Swarm => (401, &["view_token_required"]),
            _ => (401, &["session_required", ""]),
        };
        let bare = outcome(house.viewer.bare(method(route), &path)).await;
        let wrong = house.viewer.bare(method(route), &path).bearer_auth("not-a-session");
        for seen in [bare, outcome(wrong).await] {
            assert_eq!(seen.0, expected.0, "{shown}: {seen:?}");
            assert!(expected.1.contains(&seen.1.as_str()), "{shown}: {seen:?}");
        }
    }
}

#[tokio::test]
async fn a_login_session_opens_only_what_its_role_may() {
    let house = House::build().await;
    // Signing out would end the session that the other routes are asked with.
    let signs_out = |route: &&Route| route.method == "DELETE" && route.path.starts_with("/v1/sessions");
    for route in ROUTES.iter().filter(|route| !signs_out(route)) {
        let path = house.path(route);
        let shown = format!("{} {}", route.method, route.path);
        for who in [&house.viewer, &house.publisher, &house.operator] {
            let seen = outcome(with_json(who, route, &path)).await;
            match route.authority {
                // No login session, however mighty, stands in for a view token.
                Authority::View | Authority::Swarm => {
                    assert_eq!(seen, (401, "view_token_required".to_owned()), "{shown} {}", who.email);
                }
                Authority::SessionAndProof => {
                    assert_eq!(seen, (401, "proof_required".to_owned()), "{shown} {}", who.email);
                }
                Authority::Operator | Authority::Integrator | Authority::ApiKey
                    if who.email != house.operator.email =>
                {
                    assert_eq!(seen, (403, "role_required".to_owned()), "{shown} {}", who.email);
                }
                Authority::Publisher if who.email == house.viewer.email => {
                    assert_eq!(seen.0, 403, "{shown} {} {seen:?}", who.email);
                }
                // Another publisher's titles and releases do not exist for this one.
                Authority::Publisher if route.path.contains('{') && who.email == house.publisher.email => {
                    assert_eq!(seen.0, 404, "{shown} {} {seen:?}", who.email);
                }
                _ => assert!(seen.0 != 500 && seen.1 != "session_required", "{shown} {} {seen:?}", who.email),
            }
        }
    }
}

/// Ways to present a view token that must fail, each with the answer it gets.
fn bad_tokens(house: &House) -> Vec<(&'static str, String, (u16, &'static str))> {
    let sign = |claims: &ViewTokenClaims| house.keyring.sign_view_token(claims).unwrap();
    let good = house.claims();
    let expired = ViewTokenClaims { exp: now_s() - 60, ..good.clone() };
    let audience = ViewTokenClaims { aud: "elsewhere".to_owned(), ..good.clone() };
    let issuer = ViewTokenClaims { iss: "https://evil.example".to_owned(), ..good.clone() };
    let text = sign(&good);
    let (signed, signature) = text.rsplit_once('.').unwrap();
    let (header, _) = signed.split_once('.').unwrap();
    let carrier = ViewTokenClaims { rol: Role::Carrier, ..good.clone() };
    let payload = |claims: &ViewTokenClaims| b64u(&serde_json::to_vec(claims).unwrap());
    let kid = |alg: &str| {
        b64u(json!({ "alg": alg, "typ": token::TYP, "kid": kid_of(&text) }).to_string().as_bytes())
    };
    let longer = ViewTokenClaims { exp: now_s() + 1_000_000, ..good.clone() };
    let public = house.keyring.key_set().get(&kid_of(&text), jws::KeyUse::View).unwrap().0;
    let hmac = {
        let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
        header.typ = Some(token::TYP.to_owned());
        header.kid = Some(kid_of(&text));
        jsonwebtoken::encode(&header, &good, &jsonwebtoken::EncodingKey::from_secret(&public)).unwrap()
    };
    let own_key = token::issue(&good, &kid_of(&text), &SigningKey::from_seed(&[9; 32]));
    let own_kid = token::issue(&good, "my-own", &SigningKey::from_seed(&[9; 32]));
    let other_typ = {
        let header =
            jws::Header { alg: "EdDSA".into(), typ: "JWT".into(), kid: Some(kid_of(&text)), jwk: None };
        jws::sign(&serde_json::to_vec(&good).unwrap(), &header, &SigningKey::from_seed(&[9; 32]))
    };
    let invalid = (401, "view_token_invalid");
    vec![
        ("expired", sign(&expired), (401, "view_token_expired")),
        ("for another audience", sign(&audience), invalid),
        ("from another issuer", sign(&issuer), invalid),
        ("tampered claims", format!("{header}.{}.{signature}", payload(&longer)), invalid),
        ("carrier made viewer", sign(&carrier).replace(&payload(&carrier), &payload(&good)), invalid),
        ("algorithm none", format!("{}.{}.", kid("none"), payload(&good)), invalid),
        ("HMAC under the public key", hmac, invalid),
        ("another algorithm named", format!("{}.{}.{signature}", kid("ES256"), payload(&good)), invalid),
        ("signed by a stranger", own_key, invalid),
        ("signed by a stranger's named key", own_kid, invalid),
        ("of another type", other_typ, invalid),
        ("not a token", "AAAA".to_owned(), invalid),
    ]
}

fn kid_of(token: &str) -> String {
    jsonwebtoken::decode_header(token).unwrap().kid.unwrap()
}

#[tokio::test]
async fn no_route_takes_a_bad_view_token() {
    let house = House::build().await;
    for route in ROUTES.iter().filter(|route| matches!(route.authority, Authority::View | Authority::Swarm)) {
        let path = house.path(route);
        let body: &[u8] = if method(route).is_safe() { b"" } else { b"{}" };
        for (what, token, expected) in bad_tokens(&house) {
            let shown = format!("{} {} with a token {what}", route.method, route.path);
            let seen = outcome(house.viewer.with_token(method(route), &path, &token, body)).await;
            if route.path.ends_with("/renewals") && what == "expired" {
                assert_eq!(seen.0, 200, "{shown}: the view is active, {seen:?}");
                continue;
            }
            assert_eq!((seen.0, seen.1.as_str()), expected, "{shown}");
        }
    }
}

#[tokio::test]
async fn a_token_copied_to_another_device_opens_nothing() {
    let house = House::build().await;
    let token = house.keyring.sign_view_token(&house.claims()).unwrap();
    let thief = house.other_viewer.clone();
    for route in ROUTES.iter().filter(|route| matches!(route.authority, Authority::View | Authority::Swarm)) {
        let path = house.path(route);
        let shown = format!("{} {}", route.method, route.path);
        let body: &[u8] = if method(route).is_safe() { b"" } else { b"{}" };
        let url = format!("{}{path}", thief.url);
        // The token with a proof by the thief's own key.
        let seen = outcome(thief.with_token(method(route), &path, &token, body)).await;
        assert_eq!(seen, (401, "proof_key_mismatch".to_owned()), "{shown}");
        // The token alone, and as a bearer token.
        let alone = thief.bare(method(route), &path).header("authorization", format!("DPoP {token}"));
        assert_eq!(outcome(alone.body(body)).await, (401, "proof_required".to_owned()), "{shown}");
        let bearer = thief.bare(method(route), &path).bearer_auth(&token);
        assert_eq!(outcome(bearer.body(body)).await, (401, "view_token_required".to_owned()), "{shown}");
        // Proofs by the rightful device that are for something else.
        let device = &house.viewer.device;
        let good = device.claims(method(route).as_str(), &url, Some(&token), body);
        let mut wrong = vec![
            device.claims("PUT", &url, Some(&token), body),
            device.claims(method(route).as_str(), &format!("{}/v1/else", thief.url), Some(&token), body),
            device.claims(method(route).as_str(), &url, Some("another"), body),
            device.claims(method(route).as_str(), &url, None, body),
            device.claims(method(route).as_str(), &url, Some(&token), b"another body"),
        ];
        wrong.push(matinee_protocol::dpop::ProofClaims { iat: now_s() - 600, ..good.clone() });
        wrong.push(matinee_protocol::dpop::ProofClaims { iat: now_s() + 600, ..good.clone() });
        for claims in wrong {
            let seen = outcome(present(&thief, route, &path, &token, &device.proof(&claims), body)).await;
            assert_eq!(seen, (401, "proof_invalid".to_owned()), "{shown} {claims:?}");
        }
    }
}

fn present(who: &Viewer, route: &Route, path: &str, token: &str, proof: &str, body: &[u8]) -> RequestBuilder {
    let request =
        who.bare(method(route), path).header("authorization", format!("DPoP {token}")).header("dpop", proof);
    request.header("content-type", "application/json").body(body.to_vec())
}

#[tokio::test]
async fn a_proof_that_was_used_opens_nothing_again() {
    let house = House::build().await;
    let token = &house.opening.view_token;
    for route in ROUTES.iter().filter(|route| matches!(route.authority, Authority::View | Authority::Swarm)) {
        if route.method == "DELETE" {
            continue; // ends the view that the other routes need; what guards it is the same extractor
        }
        if route.path.contains("/breaks") {
            continue; // this title has none; the breaks' own test sends a proof twice
        }
        let path = house.path(route);
        let body: &[u8] = match route.path {
            path if path.ends_with("/licenses") => br#"{"file":0,"epoch":0}"#,
            path if path.ends_with("/receipts") => br#"{"receipts":[]}"#,
            _ if method(route).is_safe() => b"",
            _ => b"{}",
        };
        let url = format!("{}{path}", house.viewer.url);
        let claims = house.viewer.device.claims(method(route).as_str(), &url, Some(token), body);
        let proof = house.viewer.device.proof(&claims);
        let shown = format!("{} {}", route.method, route.path);
        let first = outcome(present(&house.viewer, route, &path, token, &proof, body)).await;
        assert!(first.0 < 300, "{shown}: {first:?}");
        let again = outcome(present(&house.viewer, route, &path, token, &proof, body)).await;
        assert_eq!(again, (401, "proof_replayed".to_owned()), "{shown}");
    }
}

#[tokio::test]
async fn a_view_of_one_title_and_a_carry_open_no_keys_or_bytes_of_another() {
    let house = House::build().await;
    let body = br#"{"file":0,"epoch":0}"#;
    // Another viewer's valid token: not this view, not this release.
    for route in ROUTES.iter().filter(|route| matches!(route.authority, Authority::View | Authority::Swarm)) {
        if !route.path.contains('{') {
            continue;
        }
        let path = house.path(route);
        let body: &[u8] = if method(route).is_safe() { b"" } else { body };
        let token = &house.other_opening.view_token;
        let seen = outcome(house.other_viewer.with_token(method(route), &path, token, body)).await;
        assert_eq!(seen, (404, "not_found".to_owned()), "{} {}", route.method, route.path);
    }
    // A carrier gets ciphertext and never a key.
    let (carrier, carry) = &house.carry;
    let path = format!("/v1/releases/{}/files/0/ciphertext", house.published.release);
    assert_eq!(outcome(carrier.with_token(Method::GET, &path, &carry.view_token, b"")).await.0, 200);
    for view in [carry.view.to_string(), house.opening.view.to_string()] {
        for what in ["licenses", "renewals"] {
            let path = format!("/v1/views/{view}/{what}");
            let seen = outcome(carrier.with_token(Method::POST, &path, &carry.view_token, body)).await;
            assert_eq!(seen, (403, "viewer_required".to_owned()), "{path}");
        }
    }
}

#[tokio::test]
async fn without_an_entitlement_there_is_no_view() {
    let house = House::build().await;
    // Somebody else's entitlement, one that does not exist, and one that was revoked.
    let seen = problem(house.other_viewer.try_open(&house.entitlement).await).await;
    assert_eq!(seen, (404, "not_found".to_owned()));
    let none = uuid::Uuid::now_v7().to_string();
    assert_eq!(problem(house.viewer.try_open(&none).await).await, (404, "not_found".to_owned()));

    let path = format!("/v1/entitlements/{}/revocation", house.entitlement);
    let revoke = house.operator.request(Method::POST, &path).json(&json!({ "reason": "chargeback" }));
    assert_eq!(outcome(revoke).await.0, 200);
    assert_eq!(problem(house.viewer.try_open(&house.entitlement).await).await.1, "entitlement_revoked");
    let license = problem(house.viewer.try_license(&house.opening, 0, 0).await).await;
    assert_eq!(license, (403, "entitlement_revoked".to_owned()), "no further key");
    let path = format!("/v1/views/{}/renewals", house.opening.view);
    let renewal = house.viewer.with_token(Method::POST, &path, &house.opening.view_token, b"{}");
    assert_eq!(outcome(renewal).await, (403, "entitlement_revoked".to_owned()), "no further token");
}

#[tokio::test]
async fn keys_open_on_the_device_of_the_view_only() {
    let house = House::build().await;
    let license = house.opening.license.clone().unwrap();
    assert!(!house.viewer.device.open(&license).is_empty());
    let other = Device::new();
    assert!(matinee_protocol::license::open_keys(&other.agreement, &license).is_err());
}
