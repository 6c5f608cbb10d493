//! Chunk hashes and their pages (PROTOCOL §1.2).

use bytes::Bytes;

use crate::encoding;
use crate::limit::{HASH_BYTES, PAGE_BYTES_MAX, PAGE_HASHES};
use serde::{Deserialize, Serialize};

/// BLAKE3 of a chunk as it travels: sealed, or plain in an open release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkHash(pub [u8; HASH_BYTES]);

/// BLAKE3 of a hash page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PageHash(#[serde(with = "encoding::array")] pub [u8; HASH_BYTES]);

/// Hashes a chunk.
pub fn chunk_hash(chunk: &[u8]) -> ChunkHash {
    ChunkHash(blake3::hash(chunk).into())
}

/// Why bytes are not the hash page that the manifest names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not between 1 and 1,024 whole hashes.
    #[error("a hash page has 32 to 32768 bytes, a multiple of 32")]
    Length,
    /// The hash is another than the manifest's.
    #[error("the hash page is not the one in the manifest")]
    Mismatch,
}

/// A page of chunk hashes that was checked against the manifest.
#[derive(Clone, Debug)]
pub struct HashPage(Bytes);

impl HashPage {
    /// Accepts `bytes` only if they are the page with this hash.
    pub fn verify(bytes: Bytes, expected: &PageHash) -> Result<Self, Error> {
        if bytes.is_empty() || bytes.len() > PAGE_BYTES_MAX || !bytes.len().is_multiple_of(HASH_BYTES) {
            return Err(Error::Length);
        }
        if page_hash(&bytes) != *expected {
            return Err(Error::Mismatch);
        }
        Ok(Self(bytes))
    }

    /// The hash of the chunk at `position` within the page.
    pub fn chunk(&self, position: u32) -> Option<ChunkHash> {
        let start = position as usize * HASH_BYTES;
        let hash = self.0.get(start..start + HASH_BYTES)?;
        Some(ChunkHash(hash.try_into().ok()?))
    }

    /// The bytes of the page, as peers exchange them.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }
}

/// Hashes a page.
pub fn page_hash(page: &[u8]) -> PageHash {
    PageHash(blake3::hash(page).into())
}

/// Collects the chunk hashes of one file while it is published.
#[derive(Debug, Default)]
pub struct PageBuilder {
    hashes: Vec<u8>,
}

impl PageBuilder {
    /// Appends the hash of the next chunk.
    pub fn push(&mut self, hash: ChunkHash) {
        self.hashes.extend_from_slice(&hash.0);
    }

    /// The pages so far, in order, each with its hash; the last may be short.
    pub fn pages(&self) -> impl Iterator<Item = (&[u8], PageHash)> {
        self.hashes.chunks(PAGE_HASHES as usize * HASH_BYTES).map(|page| (page, page_hash(page)))
    }
}
