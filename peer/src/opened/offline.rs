//! A leased release, played out of the cache while no server is there.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use bytes::Bytes;
use matinee_protocol::id::{ChunkAddress, ChunkIndex, EpochIndex, FileIndex, ReleaseId};
use matinee_protocol::jws::KeySet;
use matinee_protocol::license;
use matinee_protocol::manifest::Manifest;
use matinee_protocol::seal::{self, EpochKey};
use tokio::time::Instant;

use super::{Error, read_error};
use crate::clock;
use crate::device::Device;
use crate::gateway::{FileAbout, Library, ReadError, Reader};
use crate::lease::{self, Kept};
use crate::net::keyring;
use crate::state::StateDir;
use crate::storage::{Cache, ReleaseStore};

/// How often the time is written down while a lease plays.
const NOTED_EVERY: Duration = Duration::from_secs(30);

/// A leased release.
#[derive(Debug)]
pub struct OfflineRelease {
    manifest: Arc<Manifest>,
    store: Arc<ReleaseStore>,
    keys: HashMap<(FileIndex, EpochIndex), EpochKey>,
    kept: Mutex<Watched>,
    state: StateDir,
    device: Arc<Device>,
}

/// A lease with the two clocks that it is watched by: while it plays, time goes on at least as fast as the monotonic one.
#[derive(Debug)]
struct Watched {
    kept: Kept,
    began_ms: u64,
    began: Instant,
    noted: Option<Instant>,
}

impl OfflineRelease {
    /// Opens what a lease plays. The release must be in the cache.
    ///
    /// # Errors
    /// The lease does not play now, or the cache does not have the release.
    pub fn open(
        state: &StateDir,
        device: Arc<Device>,
        cache: &Arc<Cache>,
        kept: Kept,
    ) -> Result<Arc<Self>, Error> {
        let release = kept.lease.release;
        let jwks = serde_json::to_vec(&kept.jwks).unwrap_or_default();
        let trusted = KeySet::from_jwks(&jwks).map_err(|_| lease::Error::Unopened)?;
        let jws = cache.kept_manifest(release).ok_or(Error::NotHere)?;
        let manifest = Arc::new(Manifest::from_jws(&jws, &trusted)?);
        if manifest.release != release {
            return Err(Error::OtherRelease);
        }
        let store = cache.release(release, &jws, Arc::clone(&manifest))?;
        let named = license::open_keys(device.agreement(), &kept.license).map_err(keyring::Error::from)?;
        let keys = named.into_iter().map(|(file, epoch, key)| ((file, epoch), key)).collect();
        let watched = Watched { kept, began_ms: clock::now_ms(), began: clock::instant(), noted: None };
        let opened = Self { manifest, store, keys, kept: Mutex::new(watched), state: state.clone(), device };
        opened.watch()?;
        Ok(Arc::new(opened))
    }

    /// The release's manifest.
    #[must_use]
    pub fn manifest(&self) -> &Arc<Manifest> {
        &self.manifest
    }

    /// Whether the lease plays now; the time is written down now and then.
    fn watch(&self) -> Result<(), lease::Error> {
        let mut watched = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock::instant();
        let passed_ms = u64::try_from((now - watched.began).as_millis()).unwrap_or(u64::MAX);
        // A clock that is set back while it plays gains nothing.
        let now_ms = clock::now_ms().max(watched.began_ms.saturating_add(passed_ms));
        watched.kept.check(now_ms)?;
        if watched.noted.is_none_or(|noted| now - noted >= NOTED_EVERY) {
            watched.noted = Some(now);
            watched.kept.write(&self.state, &self.device, clock::random())?;
        }
        Ok(())
    }

    /// Writes down the time of the last play.
    ///
    /// # Errors
    /// The lease does not play any more, or the state folder.
    pub fn note(&self) -> Result<(), lease::Error> {
        self.watch()?;
        let watched = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        watched.kept.write(&self.state, &self.device, clock::random())
    }

    fn plaintext(&self, at: ChunkAddress) -> Result<Bytes, ReadError> {
        self.watch().map_err(|error| read_error(StatusCode::FORBIDDEN, error.code(), &error.to_string()))?;
        let missing = || {
            read_error(
                StatusCode::NOT_FOUND,
                "chunk_not_here",
                "this part was not fetched before, or was evicted",
            )
        };
        let file = self.manifest.file(at.file).ok_or_else(missing)?;
        let sealed = self.store.read(at).ok().flatten().ok_or_else(missing)?;
        if !self.manifest.sealed {
            return Ok(sealed);
        }
        let key = self.keys.get(&(at.file, file.epoch_of(at.chunk)));
        let key = key.ok_or_else(|| {
            read_error(StatusCode::FORBIDDEN, "license_lacking", "the lease does not hold this part's key")
        })?;
        let mut buffer = sealed.to_vec();
        seal::open_chunk_in_place(key, &self.manifest.release, at, &mut buffer).map_err(|_| {
            read_error(StatusCode::FORBIDDEN, "chunk_unopened", "the chunk does not open with the leased key")
        })?;
        Ok(buffer.into())
    }
}

/// The files of a leased release, as the gateway serves them.
#[derive(Debug, Clone)]
pub struct OneLease(pub Arc<OfflineRelease>);

/// Reads one file of it.
#[derive(Debug)]
pub struct LeaseReader {
    release: Arc<OfflineRelease>,
    file: FileIndex,
}

impl Reader for LeaseReader {
    fn read(&mut self, chunk: ChunkIndex) -> impl Future<Output = Result<Bytes, ReadError>> + Send {
        let release = Arc::clone(&self.release);
        let at = ChunkAddress { file: self.file, chunk };
        async move {
            let read = tokio::task::spawn_blocking(move || release.plaintext(at)).await;
            read.unwrap_or_else(|error| {
                Err(read_error(StatusCode::INTERNAL_SERVER_ERROR, "cache_io", &error.to_string()))
            })
        }
    }
}

impl Library for OneLease {
    type Reader = LeaseReader;

    fn about(&self, release: ReleaseId, file: FileIndex) -> Option<FileAbout> {
        let about = self.0.manifest.file(file).filter(|_| self.0.manifest.release == release)?;
        Some(FileAbout { size_bytes: about.size_bytes, media_type: about.media_type.clone() })
    }

    fn reader(&self, release: ReleaseId, file: FileIndex) -> Option<LeaseReader> {
        (self.0.manifest.release == release).then(|| LeaseReader { release: Arc::clone(&self.0), file })
    }
}
