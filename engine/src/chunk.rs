//! The state of every chunk, and what is wanted.
//!
//! *Architecture invariant:* a chunk is in exactly one state, [`ChunkTable`] owns it, and these are all the transitions:
//!
//! | from \ to | absent | requested (1 source) | requested (2 or 3 sources) | held |
//! | --- | --- | --- | --- | --- |
//! | absent | | `request` | | `hold` (found on disk, or verified after its request was given up) |
//! | requested (1) | `release` of its source | | `request` of another source (end-game, urgent) | `hold` |
//! | requested (2 or 3) | | `release` of the others | `release` or `request` of one | `hold` |
//! | held | `lose` | | | |
//!
//! A *source* is a peer or an origin run. Derived from the states: a chunk is **open** if it is wanted, absent, and its
//! hash page is known, that is if it may be requested now. Open chunks are kept as a set, so that schedulers never search
//! the others.

use std::collections::{BTreeMap, BTreeSet};

use matinee_protocol::id::{ChunkAddress, PeerId};
use matinee_protocol::limit::PAGE_HASHES;
use matinee_protocol::manifest::Manifest;

use crate::input::Want;
use crate::inventory::Bitset;

const PAGE_WORDS: usize = PAGE_HASHES as usize / 64;
/// A chunk has at most this many sources at once: two, and the origin where two peers fail near the playhead.
const SOURCES_MAX: usize = 3;

/// Where a chunk was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    Peer(PeerId),
    Origin(u64),
}

impl Source {
    pub(crate) fn peer(self) -> Option<PeerId> {
        if let Self::Peer(peer) = self { Some(peer) } else { None }
    }

    pub(crate) fn request(self) -> Option<u64> {
        if let Self::Origin(request) = self { Some(request) } else { None }
    }
}

/// A run of chunks in a file that a reader wants: `first..end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) file: u32,
    pub(crate) first: u32,
    pub(crate) end: u32,
}

impl Window {
    fn contains(&self, file: u32, chunk: u32) -> bool {
        self.file == file && (self.first..self.end).contains(&chunk)
    }
}

#[derive(Debug)]
struct FileTable {
    chunks: u32,
    held: Bitset,
    /// Wanted by `Want`, apart from windows.
    base: Bitset,
    wanted: Bitset,
    open: Bitset,
    /// Pages whose hashes are known.
    paged: Bitset,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct ChunkTable {
    files: Vec<FileTable>,
    flights: BTreeMap<ChunkAddress, Vec<Source>>,
    windows: BTreeMap<u32, Window>,
    open_files: BTreeSet<u32>,
    held: u64,
    missing: u64,
    total: u64,
    openings: u64,
}

impl ChunkTable {
    pub(crate) fn new(manifest: &Manifest) -> Self {
        let files: Vec<FileTable> = manifest
            .files
            .iter()
            .map(|file| {
                let chunks = file.chunks();
                let empty = || Bitset::new(chunks);
                let paged = Bitset::new(chunks.div_ceil(PAGE_HASHES));
                FileTable { chunks, held: empty(), base: empty(), wanted: empty(), open: empty(), paged }
            })
            .collect();
        let total = files.iter().map(|file| u64::from(file.chunks)).sum();
        Self {
            files,
            flights: BTreeMap::new(),
            windows: BTreeMap::new(),
            open_files: BTreeSet::new(),
            held: 0,
            missing: 0,
            total,
            openings: 0,
        }
    }

    fn file(&self, at: ChunkAddress) -> Option<&FileTable> {
        self.files.get(at.file.get() as usize)
    }

    /// Chunks of a file; 0 if there is no such file.
    pub(crate) fn chunks(&self, file: u32) -> u32 {
        self.files.get(file as usize).map_or(0, |file| file.chunks)
    }

    pub(crate) fn exists(&self, at: ChunkAddress) -> bool {
        at.chunk.get() < self.chunks(at.file.get())
    }

    pub(crate) fn is_held(&self, at: ChunkAddress) -> bool {
        self.file(at).is_some_and(|file| file.held.contains(at.chunk.get()))
    }

    pub(crate) fn is_open(&self, at: ChunkAddress) -> bool {
        self.file(at).is_some_and(|file| file.open.contains(at.chunk.get()))
    }

    pub(crate) fn is_wanted(&self, at: ChunkAddress) -> bool {
        self.file(at).is_some_and(|file| file.wanted.contains(at.chunk.get()))
    }

    /// Every requested chunk.
    pub(crate) fn requested(&self) -> impl Iterator<Item = (ChunkAddress, &[Source])> {
        self.flights.iter().map(|(at, sources)| (*at, sources.as_slice()))
    }

    pub(crate) fn requested_count(&self) -> usize {
        self.flights.len()
    }

    pub(crate) fn held_set(&self, file: u32) -> Option<&Bitset> {
        self.files.get(file as usize).map(|file| &file.held)
    }

    pub(crate) fn open_set(&self, file: u32) -> Option<&Bitset> {
        self.files.get(file as usize).map(|file| &file.open)
    }

    /// Files with open chunks, from `from` on.
    pub(crate) fn open_files(&self, from: u32) -> impl Iterator<Item = u32> {
        self.open_files.range(from..).copied()
    }

    /// Chunks held, wanted but not held, and in the release.
    pub(crate) fn counts(&self) -> (u64, u64, u64) {
        (self.held, self.missing, self.total)
    }

    /// Grows whenever a chunk becomes open: who found nothing to ask for need not look again before.
    pub(crate) fn openings(&self) -> u64 {
        self.openings
    }

    /// absent → requested, or a second source for a requested one. False if the transition is not allowed.
    pub(crate) fn request(&mut self, at: ChunkAddress, source: Source) -> bool {
        if !self.exists(at) || self.is_held(at) {
            return false;
        }
        let sources = self.flights.entry(at).or_default();
        if sources.len() >= SOURCES_MAX || sources.contains(&source) {
            return false;
        }
        sources.push(source);
        self.refresh(at.file.get(), at.chunk.get());
        true
    }

    /// One source is given up. Without another one the chunk is absent again.
    pub(crate) fn release(&mut self, at: ChunkAddress, source: Source) {
        let Some(sources) = self.flights.get_mut(&at) else {
            return;
        };
        sources.retain(|other| *other != source);
        if sources.is_empty() {
            self.flights.remove(&at);
            self.refresh(at.file.get(), at.chunk.get());
        }
    }

    /// The chunk is verified (or was found on disk). Gives the sources it was still asked of; `None` if it was held before.
    pub(crate) fn hold(&mut self, at: ChunkAddress) -> Option<Vec<Source>> {
        let file = self.files.get_mut(at.file.get() as usize)?;
        let chunk = at.chunk.get();
        if !file.held.insert(chunk) {
            return None;
        }
        self.held += 1;
        self.missing -= u64::from(file.wanted.contains(chunk));
        let sources = self.flights.remove(&at).unwrap_or_default();
        self.refresh(at.file.get(), chunk);
        Some(sources)
    }

    /// held → absent; true if it was held.
    pub(crate) fn lose(&mut self, at: ChunkAddress) -> bool {
        let Some(file) = self.files.get_mut(at.file.get() as usize) else {
            return false;
        };
        let chunk = at.chunk.get();
        if !file.held.remove(chunk) {
            return false;
        }
        self.held -= 1;
        self.missing += u64::from(file.wanted.contains(chunk));
        self.refresh(at.file.get(), chunk);
        true
    }

    /// Replaces the wish that stands apart from readers.
    pub(crate) fn want(&mut self, want: &Want) {
        for file in &mut self.files {
            file.base.clear();
            if *want == Want::Everything {
                file.base.fill(0, file.chunks);
            }
        }
        if let Want::Only(runs) = want {
            for (file, first, count) in runs {
                if let Some(file) = self.files.get_mut(file.get() as usize) {
                    file.base.fill(first.get(), first.get().saturating_add(*count));
                }
            }
        }
        self.missing = 0;
        for index in 0..self.files.len() {
            self.rebuild(index as u32);
        }
    }

    /// A reader's window moves, appears or goes.
    pub(crate) fn set_window(&mut self, reader: u32, window: Option<Window>) {
        let old = match window {
            Some(window) => self.windows.insert(reader, window),
            None => self.windows.remove(&reader),
        };
        if old == window {
            return;
        }
        for window in [old, window].into_iter().flatten() {
            for chunk in window.first..window.end {
                self.rewant(window.file, chunk);
            }
        }
    }

    /// The hashes of a page became known, or were dropped from memory.
    pub(crate) fn set_paged(&mut self, file: u32, page: u32, known: bool) {
        let Some(table) = self.files.get_mut(file as usize) else {
            return;
        };
        let changed = if known { table.paged.insert(page) } else { table.paged.remove(page) };
        if changed {
            let first = page as usize * PAGE_WORDS;
            for word in first..(first + PAGE_WORDS).min(table.held.word_count()) {
                self.rebuild_word(file, word);
            }
            self.note_open(file);
        }
    }

    /// The first page from `from` on that has a wanted, absent chunk and whose hashes are not known.
    pub(crate) fn next_lacking_page(&self, file: u32, from: u32) -> Option<u32> {
        let table = self.files.get(file as usize)?;
        if table.wanted.is_empty() {
            return None;
        }
        let pages = table.chunks.div_ceil(PAGE_HASHES);
        let mut page = table.paged.next_gap(from);
        while page < pages {
            if self.page_is_missed(file, page) {
                return Some(page);
            }
            page = table.paged.next_gap(page + 1);
        }
        None
    }

    /// Whether a chunk of the page is wanted and not held.
    pub(crate) fn page_is_missed(&self, file: u32, page: u32) -> bool {
        let Some(table) = self.files.get(file as usize) else {
            return false;
        };
        let first = page as usize * PAGE_WORDS;
        (first..first + PAGE_WORDS).any(|word| table.wanted.word(word) & !table.held.word(word) != 0)
    }

    /// Whether a chunk of the page is requested.
    pub(crate) fn page_has_requests(&self, file: u32, page: u32) -> bool {
        let first = page * PAGE_HASHES;
        let last = first.saturating_add(PAGE_HASHES - 1);
        self.flights.range(ChunkAddress::new(file, first)..=ChunkAddress::new(file, last)).next().is_some()
    }

    pub(crate) fn file_count(&self) -> u32 {
        self.files.len() as u32
    }

    fn rewant(&mut self, file: u32, chunk: u32) {
        let in_window = self.windows.values().any(|window| window.contains(file, chunk));
        let Some(table) = self.files.get_mut(file as usize) else {
            return;
        };
        let wanted = in_window || table.base.contains(chunk);
        let changed = if wanted { table.wanted.insert(chunk) } else { table.wanted.remove(chunk) };
        if changed {
            if !table.held.contains(chunk) {
                if wanted { self.missing += 1 } else { self.missing -= 1 }
            }
            self.refresh(file, chunk);
        }
    }

    /// Brings `open` in line for one chunk.
    fn refresh(&mut self, file: u32, chunk: u32) {
        let requested = self.flights.contains_key(&ChunkAddress::new(file, chunk));
        let Some(table) = self.files.get_mut(file as usize) else {
            return;
        };
        let open = !requested
            && !table.held.contains(chunk)
            && table.wanted.contains(chunk)
            && table.paged.contains(chunk / PAGE_HASHES);
        let changed = if open { table.open.insert(chunk) } else { table.open.remove(chunk) };
        if changed {
            self.openings += u64::from(open);
            self.note_open(file);
        }
    }

    fn note_open(&mut self, file: u32) {
        if self.files[file as usize].open.is_empty() {
            self.open_files.remove(&file);
        } else {
            self.open_files.insert(file);
        }
    }

    /// Brings `wanted`, `open` and the count of missing chunks in line for a file, after `missing` was set to 0.
    fn rebuild(&mut self, index: u32) {
        let table = &mut self.files[index as usize];
        for word in 0..table.base.word_count() {
            table.wanted.set_word(word, table.base.word(word));
        }
        for window in self.windows.values().filter(|window| window.file == index) {
            table.wanted.fill(window.first, window.end);
        }
        for word in 0..table.base.word_count() {
            self.missing += u64::from((table.wanted.word(word) & !table.held.word(word)).count_ones());
        }
        for word in 0..self.files[index as usize].base.word_count() {
            self.rebuild_word(index, word);
        }
        self.note_open(index);
    }

    fn rebuild_word(&mut self, file: u32, word: usize) {
        let table = &mut self.files[file as usize];
        let mut open = 0;
        if table.paged.contains((word / PAGE_WORDS) as u32) {
            open = table.wanted.word(word) & !table.held.word(word);
            let first = word as u32 * 64;
            let requested =
                ChunkAddress::new(file, first)..=ChunkAddress::new(file, first.saturating_add(63));
            for (at, _) in self.flights.range(requested) {
                open &= !(1 << (at.chunk.get() - first));
            }
        }
        self.openings += u64::from(open & !table.open.word(word) != 0);
        table.open.set_word(word, open);
    }
}

#[cfg(test)]
mod tests;
