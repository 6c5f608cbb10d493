//! Which runs the cache holds and which of them goes first.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::time::UNIX_EPOCH;

use matinee_protocol::id::ReleaseId;
use matinee_protocol::limit::{CHUNK_BYTES, TAG_BYTES};

use super::{Error, MANIFEST_FILE};

/// A run of chunks of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct RunAddress {
    pub(super) release: ReleaseId,
    pub(super) file: u32,
    pub(super) run: u32,
}

/// What is known of a run.
#[derive(Debug, Clone, Copy, Default)]
struct Run {
    bytes: u64,
    /// Unix milliseconds.
    used_ms: u64,
    /// Writes under way: a run that is written to is never evicted.
    writers: u32,
}

/// Bookkeeping of the whole cache.
///
/// Invariant: `bytes` is the sum over `runs`, reservations of writes under way included.
#[derive(Debug)]
pub(super) struct Index {
    runs: BTreeMap<RunAddress, Run>,
    pins: HashMap<ReleaseId, u32>,
    bytes: u64,
    bytes_max: u64,
}

impl Index {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    pub(super) fn releases(&self) -> Vec<(ReleaseId, u64)> {
        let mut sums = BTreeMap::new();
        for (at, run) in &self.runs {
            *sums.entry(at.release).or_insert(0) += run.bytes;
        }
        sums.into_iter().collect()
    }

    pub(super) fn pin(&mut self, release: ReleaseId) {
        *self.pins.entry(release).or_insert(0) += 1;
    }

    pub(super) fn unpin(&mut self, release: ReleaseId) {
        if let Some(pins) = self.pins.get_mut(&release) {
            *pins -= 1;
            if *pins == 0 {
                self.pins.remove(&release);
            }
        }
    }

    /// Reserves room for a chunk of a run. `Err` names the run that must be evicted first, if there is one.
    pub(super) fn reserve(
        &mut self,
        at: RunAddress,
        bytes: u64,
        now_ms: u64,
    ) -> Result<(), Option<RunAddress>> {
        if self.bytes.saturating_add(bytes) > self.bytes_max {
            return Err(self.oldest_evictable(at));
        }
        let run = self.runs.entry(at).or_default();
        run.bytes += bytes;
        run.used_ms = now_ms;
        run.writers += 1;
        self.bytes += bytes;
        Ok(())
    }

    /// Ends a write. Bytes that were not written are given back.
    pub(super) fn end_write(&mut self, at: RunAddress, unused_bytes: u64) {
        if let Some(run) = self.runs.get_mut(&at) {
            run.writers = run.writers.saturating_sub(1);
        }
        self.forget_bytes(at, unused_bytes);
    }

    /// A chunk of the run was dropped.
    pub(super) fn forget_bytes(&mut self, at: RunAddress, bytes: u64) {
        if let Some(run) = self.runs.get_mut(&at) {
            let bytes = bytes.min(run.bytes);
            run.bytes -= bytes;
            self.bytes -= bytes;
            if run.bytes == 0 && run.writers == 0 {
                self.runs.remove(&at);
            }
        }
    }

    /// The run is gone.
    pub(super) fn remove(&mut self, at: RunAddress) {
        if let Some(run) = self.runs.remove(&at) {
            self.bytes -= run.bytes;
        }
    }

    pub(super) fn touch(&mut self, at: RunAddress, now_ms: u64) {
        if let Some(run) = self.runs.get_mut(&at) {
            run.used_ms = now_ms;
        }
    }

    fn oldest_evictable(&self, writing: RunAddress) -> Option<RunAddress> {
        self.runs
            .iter()
            .filter(|(at, run)| **at != writing && run.writers == 0 && !self.pins.contains_key(&at.release))
            .min_by_key(|(_, run)| run.used_ms)
            .map(|(at, _)| *at)
    }
}

/// Reads what a cache folder holds; whatever is not of its layout is left alone.
pub(super) fn scan(root: &Path, bytes_max: u64) -> Result<Index, Error> {
    let mut index = Index { runs: BTreeMap::new(), pins: HashMap::new(), bytes: 0, bytes_max };
    for entry in fs::read_dir(root).map_err(|error| Error::io(root, error))?.flatten() {
        let folder = entry.path();
        let release = entry.file_name().to_str().and_then(|name| name.parse::<ReleaseId>().ok());
        if let Some(release) = release
            && folder.join(MANIFEST_FILE).is_file()
        {
            scan_release(&folder, release, &mut index);
        }
    }
    index.bytes = index.runs.values().map(|run| run.bytes).sum();
    Ok(index)
}

fn scan_release(folder: &Path, release: ReleaseId, index: &mut Index) {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in files.filter(|entry| entry.path().is_dir()) {
        let Some(file) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let words = read_words(&folder.join(format!("{file}.have")));
        for chunks in fs::read_dir(entry.path()).into_iter().flatten().flatten() {
            let path = chunks.path();
            let run =
                path.file_stem().and_then(|name| name.to_str()).and_then(|name| name.parse::<u32>().ok());
            let Some(run) = run else { continue };
            let held = words.get(run as usize).copied().unwrap_or(0).count_ones();
            if held == 0 {
                // Left by a process that was stopped before the bit was set.
                let _ = fs::remove_file(&path);
                continue;
            }
            let used = chunks.metadata().and_then(|about| about.modified()).ok();
            let used = used.and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
            let run = RunAddress { release, file, run };
            let bytes = u64::from(held) * u64::from(CHUNK_BYTES + TAG_BYTES);
            let used_ms = u64::try_from(used.as_millis()).unwrap_or(u64::MAX);
            index.runs.insert(run, Run { bytes, used_ms, writers: 0 });
        }
    }
}

/// The bits of a file, a word a run; empty when there are none.
pub(super) fn read_words(path: &Path) -> Vec<u64> {
    let bytes = fs::read(path).unwrap_or_default();
    let words = bytes.chunks_exact(8);
    words.map(|word| u64::from_be_bytes(word.try_into().unwrap_or_default())).collect()
}
