//! Proofs of possession made with this device's key.

use std::sync::Arc;

use matinee_protocol::dpop::{self, ProofClaims};
use matinee_protocol::encoding::b64u;

use crate::clock;
use crate::device::Device;

/// What a proof is for.
#[derive(Debug, Clone, Copy, Default)]
pub struct About<'a> {
    /// HTTP method.
    pub method: &'a str,
    /// URL, without query and fragment.
    pub url: &'a str,
    /// The view token that goes with it.
    pub token: Option<&'a str>,
    /// The request's body; empty counts as none.
    pub body: &'a [u8],
    /// The challenge, on signaling.
    pub nonce: Option<&'a str>,
}

/// Makes proofs. Each is good for one request.
#[derive(Debug, Clone)]
pub struct Prover {
    device: Arc<Device>,
}

impl Prover {
    /// Proves possession of this device's key.
    #[must_use]
    pub fn new(device: Arc<Device>) -> Self {
        Self { device }
    }

    /// The device.
    #[must_use]
    pub fn device(&self) -> &Arc<Device> {
        &self.device
    }

    /// A fresh proof (RFC 9449).
    #[must_use]
    pub fn proof(&self, about: &About<'_>) -> String {
        let claims = ProofClaims {
            jti: b64u(&clock::random::<16>()),
            htm: about.method.to_owned(),
            htu: about.url.to_owned(),
            iat: clock::now_s(),
            ath: about.token.map(|token| dpop::digest(token.as_bytes())),
            body_sha256: (!about.body.is_empty()).then(|| dpop::digest(about.body)),
            nonce: about.nonce.map(str::to_owned),
        };
        dpop::create(self.device.signing(), &claims)
    }
}
