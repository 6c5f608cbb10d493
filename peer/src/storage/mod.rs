//! Verified ciphertext on disk and in memory.
//!
//! ```text
//! cache/lock                              held while a process uses the folder
//! cache/<release>/manifest.jws            as signed
//! cache/<release>/<file>.pages            hash pages, page p at p × 32 KiB
//! cache/<release>/<file>.have             a big-endian u64 a run: bit i says chunk 64 × run + i is held
//! cache/<release>/<file>/<run>.chunks     64 chunks, chunk i at (i mod 64) × its sealed size, sparse
//! ```
//!
//! A bit is set after the bytes were written, so a process that is killed leaves only bytes without a bit.
//! Whatever else may happen to a disk is found by hashing: [`ReleaseStore::read`] gives out nothing that it has
//! not hashed against the manifest's pages. Runs are what is evicted, the longest unused first; unlinking a file
//! frees its space on every file system, which punching holes does not.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use matinee_protocol::id::ReleaseId;
use matinee_protocol::manifest::Manifest;

mod index;
mod recent;
mod release;
mod shelf;

pub use recent::RecentChunks;
pub use release::{Pin, ReleaseStore};
pub use shelf::{MEMORY_BYTES_MAX, Shelf};

use index::Index;

/// Bytes that a cache holds when nothing else is said (64 GiB).
pub const CACHE_BYTES_DEFAULT: u64 = 64 << 30;
/// Chunks in a run, the unit of eviction; a run's bits are one `u64`.
pub const RUN_CHUNKS: u32 = 64;
/// File name of a kept manifest.
const MANIFEST_FILE: &str = "manifest.jws";

/// Why the cache could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has the folder.
    #[error("{0} is used by another matinee-peer; stop it or choose another --state-dir")]
    Locked(PathBuf),
    /// Nothing more may be written: the limit is reached and nothing can be evicted, or the disk is full.
    #[error("the cache is full; free disk space or raise --cache-bytes")]
    Full,
    /// The system refused.
    #[error("cannot use {path}: {source}")]
    Io {
        /// What was touched.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A chunk, page or manifest does not fit the release.
    #[error("{0} does not belong to this release")]
    Foreign(&'static str),
    /// A chunk on disk is no longer what it was; it was dropped and can be fetched again.
    #[error("a chunk on disk was damaged and has been dropped; it will be fetched again")]
    Corrupt,
}

impl Error {
    fn io(path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Io { path: path.to_owned(), source },
        }
    }
}

/// The cache folder, held by one process.
#[derive(Debug)]
pub struct Cache {
    root: PathBuf,
    index: Mutex<Index>,
    /// Releases in use, so that each is opened once.
    open: Mutex<HashMap<ReleaseId, std::sync::Weak<ReleaseStore>>>,
    /// Locked for as long as the cache lives.
    _lock: File,
}

/// What a cache holds, for people and tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of chunks.
    pub bytes: u64,
    /// The limit.
    pub bytes_max: u64,
}

impl Cache {
    /// Takes the folder, creating it where needed, and reads what it holds.
    ///
    /// # Errors
    /// Another process has it, or it cannot be read.
    pub fn open(root: &Path, bytes_max: u64) -> Result<Arc<Self>, Error> {
        fs::create_dir_all(root).map_err(|error| Error::io(root, error))?;
        let path = root.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|error| Error::io(&path, error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Locked(root.to_owned())),
            Err(TryLockError::Error(error)) => return Err(Error::io(&path, error)),
        }
        let index = index::scan(root, bytes_max)?;
        let cache =
            Self { root: root.to_owned(), index: Mutex::new(index), open: Mutex::default(), _lock: lock };
        Ok(Arc::new(cache))
    }

    /// The signed manifest kept for a release, not yet verified.
    #[must_use]
    pub fn kept_manifest(&self, release: ReleaseId) -> Option<String> {
        fs::read_to_string(self.release_folder(release).join(MANIFEST_FILE)).ok()
    }

    /// Opens a release whose manifest was verified. Opening it again gives the same store.
    ///
    /// # Errors
    /// Its folder cannot be read or written.
    pub fn release(
        self: &Arc<Self>,
        release: ReleaseId,
        jws: &str,
        manifest: Arc<Manifest>,
    ) -> Result<Arc<ReleaseStore>, Error> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = open.get(&release).and_then(std::sync::Weak::upgrade) {
            return Ok(store);
        }
        let folder = self.release_folder(release);
        fs::create_dir_all(&folder).map_err(|error| Error::io(&folder, error))?;
        let path = folder.join(MANIFEST_FILE);
        if fs::read(&path).ok().as_deref() != Some(jws.as_bytes()) {
            // A full disk must not stop playback; the manifest is then fetched again next time.
            if let Err(error) = write_whole(&path, jws.as_bytes()) {
                match Error::io(&path, error) {
                    Error::Full => {}
                    error => return Err(error),
                }
            }
        }
        let store = Arc::new(ReleaseStore::open(Arc::clone(self), release, folder, manifest)?);
        open.retain(|_, store| store.strong_count() > 0);
        open.insert(release, Arc::downgrade(&store));
        Ok(store)
    }

    /// Bytes held and allowed.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let index = self.index();
        Usage { bytes: index.bytes(), bytes_max: index.bytes_max() }
    }

    /// Releases that the cache has a manifest of, with the bytes held of each.
    #[must_use]
    pub fn releases(&self) -> Vec<(ReleaseId, u64)> {
        self.index().releases()
    }

    fn release_folder(&self, release: ReleaseId) -> PathBuf {
        self.root.join(release.to_string())
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes beside the target, then renames over it.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    fs::write(&beside, bytes)?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests;
