//! When the origin is asked, and by whom: with patience where peers may still deliver.
//!
//! Who fetches what, so that many viewers together take about one copy: a chunk that no connected peer holds is fetched
//! well ahead only by the device that ranks first for it among those that lack it (rendezvous hashing of
//! thumbprints over groups of chunks). The second in rank waits until the chunk is urgent, the others still longer. Near the
//! deadline everyone fetches, so that the player never depends on anybody's good will.

use std::collections::BTreeSet;

use matinee_protocol::id::{ChunkAddress, ChunkIndex, Thumbprint};

use crate::chunk::Source;
use crate::config::OriginPolicy;
use crate::origin::{Cursor, Run};
use crate::output::Output;
use crate::swarm::Swarm;

/// Chunks that rank together.
const GROUP_CHUNKS: u32 = 2;
/// Chunks of a window looked at for the origin in one go.
const LOOKED_AT_MAX: usize = 256;
/// The same without a playhead, a tick.
const BACKGROUND_LOOKED_AT_MAX: u32 = 2_048;

impl Swarm {
    /// Chunks of readers' windows for the origin that no peer holds; those which peers hold are judged with the urgent ones.
    pub(crate) fn origin_candidates(&self, candidates: &mut BTreeSet<(u64, ChunkAddress)>) {
        if !self.origin.is_usable(&self.config, self.now_ms) {
            return;
        }
        for reader in self.readers.values() {
            let Some(open) = self.chunks.open_set(reader.file) else {
                continue;
            };
            let mut from = reader.first;
            for _ in 0..LOOKED_AT_MAX {
                let Some(chunk) = open.next(from, reader.end) else {
                    break;
                };
                from = chunk + 1;
                let at = ChunkAddress::new(reader.file, chunk);
                if self.available(at) > 0 {
                    continue;
                }
                let deadline = reader.deadline_ms(chunk);
                let slack = deadline.saturating_sub(self.now_ms);
                if slack <= self.origin_ahead_ms(at) {
                    candidates.insert((deadline, at));
                }
            }
        }
    }

    /// How long before its deadline a chunk that peers will not deliver in time is this device's to fetch.
    pub(crate) fn origin_ahead_ms(&self, at: ChunkAddress) -> u64 {
        let lead_ms = self.origin.lead_ms(&self.config);
        if self.is_alone() {
            return u64::MAX;
        }
        if self.is_early() {
            return lead_ms;
        }
        match self.rank(at) {
            0 => u64::MAX,
            rank => lead_ms + self.config.urgent_ms.saturating_sub(lead_ms) / (rank + 1),
        }
    }

    /// Peers are still expected to appear, so only what is needed soon comes from the origin.
    fn is_early(&self) -> bool {
        self.peers_expected != Some(0)
            && self.demand_ms.is_some_and(|since| self.now_ms < since + self.config.peer_grace_ms)
    }

    /// No peers, and none to be waited for.
    pub(crate) fn is_alone(&self) -> bool {
        self.config.origin == OriginPolicy::Only
            || (!self.is_early() && self.peers.values().all(|peer| !peer.is_ready()))
    }

    /// How many connected devices that lack a chunk come before this one for its group of chunks.
    fn rank(&self, at: ChunkAddress) -> u64 {
        let own = weight(self.identity.thumbprint, at);
        let others = self.peers.values().filter(|peer| !peer.has(at)).filter_map(|peer| peer.member.as_ref());
        others.filter(|member| weight(member.thumbprint, at) < own).count() as u64
    }

    /// Fetches candidates, earliest deadline first, neighbors together.
    pub(crate) fn fetch_runs(&mut self, mut candidates: BTreeSet<(u64, ChunkAddress)>) {
        let mut chunks: BTreeSet<ChunkAddress> = candidates.iter().map(|(_, at)| *at).collect();
        let soon_ms = self.now_ms + self.origin.lead_ms(&self.config);
        while let Some((deadline, first)) = candidates.pop_first() {
            if !chunks.remove(&first) {
                continue;
            }
            // The last run is kept for what is needed soon.
            let most = self.config.origin_runs_max.max(1);
            let most = if deadline <= soon_ms { most } else { (most - 1).max(1) };
            if self.origin.runs.len() >= most && !(deadline <= soon_ms && self.preempt(soon_ms)) {
                return;
            }
            let mut run = vec![first];
            let mut next = first;
            while run.len() < self.config.origin_run_chunks_max.min(64) as usize {
                next.chunk = ChunkIndex(next.chunk.get().saturating_add(1));
                if !chunks.remove(&next) {
                    break;
                }
                run.push(next);
            }
            self.fetch_run(&run);
        }
    }

    /// Stops the run that is needed last, if none of it is needed before that time.
    fn preempt(&mut self, soon_ms: u64) -> bool {
        let needed_ms =
            |run: &Run| run.pending().filter_map(|at| self.deadline_of(at)).min().unwrap_or(u64::MAX);
        let runs = self.origin.runs.iter().map(|(request, run)| (needed_ms(run), *request));
        let Some((_, request)) = runs.max().filter(|(needed_ms, _)| *needed_ms > soon_ms) else {
            return false;
        };
        let chunks = self.origin.runs.get(&request).map(|run| run.pending().collect::<Vec<_>>());
        for at in chunks.into_iter().flatten() {
            self.give_up(Source::Origin(request), at);
        }
        true
    }

    fn fetch_run(&mut self, wished: &[ChunkAddress]) {
        let request = self.origin.next_request;
        let now_ms = self.now_ms;
        let mut count = 0;
        for at in wished {
            if self.origin.is_refused(*at, now_ms) || !self.chunks.request(*at, Source::Origin(request)) {
                break;
            }
            count += 1;
        }
        let Some(first) = wished.first().filter(|_| count > 0) else {
            return;
        };
        self.origin.next_request += 1;
        let pending = if count == 64 { !0 } else { (1 << count) - 1 };
        let (file, chunk) = (first.file.get(), first.chunk.get());
        let run = Run { file, first: chunk, pending, asked_ms: now_ms, progress_ms: now_ms, heard: false };
        if self.origin.runs.is_empty() {
            self.origin.rate.start(now_ms);
        }
        self.origin.runs.insert(request, run);
        self.outputs.push_back(Output::FetchOrigin { request, file: first.file, first: first.chunk, count });
    }

    /// What is wanted without a playhead comes from the origin only where peers do not get on.
    pub(crate) fn schedule_background_origin(&mut self) {
        if !self.origin.is_usable(&self.config, self.now_ms) {
            return;
        }
        let alone = self.is_alone();
        if !alone && self.is_early() {
            return;
        }
        let quiet_ms =
            self.now_ms.saturating_sub(self.peer_progress_ms.max(self.demand_ms.unwrap_or(self.now_ms)));
        let stalled = quiet_ms >= self.config.origin_patience_ms;
        let from = std::mem::take(&mut self.origin.cursor);
        let mut candidates = BTreeSet::new();
        let mut looked_at = 0;
        let later = self.chunks.open_files(from.file);
        let files: Vec<u32> = later.chain(self.chunks.open_files(0)).take(8).collect();
        for (turn, file) in files.into_iter().enumerate() {
            let Some(open) = self.chunks.open_set(file) else {
                continue;
            };
            let mut chunk = if turn == 0 && file == from.file { from.chunk } else { 0 };
            while let Some(found) = open.next(chunk, u32::MAX) {
                chunk = found + 1;
                looked_at += 1;
                if looked_at >= BACKGROUND_LOOKED_AT_MAX || candidates.len() >= 32 {
                    self.origin.cursor = Cursor { file, chunk };
                    return self.fetch_runs(candidates);
                }
                let at = ChunkAddress::new(file, found);
                if self.deadline_of(at).is_some() {
                    continue; // a reader's: see `origin_candidates`
                }
                let fetch = alone || stalled || (self.available(at) == 0 && self.is_own_turn(at, quiet_ms));
                if fetch && !self.origin.is_refused(at, self.now_ms) {
                    candidates.insert((u64::MAX, at));
                }
            }
        }
        self.fetch_runs(candidates);
    }

    fn is_own_turn(&self, at: ChunkAddress, quiet_ms: u64) -> bool {
        quiet_ms >= self.rank(at) * self.config.origin_patience_ms
    }
}

/// Rendezvous weight of a device for a group of chunks: the least one fetches.
fn weight(thumbprint: Thumbprint, at: ChunkAddress) -> u64 {
    let bytes = thumbprint.as_bytes();
    let mut name = [0; 8];
    name.copy_from_slice(&bytes[..8]);
    let place = u64::from(at.file.get()) << 32 | u64::from(at.chunk.get() / GROUP_CHUNKS);
    // The finalizer of SplitMix64 (Steele, Lea, Flood 2014).
    let mut mixed = u64::from_le_bytes(name) ^ place.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
