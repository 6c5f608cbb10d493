//! The way of a file's bytes into the object store: plaintext in runs of any length, segments out, in order.
//!
//! A segment is in exactly one state: filling (at most one), under way (sealing or being written, at most
//! [`UNDER_WAY_MAX`]), or acknowledged (its object is written and the store has its hashes and the new offset). Only
//! acknowledged segments count; anything else is made again from the offset. Plaintext lives in the filling segment's
//! buffers and is sealed in place, so it never reaches a disk.

use std::collections::VecDeque;
use std::sync::Arc;

use matinee_protocol::hash::ChunkHash;
use matinee_protocol::id::{FileIndex, ReleaseId};
use matinee_protocol::limit::SEGMENT_BYTES;
use tokio::task::JoinHandle;

use super::buffer::{ChunkPool, SegmentBuffer};
use super::layout::{chunks_of, segment_bytes, segments};
use super::lock::Writing;
use super::seal::{SealedSegment, Sealer};
use crate::origin::{self, Object, Origin};
use crate::store::{self, Store, upload};

/// Segments of one file that are sealed or written at once: both cores seal while two more are flushed to the disk.
pub const UNDER_WAY_MAX: usize = 4;

/// Why bytes were not taken in.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// More bytes than the file was announced to have.
    #[error("the file is longer than the {0} bytes it was announced with")]
    TooLong(u64),
    /// The release is being removed, or another writer moved the offset.
    #[error("the release was removed or another upload of this file went on; ask for the offset again")]
    Superseded,
    /// The object store failed.
    #[error(transparent)]
    Origin(#[from] origin::Error),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The source could not be read.
    #[error("the file could not be read: {0}")]
    Read(std::io::Error),
    /// A sealing thread died.
    #[error("sealing failed")]
    Seal,
}

/// What an intake is made of.
#[derive(Debug)]
pub struct Parts {
    /// The release.
    pub release: ReleaseId,
    /// The file in it.
    pub file: FileIndex,
    /// Bytes of the whole file.
    pub size_bytes: u64,
    /// Bytes acknowledged so far: a multiple of a segment, or the size.
    pub offset_bytes: u64,
    /// Seals the file's chunks.
    pub sealer: Sealer,
    /// The place of the file's one writer.
    pub writing: Writing,
    /// Where objects go.
    pub origin: Origin,
    /// Where progress goes.
    pub store: Store,
    /// Where buffers come from.
    pub pool: ChunkPool,
}

/// A segment under way: its chunk hashes, once its object is written.
type Sealing = JoinHandle<Result<Vec<ChunkHash>, Error>>;

/// One file on its way in.
#[derive(Debug)]
pub struct Intake {
    shared: Arc<Shared>,
    filling: Option<SegmentBuffer>,
    /// The segment that fills, or the next one.
    next: u64,
    acknowledged_bytes: u64,
    under_way: VecDeque<(u64, Sealing)>,
}

/// What the tasks of segments under way need. They keep the writer's place until the last of them is done.
#[derive(Debug)]
struct Shared {
    release: ReleaseId,
    file: FileIndex,
    size_bytes: u64,
    sealer: Sealer,
    writing: Writing,
    origin: Origin,
    store: Store,
    pool: ChunkPool,
}

impl Intake {
    /// Goes on where the acknowledged bytes end.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { release, file, size_bytes, offset_bytes, sealer, writing, origin, store, pool } = parts;
        let shared = Shared { release, file, size_bytes, sealer, writing, origin, store, pool };
        Self {
            shared: Arc::new(shared),
            filling: None,
            next: offset_bytes.div_ceil(SEGMENT_BYTES),
            acknowledged_bytes: offset_bytes,
            under_way: VecDeque::with_capacity(UNDER_WAY_MAX),
        }
    }

    /// Bytes acknowledged so far.
    #[must_use]
    pub fn acknowledged_bytes(&self) -> u64 {
        self.acknowledged_bytes
    }

    /// Resolves when the release is being removed.
    pub async fn cancelled(&self) {
        self.shared.writing.cancelled().await;
    }

    /// Takes the next bytes, waiting while too many segments are under way.
    ///
    /// The last segment is held back until [`Intake::finish`], so that a file that turns out too long is never whole.
    ///
    /// # Errors
    /// [`Error`]; what was acknowledged stays so.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            let room = segment_bytes(self.shared.size_bytes, self.next);
            if room == 0 {
                return Err(Error::TooLong(self.shared.size_bytes));
            }
            let filling = match &mut self.filling {
                Some(filling) => filling,
                None => {
                    self.make_way().await?;
                    let buffer = self.shared.pool.segment(chunks_of(room)).await;
                    self.filling.insert(buffer)
                }
            };
            let left = usize::try_from(room - filling.len()).unwrap_or(usize::MAX);
            if left == 0 {
                // Only the held-back last segment can be full here.
                return Err(Error::TooLong(self.shared.size_bytes));
            }
            let run = bytes.len().min(left);
            let taken = filling.fill(&bytes[..run]);
            bytes = &bytes[taken..];
            let last = self.next + 1 == segments(self.shared.size_bytes);
            if filling.len() == room && !last {
                self.dispatch_filled();
            }
        }
        Ok(())
    }

    /// Ends the intake: seals a last segment that is whole, drops one that is not, waits for those under way, and gives
    /// the bytes acknowledged.
    ///
    /// # Errors
    /// [`Error`]; what was acknowledged stays so.
    pub async fn finish(mut self, whole: bool) -> Result<u64, Error> {
        if whole && self.filled_bytes() == segment_bytes(self.shared.size_bytes, self.next) {
            self.dispatch_filled();
        }
        self.filling = None;
        while !self.under_way.is_empty() {
            self.acknowledge_first().await?;
        }
        Ok(self.acknowledged_bytes)
    }

    /// Takes the whole rest of the file from a reader of positions, which blocking threads call at once.
    ///
    /// # Errors
    /// [`Error`]; what was acknowledged stays so.
    pub async fn read_rest<R>(&mut self, read: Arc<R>, mut progress: impl FnMut(u64)) -> Result<(), Error>
    where
        R: Fn(u64, &mut [u8]) -> std::io::Result<()> + Send + Sync + 'static,
    {
        while self.next < segments(self.shared.size_bytes) {
            self.make_way().await?;
            let segment = self.next;
            let plain_bytes = segment_bytes(self.shared.size_bytes, segment);
            let buffer = self.shared.pool.segment(chunks_of(plain_bytes)).await;
            let read = Arc::clone(&read);
            self.dispatch(move |sealer, number| {
                let mut at = segment * SEGMENT_BYTES;
                sealer.read_and_seal(number, buffer, plain_bytes, |chunk| {
                    read(at, chunk)?;
                    at += chunk.len() as u64;
                    Ok(())
                })
            });
            progress(self.acknowledged_bytes);
        }
        Ok(())
    }

    fn filled_bytes(&self) -> u64 {
        self.filling.as_ref().map_or(0, SegmentBuffer::len)
    }

    fn dispatch_filled(&mut self) {
        if let Some(buffer) = self.filling.take().filter(|buffer| !buffer.is_empty()) {
            self.dispatch(move |sealer, number| Ok(sealer.seal_segment(number, buffer)));
        }
    }

    /// Sends the next segment on its way: sealed on a blocking thread, then written as one object.
    fn dispatch(
        &mut self,
        seal: impl FnOnce(&Sealer, u32) -> std::io::Result<SealedSegment> + Send + 'static,
    ) {
        let segment = self.next;
        self.next += 1;
        // A file has fewer than 2^32 chunks, so its segments can be counted in 32 bits.
        let number = u32::try_from(segment).unwrap_or(u32::MAX);
        let shared = Arc::clone(&self.shared);
        let task = tokio::spawn(async move {
            let sealing = Arc::clone(&shared);
            let sealed = tokio::task::spawn_blocking(move || seal(&sealing.sealer, number));
            let sealed = sealed.await.map_err(|_| Error::Seal)?.map_err(Error::Read)?;
            let object = Object::Segment(shared.release, shared.file, number);
            shared.origin.put(object, sealed.chunks).await?;
            Ok(sealed.hashes)
        });
        self.under_way.push_back((segment, task));
    }

    async fn make_way(&mut self) -> Result<(), Error> {
        while self.under_way.len() >= UNDER_WAY_MAX {
            self.acknowledge_first().await?;
        }
        Ok(())
    }

    /// Waits for the oldest segment under way and writes its progress down.
    async fn acknowledge_first(&mut self) -> Result<(), Error> {
        let Some((segment, task)) = self.under_way.pop_front() else { return Ok(()) };
        let hashes = task.await.map_err(|_| Error::Seal)??;
        let to_bytes = segment * SEGMENT_BYTES + segment_bytes(self.shared.size_bytes, segment);
        let number = u32::try_from(segment).unwrap_or(u32::MAX);
        let hashes: Vec<u8> = hashes.iter().flat_map(|hash| hash.0).collect();
        let Shared { release, file, .. } = &*self.shared;
        if self.shared.writing.is_cancelled() {
            return Err(Error::Superseded);
        }
        let mut tx = self.shared.store.write().await?;
        let from_bytes = self.acknowledged_bytes;
        let moved = upload::advance(&mut tx, *release, *file, number, from_bytes, to_bytes, &hashes).await?;
        if !moved {
            return Err(Error::Superseded);
        }
        tx.commit().await?;
        self.acknowledged_bytes = to_bytes;
        Ok(())
    }
}
