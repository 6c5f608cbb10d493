//! Signed webhooks (Standard Webhooks 1.0), to addresses that are anybody's only.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use zeroize::Zeroizing;

use super::address::is_public;

/// How a secret is written.
const SECRET_PREFIX: &str = "whsec_";
/// Characters of a URL.
const URL_CHARS_MAX: usize = 2048;
/// How long an endpoint may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Why a URL is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not a URL of the known form.
    #[error("write an https:// URL of at most {URL_CHARS_MAX} characters, without name and password")]
    Form,
    /// On a network that is not the internet.
    #[error("the URL leads to an address that is not on the internet")]
    Private,
}

/// Reads a URL that messages may go to. With `private` also plain HTTP and every address, for tests and closed networks.
pub fn target(text: &str, private: bool) -> Result<Url, Refused> {
    let url = Url::parse(text).ok().filter(|_| text.len() <= URL_CHARS_MAX).ok_or(Refused::Form)?;
    let scheme = url.scheme() == "https" || (private && url.scheme() == "http");
    if !scheme || !url.username().is_empty() || url.password().is_some() {
        return Err(Refused::Form);
    }
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or(Refused::Form)?;
    let literal = host.trim_matches(['[', ']']).parse().ok();
    if !private && literal.is_some_and(|address| !is_public(address)) {
        return Err(Refused::Private);
    }
    Ok(url)
}

/// The key of one endpoint, derived from the server's own secret: no database holds it.
pub fn key(master: &[u8; 32], endpoint: &str) -> Zeroizing<[u8; 32]> {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(master).expect("HMAC takes any key");
    mac.update(b"matinee/1 webhook");
    mac.update(endpoint.as_bytes());
    Zeroizing::new(mac.finalize().into_bytes().into())
}

/// A key as its owner is shown it.
pub fn shown(key: &[u8; 32]) -> Zeroizing<String> {
    Zeroizing::new(format!("{SECRET_PREFIX}{}", STANDARD.encode(key)))
}

/// The value of `webhook-signature`.
pub fn signature(key: &[u8; 32], message: &str, at_s: i64, body: &str) -> String {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).expect("HMAC takes any key");
    mac.update(format!("{message}.{at_s}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// Looks names up for the client that sends: an address that is not anybody's is never connected to, whatever the name
/// led to before.
struct Guard;

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // The port is the URL's; the client puts it in.
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if found.iter().any(|address| !is_public(address.ip())) {
                return Err(Refused::Private.into());
            }
            Ok::<Addrs, _>(Box::new(found.into_iter()))
        })
    }
}

/// Sends to webhooks. It follows no redirect, goes through no proxy, and reads no answer's body.
pub struct Sender {
    client: reqwest::Client,
    private: bool,
}

impl Sender {
    /// One that reaches the internet only, or with `private` everything that this machine reaches.
    pub fn new(private: bool) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(ANSWER_MAX)
            .user_agent(concat!("matinee/", env!("CARGO_PKG_VERSION")));
        let client = if private { client } else { client.dns_resolver(Arc::new(Guard)) };
        Ok(Self { client: client.build()?, private })
    }

    /// Whether it reaches private networks too.
    pub fn private(&self) -> bool {
        self.private
    }

    /// Sends a message, and gives the status it was answered with.
    pub async fn send(
        &self,
        url: &str,
        (message, at_s, body): (&str, i64, &str),
        key: &[u8; 32],
    ) -> Result<u16, String> {
        // Addresses that stand in the URL itself are looked up nowhere.
        let url = target(url, self.private).map_err(|error| error.to_string())?;
        let request = self
            .client
            .post(url)
            .header("content-type", "application/json")
            .header("webhook-id", message)
            .header("webhook-timestamp", at_s.to_string())
            .header("webhook-signature", signature(key, message, at_s, body))
            .body(body.to_owned());
        let answer = request.send().await.map_err(|error| why(&error))?;
        Ok(answer.status().as_u16())
    }
}

/// An error with its first cause, as the log of deliveries shows it.
fn why(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {} seconds", ANSWER_MAX.as_secs());
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_the_specifications_own() {
        // The example of the Standard Webhooks specification's reference libraries.
        let key: Vec<u8> = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
        let body = "{\"test\": 2432232314}";
        mac.update(format!("msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{body}").as_bytes());
        let signed = STANDARD.encode(mac.finalize().into_bytes());
        assert_eq!(signed, "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let own = signature(&[7; 32], "m", 5, "{}");
        assert!(own.starts_with("v1,") && own != signature(&[7; 32], "m", 6, "{}"));
        assert_ne!(key[..], super::key(&[1; 32], "a")[..]);
        assert_ne!(super::key(&[1; 32], "a"), super::key(&[1; 32], "b"), "each endpoint has its own");
    }

    #[test]
    fn urls_that_lead_inside_are_refused() {
        for text in ["https://shop.example/hook", "https://shop.example:8443/", "https://1.1.1.1/"] {
            assert!(target(text, false).is_ok(), "{text}");
        }
        for text in [
            "http://shop.example/",
            "ftp://a/",
            "https://a:b@shop.example/",
            "https://",
            "hook",
            "file:///etc",
        ] {
            assert_eq!(target(text, false), Err(Refused::Form), "{text}");
        }
        for text in [
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://169.254.169.254/latest",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://[::ffff:10.0.0.1]/",
            "https://192.168.0.1:8443/",
        ] {
            assert_eq!(target(text, false), Err(Refused::Private), "{text}");
        }
        assert!(target("http://127.0.0.1:8080/", true).is_ok());
    }
}
