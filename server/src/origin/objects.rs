//! The object store that holds ciphertext and hash pages: a folder, or any S3-compatible service.
//!
//! Paths: `<release>/<file>/<segment:08>` and `<release>/<file>/page-<n>`. Every object is written whole and named by what
//! it is, so writing it again is harmless. The manifest is kept in the store.
//!
//! Durability: an object is flushed to the disk before it counts as written, so what was acknowledged survives a power
//! failure. Measured, flushing each of several objects under way costs less than flushing all of them at the end.

use std::collections::HashMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt, TryStreamExt};
use matinee_protocol::id::{FileIndex, PageIndex, ReleaseId};
use object_store::path::Path;
use object_store::{GetOptions, GetResultPayload, ObjectStore, ObjectStoreExt, PutPayload};

/// Bytes read from a file at once while streaming an object.
const READ_BYTES: u64 = 256 * 1024;

/// Why the object store failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configured place cannot be used.
    #[error("set `origin` to a folder or to s3://bucket/prefix: {0}")]
    Place(String),
    /// There is no such object.
    #[error("the object is not there")]
    Missing,
    /// The store refused or failed.
    #[error("the object store failed: {0}")]
    Store(object_store::Error),
    /// A file of the store could not be read.
    #[error("the object store could not be read: {0}")]
    Read(#[from] std::io::Error),
}

impl From<object_store::Error> for Error {
    fn from(error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { .. } => Self::Missing,
            other => Self::Store(other),
        }
    }
}

/// Where ciphertext and hash pages are kept.
#[derive(Clone, Debug)]
pub struct Origin {
    store: Arc<dyn ObjectStore>,
    /// The folder, when it is one.
    folder: Option<PathBuf>,
    prefix: Path,
}

/// What an object is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object {
    /// A segment of a file's ciphertext.
    Segment(ReleaseId, FileIndex, u32),
    /// A page of chunk hashes.
    Page(ReleaseId, FileIndex, PageIndex),
}

impl Origin {
    /// Opens `place`: a folder's path, or `s3://bucket/prefix` with the credentials of the environment (`AWS_*`).
    ///
    /// # Errors
    /// [`Error::Place`] when the folder cannot be made or the URL means nothing.
    pub fn open(place: &str) -> Result<Self, Error> {
        let refused = |error: &dyn std::fmt::Display| Error::Place(error.to_string());
        if let Some(rest) = place.strip_prefix("s3://") {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            let store = object_store::aws::AmazonS3Builder::from_env()
                .with_bucket_name(bucket)
                .build()
                .map_err(|error| refused(&error))?;
            return Ok(Self { store: Arc::new(store), folder: None, prefix: Path::from(prefix) });
        }
        if place.contains("://") {
            return Err(Error::Place(format!("{place} is neither")));
        }
        std::fs::create_dir_all(place).map_err(|error| refused(&error))?;
        let store = object_store::local::LocalFileSystem::new_with_prefix(place)
            .map_err(|error| refused(&error))?
            .with_automatic_cleanup(true)
            .with_fsync(true);
        Ok(Self { store: Arc::new(store), folder: Some(PathBuf::from(place)), prefix: Path::default() })
    }

    /// Objects in memory below a prefix, streamed as a service would stream them.
    #[cfg(test)]
    pub(super) fn in_memory(prefix: &str) -> Self {
        let store = Arc::new(object_store::memory::InMemory::new());
        Self { store, folder: None, prefix: Path::from(prefix) }
    }

    fn path(&self, object: Object) -> Path {
        match object {
            Object::Segment(release, file, segment) => {
                self.release_path(release).join(file.to_string()).join(format!("{segment:08}"))
            }
            Object::Page(release, file, page) => {
                self.release_path(release).join(file.to_string()).join(format!("page-{page}"))
            }
        }
    }

    fn release_path(&self, release: ReleaseId) -> Path {
        self.prefix.clone().join(release.to_string())
    }

    /// Writes an object whole, over what may be there.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn put(&self, object: Object, parts: impl IntoIterator<Item = Bytes>) -> Result<(), Error> {
        let payload: PutPayload = parts.into_iter().collect();
        self.store.put(&self.path(object), payload).await?;
        Ok(())
    }

    /// Reads an object whole.
    ///
    /// # Errors
    /// [`Error::Missing`] or [`Error::Store`].
    pub async fn get(&self, object: Object) -> Result<Bytes, Error> {
        Ok(self.store.get(&self.path(object)).await?.bytes().await?)
    }

    /// Streams a run of bytes of an object in pieces, without holding the object.
    ///
    /// # Errors
    /// [`Error::Missing`] or [`Error::Store`], at once or within the stream.
    pub async fn stream(
        &self,
        object: Object,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        let options = GetOptions { range: Some(range.into()), ..GetOptions::default() };
        let result = self.store.get_opts(&self.path(object), options).await?;
        let range = result.range.clone();
        Ok(match result.payload {
            // The crate's own stream of a file hops threads every 8 KiB.
            GetResultPayload::File(file, _) => read_file(Arc::new(file), range).boxed(),
            GetResultPayload::Stream(stream) => stream.map_err(Error::from).boxed(),
        })
    }

    /// Removes every object of a release.
    ///
    /// # Errors
    /// [`Error::Store`]; what is left is removed by asking again.
    pub async fn delete_release(&self, release: ReleaseId) -> Result<(), Error> {
        let prefix = self.release_path(release);
        let listed = self.store.list(Some(&prefix)).map_ok(|meta| meta.location).boxed();
        let deleted = self.store.delete_stream(listed);
        deleted.try_for_each(|_| async { Ok(()) }).await.or_else(|error| match error {
            object_store::Error::NotFound { .. } => Ok(()),
            other => Err(Error::Store(other)),
        })?;
        if let Some(folder) = &self.folder {
            remove_leftovers(folder.join(release.to_string())).await?;
        }
        Ok(())
    }

    /// The length of every segment of a release that is there.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn segment_sizes(&self, release: ReleaseId) -> Result<HashMap<(FileIndex, u64), u64>, Error> {
        let prefix = self.release_path(release);
        let mut sizes = HashMap::new();
        let mut listed = self.store.list(Some(&prefix));
        while let Some(meta) = listed.try_next().await? {
            let mut parts = meta.location.as_ref().rsplit('/');
            let segment = parts.next().and_then(|name| name.parse().ok());
            let file = parts.next().and_then(|name| name.parse().ok());
            if let (Some(segment), Some(file)) = (segment, file) {
                sizes.insert((FileIndex(file), segment), meta.size);
            }
        }
        Ok(sizes)
    }

    /// Writes a small object of no release and takes it away again.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn try_writing(&self) -> Result<(), Error> {
        let path = self.prefix.clone().join("written-by-doctor");
        self.store.put(&path, PutPayload::from_static(b"matinee")).await?;
        Ok(self.store.delete(&path).await?)
    }

    /// How many objects a release has.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn count(&self, release: ReleaseId) -> Result<usize, Error> {
        let prefix = self.release_path(release);
        Ok(self.store.list(Some(&prefix)).try_fold(0, |n, _| async move { Ok(n + 1) }).await?)
    }

    /// Removes objects of a whole release that a crash left half written. Nobody writes to such a release any more.
    ///
    /// # Errors
    /// [`Error::Read`] when the folder cannot be read.
    pub async fn sweep(&self, release: ReleaseId) -> Result<(), Error> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let folder = folder.join(release.to_string());
        tokio::task::spawn_blocking(move || remove_staged(&folder))
            .await
            .map_err(std::io::Error::other)??;
        Ok(())
    }
}

/// Mark in the names of files that become objects once they are whole.
const STAGED_MARK: char = '#';

fn remove_staged(folder: &std::path::Path) -> std::io::Result<()> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_staged(&entry.path())?;
        } else if entry.file_name().to_string_lossy().contains(STAGED_MARK) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Removes temporary files of writes that a crash cut short, and empty folders: listing does not show them.
async fn remove_leftovers(folder: PathBuf) -> Result<(), Error> {
    match tokio::fs::remove_dir_all(&folder).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Reads a file's range in pieces of [`READ_BYTES`] on blocking threads.
fn read_file(
    file: Arc<std::fs::File>,
    range: Range<u64>,
) -> impl futures_util::Stream<Item = Result<Bytes, Error>> + Send + 'static {
    futures_util::stream::try_unfold(range, move |range| {
        let file = Arc::clone(&file);
        async move {
            if range.is_empty() {
                return Ok(None);
            }
            let end = range.end.min(range.start + READ_BYTES);
            let run = (end - range.start) as usize;
            let bytes = tokio::task::spawn_blocking(move || read_at(&file, range.start, run))
                .await
                .map_err(std::io::Error::other)??;
            Ok(Some((Bytes::from(bytes), end..range.end)))
        }
    })
}

/// Reads exactly `run` bytes at `start`, without moving the file's own position, so that threads can share the file.
fn read_at(file: &std::fs::File, start: u64, run: usize) -> std::io::Result<Vec<u8>> {
    use std::os::unix::fs::FileExt as _;
    let mut bytes = vec![0; run];
    file.read_exact_at(&mut bytes, start)?;
    Ok(bytes)
}
