//! base64url without padding (RFC 4648 §5), the text form of every binary value.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// The text is not base64url without padding, or has another length than asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not base64url without padding of the expected length")]
pub struct Error;

/// Encodes bytes.
pub fn b64u(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Decodes text of any length.
pub fn from_b64u(text: &str) -> Result<Vec<u8>, Error> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| Error)
}

/// Decodes text to exactly `N` bytes; text of another length is refused before anything is allocated.
pub fn array_from_b64u<const N: usize>(text: &str) -> Result<[u8; N], Error> {
    if text.len() != (N * 4).div_ceil(3) {
        return Err(Error);
    }
    from_b64u(text)?.try_into().map_err(|_| Error)
}

/// SHA-256 (FIPS 180-4).
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Serde form of a fixed array as base64url text: `#[serde(with = "encoding::array")]`.
pub mod array {
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    /// Serializes the bytes as text.
    pub fn serialize<S: Serializer, const N: usize>(bytes: &[u8; N], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::b64u(bytes))
    }

    /// Reads text of exactly `N` bytes.
    pub fn deserialize<'de, D: Deserializer<'de>, const N: usize>(from: D) -> Result<[u8; N], D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        super::array_from_b64u(&text).map_err(D::Error::custom)
    }
}
