//! The license: rights, windows, and content keys sealed to one device (PROTOCOL §4, RFC 9180).

use std::fmt;

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::encoding::{array_from_b64u, b64u, from_b64u};
use crate::id::{EpochIndex, FileIndex, LicenseId, ReleaseId, Thumbprint, ViewId};
use crate::limit::LICENSE_KEYS_MAX;
use crate::rand_core::CryptoRng;
use crate::seal::EpochKey;

const INFO: &[u8] = b"matinee/1 license";
/// Bytes of one key in the sealed list: file, epoch, key.
const KEY_ENTRY_BYTES: usize = 40;
const AEAD_TAG_BYTES: usize = 16;

/// A run of epochs whose keys a license carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EpochRange {
    /// The file.
    pub file: FileIndex,
    /// The first epoch.
    pub first: EpochIndex,
    /// How many.
    pub count: u32,
}

/// The document issued for a view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct License {
    /// Its id.
    pub license: LicenseId,
    /// The view.
    pub view: ViewId,
    /// The release.
    pub release: ReleaseId,
    /// The device that can open the keys.
    pub device: Thumbprint,
    /// When it was issued.
    pub issued_at_ms: u64,
    /// When to ask for the next one at the latest.
    pub renew_at_ms: u64,
    /// When the right to play ends.
    pub play_until_ms: u64,
    /// The epochs whose keys are inside.
    pub epochs: Vec<EpochRange>,
    /// HPKE encapsulated key, base64url; empty for an open release.
    pub encapsulated_key: String,
    /// HPKE ciphertext of the keys, base64url; empty for an open release.
    pub sealed_keys: String,
}

/// A content key and the epoch it is for.
pub type NamedKey = (FileIndex, EpochIndex, EpochKey);

/// Keys sealed to a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedKeys {
    /// See [`License::encapsulated_key`].
    pub encapsulated_key: String,
    /// See [`License::sealed_keys`].
    pub sealed_keys: String,
}

/// Why keys could not be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The agreement key is no X25519 public key.
    #[error("the agreement key is not a usable X25519 public key")]
    AgreementKey,
    /// More keys than a license may carry.
    #[error("a license carries at most {LICENSE_KEYS_MAX} keys")]
    TooMany,
    /// Not encoded as specified.
    #[error("the license's keys are not of the known form")]
    Form,
    /// Sealed for another device or license, or changed.
    #[error("the license's keys do not open on this device")]
    Open,
}

/// The secret half of a device's agreement key (X25519).
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct AgreementSecret([u8; 32]);

impl AgreementSecret {
    /// The secret with these 32 random bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The public half, which the device sends when it opens a view.
    pub fn public(&self) -> [u8; 32] {
        X25519HkdfSha256::sk_to_pk(&self.private_key()).to_bytes().into()
    }

    fn private_key(&self) -> <X25519HkdfSha256 as Kem>::PrivateKey {
        Deserializable::from_bytes(&self.0).expect("any 32 bytes are an X25519 secret")
    }
}

impl fmt::Debug for AgreementSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AgreementSecret(hidden)")
    }
}

fn associated_data(license: LicenseId, view: ViewId, release: ReleaseId) -> String {
    format!("{license}.{view}.{release}")
}

/// Seals content keys to the device with this agreement key.
pub fn seal_keys(
    agreement_public: &[u8; 32],
    (license, view, release): (LicenseId, ViewId, ReleaseId),
    keys: &[NamedKey],
    rng: &mut impl CryptoRng,
) -> Result<SealedKeys, Error> {
    if keys.len() > LICENSE_KEYS_MAX {
        return Err(Error::TooMany);
    }
    let recipient = Deserializable::from_bytes(agreement_public).map_err(|_| Error::AgreementKey)?;
    let mut plaintext = Zeroizing::new(Vec::with_capacity(keys.len() * KEY_ENTRY_BYTES));
    for (file, epoch, key) in keys {
        plaintext.extend_from_slice(&file.0.to_be_bytes());
        plaintext.extend_from_slice(&epoch.0.to_be_bytes());
        plaintext.extend_from_slice(key.expose());
    }
    let aad = associated_data(license, view, release);
    let (encapsulated, sealed) = hpke::single_shot_seal_with_rng::<
        ChaCha20Poly1305,
        HkdfSha256,
        X25519HkdfSha256,
    >(&OpModeS::Base, &recipient, INFO, &plaintext, aad.as_bytes(), rng)
    .map_err(|_| Error::AgreementKey)?;
    Ok(SealedKeys { encapsulated_key: b64u(&encapsulated.to_bytes()), sealed_keys: b64u(&sealed) })
}

/// Opens the keys of a license with the device's secret.
pub fn open_keys(secret: &AgreementSecret, license: &License) -> Result<Vec<NamedKey>, Error> {
    if license.sealed_keys.is_empty() {
        return Ok(Vec::new());
    }
    if license.sealed_keys.len() > (LICENSE_KEYS_MAX * KEY_ENTRY_BYTES + AEAD_TAG_BYTES).div_ceil(3) * 4 {
        return Err(Error::TooMany);
    }
    let encapsulated: [u8; 32] = array_from_b64u(&license.encapsulated_key).map_err(|_| Error::Form)?;
    let encapsulated = Deserializable::from_bytes(&encapsulated).map_err(|_| Error::Form)?;
    let sealed = from_b64u(&license.sealed_keys).map_err(|_| Error::Form)?;
    let aad = associated_data(license.license, license.view, license.release);
    let plaintext = hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        &secret.private_key(),
        &encapsulated,
        INFO,
        &sealed,
        aad.as_bytes(),
    )
    .map_err(|_| Error::Open)?;
    decode_keys(&Zeroizing::new(plaintext))
}

/// Reads the plaintext of `sealed_keys`: what remains after a browser opened it with WebCrypto.
pub fn decode_keys(plaintext: &[u8]) -> Result<Vec<NamedKey>, Error> {
    let (entries, rest) = plaintext.as_chunks::<KEY_ENTRY_BYTES>();
    if !rest.is_empty() {
        return Err(Error::Form);
    }
    if entries.len() > LICENSE_KEYS_MAX {
        return Err(Error::TooMany);
    }
    let named = |entry: &[u8; KEY_ENTRY_BYTES]| {
        let word = |at: usize| u32::from_be_bytes([entry[at], entry[at + 1], entry[at + 2], entry[at + 3]]);
        let mut key = [0; 32];
        key.copy_from_slice(&entry[8..]);
        (FileIndex(word(0)), EpochIndex(word(4)), EpochKey::from_bytes(key))
    };
    Ok(entries.iter().map(named).collect())
}
