//! What to ask of whom: deadlines first, then the rarest, from several peers at once.

use std::collections::BTreeSet;

use matinee_protocol::id::{ChunkAddress, PeerId};
use matinee_protocol::limit::CHUNK_BYTES;
use rand_pcg::rand_core::Rng;

use crate::chunk::Window;
use crate::config::AHEAD_CHUNKS_MAX;
use crate::input::Playhead;
use crate::peer::Peer;
use crate::swarm::Swarm;

/// Readers followed at once.
const READERS_MAX: usize = 16;
/// Chunks a reader that waits is taken to need at once: a first frame takes about a megabyte.
const START_CHUNKS: u32 = 4;
/// A reader that moves on faster than its file plays has a buffer of its own; it is credited with this much of it at most,
/// as speeds are averages.
const READ_AHEAD_MS_MAX: u64 = 6_000;
/// Urgent chunks looked at in one go.
const URGENT_CHUNKS_MAX: usize = 256;
/// Chunks among which the rarest is chosen: all of them in a small file, a sample from a random place in a large one.
const SAMPLE_CHUNKS: usize = 64;
/// The same ahead of a playhead: the next ones, so that what is near does not wait for what is rare.
const SAMPLE_AHEAD_CHUNKS: usize = 24;
/// Files looked at for one choice.
const SAMPLE_FILES: usize = 512;

/// A reader's window and its deadlines.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader {
    pub(crate) file: u32,
    pub(crate) first: u32,
    pub(crate) end: u32,
    /// When `first` is needed.
    since_ms: u64,
    bytes_per_s: u64,
    /// It waits for the first chunk (start, seek, stall): then it will want the next ones at once, too.
    waits: bool,
}

impl Reader {
    /// When a chunk of the window is needed.
    pub(crate) fn deadline_ms(&self, chunk: u32) -> u64 {
        let ahead = chunk.saturating_sub(self.first);
        if self.waits && ahead < START_CHUNKS {
            return self.since_ms;
        }
        let ahead = u64::from(ahead) * u64::from(CHUNK_BYTES);
        self.since_ms + self.duration_ms(ahead)
    }

    /// How long so many bytes play.
    pub(crate) fn duration_ms(&self, bytes: u64) -> u64 {
        bytes.saturating_mul(1000) / self.bytes_per_s
    }

    /// The first chunk whose deadline is not before that time.
    fn first_due_after(&self, time_ms: u64) -> u32 {
        let bytes = time_ms.saturating_sub(self.since_ms).saturating_mul(self.bytes_per_s) / 1000;
        let mut ahead = bytes.div_ceil(u64::from(CHUNK_BYTES));
        if self.waits && time_ms > self.since_ms {
            ahead = ahead.max(u64::from(START_CHUNKS));
        }
        u32::try_from(u64::from(self.first) + ahead).unwrap_or(u32::MAX)
    }
}

impl Swarm {
    pub(crate) fn on_playhead(&mut self, number: u32, playhead: Option<Playhead>) {
        let playhead = playhead.filter(|playhead| {
            let known = self.readers.contains_key(&number) || self.readers.len() < READERS_MAX;
            known && !self.leaving && playhead.chunk.get() < self.chunks.chunks(playhead.file.get())
        });
        let former = self.readers.get(&number).copied();
        let reader = playhead.map(|playhead| {
            let first = playhead.chunk.get();
            let ahead = playhead.ahead_chunks.clamp(1, AHEAD_CHUNKS_MAX);
            let file = playhead.file.get();
            let end = first.saturating_add(ahead).min(self.chunks.chunks(file));
            let bytes_per_s = playhead.bytes_per_s.max(1);
            let reads_on =
                former.filter(|former| former.file == file && (former.first..=former.end).contains(&first));
            let since_ms = reads_on.map_or(self.now_ms, |former| {
                let due_ms = Reader { waits: false, ..former }.deadline_ms(first);
                due_ms.clamp(self.now_ms, self.now_ms + READ_AHEAD_MS_MAX)
            });
            let waits = since_ms <= self.now_ms && !self.chunks.is_held(ChunkAddress::new(file, first));
            Reader { file, first, end, since_ms, bytes_per_s, waits }
        });
        match reader {
            Some(reader) => {
                self.note_demand(true);
                self.readers.insert(number, reader);
            }
            None => {
                self.readers.remove(&number);
            }
        }
        self.chunks.set_window(
            number,
            reader.map(|reader| Window { file: reader.file, first: reader.first, end: reader.end }),
        );
        self.drop_unwanted();
        self.dirty = true;
    }

    /// Asks for whatever may be asked for now.
    pub(crate) fn schedule(&mut self) {
        if self.leaving {
            return;
        }
        self.schedule_pages();
        let mut candidates = BTreeSet::new();
        self.schedule_urgent(&mut candidates);
        self.schedule_peers();
        if !self.readers.is_empty() && self.origin.runs.len() < self.config.origin_runs_max {
            self.origin_candidates(&mut candidates);
            candidates.retain(|(_, at)| self.chunks.is_open(*at));
            self.fetch_runs(candidates);
        }
    }

    /// Chunks due soon: each to the peer that is expected to have delivered it first, to the origin if none will in time.
    fn schedule_urgent(&mut self, candidates: &mut BTreeSet<(u64, ChunkAddress)>) {
        let usable = self.origin.is_usable(&self.config, self.now_ms);
        for (deadline, at) in self.urgent_chunks() {
            let origin = usable && !self.origin.is_refused(at, self.now_ms);
            let (idle, any) = self.best_peer(at);
            let Some(soonest) = any else { continue }; // nobody has it: see `origin_candidates`
            let slack = deadline.saturating_sub(self.now_ms);
            match idle {
                Some((peer, expected)) if !origin || self.is_in_time(deadline, expected) => {
                    self.ask(peer, at);
                }
                _ if !origin || self.is_in_time(deadline, soonest) => {} // who has it will have room in time
                _ if slack <= self.origin_ahead_ms(at) => {
                    candidates.insert((deadline, at));
                }
                Some((peer, expected)) if expected <= slack => {
                    self.ask(peer, at);
                }
                _ => {}
            }
        }
    }

    /// Open chunks due within the urgent time, by deadline.
    fn urgent_chunks(&self) -> Vec<(u64, ChunkAddress)> {
        let until_ms = self.now_ms + self.config.urgent_ms;
        let mut urgent = Vec::new();
        for reader in self.readers.values() {
            let Some(open) = self.chunks.open_set(reader.file) else {
                continue;
            };
            let end = reader.end.min(reader.first_due_after(until_ms));
            let mut from = reader.first;
            while let Some(chunk) = open.next(from, end).filter(|_| urgent.len() < URGENT_CHUNKS_MAX) {
                urgent.push((reader.deadline_ms(chunk), ChunkAddress::new(reader.file, chunk)));
                from = chunk + 1;
            }
        }
        urgent.sort_unstable();
        urgent.dedup_by_key(|(_, at)| *at);
        urgent
    }

    /// The peer with room that would deliver first, and the expected time of the best one with or without room.
    pub(crate) fn best_peer(&self, at: ChunkAddress) -> (Option<(PeerId, u64)>, Option<u64>) {
        let full = self.chunks.requested_count() >= self.config.chunks_in_flight_max;
        let mut idle: Option<(PeerId, u64)> = None;
        let mut any: Option<u64> = None;
        for (id, peer) in self.peers.iter().filter(|(_, peer)| peer.is_ready() && peer.may_give(at)) {
            let expected = peer.expected_ms(self.now_ms, CHUNK_BYTES);
            any = Some(any.map_or(expected, |best| best.min(expected)));
            let better = idle.is_none_or(|(_, best)| expected < best);
            if better && !full && peer.room(&self.config, self.now_ms) > 0 {
                idle = Some((*id, expected));
            }
        }
        (idle, any)
    }

    /// Whether a delivery in `expected` ms leaves time to turn to the origin should it fail; or, if it is too late for
    /// that, whether it is no slower than the origin.
    fn is_in_time(&self, deadline_ms: u64, expected_ms: u64) -> bool {
        let slack = deadline_ms.saturating_sub(self.now_ms);
        let lead = self.origin.lead_ms(&self.config);
        expected_ms <= slack.saturating_sub(lead).max(self.origin.expected_ms())
    }

    /// When the chunk is needed by the first reader that needs it.
    pub(crate) fn deadline_of(&self, at: ChunkAddress) -> Option<u64> {
        let readers = self.readers.values();
        let within = readers.filter(|reader| {
            reader.file == at.file.get() && (reader.first..reader.end).contains(&at.chunk.get())
        });
        within.map(|reader| reader.deadline_ms(at.chunk.get())).min()
    }

    /// How many ready peers hold a chunk.
    pub(crate) fn available(&self, at: ChunkAddress) -> u16 {
        self.availability.get(at.file.get() as usize).map_or(0, |counts| counts.get(at.chunk.get()))
    }

    /// Fills every peer's room, one chunk each in turn so that work spreads.
    fn schedule_peers(&mut self) {
        let room = |peer: &Peer| peer.room(&self.config, self.now_ms);
        let openings = self.chunks.openings();
        let mut free: Vec<(PeerId, usize)> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.dry_at != Some(openings))
            .map(|(id, peer)| (*id, room(peer)))
            .filter(|(_, room)| *room > 0)
            .collect();
        if !free.is_empty() {
            let start = self.rng.next_u64() as usize % free.len();
            free.rotate_left(start);
        }
        while !free.is_empty() {
            free.retain_mut(|(peer, room)| {
                if self.chunks.requested_count() >= self.config.chunks_in_flight_max {
                    return false;
                }
                *room -= 1;
                self.pick(*peer).is_some_and(|at| self.ask(*peer, at)) && *room > 0
            });
        }
    }

    /// A chunk to ask this peer for: of a reader's window first, of all that is wanted else.
    fn pick(&mut self, id: PeerId) -> Option<ChunkAddress> {
        let draw = self.rng.next_u64();
        let peer = self.peers.get(&id)?;
        let expected = peer.expected_ms(self.now_ms, CHUNK_BYTES);
        let mut choice = Choice::new(draw);
        for reader in self.readers.values() {
            let mut from = reader.first;
            if self.origin.is_usable(&self.config, self.now_ms) {
                let lead = self.origin.lead_ms(&self.config);
                from = reader.first_due_after(self.now_ms + lead + expected).max(from);
            }
            self.sample(peer, reader.file, (from, reader.end), SAMPLE_AHEAD_CHUNKS, &mut choice);
        }
        if choice.best.is_some() {
            return choice.best.map(|(_, at)| at);
        }
        let (file_cursor, wrapped) = self.sample_files(peer, expected, draw, &mut choice);
        let openings = self.chunks.openings();
        let peer = self.peers.get_mut(&id)?;
        peer.file_cursor = file_cursor;
        if choice.best.is_none() && wrapped {
            peer.dry_at = Some(openings);
        }
        choice.best.map(|(_, at)| at)
    }

    /// Samples open chunks of any file. Gives the file to go on with and whether every file was looked at.
    fn sample_files(&self, peer: &Peer, expected: u64, draw: u64, choice: &mut Choice) -> (u32, bool) {
        let cursor = peer.file_cursor;
        let later = self.chunks.open_files(cursor);
        let earlier = self.chunks.open_files(0).take_while(|file| *file < cursor);
        for (looked_at, file) in later.chain(earlier).enumerate() {
            if looked_at >= SAMPLE_FILES {
                return (file, false);
            }
            let chunks = self.chunks.chunks(file);
            let start = if chunks as usize > SAMPLE_CHUNKS { (draw % u64::from(chunks)) as u32 } else { 0 };
            choice.late_by = Some(expected);
            self.sample(peer, file, (start, chunks), SAMPLE_CHUNKS, choice);
            self.sample(peer, file, (0, start), SAMPLE_CHUNKS, choice);
            if choice.seen >= SAMPLE_CHUNKS {
                return (file, false);
            }
        }
        (cursor, true)
    }

    /// Offers to `choice` the chunks of a range that are open and that this peer has.
    fn sample(&self, peer: &Peer, file: u32, (from, end): (u32, u32), most: usize, choice: &mut Choice) {
        let (Some(open), Some(has)) = (self.chunks.open_set(file), peer.inventory.get(&file)) else {
            return;
        };
        let mut at = from;
        while let Some(chunk) = open.next_common(has, at, end).filter(|_| choice.seen < most) {
            at = chunk + 1;
            let address = ChunkAddress::new(file, chunk);
            let late = choice.late_by.is_some_and(|expected| {
                self.deadline_of(address).is_some_and(|deadline| {
                    self.origin.is_usable(&self.config, self.now_ms) && !self.is_in_time(deadline, expected)
                })
            });
            if late || !peer.may_give(address) {
                continue;
            }
            choice.offer(self.available(address), address);
        }
    }
}

/// The rarest so far; among equals each with the same chance.
struct Choice {
    best: Option<(u16, ChunkAddress)>,
    ties: u64,
    seen: usize,
    draw: u64,
    /// Leave out chunks that a delivery after this time would be too late for.
    late_by: Option<u64>,
}

impl Choice {
    fn new(draw: u64) -> Self {
        Self { best: None, ties: 0, seen: 0, draw, late_by: None }
    }

    fn offer(&mut self, rarity: u16, at: ChunkAddress) {
        self.seen += 1;
        match self.best {
            Some((best, _)) if rarity > best => {}
            Some((best, _)) if rarity == best => {
                self.ties += 1;
                self.draw =
                    self.draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                if (self.draw >> 33).is_multiple_of(self.ties) {
                    self.best = Some((rarity, at));
                }
            }
            _ => {
                self.best = Some((rarity, at));
                self.ties = 1;
            }
        }
    }
}
