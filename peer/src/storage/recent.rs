//! Chunks that were just received or read, kept in memory.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use matinee_protocol::id::ChunkAddress;

/// Verified chunks in memory, the longest unused leaving first.
///
/// Chunks whose write to disk is under way or failed live here alone, so what leaves is told to the caller.
#[derive(Debug)]
pub struct RecentChunks {
    chunks: HashMap<ChunkAddress, Recent>,
    by_use: BTreeMap<u64, ChunkAddress>,
    uses: u64,
    bytes: usize,
    bytes_max: usize,
}

#[derive(Debug)]
struct Recent {
    bytes: Bytes,
    on_disk: bool,
    use_number: u64,
}

impl RecentChunks {
    /// An empty memory of at most `bytes_max` bytes, or of one chunk if that is more.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self { chunks: HashMap::new(), by_use: BTreeMap::new(), uses: 0, bytes: 0, bytes_max }
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The chunk, if it is held.
    pub fn get(&mut self, at: ChunkAddress) -> Option<Bytes> {
        let recent = self.chunks.get_mut(&at)?;
        self.by_use.remove(&recent.use_number);
        self.uses += 1;
        recent.use_number = self.uses;
        self.by_use.insert(self.uses, at);
        Some(recent.bytes.clone())
    }

    /// Whether the chunk is held.
    #[must_use]
    pub fn holds(&self, at: ChunkAddress) -> bool {
        self.chunks.contains_key(&at)
    }

    /// Keeps a chunk; gives the chunks that left and are on no disk.
    pub fn insert(&mut self, at: ChunkAddress, bytes: Bytes, on_disk: bool) -> Vec<ChunkAddress> {
        self.remove(at);
        self.uses += 1;
        self.bytes += bytes.len();
        self.by_use.insert(self.uses, at);
        self.chunks.insert(at, Recent { bytes, on_disk, use_number: self.uses });
        let mut lost = Vec::new();
        while self.bytes > self.bytes_max && self.chunks.len() > 1 {
            let Some((_, oldest)) = self.by_use.pop_first() else {
                break;
            };
            if let Some(recent) = self.chunks.remove(&oldest) {
                self.bytes -= recent.bytes.len();
                if !recent.on_disk {
                    lost.push(oldest);
                }
            }
        }
        lost
    }

    /// The chunk is on no disk after all, so its leaving will be reported; false if it has left already.
    pub fn mark_memory_only(&mut self, at: ChunkAddress) -> bool {
        let recent = self.chunks.get_mut(&at);
        recent.map(|recent| recent.on_disk = false).is_some()
    }

    /// Forgets a chunk.
    pub fn remove(&mut self, at: ChunkAddress) {
        if let Some(recent) = self.chunks.remove(&at) {
            self.by_use.remove(&recent.use_number);
            self.bytes -= recent.bytes.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_unused_leaves_first_and_is_reported_unless_on_disk() {
        let mut recent = RecentChunks::new(30);
        let at = |chunk| ChunkAddress::new(0, chunk);
        let ten = Bytes::from_static(&[7; 10]);
        for chunk in 0..3 {
            assert!(recent.insert(at(chunk), ten.clone(), chunk > 0).is_empty());
        }
        assert_eq!(recent.get(at(0)), Some(ten.clone()));
        assert!(recent.insert(at(3), ten.clone(), false).is_empty(), "1 leaves and is on disk");
        assert!(!recent.holds(at(1)));
        assert!(recent.insert(at(4), ten.clone(), false).is_empty(), "2 leaves and is on disk");
        assert!(!recent.mark_memory_only(at(2)));
        assert_eq!(recent.insert(at(5), ten.clone(), false), [at(0)]);
        assert_eq!(recent.bytes(), 30);
        assert!(recent.insert(at(9), Bytes::from_static(&[1; 50]), true).contains(&at(3)));
        assert!(recent.holds(at(9)), "the newest stays however large");
    }
}
