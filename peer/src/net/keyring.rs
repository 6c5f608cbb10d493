//! Content keys of one view, asked for ahead of the reader.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use matinee_protocol::id::{ChunkAddress, EpochIndex, FileIndex};
use matinee_protocol::license::{self, License, NamedKey};
use matinee_protocol::manifest::Manifest;
use matinee_protocol::seal::{self, EpochKey};

use super::api;
use super::membership::Membership;

/// Wait when keys go too fast, or the server is away, and nobody says how long to wait.
const PUT_OFF_WAIT: Duration = Duration::from_secs(2);
/// Longest wait that the server can ask for at once.
const PUT_OFF_WAIT_MAX: Duration = Duration::from_secs(60);
/// How often a reader is put off before it gets the error.
const PUT_OFF_TIMES_MAX: u32 = 40;

/// Why a chunk cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server does not give the key.
    #[error(transparent)]
    Api(#[from] api::Error),
    /// The license does not open on this device.
    #[error(transparent)]
    License(#[from] license::Error),
    /// The license is for another view or lacks the key that was asked for.
    #[error("the server's license does not hold the key that was asked for; try again later")]
    Lacking,
    /// The chunk does not open: published under another key than the license gives.
    #[error("the chunk does not open with the licensed key; tell the publisher")]
    Unopened(#[from] seal::OpenError),
    /// A carrier has no keys.
    #[error("a carrier cannot open what it carries; open a view to play it")]
    Carrier,
}

impl Error {
    /// Stable code.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Api(error) => error.code(),
            Self::License(_) => "license_refused",
            Self::Lacking => "license_lacking",
            Self::Unopened(_) => "chunk_unopened",
            Self::Carrier => "carrier_without_keys",
        }
    }
}

/// The keys of one view.
#[derive(Debug)]
pub struct KeyRing {
    membership: Arc<Membership>,
    manifest: Arc<Manifest>,
    keys: Mutex<HashMap<(FileIndex, EpochIndex), EpochKey>>,
    /// One request at a time, so that readers side by side do not ask twice.
    asking: tokio::sync::Mutex<()>,
}

impl KeyRing {
    /// The keys that the opening brought; more are asked for as they are needed.
    ///
    /// # Errors
    /// The first license does not open on this device.
    pub fn new(membership: Arc<Membership>, manifest: Arc<Manifest>) -> Result<Arc<Self>, Error> {
        let first = membership.opening().license.clone();
        let ring =
            Self { membership, manifest, keys: Mutex::default(), asking: tokio::sync::Mutex::default() };
        if let Some(license) = first {
            ring.take(&license)?;
        }
        Ok(Arc::new(ring))
    }

    /// Opens a verified chunk, with its key fetched if it is not held; asks ahead for the next epoch's.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn open(
        self: &Arc<Self>,
        at: ChunkAddress,
        sealed: bytes::Bytes,
    ) -> Result<bytes::Bytes, Error> {
        if !self.manifest.sealed {
            return Ok(sealed);
        }
        let Some(file) = self.manifest.file(at.file) else {
            return Err(Error::Lacking);
        };
        let epoch = file.epoch_of(at.chunk);
        let key = self.key(at.file, epoch).await?;
        let next = EpochIndex(epoch.get() + 1);
        if next.get() < file.epochs() && self.held(at.file, next).is_none() && self.asking.try_lock().is_ok()
        {
            let ring = Arc::clone(self);
            tokio::spawn(async move {
                if let Err(error) = ring.key(at.file, next).await {
                    tracing::debug!(%error, "the next epoch's key is not to be had yet");
                }
            });
        }
        let mut buffer = sealed.to_vec();
        seal::open_chunk_in_place(&key, &self.manifest.release, at, &mut buffer)?;
        Ok(buffer.into())
    }

    /// The key of an epoch, asked for if it is not held.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn key(&self, file: FileIndex, epoch: EpochIndex) -> Result<EpochKey, Error> {
        if let Some(key) = self.held(file, epoch) {
            return Ok(key);
        }
        if self.membership.opening().license.is_none() {
            return Err(Error::Carrier);
        }
        let _asking = self.asking.lock().await;
        let mut renewed = false;
        let mut put_off = 0;
        loop {
            if let Some(key) = self.held(file, epoch) {
                return Ok(key);
            }
            let view = self.membership.opening().view;
            let token = self.membership.token();
            match self.membership.api().license(view, &token, file.get(), epoch.get()).await {
                Ok(license) => {
                    self.take(&license)?;
                    return self.held(file, epoch).ok_or(Error::Lacking);
                }
                Err(error) if error.is_authorization() && !renewed => {
                    renewed = true;
                    self.membership.renew().await?;
                }
                // Too fast, or the server is away for a moment: playback waits rather than ends.
                Err(error) if error.is_transient() && put_off < PUT_OFF_TIMES_MAX => {
                    put_off += 1;
                    let asked = match error {
                        api::Error::Refused { retry_after, .. } => retry_after,
                        _ => None,
                    };
                    tokio::time::sleep(asked.unwrap_or(PUT_OFF_WAIT).min(PUT_OFF_WAIT_MAX)).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn held(&self, file: FileIndex, epoch: EpochIndex) -> Option<EpochKey> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).get(&(file, epoch)).cloned()
    }

    fn take(&self, license: &License) -> Result<(), Error> {
        if license.view != self.membership.opening().view || license.release != self.manifest.release {
            return Err(Error::Lacking);
        }
        let named = license::open_keys(self.membership.api().prover().device().agreement(), license)?;
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.extend(named.into_iter().map(|(file, epoch, key): NamedKey| ((file, epoch), key)));
        Ok(())
    }
}
