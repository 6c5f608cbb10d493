//! What happens to bytes once the engine has them: checking what the cache kept, and opening chunks with content keys.

use matinee_protocol::hash::chunk_hash;
use matinee_protocol::id::{ChunkAddress, EpochIndex, FileIndex, PageIndex};
use matinee_protocol::license::decode_keys;
use matinee_protocol::manifest::page_of;
use matinee_protocol::seal::open_chunk_in_place;
use wasm_bindgen::prelude::{JsError, wasm_bindgen};
use zeroize::Zeroizing;

use crate::engine::{Engine, js};

/// Content keys kept at once; the oldest numbers go first. A rolling license needs a handful.
const KEYS_MAX: usize = 16_384;

#[wasm_bindgen]
impl Engine {
    /// Takes in the plaintext of a license's `sealed_keys`. Returns how many keys it held.
    pub fn import_keys(&mut self, plaintext: Vec<u8>) -> Result<usize, JsError> {
        let plaintext = Zeroizing::new(plaintext);
        let named = decode_keys(&plaintext).map_err(js)?;
        let count = named.len();
        for (file, epoch, key) in named {
            self.keys.insert((file, epoch), key);
        }
        while self.keys.len() > KEYS_MAX {
            self.keys.pop_first();
        }
        Ok(count)
    }

    /// Forgets every content key.
    pub fn forget_keys(&mut self) {
        self.keys.clear();
    }

    /// The epoch of a chunk; undefined if there is no such file.
    pub fn epoch_of(&self, file: u32, chunk: u32) -> Option<u32> {
        self.manifest.file(FileIndex(file)).map(|described| described.epoch_of(chunk.into()).0)
    }

    /// How many epochs a file has.
    pub fn epochs(&self, file: u32) -> u32 {
        self.manifest.file(FileIndex(file)).map_or(0, |described| described.epochs())
    }

    /// Whether chunks of this epoch can be opened.
    pub fn has_key(&self, file: u32, epoch: u32) -> bool {
        !self.manifest.sealed || self.keys.contains_key(&(FileIndex(file), EpochIndex(epoch)))
    }

    /// Opens a verified chunk.
    pub fn open(&self, file: u32, chunk: u32, sealed: Vec<u8>) -> Result<Vec<u8>, JsError> {
        if !self.manifest.sealed {
            return Ok(sealed);
        }
        let epoch = self.epoch_of(file, chunk).ok_or_else(|| JsError::new("there is no such file"))?;
        let key = self.keys.get(&(FileIndex(file), EpochIndex(epoch)));
        let key = key.ok_or_else(|| JsError::new("the key of this epoch has not come, ask for a license"))?;
        let mut buffer = sealed;
        open_chunk_in_place(key, &self.manifest.release, ChunkAddress::new(file, chunk), &mut buffer)
            .map_err(js)?;
        Ok(buffer)
    }

    /// The page that holds a chunk's hash.
    pub fn page_of(&self, chunk: u32) -> u32 {
        page_of(chunk.into()).0.0
    }

    /// Whether that page was verified already.
    pub fn has_page(&self, file: u32, page: u32) -> bool {
        self.pages.contains_key(&(FileIndex(file), PageIndex(page)))
    }

    /// Whether `bytes` are this chunk as it travels; undefined while its hash page is missing.
    pub fn verify(&self, file: u32, chunk: u32, bytes: &[u8]) -> Option<bool> {
        let (page, position) = page_of(chunk.into());
        let page = self.pages.get(&(FileIndex(file), page))?;
        Some(page.chunk(position) == Some(chunk_hash(bytes)))
    }
}
