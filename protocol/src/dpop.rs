//! Proof of possession of a device key (RFC 9449; PROTOCOL §2.1).

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::device::{DevicePublicKey, SigningKey};
use crate::encoding::{b64u, sha256};
use crate::id::Thumbprint;
use crate::jws::{self, Parts};
use crate::limit::{PROOF_AGE_S_MAX, PROOF_BYTES_MAX, PROOF_ID_CHARS_MAX};

/// `typ` of a proof.
pub const TYP: &str = "dpop+jwt";
/// Fewest characters of a `jti`: 96 bits in base64url.
const PROOF_ID_CHARS_MIN: usize = 16;

/// The claims of a proof.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofClaims {
    /// Unique id, accepted once.
    pub jti: String,
    /// HTTP method.
    pub htm: String,
    /// URL without query and fragment.
    pub htu: String,
    /// Time of issue, Unix seconds.
    pub iat: u64,
    /// SHA-256 of the view token presented with the proof, base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ath: Option<String>,
    /// SHA-256 of the request's body, base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_sha256: Option<String>,
    /// The server's challenge, on signaling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
}

/// What the proof must be for.
#[derive(Clone, Copy, Debug)]
pub struct Expectation<'a> {
    /// Method of the request.
    pub method: &'a str,
    /// URL of the request without query and fragment.
    pub url: &'a str,
    /// The view token presented with it.
    pub token: Option<&'a str>,
    /// The request's body; an empty one counts as none.
    pub body: &'a [u8],
    /// The challenge that was sent.
    pub nonce: Option<&'a str>,
    /// The verifier's clock, Unix seconds.
    pub now_s: u64,
}

/// A proof that was checked. The caller still has to see that `jti` is new.
#[derive(Clone, Debug)]
pub struct VerifiedProof {
    /// The device.
    pub thumbprint: Thumbprint,
    /// Its key.
    pub public: DevicePublicKey,
    /// The proof's id.
    pub jti: String,
}

/// Why a proof was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Form, algorithm, type or signature.
    #[error("the proof was refused: {0}")]
    Signature(#[from] jws::Error),
    /// No Ed25519 key in the header.
    #[error("the proof carries no Ed25519 key")]
    Key,
    /// Not the claims of a proof.
    #[error("the proof's claims are not of the known form")]
    Form,
    /// For another method or URL.
    #[error("the proof is for another request")]
    Request,
    /// For another token, or for none.
    #[error("the proof is for another token")]
    Token,
    /// For another body, or for none.
    #[error("the proof is for another body")]
    Body,
    /// Without the challenge that was sent.
    #[error("the proof does not carry the challenge")]
    Nonce,
    /// Too old, or from the future.
    #[error("the proof is too old or from the future, check the device's clock")]
    Time,
}

fn same(claimed: Option<&str>, expected: Option<&str>) -> bool {
    match (claimed, expected) {
        (Some(claimed), Some(expected)) => claimed.as_bytes().ct_eq(expected.as_bytes()).into(),
        (None, None) => true,
        _ => false,
    }
}

/// The `ath` or `body_sha256` of some bytes.
pub fn digest(bytes: &[u8]) -> String {
    b64u(&sha256(bytes))
}

/// Makes a proof. A browser makes the same with WebCrypto.
pub fn create(key: &SigningKey, claims: &ProofClaims) -> String {
    let header = jws::Header {
        alg: jws::ALG.to_owned(),
        typ: TYP.to_owned(),
        kid: None,
        jwk: Some(key.public().to_jwk()),
    };
    let payload = serde_json::to_vec(claims).expect("claims of strings and numbers serialize");
    jws::sign(&payload, &header, key)
}

/// Checks a proof against the request that carried it.
pub fn verify(proof: &str, expected: &Expectation<'_>) -> Result<VerifiedProof, Error> {
    let parts = Parts::decode(proof, TYP, PROOF_BYTES_MAX)?;
    let public = parts.header.jwk.as_ref().and_then(|jwk| jwk.public_key()).ok_or(Error::Key)?;
    let payload = parts.verify(&public)?;
    let claims: ProofClaims = serde_json::from_slice(&payload).map_err(|_| Error::Form)?;
    if !(PROOF_ID_CHARS_MIN..=PROOF_ID_CHARS_MAX).contains(&claims.jti.len()) {
        return Err(Error::Form);
    }
    if claims.htm != expected.method || claims.htu != expected.url {
        return Err(Error::Request);
    }
    if claims.iat.abs_diff(expected.now_s) > PROOF_AGE_S_MAX {
        return Err(Error::Time);
    }
    let token = expected.token.map(|token| digest(token.as_bytes()));
    if !same(claims.ath.as_deref(), token.as_deref()) {
        return Err(Error::Token);
    }
    let body = (!expected.body.is_empty()).then(|| digest(expected.body));
    if !same(claims.body_sha256.as_deref(), body.as_deref()) {
        return Err(Error::Body);
    }
    if !same(claims.nonce.as_deref(), expected.nonce) {
        return Err(Error::Nonce);
    }
    Ok(VerifiedProof { thumbprint: public.thumbprint(), public, jti: claims.jti })
}
