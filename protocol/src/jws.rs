//! Compact JWS with Ed25519 only (RFC 7515, RFC 8037): one algorithm, one serialization, nothing negotiated.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::device::{DevicePublicKey, Jwk, SIGNATURE_BYTES, SigningKey};
use crate::encoding::{array_from_b64u, b64u, from_b64u};
use crate::limit::{JWKS_BYTES_MAX, JWKS_KEYS_MAX};

/// Bytes of a protected header in its encoded form.
pub const HEADER_BYTES_MAX: usize = 512;
/// The one algorithm.
pub const ALG: &str = "EdDSA";

/// What a server key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyUse {
    /// View tokens.
    View,
    /// Manifests.
    Release,
}

/// The protected header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Always [`ALG`].
    pub alg: String,
    /// The kind of document.
    pub typ: String,
    /// Which key of the set signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// The device's own key, in proofs only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwk: Option<Jwk>,
}

/// Why a compact JWS was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Longer than the limit for its kind.
    #[error("the signed document is too long")]
    TooLong,
    /// Not three base64url parts, or a header that is no JSON object.
    #[error("not a compact JWS")]
    Malformed,
    /// Another algorithm than EdDSA.
    #[error("the algorithm must be EdDSA")]
    Algorithm,
    /// Another type than expected.
    #[error("the document is of another type")]
    Type,
    /// No key with this id and use.
    #[error("no such signing key in the key set")]
    UnknownKey,
    /// The signature does not match.
    #[error("the signature is wrong")]
    Signature,
}

/// A JWS taken apart, not yet verified.
#[derive(Debug)]
pub struct Parts<'a> {
    /// The decoded header.
    pub header: Header,
    payload: &'a str,
    signed: &'a str,
    signature: [u8; SIGNATURE_BYTES],
}

impl<'a> Parts<'a> {
    /// Takes `compact` apart and pins algorithm and type.
    pub fn decode(compact: &'a str, typ: &str, bytes_max: usize) -> Result<Self, Error> {
        if compact.len() > bytes_max {
            return Err(Error::TooLong);
        }
        let (signed, signature) = compact.rsplit_once('.').ok_or(Error::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(Error::Malformed)?;
        if header.len() > HEADER_BYTES_MAX || payload.contains('.') {
            return Err(Error::Malformed);
        }
        let header = from_b64u(header).map_err(|_| Error::Malformed)?;
        let header: Header = serde_json::from_slice(&header).map_err(|_| Error::Malformed)?;
        if header.alg != ALG {
            return Err(Error::Algorithm);
        }
        if header.typ != typ {
            return Err(Error::Type);
        }
        let signature = array_from_b64u(signature).map_err(|_| Error::Malformed)?;
        Ok(Self { header, payload, signed, signature })
    }

    /// Checks the signature and gives the payload.
    pub fn verify(&self, key: &DevicePublicKey) -> Result<Vec<u8>, Error> {
        key.verify(self.signed.as_bytes(), &self.signature).map_err(|_| Error::Signature)?;
        from_b64u(self.payload).map_err(|_| Error::Malformed)
    }
}

/// Signs `payload` with the header given.
pub fn sign(payload: &[u8], header: &Header, key: &SigningKey) -> String {
    let header = serde_json::to_vec(header).expect("a header of strings serializes");
    let signed = format!("{}.{}", b64u(&header), b64u(payload));
    let signature = key.sign(signed.as_bytes());
    format!("{signed}.{}", b64u(&signature))
}

/// Verifies a JWS by a key of the set and gives its payload.
pub fn verify(
    compact: &str,
    typ: &str,
    keys: &KeySet,
    key_use: KeyUse,
    bytes_max: usize,
) -> Result<Vec<u8>, Error> {
    let parts = Parts::decode(compact, typ, bytes_max)?;
    let kid = parts.header.kid.as_deref().ok_or(Error::UnknownKey)?;
    let key = keys.get(kid, key_use).ok_or(Error::UnknownKey)?;
    parts.verify(key)
}

/// The server's public keys by id (JWK set, RFC 7517).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySet(BTreeMap<String, (KeyUse, DevicePublicKey)>);

/// One key of a published set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedKey {
    /// The key itself.
    #[serde(flatten)]
    pub jwk: Jwk,
    /// Its id.
    pub kid: String,
    /// `sig`.
    #[serde(rename = "use")]
    pub jwk_use: String,
    /// `EdDSA`.
    pub alg: String,
    /// What it signs.
    pub matinee_use: KeyUse,
}

/// The published form of a [`KeySet`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwks {
    /// The keys.
    pub keys: Vec<PublishedKey>,
}

impl KeySet {
    /// Adds a key.
    pub fn insert(&mut self, kid: impl Into<String>, key_use: KeyUse, key: DevicePublicKey) {
        self.0.insert(kid.into(), (key_use, key));
    }

    /// The key with this id, if it serves this use.
    pub fn get(&self, kid: &str, key_use: KeyUse) -> Option<&DevicePublicKey> {
        self.0.get(kid).filter(|(published, _)| *published == key_use).map(|(_, key)| key)
    }

    /// The published form.
    pub fn to_jwks(&self) -> Jwks {
        let keys = self.0.iter().map(|(kid, (key_use, key))| PublishedKey {
            jwk: key.to_jwk(),
            kid: kid.clone(),
            jwk_use: "sig".to_owned(),
            alg: ALG.to_owned(),
            matinee_use: *key_use,
        });
        Jwks { keys: keys.collect() }
    }

    /// Reads the published form. Keys of other kinds than Ed25519 are passed over, so that servers can add some.
    pub fn from_jwks(json: &[u8]) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Any {
            keys: Vec<serde_json::Value>,
        }
        if json.len() > JWKS_BYTES_MAX {
            return Err(Error::TooLong);
        }
        let any: Any = serde_json::from_slice(json).map_err(|_| Error::Malformed)?;
        if any.keys.len() > JWKS_KEYS_MAX {
            return Err(Error::TooLong);
        }
        let known = any.keys.into_iter().filter_map(|key| serde_json::from_value::<PublishedKey>(key).ok());
        let keys = known.filter_map(|key| Some((key.kid, (key.matinee_use, key.jwk.public_key()?))));
        Ok(Self(keys.collect()))
    }
}
