//! The memory that plaintext and ciphertext pass through: a fixed number of chunk-sized buffers, used again and again.
//!
//! A segment takes all the buffers it can need before its first byte arrives, so two half-filled segments can never wait
//! for each other, and the number of buffers is what bounds the memory of every upload together.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use matinee_protocol::limit::{CHUNK_BYTES, SEGMENT_CHUNKS, TAG_BYTES};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Chunk buffers of one pool when nothing else is asked: five segments, 80 MiB.
pub const POOL_CHUNKS: u32 = 5 * SEGMENT_CHUNKS;

/// A sealed chunk's most bytes, and so a buffer's capacity.
const BUFFER_BYTES: usize = CHUNK_BYTES as usize + TAG_BYTES as usize;

/// A bounded set of chunk buffers.
#[derive(Clone, Debug)]
pub struct ChunkPool {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    idle: Mutex<Vec<Vec<u8>>>,
    permits: Arc<Semaphore>,
}

impl ChunkPool {
    /// A pool of `chunks` buffers, at least one segment of them. Memory is touched as it is used, not here.
    #[must_use]
    pub fn new(chunks: u32) -> Self {
        let chunks = chunks.max(SEGMENT_CHUNKS) as usize;
        Self {
            inner: Arc::new(Inner {
                idle: Mutex::new(Vec::new()),
                permits: Arc::new(Semaphore::new(chunks)),
            }),
        }
    }

    /// Waits for the buffers of a segment of `chunks` chunks (at most [`SEGMENT_CHUNKS`]).
    pub async fn segment(&self, chunks: u32) -> SegmentBuffer {
        let permit = Arc::clone(&self.inner.permits)
            .acquire_many_owned(chunks.clamp(1, SEGMENT_CHUNKS))
            .await
            .expect("the pool's semaphore is never closed");
        SegmentBuffer {
            lease: Arc::new(Lease { _permit: permit }),
            pool: Arc::clone(&self.inner),
            chunks: Vec::with_capacity(chunks as usize),
            capacity: chunks,
        }
    }
}

impl Inner {
    /// A buffer with whatever its last use left in it.
    fn take(&self) -> Vec<u8> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.unwrap_or_else(|| Vec::with_capacity(BUFFER_BYTES))
    }

    fn put_back(&self, buffer: Vec<u8>) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
    }
}

/// Holds a segment's share of the pool until the last of its chunks is gone.
#[derive(Debug)]
struct Lease {
    _permit: OwnedSemaphorePermit,
}

/// The buffers of one segment: chunks of plaintext while it fills, of ciphertext once sealed.
#[derive(Debug)]
pub struct SegmentBuffer {
    chunks: Vec<PooledChunk>,
    capacity: u32,
    pool: Arc<Inner>,
    lease: Arc<Lease>,
}

/// One chunk's buffer; it returns to the pool when dropped.
#[derive(Debug)]
pub struct PooledChunk {
    bytes: Vec<u8>,
    pool: Arc<Inner>,
    _lease: Arc<Lease>,
}

impl SegmentBuffer {
    /// Copies as much of `input` as still fits and returns how many bytes that was.
    pub fn fill(&mut self, input: &[u8]) -> usize {
        let mut taken = 0;
        while taken < input.len() {
            let full = self.chunks.last().is_none_or(|last| last.bytes.len() == CHUNK_BYTES as usize);
            if full && self.add_chunk().map(Vec::clear).is_none() {
                break;
            }
            let last = self.chunks.last_mut().expect("a chunk was added above");
            let room = CHUNK_BYTES as usize - last.bytes.len();
            let run = room.min(input.len() - taken);
            last.bytes.extend_from_slice(&input[taken..taken + run]);
            taken += run;
        }
        taken
    }

    /// Starts the next chunk with `bytes` bytes that are to be written over: what they hold is left from another use.
    /// `None` when the segment has all the chunks it asked for.
    pub fn add_stale(&mut self, bytes: usize) -> Option<&mut Vec<u8>> {
        let chunk = self.add_chunk()?;
        chunk.truncate(bytes);
        if chunk.len() < bytes {
            // Once in a buffer's life. Clearing it each time would cost as much as reading it.
            *chunk = vec![0; BUFFER_BYTES];
            chunk.truncate(bytes);
        }
        Some(chunk)
    }

    fn add_chunk(&mut self) -> Option<&mut Vec<u8>> {
        if self.chunks.len() >= self.capacity as usize {
            return None;
        }
        self.chunks.push(PooledChunk {
            bytes: self.pool.take(),
            pool: Arc::clone(&self.pool),
            _lease: Arc::clone(&self.lease),
        });
        self.chunks.last_mut().map(|chunk| &mut chunk.bytes)
    }

    /// Bytes held.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.bytes.len() as u64).sum()
    }

    /// Whether nothing was filled in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The chunks, in order, to be sealed in place.
    pub fn chunks_mut(&mut self) -> impl Iterator<Item = &mut Vec<u8>> {
        self.chunks.iter_mut().map(|chunk| &mut chunk.bytes)
    }

    /// Hands the chunks on without copying; each returns to the pool when its last reader drops it.
    #[must_use]
    pub fn into_bytes(self) -> Vec<Bytes> {
        self.chunks.into_iter().map(Bytes::from_owner).collect()
    }
}

impl AsRef<[u8]> for PooledChunk {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for PooledChunk {
    fn drop(&mut self) {
        self.pool.put_back(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn buffers_come_back_and_bound_the_memory() {
        let pool = ChunkPool::new(SEGMENT_CHUNKS);
        let mut segment = pool.segment(SEGMENT_CHUNKS).await;
        assert_eq!(segment.fill(&vec![7; CHUNK_BYTES as usize + 1]), CHUNK_BYTES as usize + 1);
        assert_eq!(segment.len(), u64::from(CHUNK_BYTES) + 1);
        let chunks = segment.into_bytes();
        assert_eq!(chunks.len(), 2);
        let waiting = pool.segment(1);
        tokio::pin!(waiting);
        assert!(futures_util::poll!(waiting.as_mut()).is_pending(), "all buffers are out");
        drop(chunks);
        let _segment = waiting.await;
        assert_eq!(pool.inner.idle.lock().unwrap().len(), 2);
    }

    #[tokio::test]
    async fn a_full_segment_takes_no_more() {
        let pool = ChunkPool::new(SEGMENT_CHUNKS);
        let mut segment = pool.segment(1).await;
        assert_eq!(segment.fill(&vec![1; CHUNK_BYTES as usize + 5]), CHUNK_BYTES as usize);
        assert_eq!(segment.fill(&[1]), 0);
    }
}
