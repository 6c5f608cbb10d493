//! One release of the cache.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use matinee_protocol::hash::{HashPage, chunk_hash};
use matinee_protocol::id::{ChunkAddress, ChunkIndex, FileIndex, PageIndex, ReleaseId};
use matinee_protocol::limit::{HASH_BYTES, PAGE_BYTES_MAX, PAGE_HASHES};
use matinee_protocol::manifest::Manifest;

use super::index::{RunAddress, read_words};
use super::{Cache, Error, RUN_CHUNKS};
use crate::clock;

/// A release's chunks and pages on disk.
///
/// Lock order: the cache's index, then `files`. Neither is held while chunk bytes are read or written.
#[derive(Debug)]
pub struct ReleaseStore {
    cache: Arc<Cache>,
    release: ReleaseId,
    folder: PathBuf,
    manifest: Arc<Manifest>,
    files: Mutex<HashMap<u32, FileState>>,
    /// Chunks that were evicted or found damaged since the owner last asked.
    lost: Mutex<Vec<ChunkAddress>>,
}

/// What is known of one file. Invariant: `words` is what the `.have` file holds.
#[derive(Debug, Default)]
struct FileState {
    words: Vec<u64>,
    pages: HashMap<u32, HashPage>,
}

/// Keeps a release from being evicted for as long as it lives.
#[derive(Debug)]
pub struct Pin {
    store: Arc<ReleaseStore>,
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.store.cache.index().unpin(self.store.release);
    }
}

impl ReleaseStore {
    pub(super) fn open(
        cache: Arc<Cache>,
        release: ReleaseId,
        folder: PathBuf,
        manifest: Arc<Manifest>,
    ) -> Result<Self, Error> {
        Ok(Self { cache, release, folder, manifest, files: Mutex::default(), lost: Mutex::default() })
    }

    /// The release.
    #[must_use]
    pub fn release(&self) -> ReleaseId {
        self.release
    }

    /// Its manifest.
    #[must_use]
    pub fn manifest(&self) -> &Arc<Manifest> {
        &self.manifest
    }

    /// Keeps every chunk of the release until the pin is dropped.
    #[must_use]
    pub fn pin(self: &Arc<Self>) -> Pin {
        self.cache.index().pin(self.release);
        Pin { store: Arc::clone(self) }
    }

    /// Chunks of a file that can be read and verified: bit set, run on disk, page known.
    #[must_use]
    pub fn held(&self, file: FileIndex) -> Vec<ChunkIndex> {
        let Some(about) = self.manifest.file(file) else {
            return Vec::new();
        };
        let chunks = about.chunks();
        let mut held = Vec::new();
        let mut files = self.files();
        let state = self.load(&mut files, file);
        for (run, word) in (0_u32..).zip(state.words.clone()) {
            let first = run * RUN_CHUNKS;
            if word == 0 || first >= chunks || !self.run_path(file, run).is_file() {
                continue;
            }
            let bits = (0..RUN_CHUNKS).filter(|bit| word >> bit & 1 == 1 && first + bit < chunks);
            for chunk in bits.map(|bit| first + bit) {
                if self.page_of(state, file, PageIndex(chunk / PAGE_HASHES)).is_some() {
                    held.push(ChunkIndex(chunk));
                }
            }
        }
        held
    }

    /// A hash page that was kept, verified again.
    #[must_use]
    pub fn page(&self, file: FileIndex, page: PageIndex) -> Option<HashPage> {
        let mut files = self.files();
        let state = self.load(&mut files, file);
        self.page_of(state, file, page)
    }

    /// Keeps a page if it is the one in the manifest.
    ///
    /// # Errors
    /// It is another, or the disk refuses; a full disk is no error, the page then stays in memory.
    pub fn put_page(&self, file: FileIndex, page: PageIndex, bytes: Bytes) -> Result<(), Error> {
        let about = self.manifest.file(file).ok_or(Error::Foreign("the file"))?;
        let hash = about.pages.get(page.get() as usize).ok_or(Error::Foreign("the hash page"))?;
        let verified = HashPage::verify(bytes, hash).map_err(|_| Error::Foreign("the hash page"))?;
        let path = self.pages_path(file);
        let mut files = self.files();
        let state = self.load(&mut files, file);
        if state.pages.contains_key(&page.get()) {
            return Ok(());
        }
        let at = u64::from(page.get()) * PAGE_BYTES_MAX as u64;
        let written = write_at(&path, at, verified.bytes());
        state.pages.insert(page.get(), verified);
        match written.map_err(|error| Error::io(&path, error)) {
            Err(Error::Full) | Ok(()) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Writes a chunk that was verified, then sets its bit. A chunk that is held already is left alone.
    ///
    /// # Errors
    /// [`Error::Full`], or the disk refuses, or the chunk has another size than the manifest says.
    pub fn write(&self, at: ChunkAddress, bytes: &[u8]) -> Result<(), Error> {
        if self.manifest.travel_chunk_bytes(at).map(u64::from) != Some(bytes.len() as u64) {
            return Err(Error::Foreign("the chunk"));
        }
        if self.holds(at) {
            return Ok(());
        }
        let run = self.run_address(at);
        let length = bytes.len() as u64;
        loop {
            let mut index = self.cache.index();
            match index.reserve(run, length, clock::now_ms()) {
                Ok(()) => break,
                Err(None) => return Err(Error::Full),
                // Under the index's lock, so that no write to the run can begin meanwhile.
                Err(Some(oldest)) => {
                    self.cache.evict(oldest);
                    index.remove(oldest);
                }
            }
        }
        let written = self.write_chunk(at, bytes).and_then(|()| self.set_bit(at, true));
        let unused = if written.as_ref().is_ok_and(|changed| *changed) { 0 } else { length };
        self.cache.index().end_write(run, unused);
        written.map(|_| ())
    }

    /// Reads a chunk and hashes it; `None` when it is not held.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the bytes are not the manifest's: the chunk is then no longer held.
    pub fn read(&self, at: ChunkAddress) -> Result<Option<Bytes>, Error> {
        let Some(length) = self.manifest.travel_chunk_bytes(at) else {
            return Ok(None);
        };
        if !self.holds(at) {
            return Ok(None);
        }
        let page = self.page(at.file, PageIndex(at.chunk.get() / PAGE_HASHES));
        let expected = page.and_then(|page| page.chunk(at.chunk.get() % PAGE_HASHES));
        let Some(expected) = expected else { return Ok(None) };
        let path = self.run_path(at.file, at.chunk.get() / RUN_CHUNKS);
        let mut bytes = vec![0; length as usize];
        let read = read_at(&path, self.offset_in_run(at), &mut bytes);
        match read {
            Ok(()) if chunk_hash(&bytes) == expected => {}
            Ok(()) => return Err(self.drop_chunk(at, u64::from(length))),
            Err(error) if is_missing(&error) => return Err(self.drop_chunk(at, u64::from(length))),
            Err(error) => return Err(Error::io(&path, error)),
        }
        self.cache.index().touch(self.run_address(at), clock::now_ms());
        Ok(Some(bytes.into()))
    }

    /// Whether the chunk's bit is set.
    #[must_use]
    pub fn holds(&self, at: ChunkAddress) -> bool {
        let mut files = self.files();
        let state = self.load(&mut files, at.file);
        bit_of(&state.words, at.chunk)
    }

    /// Chunks lost since this was last asked: evicted, or found damaged.
    #[must_use]
    pub fn take_lost(&self) -> Vec<ChunkAddress> {
        std::mem::take(&mut *self.lost.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Forgets a whole run before its file is unlinked. Called under the index's lock.
    pub(super) fn forget_run(&self, file: u32, run: u32) {
        let mut files = self.files();
        let state = self.load(&mut files, FileIndex(file));
        let Some(word) = state.words.get_mut(run as usize) else {
            return;
        };
        let held = std::mem::take(word);
        let chunks = (0..RUN_CHUNKS).filter(|bit| held >> bit & 1 == 1).map(|bit| run * RUN_CHUNKS + bit);
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        lost.extend(chunks.map(|chunk| ChunkAddress::new(file, chunk)));
    }

    fn drop_chunk(&self, at: ChunkAddress, length: u64) -> Error {
        match self.set_bit(at, false) {
            Ok(true) => {
                self.cache.index().forget_bytes(self.run_address(at), length);
                self.lost.lock().unwrap_or_else(PoisonError::into_inner).push(at);
            }
            Ok(false) => {}
            Err(error) => return error,
        }
        Error::Corrupt
    }

    /// Sets or clears a bit, in memory and on disk; tells whether it changed.
    fn set_bit(&self, at: ChunkAddress, held: bool) -> Result<bool, Error> {
        let run = at.chunk.get() / RUN_CHUNKS;
        let mask = 1_u64 << (at.chunk.get() % RUN_CHUNKS);
        let path = self.have_path(at.file);
        let mut files = self.files();
        let state = self.load(&mut files, at.file);
        if state.words.len() <= run as usize {
            state.words.resize(run as usize + 1, 0);
        }
        let before = state.words[run as usize];
        let after = if held { before | mask } else { before & !mask };
        if before == after {
            return Ok(false);
        }
        write_at(&path, u64::from(run) * 8, &after.to_be_bytes()).map_err(|error| Error::io(&path, error))?;
        state.words[run as usize] = after;
        Ok(true)
    }

    fn write_chunk(&self, at: ChunkAddress, bytes: &[u8]) -> Result<(), Error> {
        let path = self.run_path(at.file, at.chunk.get() / RUN_CHUNKS);
        let offset = self.offset_in_run(at);
        let written = match write_at(&path, offset, bytes) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let folder = path.parent().unwrap_or(&self.folder);
                fs::create_dir_all(folder).and_then(|()| write_at(&path, offset, bytes))
            }
            written => written,
        };
        written.map_err(|error| Error::io(&path, error))
    }

    fn page_of(&self, state: &mut FileState, file: FileIndex, page: PageIndex) -> Option<HashPage> {
        if let Some(held) = state.pages.get(&page.get()) {
            return Some(held.clone());
        }
        let about = self.manifest.file(file)?;
        let hash = about.pages.get(page.get() as usize)?;
        let hashes = about.chunks().saturating_sub(page.get() * PAGE_HASHES).min(PAGE_HASHES);
        let mut bytes = vec![0; hashes as usize * HASH_BYTES];
        let at = u64::from(page.get()) * PAGE_BYTES_MAX as u64;
        read_at(&self.pages_path(file), at, &mut bytes).ok()?;
        let verified = HashPage::verify(bytes.into(), hash).ok()?;
        state.pages.insert(page.get(), verified.clone());
        Some(verified)
    }

    fn load<'a>(&self, files: &'a mut HashMap<u32, FileState>, file: FileIndex) -> &'a mut FileState {
        files
            .entry(file.get())
            .or_insert_with(|| FileState { words: read_words(&self.have_path(file)), pages: HashMap::new() })
    }

    fn offset_in_run(&self, at: ChunkAddress) -> u64 {
        let full = self.manifest.travel_chunk_bytes(ChunkAddress { file: at.file, chunk: ChunkIndex(0) });
        u64::from(at.chunk.get() % RUN_CHUNKS) * u64::from(full.unwrap_or(0))
    }

    fn run_address(&self, at: ChunkAddress) -> RunAddress {
        RunAddress { release: self.release, file: at.file.get(), run: at.chunk.get() / RUN_CHUNKS }
    }

    fn run_path(&self, file: FileIndex, run: u32) -> PathBuf {
        run_path(&self.folder, file.get(), run)
    }

    fn have_path(&self, file: FileIndex) -> PathBuf {
        have_path(&self.folder, file.get())
    }

    fn pages_path(&self, file: FileIndex) -> PathBuf {
        self.folder.join(format!("{file}.pages"))
    }

    fn files(&self) -> MutexGuard<'_, HashMap<u32, FileState>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cache {
    /// Removes a run: first its bits, then its bytes. Called under the index's lock; failures leave only
    /// bytes without bits, which the next start removes.
    pub(super) fn evict(&self, at: RunAddress) {
        let folder = self.release_folder(at.release);
        let _ = write_at(&have_path(&folder, at.file), u64::from(at.run) * 8, &0_u64.to_be_bytes());
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = open.get(&at.release).and_then(std::sync::Weak::upgrade) {
            store.forget_run(at.file, at.run);
        }
        let _ = fs::remove_file(run_path(&folder, at.file, at.run));
    }
}

fn run_path(folder: &Path, file: u32, run: u32) -> PathBuf {
    folder.join(file.to_string()).join(format!("{run}.chunks"))
}

fn have_path(folder: &Path, file: u32) -> PathBuf {
    folder.join(format!("{file}.have"))
}

fn bit_of(words: &[u64], chunk: ChunkIndex) -> bool {
    let word = words.get((chunk.get() / RUN_CHUNKS) as usize).copied().unwrap_or(0);
    word >> (chunk.get() % RUN_CHUNKS) & 1 == 1
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof)
}

fn write_at(path: &Path, offset: u64, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(bytes)
}

fn read_at(path: &Path, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(bytes)
}
