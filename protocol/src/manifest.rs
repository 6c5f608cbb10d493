//! The signed description of a release (PROTOCOL §1.3) and the geometry that follows from it.

use serde::{Deserialize, Serialize};

use crate::device::SigningKey;
use crate::hash::PageHash;
use crate::id::{ChunkAddress, ChunkIndex, EpochIndex, FileIndex, PageIndex, ReleaseId};
use crate::jws::{self, KeySet, KeyUse};
use crate::limit::{
    CHUNK_BYTES, EPOCH_CHUNKS_DEFAULT, EPOCH_MS, FILES_MAX, MANIFEST_BYTES_MAX, MEDIA_TYPE_BYTES_MAX,
    NAME_BYTES_MAX, PAGE_HASHES, TAG_BYTES,
};

/// `typ` of a signed manifest.
pub const TYP: &str = "matinee-manifest+jwt";
/// The format written and understood here.
pub const FORMAT: u32 = 1;

/// The description of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// The release.
    pub release: ReleaseId,
    /// The title's name.
    pub title: String,
    /// The publisher's name.
    pub publisher: String,
    /// When it was published.
    pub created_at_ms: u64,
    /// Whether chunks are sealed; an open release has plain chunks.
    pub sealed: bool,
    /// The files, addressed by position.
    pub files: Vec<ManifestFile>,
}

/// One file of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// File name, without any directory.
    pub name: String,
    /// Media type (RFC 6838).
    pub media_type: String,
    /// Bytes of plaintext.
    pub size_bytes: u64,
    /// Chunks in an epoch.
    pub epoch_chunks: u32,
    /// Playing time, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Hash of each hash page.
    pub pages: Vec<PageHash>,
}

/// Why a manifest was refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not signed by the release key of this server.
    #[error("the manifest's signature was refused: {0}")]
    Signature(#[from] jws::Error),
    /// Not the JSON that the specification names.
    #[error("the manifest is not of the known form: {0}")]
    Form(#[from] serde_json::Error),
    /// Of a format unknown here.
    #[error("the manifest has format {0}, this program knows format {FORMAT}")]
    Format(u32),
    /// Contradicts itself or exceeds a limit.
    #[error("the manifest is not consistent: {0}")]
    Inconsistent(&'static str),
}

impl Manifest {
    /// Verifies and reads a signed manifest.
    pub fn from_jws(compact: &str, keys: &KeySet) -> Result<Self, Error> {
        let payload = jws::verify(compact, TYP, keys, KeyUse::Release, MANIFEST_BYTES_MAX)?;
        let manifest: Self = serde_json::from_slice(&payload)?;
        manifest.validate()?;
        Ok(manifest)
    }

    /// Signs the manifest with the release key `kid`.
    pub fn to_jws(&self, kid: &str, key: &SigningKey) -> String {
        let header = jws::Header {
            alg: jws::ALG.to_owned(),
            typ: TYP.to_owned(),
            kid: Some(kid.to_owned()),
            jwk: None,
        };
        let payload = serde_json::to_vec(self).expect("a manifest of numbers and strings serializes");
        jws::sign(&payload, &header, key)
    }

    /// Checks limits and that counts agree with sizes.
    pub fn validate(&self) -> Result<(), Error> {
        if self.format != FORMAT {
            return Err(Error::Format(self.format));
        }
        if self.title.len() > NAME_BYTES_MAX || self.publisher.len() > NAME_BYTES_MAX {
            return Err(Error::Inconsistent("a name is too long"));
        }
        if self.files.is_empty() || self.files.len() > FILES_MAX {
            return Err(Error::Inconsistent("a release has 1 to 65536 files"));
        }
        self.files.iter().try_for_each(|file| file.validate())
    }

    /// A file.
    pub fn file(&self, file: FileIndex) -> Option<&ManifestFile> {
        self.files.get(file.0 as usize)
    }

    /// Bytes that sealing adds to each chunk of this release.
    pub fn tag_bytes(&self) -> u32 {
        if self.sealed { TAG_BYTES } else { 0 }
    }

    /// Bytes of a chunk as it travels, if there is such a chunk.
    pub fn travel_chunk_bytes(&self, at: ChunkAddress) -> Option<u32> {
        Some(self.file(at.file)?.plain_chunk_bytes(at.chunk)? + self.tag_bytes())
    }

    /// Where the chunk starts in the file's ciphertext, if there is such a chunk.
    pub fn ciphertext_offset(&self, at: ChunkAddress) -> Option<u64> {
        let exists = at.chunk.0 < self.file(at.file)?.chunks();
        exists.then(|| u64::from(at.chunk.0) * u64::from(CHUNK_BYTES + self.tag_bytes()))
    }

    /// Bytes of a file's ciphertext.
    pub fn ciphertext_bytes(&self, file: FileIndex) -> Option<u64> {
        let described = self.file(file)?;
        Some(described.size_bytes + u64::from(described.chunks()) * u64::from(self.tag_bytes()))
    }
}

impl ManifestFile {
    fn validate(&self) -> Result<(), Error> {
        if self.name.is_empty() || self.name.len() > NAME_BYTES_MAX {
            return Err(Error::Inconsistent("a file name has 1 to 1024 bytes"));
        }
        if self.media_type.len() > MEDIA_TYPE_BYTES_MAX {
            return Err(Error::Inconsistent("a media type has at most 127 bytes"));
        }
        if self.size_bytes.div_ceil(u64::from(CHUNK_BYTES)) > u64::from(u32::MAX) {
            return Err(Error::Inconsistent("a file has at most 2^32 - 1 chunks"));
        }
        if self.epoch_chunks == 0 {
            return Err(Error::Inconsistent("an epoch has at least one chunk"));
        }
        if self.pages.len() != self.page_count() as usize {
            return Err(Error::Inconsistent("the number of hash pages does not fit the size"));
        }
        Ok(())
    }

    /// How many chunks the file has; none if it is empty.
    pub fn chunks(&self) -> u32 {
        // Sizes beyond 2^32 - 1 chunks are refused by `validate`.
        self.size_bytes.div_ceil(u64::from(CHUNK_BYTES)).min(u64::from(u32::MAX)) as u32
    }

    /// How many hash pages the file has.
    pub fn page_count(&self) -> u32 {
        self.chunks().div_ceil(PAGE_HASHES)
    }

    /// How many epochs the file has.
    pub fn epochs(&self) -> u32 {
        self.chunks().div_ceil(self.epoch_chunks.max(1))
    }

    /// The epoch of a chunk.
    pub fn epoch_of(&self, chunk: ChunkIndex) -> EpochIndex {
        EpochIndex(chunk.0 / self.epoch_chunks.max(1))
    }

    /// Bytes of plaintext in a chunk, if there is such a chunk.
    pub fn plain_chunk_bytes(&self, chunk: ChunkIndex) -> Option<u32> {
        let start = u64::from(chunk.0) * u64::from(CHUNK_BYTES);
        let rest = self.size_bytes.checked_sub(start).filter(|&rest| rest > 0)?;
        Some(rest.min(u64::from(CHUNK_BYTES)) as u32)
    }

    /// The hash that page `page` must have.
    pub fn page_hash(&self, page: PageIndex) -> Option<&PageHash> {
        self.pages.get(page.0 as usize)
    }
}

/// The page that holds a chunk's hash, and the hash's position in it.
pub fn page_of(chunk: ChunkIndex) -> (PageIndex, u32) {
    (PageIndex(chunk.0 / PAGE_HASHES), chunk.0 % PAGE_HASHES)
}

/// Chunks in an epoch for a file of this size and duration, so that an epoch lasts about a minute.
pub fn epoch_chunks(size_bytes: u64, duration_ms: Option<u64>) -> u32 {
    let Some(duration_ms) = duration_ms.filter(|&ms| ms > 0) else {
        return EPOCH_CHUNKS_DEFAULT;
    };
    let chunks = u128::from(size_bytes.div_ceil(u64::from(CHUNK_BYTES)));
    let epoch = (chunks * u128::from(EPOCH_MS)).div_ceil(u128::from(duration_ms));
    u32::try_from(epoch).unwrap_or(u32::MAX).max(1)
}
