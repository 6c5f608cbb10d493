//! Receipts (PROTOCOL §6.3): what a downloader confirms to have had from an uploader.

use crate::device::{DevicePublicKey, SIGNATURE_BYTES, SignatureError};
use crate::id::{SwarmId, Thumbprint};

const LABEL: &[u8] = b"matinee/1 receipt";

/// A running total signed by the downloader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Verified bytes since the two met in this swarm.
    pub total_bytes: u64,
    /// When it was signed.
    pub at_ms: u64,
    /// By the downloader's device key.
    pub signature: [u8; SIGNATURE_BYTES],
}

/// The parties of a receipt and the swarm they met in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parties {
    /// The swarm.
    pub swarm: SwarmId,
    /// The device that gave.
    pub uploader: Thumbprint,
    /// The device that took, and signs.
    pub downloader: Thumbprint,
}

impl Parties {
    /// The bytes that the downloader signs.
    pub fn signed_bytes(&self, total_bytes: u64, at_ms: u64) -> Vec<u8> {
        let parts: [&[u8]; 6] = [
            LABEL,
            self.swarm.as_bytes(),
            self.uploader.as_bytes(),
            self.downloader.as_bytes(),
            &total_bytes.to_be_bytes(),
            &at_ms.to_be_bytes(),
        ];
        parts.concat()
    }
}

impl Receipt {
    /// Checks the signature; `downloader` must be the key behind `parties.downloader`.
    pub fn verify(&self, parties: &Parties, downloader: &DevicePublicKey) -> Result<(), SignatureError> {
        if downloader.thumbprint() != parties.downloader {
            return Err(SignatureError);
        }
        downloader.verify(&parties.signed_bytes(self.total_bytes, self.at_ms), &self.signature)
    }
}
