//! What the swarm has verified: in memory at once, on disk a moment later, in memory alone when the disk is full.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use matinee_protocol::id::ChunkAddress;
use tokio::sync::watch;

use super::{Error, RecentChunks, ReleaseStore};

/// Bytes of chunks kept in memory: what readers and peers ask for next is mostly what came last.
pub const MEMORY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Chunks in one trip to the disk.
const WRITE_BATCH_CHUNKS_MAX: usize = 16;

/// The chunks of one release, wherever they are at the moment.
#[derive(Debug)]
pub struct Shelf {
    store: Arc<ReleaseStore>,
    memory: Mutex<Memory>,
    /// Counts arrivals, for those who wait.
    arrivals: watch::Sender<u64>,
}

/// Invariant: a chunk that the engine holds is in `pending`, in `recent`, or has its bit set in the store.
#[derive(Debug)]
struct Memory {
    recent: RecentChunks,
    /// Not yet written, in the order of arrival.
    pending: HashMap<ChunkAddress, Bytes>,
    queue: Vec<ChunkAddress>,
    lost: Vec<ChunkAddress>,
    warned: bool,
}

impl Shelf {
    /// An empty memory before `store`.
    #[must_use]
    pub fn new(store: Arc<ReleaseStore>) -> Arc<Self> {
        Self::with_memory(store, MEMORY_BYTES_MAX)
    }

    /// As [`Shelf::new`], with a memory of another size in bytes.
    #[must_use]
    pub fn with_memory(store: Arc<ReleaseStore>, bytes_max: usize) -> Arc<Self> {
        let memory = Memory {
            recent: RecentChunks::new(bytes_max),
            pending: HashMap::new(),
            queue: Vec::new(),
            lost: Vec::new(),
            warned: false,
        };
        Arc::new(Self { store, memory: Mutex::new(memory), arrivals: watch::Sender::new(0) })
    }

    /// The disk below.
    #[must_use]
    pub fn store(&self) -> &Arc<ReleaseStore> {
        &self.store
    }

    /// Takes a verified chunk: it can be read from now on, and is written by the next [`Shelf::write_pending`].
    pub fn put(&self, at: ChunkAddress, bytes: Bytes) {
        let mut memory = self.memory();
        let lost = memory.recent.insert(at, bytes.clone(), true);
        memory.lost.extend(lost);
        if memory.pending.insert(at, bytes).is_none() {
            memory.queue.push(at);
        }
        drop(memory);
        self.arrivals.send_modify(|count| *count += 1);
    }

    /// Chunks that are not yet on disk.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.memory().pending.len()
    }

    /// Whether the chunk can be read.
    #[must_use]
    pub fn holds(&self, at: ChunkAddress) -> bool {
        let memory = self.memory();
        memory.pending.contains_key(&at) || memory.recent.holds(at) || self.store.holds(at)
    }

    /// Tells of arrivals.
    #[must_use]
    pub fn arrivals(&self) -> watch::Receiver<u64> {
        self.arrivals.subscribe()
    }

    /// The chunk, if it is in memory.
    #[must_use]
    pub fn in_memory(&self, at: ChunkAddress) -> Option<Bytes> {
        let mut memory = self.memory();
        memory.recent.get(at).or_else(|| memory.pending.get(&at).cloned())
    }

    /// The chunk, from memory or hashed from disk; `None` if it is not held (any more).
    pub async fn read(self: &Arc<Self>, at: ChunkAddress) -> Option<Bytes> {
        if let Some(bytes) = self.in_memory(at) {
            return Some(bytes);
        }
        if !self.store.holds(at) {
            return None;
        }
        let shelf = Arc::clone(self);
        tokio::task::spawn_blocking(move || shelf.read_from_disk(at)).await.ok().flatten()
    }

    /// The chunk, hashed from disk while the caller waits; `None` if it is not held (any more).
    #[must_use]
    pub fn read_from_disk(&self, at: ChunkAddress) -> Option<Bytes> {
        match self.store.read(at) {
            Ok(Some(bytes)) => {
                let mut memory = self.memory();
                let lost = memory.recent.insert(at, bytes.clone(), true);
                memory.lost.extend(lost);
                Some(bytes)
            }
            Ok(None) => {
                self.memory().lost.push(at);
                None
            }
            Err(error) => {
                tracing::warn!(%error, chunk = %at, "a chunk could not be read");
                self.memory().lost.push(at);
                None
            }
        }
    }

    /// Writes what is pending, a batch at a time, and tells how many chunks that were. Call it again until 0.
    pub async fn write_pending(self: &Arc<Self>) -> usize {
        let batch: Vec<(ChunkAddress, Bytes)> = {
            let mut memory = self.memory();
            let count = memory.queue.len().min(WRITE_BATCH_CHUNKS_MAX);
            let batch: Vec<_> = memory.queue.drain(..count).collect();
            batch.into_iter().filter_map(|at| Some((at, memory.pending.get(&at)?.clone()))).collect()
        };
        let count = batch.len();
        if count > 0 {
            let shelf = Arc::clone(self);
            let written = tokio::task::spawn_blocking(move || {
                for (at, bytes) in batch {
                    let written = shelf.store.write(at, &bytes);
                    shelf.written(at, bytes, written);
                }
            });
            let _ = written.await;
        }
        count
    }

    /// Chunks that are no longer held, each told once.
    #[must_use]
    pub fn take_lost(&self) -> Vec<ChunkAddress> {
        let evicted = self.store.take_lost();
        let mut memory = self.memory();
        let mut lost = std::mem::take(&mut memory.lost);
        lost.extend(evicted);
        // Evicted from disk, but perhaps still, or again, in memory: then only memory has it.
        lost.retain(|at| {
            let kept = memory.pending.contains_key(at) || memory.recent.mark_memory_only(*at);
            !kept && !self.store.holds(*at)
        });
        lost.sort_unstable();
        lost.dedup();
        lost
    }

    fn written(&self, at: ChunkAddress, bytes: Bytes, written: Result<(), Error>) {
        let mut memory = self.memory();
        memory.pending.remove(&at);
        let Err(error) = written else { return };
        if !memory.warned {
            memory.warned = true;
            tracing::warn!(%error, "chunks stay in memory only");
        }
        if !memory.recent.mark_memory_only(at) {
            let lost = memory.recent.insert(at, bytes, false);
            memory.lost.extend(lost);
        }
    }

    /// Whether a write has failed since the start.
    #[must_use]
    pub fn is_memory_only(&self) -> bool {
        self.memory().warned
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
