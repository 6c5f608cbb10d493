//! The life of a release until it is published: created, filled, published or removed.

use std::sync::Arc;

use matinee_protocol::hash::{PageHash, page_hash};
use matinee_protocol::id::{AccountId, FileIndex, PageIndex, ReleaseId, TitleId};
use matinee_protocol::limit::{CHUNK_BYTES, FILES_MAX, HASH_BYTES, MANIFEST_BYTES_MAX, TAG_BYTES};
use matinee_protocol::manifest::{self, Manifest, ManifestFile};
use matinee_protocol::seal::ReleaseSecret;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use zeroize::Zeroizing;

use super::announced::{self, NewFile};
use super::buffer::ChunkPool;
use super::intake::{Intake, Parts};
use super::layout::{PAGE_SEGMENTS, segment_bytes, segments};
use super::lock::Writers;
use super::name;
use super::seal::Sealer;
use crate::clock::Clock;
use crate::keyring::Keyring;
use crate::origin::{self, Object, Origin};
use crate::random;
use crate::store::audit::By;
use crate::store::release::{self, File, Release, State};
use crate::store::{self, Store, Tx, upload};
use crate::vault::{self, Vault};

/// Why a release was not created, filled, published or removed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such release, or it is another publisher's.
    #[error("there is no such release")]
    NoRelease,
    /// There is no such file in it.
    #[error("there is no such file in this release")]
    NoFile,
    /// A release has 1 to 65,536 files.
    #[error("a release has 1 to {FILES_MAX} files")]
    FileCount,
    /// A file has fewer than 2^32 chunks.
    #[error("a file has at most {} bytes", u64::from(u32::MAX) * u64::from(CHUNK_BYTES))]
    FileSize,
    /// A name or a media type that is refused.
    #[error(transparent)]
    Name(#[from] name::Error),
    /// The manifest would be longer than its limit.
    #[error("the manifest would be longer than {MANIFEST_BYTES_MAX} bytes; use fewer or smaller files")]
    ManifestSize,
    /// Published already, so nothing can be added or removed.
    #[error("the release is published and does not change any more")]
    Published,
    /// The file is being uploaded by somebody else.
    #[error("another upload of this file is under way; wait for it to end")]
    UploadInProgress,
    /// The client's offset is not the server's.
    #[error("go on at offset {0}")]
    OffsetConflict(u64),
    /// A file is not whole.
    #[error("file {0} has {1} of {2} bytes; upload the rest first")]
    Incomplete(FileIndex, u64, u64),
    /// Objects that were acknowledged are not there as written.
    #[error("the object store lost a part of file {0}; remove the release and upload it again")]
    Damaged(FileIndex),
    /// The object store failed.
    #[error(transparent)]
    Origin(#[from] origin::Error),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The release secret does not open.
    #[error(transparent)]
    Vault(#[from] vault::Error),
}

/// Uploads at once; each fills a segment of its own, and one more is needed to keep them moving.
pub const UPLOADS_MAX: usize = 4;

/// What publishing works with; cloning shares it.
#[derive(Clone, Debug)]
pub struct Desk {
    store: Store,
    origin: Origin,
    vault: Vault,
    writers: Writers,
    pool: ChunkPool,
    slots: Arc<Semaphore>,
}

/// The name under which the vault seals a release secret.
#[must_use]
pub fn vault_name(release: ReleaseId) -> String {
    format!("releases/{release}")
}

impl Desk {
    /// A desk over these stores, with buffers of its own.
    #[must_use]
    pub fn new(store: Store, origin: Origin, vault: Vault) -> Self {
        let pool = ChunkPool::new(super::buffer::POOL_CHUNKS);
        let slots = Arc::new(Semaphore::new(UPLOADS_MAX));
        Self { store, origin, vault, writers: Writers::default(), pool, slots }
    }

    /// A place among the uploads at once, or `None` when all are taken.
    #[must_use]
    pub fn upload_slot(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.slots).try_acquire_owned().ok()
    }

    /// The object store.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Creates an open release of a title. The caller has seen that the title is the publisher's.
    ///
    /// # Errors
    /// [`Error`] names the file and the reason.
    pub async fn create(
        &self,
        title: TitleId,
        sealed: bool,
        new_files: &[NewFile],
        by: &By,
        now_ms: i64,
    ) -> Result<ReleaseId, Error> {
        let mut tx = self.store.write().await?;
        let release = self.create_in(&mut tx, title, sealed, new_files, by, now_ms).await?;
        tx.commit().await?;
        Ok(release)
    }

    /// The same in a transaction of the caller's.
    ///
    /// # Errors
    /// Those of [`Desk::create`]; the transaction is then to be dropped.
    pub async fn create_in(
        &self,
        tx: &mut Tx,
        title: TitleId,
        sealed: bool,
        new_files: &[NewFile],
        by: &By,
        now_ms: i64,
    ) -> Result<ReleaseId, Error> {
        announced::check(new_files)?;
        let release = ReleaseId::from_bytes(random::id(now_ms));
        let secret = sealed.then(|| {
            let secret = Zeroizing::new(random::bytes::<32>());
            self.vault.seal(&vault_name(release), &secret[..])
        });
        let files: Vec<File> =
            (0..).zip(new_files).map(|(at, file)| announced::described(at, file)).collect();
        release::insert(tx, release, title, secret.as_ref(), &files, now_ms).await?;
        by.note(tx, "release.create", &release, json!({ "title": title }), now_ms).await?;
        Ok(release)
    }

    /// An open or published release of this publisher.
    ///
    /// # Errors
    /// [`Error::NoRelease`].
    pub async fn release_of(&self, publisher: AccountId, release: ReleaseId) -> Result<Release, Error> {
        let mut tx = self.store.read().await?;
        let found = release::by_id(&mut tx, release).await?;
        found.filter(|found| found.publisher_id == publisher).ok_or(Error::NoRelease)
    }

    /// One file with its offset.
    ///
    /// # Errors
    /// [`Error::NoFile`].
    pub async fn file(&self, release: ReleaseId, file: FileIndex) -> Result<File, Error> {
        let mut tx = self.store.read().await?;
        release::file(&mut tx, release, file).await?.ok_or(Error::NoFile)
    }

    /// Opens a file for writing at `offset_bytes`, or where it stands when that is `None`.
    ///
    /// # Errors
    /// [`Error::Published`], [`Error::UploadInProgress`], [`Error::OffsetConflict`] and those of the stores.
    pub async fn intake(
        &self,
        found: &Release,
        file: FileIndex,
        offset_bytes: Option<u64>,
    ) -> Result<Intake, Error> {
        if found.state == State::Published {
            return Err(Error::Published);
        }
        // The place is taken before the offset is read, so the offset cannot move in between.
        let writing = self.writers.begin(found.id, file).ok_or(Error::UploadInProgress)?;
        let row = self.file(found.id, file).await?;
        if offset_bytes.is_some_and(|offset| offset != row.uploaded_bytes) {
            return Err(Error::OffsetConflict(row.uploaded_bytes));
        }
        let secret = match &found.secret {
            None => None,
            Some(sealed) => {
                Some(ReleaseSecret::from_bytes(*self.vault.open_secret(&vault_name(found.id), sealed)?))
            }
        };
        Ok(Intake::new(Parts {
            release: found.id,
            file,
            size_bytes: row.size_bytes,
            offset_bytes: row.uploaded_bytes,
            sealer: Sealer::new(found.id, file, secret, row.epoch_chunks),
            writing,
            origin: self.origin.clone(),
            store: self.store.clone(),
            pool: self.pool.clone(),
        }))
    }

    /// Signs the manifest of a whole release and makes it its title's current one. Doing it again changes nothing.
    ///
    /// # Errors
    /// [`Error::Incomplete`], [`Error::Damaged`] and those of the stores.
    pub async fn publish(
        &self,
        found: &Release,
        keyring: &Keyring,
        clock: &dyn Clock,
        by: &By,
    ) -> Result<(), Error> {
        if found.state == State::Published {
            return Ok(());
        }
        let manifest = self.sign(found, keyring).await?;
        let mut tx = self.store.write().await?;
        if self.publish_in(&mut tx, found, &manifest, by, clock.now_ms()).await? {
            tx.commit().await?;
        }
        Ok(())
    }

    /// Writes the hash pages of a whole release and signs its manifest, which [`Desk::publish_in`] then publishes.
    ///
    /// # Errors
    /// [`Error::Incomplete`], [`Error::Damaged`] and those of the stores.
    pub async fn sign(&self, found: &Release, keyring: &Keyring) -> Result<String, Error> {
        let mut tx = self.store.read().await?;
        let files = release::files(&mut tx, found.id).await?;
        drop(tx);
        if let Some(file) = files.iter().find(|file| file.uploaded_bytes != file.size_bytes) {
            return Err(Error::Incomplete(file.file, file.uploaded_bytes, file.size_bytes));
        }
        check_objects(&self.origin, found, &files).await?;
        let mut described = Vec::with_capacity(files.len());
        for file in files {
            let pages = self.write_pages(found.id, file.file).await?;
            described.push(ManifestFile {
                name: file.name,
                media_type: file.media_type,
                size_bytes: file.size_bytes,
                epoch_chunks: file.epoch_chunks,
                duration_ms: file.duration_ms,
                pages,
            });
        }
        let manifest = Manifest {
            format: manifest::FORMAT,
            release: found.id,
            title: found.title_name.clone(),
            publisher: found.publisher_name.clone(),
            created_at_ms: u64::try_from(found.created_at_ms).unwrap_or(0),
            sealed: found.sealed,
            files: described,
        };
        self.origin.sweep(found.id).await?;
        let payload = serde_json::to_vec(&manifest).expect("a manifest of numbers and strings serializes");
        let signed = keyring.sign_manifest(&payload);
        if signed.len() > MANIFEST_BYTES_MAX || manifest.validate().is_err() {
            return Err(Error::ManifestSize);
        }
        Ok(signed)
    }

    /// Makes a release its title's current one, with its signed manifest, in a transaction of the caller's. False if somebody
    /// else did so before.
    ///
    /// # Errors
    /// [`Error::NoRelease`] and those of the store.
    pub async fn publish_in(
        &self,
        tx: &mut Tx,
        found: &Release,
        manifest: &str,
        by: &By,
        now_ms: i64,
    ) -> Result<bool, Error> {
        if release::publish(tx, found.id, manifest, now_ms).await? {
            by.note(tx, "release.publish", &found.id, json!({ "title": found.title_id }), now_ms).await?;
            upload::forget(tx, found.id).await?;
            return Ok(true);
        }
        // Somebody else was faster: published is fine, removed is not.
        match release::by_id(tx, found.id).await? {
            Some(Release { state: State::Published, .. }) => Ok(false),
            _ => Err(Error::NoRelease),
        }
    }

    /// Removes an unpublished release and every byte of it. Cut short, it is done again by asking again.
    ///
    /// # Errors
    /// [`Error::Published`], [`Error::UploadInProgress`] when an upload does not let go, and those of the stores.
    pub async fn remove(&self, found: &Release, by: &By, now_ms: i64) -> Result<(), Error> {
        self.empty(found).await?;
        let mut tx = self.store.write().await?;
        self.remove_in(&mut tx, found, by, now_ms).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Removes every byte of an unpublished release; what is left of it is for [`Desk::remove_in`].
    ///
    /// # Errors
    /// Those of [`Desk::remove`].
    pub async fn empty(&self, found: &Release) -> Result<(), Error> {
        if found.state == State::Published {
            return Err(Error::Published);
        }
        if !self.writers.clear(found.id).await {
            return Err(Error::UploadInProgress);
        }
        // First nothing counts as uploaded any more, so that a removal cut short leaves nothing that could be published.
        let mut tx = self.store.write().await?;
        if !upload::reset(&mut tx, found.id).await? {
            return Err(Error::Published);
        }
        tx.commit().await?;
        Ok(self.origin.delete_release(found.id).await?)
    }

    /// Removes the row of an emptied release in a transaction of the caller's.
    ///
    /// # Errors
    /// [`Error::NoRelease`] and those of the store.
    pub async fn remove_in(&self, tx: &mut Tx, found: &Release, by: &By, now_ms: i64) -> Result<(), Error> {
        if !release::delete_open(tx, found.id).await? {
            return Err(Error::NoRelease);
        }
        by.note(tx, "release.remove", &found.id, json!({ "title": found.title_id }), now_ms).await?;
        Ok(())
    }

    /// Writes a file's hash pages and gives their hashes.
    async fn write_pages(&self, release: ReleaseId, file: FileIndex) -> Result<Vec<PageHash>, Error> {
        let mut tx = self.store.read().await?;
        let of_segments = upload::chunk_hashes(&mut tx, release, file).await?;
        drop(tx);
        let mut hashes = Vec::new();
        for (page, part) in (0..).zip(of_segments.chunks(PAGE_SEGMENTS as usize)) {
            let bytes = part.concat();
            debug_assert!(bytes.len().is_multiple_of(HASH_BYTES));
            hashes.push(page_hash(&bytes));
            self.origin.put(Object::Page(release, file, PageIndex(page)), [bytes.into()]).await?;
        }
        Ok(hashes)
    }
}

/// Sees that every acknowledged segment is there in its right length: disks and people lose files.
pub async fn check_objects(origin: &Origin, found: &Release, files: &[File]) -> Result<(), Error> {
    let sizes = origin.segment_sizes(found.id).await?;
    let tag_bytes = if found.sealed { u64::from(TAG_BYTES) } else { 0 };
    for file in files {
        for segment in 0..segments(file.size_bytes) {
            let plain = segment_bytes(file.size_bytes, segment);
            let expected = plain + plain.div_ceil(u64::from(CHUNK_BYTES)) * tag_bytes;
            if sizes.get(&(file.file, segment)) != Some(&expected) {
                return Err(Error::Damaged(file.file));
            }
        }
    }
    Ok(())
}
