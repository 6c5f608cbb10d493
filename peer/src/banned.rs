//! Devices that sent bad data, kept between runs.

use std::sync::{Arc, Mutex, PoisonError};

use matinee_protocol::id::Thumbprint;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::state::{Error, StateDir};

/// File of the state folder.
const BANNED_FILE: &str = "banned.json";
/// Devices remembered; the oldest are forgotten first.
const DEVICES_MAX: usize = 4096;

/// Devices that are refused for good.
#[derive(Debug)]
pub struct Banned {
    state: StateDir,
    devices: Mutex<Vec<Entry>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Entry {
    thumbprint: Thumbprint,
    at_ms: u64,
}

impl Banned {
    /// Reads the devices of earlier runs.
    ///
    /// # Errors
    /// The state folder cannot be used.
    pub fn load(state: &StateDir) -> Result<Arc<Self>, Error> {
        let devices = Mutex::new(state.read(BANNED_FILE)?.unwrap_or_default());
        Ok(Arc::new(Self { state: state.clone(), devices }))
    }

    /// All of them.
    #[must_use]
    pub fn thumbprints(&self) -> Vec<Thumbprint> {
        let devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        devices.iter().map(|entry| entry.thumbprint).collect()
    }

    /// Adds one and keeps it.
    pub fn add(&self, thumbprint: Thumbprint) {
        let mut devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        devices.retain(|entry| entry.thumbprint != thumbprint);
        if devices.len() >= DEVICES_MAX {
            devices.remove(0);
        }
        devices.push(Entry { thumbprint, at_ms: clock::now_ms() });
        if let Err(error) = self.state.write(BANNED_FILE, &*devices) {
            tracing::warn!(%error, "a refused device could not be kept");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_refused_after_a_restart_too() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(Some(folder.path().to_owned())).unwrap();
        let device = Thumbprint::from_bytes([7; 32]);
        let banned = Banned::load(&state).unwrap();
        assert!(banned.thumbprints().is_empty());
        banned.add(device);
        banned.add(device);
        assert_eq!(Banned::load(&state).unwrap().thumbprints(), [device]);
    }
}
