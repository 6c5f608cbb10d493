//! Sealing and hashing the chunks of a segment, in place. Pure computation: it runs on blocking threads.

use bytes::Bytes;
use matinee_protocol::hash::{ChunkHash, chunk_hash};
use matinee_protocol::id::{ChunkAddress, ChunkIndex, EpochIndex, FileIndex, ReleaseId};
use matinee_protocol::limit::{CHUNK_BYTES, SEGMENT_CHUNKS};
use matinee_protocol::seal::{EpochKey, ReleaseSecret, derive_epoch_key, seal_chunk};

use super::buffer::SegmentBuffer;

/// Seals the chunks of one file.
#[derive(Debug)]
pub struct Sealer {
    release: ReleaseId,
    file: FileIndex,
    /// `None` for an open release, whose chunks are hashed and nothing else.
    secret: Option<ReleaseSecret>,
    epoch_chunks: u32,
}

/// A segment as it is stored, and what is remembered of it.
#[derive(Debug)]
pub struct SealedSegment {
    /// Its chunks in order, sealed.
    pub chunks: Vec<Bytes>,
    /// The hash of each.
    pub hashes: Vec<ChunkHash>,
}

/// The key of the epoch last asked for: consecutive chunks nearly always share it.
#[derive(Default)]
pub struct EpochKeyMemo(Option<(u32, EpochKey)>);

impl Sealer {
    /// A sealer for a file; `secret` is `None` for an open release.
    #[must_use]
    pub fn new(
        release: ReleaseId,
        file: FileIndex,
        secret: Option<ReleaseSecret>,
        epoch_chunks: u32,
    ) -> Self {
        Self { release, file, secret, epoch_chunks: epoch_chunks.max(1) }
    }

    /// Seals one chunk of plaintext in place and hashes what came of it.
    pub fn seal_chunk(&self, chunk: u32, buffer: &mut Vec<u8>, memo: &mut EpochKeyMemo) -> ChunkHash {
        if let Some(secret) = &self.secret {
            let epoch = chunk / self.epoch_chunks;
            let at = ChunkAddress { file: self.file, chunk: ChunkIndex(chunk) };
            if memo.0.as_ref().is_none_or(|(known, _)| *known != epoch) {
                let key = derive_epoch_key(secret, &self.release, self.file, EpochIndex(epoch));
                memo.0 = Some((epoch, key));
            }
            if let Some((_, key)) = &memo.0 {
                seal_chunk(key, &self.release, at, buffer);
            }
        }
        chunk_hash(buffer)
    }

    /// Seals a whole segment.
    #[must_use]
    pub fn seal_segment(&self, segment: u32, mut buffer: SegmentBuffer) -> SealedSegment {
        let mut memo = EpochKeyMemo::default();
        let first = segment * SEGMENT_CHUNKS;
        let hashes = (first..)
            .zip(buffer.chunks_mut())
            .map(|(at, chunk)| self.seal_chunk(at, chunk, &mut memo))
            .collect();
        SealedSegment { chunks: buffer.into_bytes(), hashes }
    }

    /// Fills a segment from a reader and seals each chunk while it is still in the processor's cache.
    ///
    /// # Errors
    /// What the reader reported; it must fill what it is given.
    pub fn read_and_seal(
        &self,
        segment: u32,
        mut buffer: SegmentBuffer,
        plain_bytes: u64,
        mut read_chunk: impl FnMut(&mut [u8]) -> std::io::Result<()>,
    ) -> std::io::Result<SealedSegment> {
        let mut memo = EpochKeyMemo::default();
        let mut hashes = Vec::with_capacity(SEGMENT_CHUNKS as usize);
        let mut left = plain_bytes;
        let mut at = segment * SEGMENT_CHUNKS;
        while left > 0 {
            let run = left.min(u64::from(CHUNK_BYTES)) as usize;
            let Some(chunk) = buffer.add_stale(run) else { break };
            read_chunk(chunk)?;
            hashes.push(self.seal_chunk(at, chunk, &mut memo));
            left -= run as u64;
            at += 1;
        }
        Ok(SealedSegment { chunks: buffer.into_bytes(), hashes })
    }
}
