//! Writes a license: derives the epoch keys and seals them to the device.

use matinee_protocol::id::{EpochIndex, LicenseId, ReleaseId, Thumbprint, ViewId};
use matinee_protocol::license::{self, EpochRange, License};
use matinee_protocol::limit::EPOCH_MS;
use matinee_protocol::rand_core::CryptoRng;
use matinee_protocol::seal::{ReleaseSecret, derive_epoch_key};

/// What a license says.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Its id.
    pub license: LicenseId,
    /// The view it is for.
    pub view: ViewId,
    /// The release it opens.
    pub release: ReleaseId,
    /// The device it is for.
    pub device: Thumbprint,
    /// That device's X25519 public key.
    pub agreement_key: [u8; 32],
    /// Until when play may go on.
    pub play_until_ms: i64,
    /// The epochs whose keys it holds; none for an open release.
    pub epochs: Vec<EpochRange>,
}

/// Issues a license. Without a secret (an open release) it holds no keys.
pub fn issue(
    terms: &Terms,
    secret: Option<&ReleaseSecret>,
    now_ms: i64,
    rng: &mut impl CryptoRng,
) -> Result<License, license::Error> {
    let time = |at_ms: i64| u64::try_from(at_ms).unwrap_or(0);
    let issued_at_ms = time(now_ms);
    let play_until_ms = time(terms.play_until_ms);
    let mut issued = License {
        license: terms.license,
        view: terms.view,
        release: terms.release,
        device: terms.device,
        issued_at_ms,
        // An epoch lasts about a minute, and the license holds at least the next one as well.
        renew_at_ms: (issued_at_ms + EPOCH_MS).min(play_until_ms),
        play_until_ms,
        epochs: Vec::new(),
        encapsulated_key: String::new(),
        sealed_keys: String::new(),
    };
    let Some(secret) = secret else { return Ok(issued) };
    let mut keys = Vec::new();
    for range in &terms.epochs {
        for epoch in (range.first.0..).take(range.count as usize).map(EpochIndex) {
            keys.push((range.file, epoch, derive_epoch_key(secret, &terms.release, range.file, epoch)));
        }
    }
    let sealed =
        license::seal_keys(&terms.agreement_key, (terms.license, terms.view, terms.release), &keys, rng)?;
    issued.epochs.clone_from(&terms.epochs);
    issued.encapsulated_key = sealed.encapsulated_key;
    issued.sealed_keys = sealed.sealed_keys;
    Ok(issued)
}
