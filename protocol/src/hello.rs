//! The handshake between peers (PROTOCOL §6.1): a view token bound to the device and to this very channel.

use crate::device::{DevicePublicKey, SIGNATURE_BYTES};
use crate::encoding::sha256;
use crate::id::SwarmId;
use crate::jws::KeySet;
use crate::token::{self, ViewTokenClaims};

const LABEL: &[u8] = b"matinee/1 hello";
/// The version spoken here.
pub const VERSION: u8 = 1;

/// What ties a handshake to one data channel, as one end sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelBinding {
    /// The swarm.
    pub swarm: SwarmId,
    /// SHA-256 fingerprint of this end's DTLS certificate.
    pub local: [u8; 32],
    /// SHA-256 fingerprint of the other end's.
    pub remote: [u8; 32],
}

impl ChannelBinding {
    fn swapped(&self) -> Self {
        Self { swarm: self.swarm, local: self.remote, remote: self.local }
    }

    /// The bytes that the end with this view of the channel signs to present `token`.
    pub fn signed_bytes(&self, token: &str) -> Vec<u8> {
        [LABEL, self.swarm.as_bytes(), &self.local, &self.remote, &sha256(token.as_bytes())].concat()
    }
}

/// The first frame each way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The view token.
    pub token: String,
    /// The device's signing key.
    pub public: DevicePublicKey,
    /// Signature over [`ChannelBinding::signed_bytes`].
    pub signature: [u8; SIGNATURE_BYTES],
}

/// Why a handshake was refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The token does not stand.
    #[error(transparent)]
    Token(#[from] token::Error),
    /// The token admits to another swarm.
    #[error("the view token is for another swarm")]
    Swarm,
    /// The token is bound to another device.
    #[error("the view token is bound to another device")]
    Device,
    /// The signature is not over this channel: relayed, replayed or forged.
    #[error("the handshake is not for this channel")]
    Channel,
}

impl Hello {
    /// Checks a hello that came in over the channel `binding`, as the receiver sees the channel.
    pub fn verify(
        &self,
        binding: &ChannelBinding,
        keys: &KeySet,
        issuer: &str,
        now_s: u64,
    ) -> Result<ViewTokenClaims, Error> {
        let claims = token::verify(&self.token, keys, issuer, now_s)?;
        if claims.swm != binding.swarm {
            return Err(Error::Swarm);
        }
        if claims.cnf.jkt != self.public.thumbprint() {
            return Err(Error::Device);
        }
        let signed = binding.swapped().signed_bytes(&self.token);
        self.public.verify(&signed, &self.signature).map_err(|_| Error::Channel)?;
        Ok(claims)
    }
}
