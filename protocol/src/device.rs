//! A device's keys and its name (PROTOCOL §2).

use std::fmt;

use ed25519_dalek::Signer as _;
use serde::{Deserialize, Serialize};

use crate::encoding::{self, sha256};
use crate::id::Thumbprint;

/// Bytes of an Ed25519 signature.
pub const SIGNATURE_BYTES: usize = 64;

/// The public half of a device's signing key (Ed25519, RFC 8032).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DevicePublicKey(pub [u8; 32]);

/// The signature is not by this key over these bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature is not by this key over this message")]
pub struct SignatureError;

impl DevicePublicKey {
    /// RFC 7638 thumbprint of the JWK form.
    pub fn thumbprint(&self) -> Thumbprint {
        let x = encoding::b64u(&self.0);
        let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        Thumbprint::from_bytes(sha256(canonical.as_bytes()))
    }

    /// The JWK form (RFC 8037).
    pub fn to_jwk(&self) -> Jwk {
        Jwk { kty: "OKP".to_owned(), crv: "Ed25519".to_owned(), x: encoding::b64u(&self.0) }
    }

    /// Checks a signature strictly: weak keys and malleable signatures are refused.
    pub fn verify(&self, message: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> Result<(), SignatureError> {
        let key = ed25519_dalek::VerifyingKey::from_bytes(&self.0).map_err(|_| SignatureError)?;
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        key.verify_strict(message, &signature).map_err(|_| SignatureError)
    }
}

impl fmt::Debug for DevicePublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DevicePublicKey({})", encoding::b64u(&self.0))
    }
}

/// An Ed25519 public key as a JWK: the members that count, no others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwk {
    /// `OKP`.
    pub kty: String,
    /// `Ed25519`.
    pub crv: String,
    /// The key, base64url.
    pub x: String,
}

impl Jwk {
    /// The key, if this is an Ed25519 key.
    pub fn public_key(&self) -> Option<DevicePublicKey> {
        (self.kty == "OKP" && self.crv == "Ed25519")
            .then(|| encoding::array_from_b64u(&self.x).ok().map(DevicePublicKey))
            .flatten()
    }
}

/// A signing key held in memory: a native device's, or the server's for releases and tokens.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// The key that this secret seed of 32 random bytes gives.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// The public half.
    pub fn public(&self) -> DevicePublicKey {
        DevicePublicKey(self.0.verifying_key().to_bytes())
    }

    /// Signs.
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(hidden)")
    }
}
