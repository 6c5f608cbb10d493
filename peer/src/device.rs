//! This device's two key pairs: one signs, one receives content keys.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use matinee_protocol::device::SigningKey;
use matinee_protocol::id::Thumbprint;
use matinee_protocol::license::AgreementSecret;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use crate::clock;
use crate::state::{self, StateDir};

/// Owner-only file of the keys.
const DEVICE_FILE: &str = "device.json";

/// Why the device's keys could not be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The state folder failed.
    #[error(transparent)]
    State(#[from] state::Error),
    /// The file holds something else than two keys.
    #[error("device.json in the state folder does not hold two keys; move it away to make a new device")]
    Malformed,
}

/// The keys of this device.
pub struct Device {
    signing: SigningKey,
    agreement: AgreementSecret,
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Device").field(&self.thumbprint().to_string()).finish()
    }
}

#[derive(Serialize, Deserialize)]
struct Kept {
    signing_seed: String,
    agreement_secret: String,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.signing_seed.zeroize();
        self.agreement_secret.zeroize();
    }
}

impl Device {
    /// The device of a state folder, made on first use.
    ///
    /// # Errors
    /// The folder cannot be used, or the file does not hold two keys.
    pub fn load_or_create(state: &StateDir) -> Result<Self, Error> {
        if let Some(kept) = state.read::<Kept>(DEVICE_FILE)? {
            let seed = decode(&kept.signing_seed)?;
            let secret = decode(&kept.agreement_secret)?;
            return Ok(Self::from_secrets(*seed, *secret));
        }
        let seed = Zeroizing::new(clock::random::<32>());
        let secret = Zeroizing::new(clock::random::<32>());
        let kept = Kept {
            signing_seed: URL_SAFE_NO_PAD.encode(*seed),
            agreement_secret: URL_SAFE_NO_PAD.encode(*secret),
        };
        state.write(DEVICE_FILE, &kept)?;
        Ok(Self::from_secrets(*seed, *secret))
    }

    /// A device of given secrets.
    #[must_use]
    pub fn from_secrets(signing_seed: [u8; 32], agreement_secret: [u8; 32]) -> Self {
        Self {
            signing: SigningKey::from_seed(&signing_seed),
            agreement: AgreementSecret::from_bytes(agreement_secret),
        }
    }

    /// The key that signs proofs, hellos and receipts.
    #[must_use]
    pub fn signing(&self) -> &SigningKey {
        &self.signing
    }

    /// The key that licenses are sealed to.
    #[must_use]
    pub fn agreement(&self) -> &AgreementSecret {
        &self.agreement
    }

    /// The device's name (RFC 7638).
    #[must_use]
    pub fn thumbprint(&self) -> Thumbprint {
        self.signing.public().thumbprint()
    }
}

fn decode(text: &str) -> Result<Zeroizing<[u8; 32]>, Error> {
    let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text).map_err(|_| Error::Malformed)?);
    let array = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| Error::Malformed)?;
    Ok(Zeroizing::new(array))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_the_same_after_a_restart_and_hides_its_keys() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(Some(folder.path().to_owned())).unwrap();
        let first = Device::load_or_create(&state).unwrap();
        let again = Device::load_or_create(&state).unwrap();
        assert_eq!(first.thumbprint(), again.thumbprint());
        assert_eq!(first.agreement().public(), again.agreement().public());

        state.write(DEVICE_FILE, &serde_json::json!({"signing_seed": "AA", "agreement_secret": ""})).unwrap();
        assert!(matches!(Device::load_or_create(&state), Err(Error::Malformed)));
    }
}
