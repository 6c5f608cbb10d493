//! Webhook signatures of Stripe: `Stripe-Signature: t=<seconds>,v1=<hex>[,v1=<hex>…]`, each `v1` an HMAC-SHA256 over
//! `<seconds>.<body>` under one of the endpoint's secrets.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// How far a signature's time may be from ours, either way.
pub const TOLERANCE_S: u64 = 300;
/// Bytes of a header that is looked at.
const HEADER_BYTES_MAX: usize = 2048;
/// Signatures in one header that are looked at: one for each secret while secrets roll.
const SIGNATURES_MAX: usize = 8;

/// Why a body is not from Stripe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The header is not of the known form.
    #[error("send the Stripe-Signature header as Stripe writes it")]
    Malformed,
    /// No signature of it is by a secret of ours.
    #[error("the signature is not by this endpoint's secret")]
    Forged,
    /// It was signed too long ago, or is from the future.
    #[error("the signature's time is more than 300 seconds from ours")]
    Late,
}

/// Whether `body` was signed by one of `secrets`, lately. Signatures are compared in constant time.
pub fn verify<'a>(
    header: &str,
    body: &[u8],
    secrets: impl IntoIterator<Item = &'a [u8]>,
    now_s: u64,
) -> Result<(), Error> {
    if header.len() > HEADER_BYTES_MAX {
        return Err(Error::Malformed);
    }
    let mut time = None;
    let mut signatures = Vec::new();
    for part in header.split(',') {
        match part.trim().split_once('=') {
            Some(("t", text)) if time.is_none() => time = Some(text),
            Some(("t", _)) => return Err(Error::Malformed),
            Some(("v1", text)) if signatures.len() < SIGNATURES_MAX => {
                signatures.extend(hex::decode(text).ok());
            }
            // Other schemes, v0 among them, are somebody else's.
            _ => {}
        }
    }
    let time = time.filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
    let signed_s: u64 = time.and_then(|text| text.parse().ok()).ok_or(Error::Malformed)?;
    let time = time.ok_or(Error::Malformed)?;
    let signed = |secret: &[u8]| {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes any key");
        mac.update(time.as_bytes());
        mac.update(b".");
        mac.update(body);
        signatures.iter().any(|signature| mac.clone().verify_slice(signature).is_ok())
    };
    if !secrets.into_iter().any(signed) {
        return Err(Error::Forged);
    }
    // Only after the signature: a forger learns nothing of our clock.
    if signed_s.abs_diff(now_s) > TOLERANCE_S {
        return Err(Error::Late);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"whsec_test";
    const NOW_S: u64 = 1_700_000_000;

    fn header(time_s: u64, body: &[u8], secret: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
        mac.update(format!("{time_s}.").as_bytes());
        mac.update(body);
        format!("t={time_s},v1={}", hex::encode(mac.finalize().into_bytes()))
    }

    #[test]
    fn accepts_only_what_was_signed_lately() {
        let body = br#"{"id":"evt_1"}"#;
        let check = |header: &str, body: &[u8], now_s| verify(header, body, [SECRET], now_s);
        let good = header(NOW_S, body, SECRET);
        let v1 = &good[good.find("v1=").unwrap()..];
        let other = header(NOW_S, body, b"other");
        let other_v1 = &other[other.find("v1=").unwrap()..];
        for (what, text, now_s, expected) in [
            ("fresh", good.clone(), NOW_S, Ok(())),
            ("at the edge", good.clone(), NOW_S + TOLERANCE_S, Ok(())),
            ("past the edge", good.clone(), NOW_S + TOLERANCE_S + 1, Err(Error::Late)),
            ("a clock ahead", good.clone(), NOW_S - TOLERANCE_S, Ok(())),
            ("from the future", good.clone(), NOW_S - TOLERANCE_S - 1, Err(Error::Late)),
            ("several", format!("t={NOW_S},{other_v1},v0=00,{v1}"), NOW_S, Ok(())),
            ("spaces", format!("t={NOW_S}, {v1}"), NOW_S, Ok(())),
            ("by another secret", other.clone(), NOW_S, Err(Error::Forged)),
            ("another time", format!("t={},{v1}", NOW_S + 1), NOW_S, Err(Error::Forged)),
            ("old scheme only", format!("t={NOW_S},{}", v1.replace("v1", "v0")), NOW_S, Err(Error::Forged)),
            ("cut short", good[..good.len() - 2].to_owned(), NOW_S, Err(Error::Forged)),
            ("two times", format!("t=1,{good}"), NOW_S, Err(Error::Malformed)),
            ("no time", v1.to_owned(), NOW_S, Err(Error::Malformed)),
            ("a signed time", format!("t=+{NOW_S},{v1}"), NOW_S, Err(Error::Malformed)),
            ("nothing", String::new(), NOW_S, Err(Error::Malformed)),
            ("endless", "t=1,".repeat(1000), NOW_S, Err(Error::Malformed)),
        ] {
            assert_eq!(check(&text, body, now_s), expected, "{what}");
        }
        assert_eq!(check(&good, b"{}", NOW_S), Err(Error::Forged), "another body");
        assert_eq!(verify(&good, body, [b"old".as_slice(), SECRET], NOW_S), Ok(()), "secrets roll");
        assert_eq!(verify(&good, body, [], NOW_S), Err(Error::Forged), "no secret, no trust");
    }
}
