//! One release's swarm: what it is made of, and where each input goes.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use matinee_protocol::frame::Frame;
use matinee_protocol::hash::chunk_hash;
use matinee_protocol::id::{ChunkAddress, ChunkIndex, FileIndex, PeerId};
use matinee_protocol::limit::{HAVE_CHUNKS_MAX, INVENTORY_CHUNKS_MAX};
use matinee_protocol::manifest::Manifest;
use matinee_protocol::receipt::Receipt;
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::SeedableRng;

use crate::chunk::{ChunkTable, Source};
use crate::input::Want;
use crate::inventory::Availability;
use crate::origin::Origin;
use crate::output::Output;
use crate::page::Pages;
use crate::peer::Peer;
use crate::receipt::Receipts;
use crate::reputation::Reputation;
use crate::schedule::Reader;
use crate::stats::Totals;
use crate::upload::UploadCap;
use crate::{Config, Identity, Input};

/// How often time is looked at while something goes on.
const TICK_MS: u64 = 100;
/// The same while peers are only connected.
const IDLE_TICK_MS: u64 = 1_000;
/// New chunks are announced together, this long after the first of them.
const HAVE_MS: u64 = 50;

/// The swarm of one release, as one device sees it.
pub struct Swarm {
    pub(crate) config: Config,
    pub(crate) manifest: Manifest,
    pub(crate) identity: Identity,
    pub(crate) rng: Pcg64Mcg,
    pub(crate) now_ms: u64,
    pub(crate) chunks: ChunkTable,
    pub(crate) pages: Pages,
    /// For each file, how many ready peers hold each chunk.
    pub(crate) availability: Vec<Availability>,
    pub(crate) peers: BTreeMap<PeerId, Peer>,
    pub(crate) readers: BTreeMap<u32, Reader>,
    pub(crate) origin: Origin,
    pub(crate) reputation: Reputation,
    pub(crate) receipts: Receipts,
    pub(crate) cap: UploadCap,
    pub(crate) totals: Totals,
    pub(crate) outputs: VecDeque<Output>,
    /// Chunks not announced yet, and since when.
    haves: Vec<ChunkAddress>,
    haves_since_ms: u64,
    /// Something changed that may let more chunks be asked for.
    pub(crate) dirty: bool,
    timers_at_ms: u64,
    pub(crate) leaving: bool,
    /// When something was wanted for the first time.
    pub(crate) demand_ms: Option<u64>,
    pub(crate) peers_expected: Option<u32>,
    /// When a peer, and when anyone, last brought something.
    pub(crate) peer_progress_ms: u64,
    pub(crate) progress_ms: u64,
}

impl Swarm {
    /// A swarm without peers or chunks. The same seed and the same inputs give the same outputs.
    pub fn new(config: Config, manifest: Manifest, identity: Identity, seed: u64) -> Self {
        let chunks = ChunkTable::new(&manifest);
        let availability = manifest.files.iter().map(|file| Availability::new(file.chunks())).collect();
        Self {
            config,
            manifest,
            identity,
            rng: Pcg64Mcg::seed_from_u64(seed),
            now_ms: 0,
            chunks,
            pages: Pages::default(),
            availability,
            peers: BTreeMap::new(),
            readers: BTreeMap::new(),
            origin: Origin::default(),
            reputation: Reputation::default(),
            receipts: Receipts::default(),
            cap: UploadCap::default(),
            totals: Totals::default(),
            outputs: VecDeque::new(),
            haves: Vec::new(),
            haves_since_ms: 0,
            dirty: false,
            timers_at_ms: 0,
            leaving: false,
            demand_ms: None,
            peers_expected: None,
            peer_progress_ms: 0,
            progress_ms: 0,
        }
    }

    /// Takes in what happened. `now_ms` is Unix time.
    pub fn handle(&mut self, now_ms: u64, input: Input) {
        self.now_ms = self.now_ms.max(now_ms);
        self.take(input);
        if self.now_ms >= self.timers_at_ms {
            self.timers_at_ms = self.now_ms + TICK_MS;
            self.run_timers();
        }
        if self.dirty {
            self.dirty = false;
            self.schedule();
        }
        if self.haves.len() >= HAVE_CHUNKS_MAX || self.haves_due_ms().is_some_and(|due| due <= self.now_ms) {
            self.announce();
        }
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Held { file, chunks } => self.on_held(file, &chunks),
            Input::Lost { at } => self.on_lost(at),
            Input::PeerOpened { peer, binding, hello } => self.on_peer_opened(peer, binding, hello),
            Input::HelloRenewed { peer, hello } => self.on_hello_renewed(peer, hello),
            Input::PeerClosed { peer } => self.forget(peer),
            Input::Frame { peer, bytes } => self.on_frame(peer, bytes),
            Input::Drained { peer } => self.on_drained(peer),
            Input::ReadDone { peer, at, bytes } => self.on_read_done(peer, at, bytes),
            Input::OriginChunk { request, at, bytes } => self.on_origin_chunk(request, at, bytes),
            Input::OriginEnded { request, error } => self.on_origin_ended(request, error),
            Input::PageArrived { file, page, bytes } => self.on_page_arrived((file.get(), page.get()), bytes),
            Input::PageFailed { file, page } => self.on_page_failed((file.get(), page.get())),
            Input::Want { want } => self.on_want(&want),
            Input::Playhead { reader, playhead } => self.on_playhead(reader, playhead),
            Input::PeersExpected { count } => {
                self.peers_expected = Some(count);
                self.dirty = true;
            }
            Input::Remember { thumbprint } => self.remember(thumbprint),
            Input::KeysChanged { keys } => self.identity.keys = keys,
            Input::ReceiptSigned { peer, total_bytes, at_ms, signature } => {
                self.on_receipt_signed(peer, Receipt { total_bytes, at_ms, signature });
            }
            Input::Leave => self.on_leave(),
            Input::Tick => {}
        }
    }

    /// The next thing to do; drain until `None` after every `handle`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call `handle` with [`Input::Tick`], if nothing happens before.
    pub fn next_wakeup_ms(&self) -> Option<u64> {
        let (_, missing, _) = self.chunks.counts();
        let handshakes = || self.peers.values().any(|peer| !peer.is_ready());
        let active = self.chunks.requested_count() > 0
            || !self.readers.is_empty()
            || self.pages.asks_wait()
            || (missing > 0 && !self.leaving)
            || self.uploads_wait()
            || handshakes();
        let timers = if active {
            Some(self.timers_at_ms)
        } else if self.peers.is_empty() {
            None
        } else {
            Some(self.timers_at_ms + IDLE_TICK_MS)
        };
        [timers, self.haves_due_ms()].into_iter().flatten().min()
    }

    /// Whether a chunk is held (verified and given to the driver to store).
    pub fn holds(&self, at: ChunkAddress) -> bool {
        self.chunks.is_held(at)
    }

    pub(crate) fn send(&mut self, peer: PeerId, frame: &Frame) {
        self.outputs.push_back(Output::Send { peer, frame: frame.encode() });
    }

    /// Whether these bytes are that chunk.
    pub(crate) fn is_genuine(&mut self, at: ChunkAddress, bytes: &[u8]) -> bool {
        let length = self.manifest.travel_chunk_bytes(at);
        length == u32::try_from(bytes.len()).ok() && self.pages.hash_of(at) == Some(chunk_hash(bytes))
    }

    /// A verified chunk: stored, announced, and called off wherever else it was asked for.
    pub(crate) fn accept(&mut self, at: ChunkAddress, bytes: Bytes) {
        let Some(sources) = self.chunks.hold(at) else {
            return;
        };
        for source in sources {
            match source {
                Source::Peer(peer) => self.overtake(peer, at),
                Source::Origin(request) => self.settle_origin(request, at),
            }
        }
        self.outputs.push_back(Output::Store { at, bytes });
        if self.haves.is_empty() {
            self.haves_since_ms = self.now_ms;
        }
        self.haves.push(at);
        self.dirty = true;
    }

    fn on_held(&mut self, file: FileIndex, chunks: &[(u32, u32)]) {
        let most = self.chunks.chunks(file.get());
        for (first, count) in chunks {
            for chunk in *first..first.saturating_add(*count).min(most) {
                for source in
                    self.chunks.hold(ChunkAddress { file, chunk: ChunkIndex(chunk) }).unwrap_or_default()
                {
                    self.give_up(source, ChunkAddress { file, chunk: ChunkIndex(chunk) });
                }
            }
        }
        let ready: Vec<PeerId> =
            self.peers.iter().filter(|(_, state)| state.is_ready()).map(|(peer, _)| *peer).collect();
        for peer in ready {
            self.send_inventory(peer, file.get());
        }
        self.dirty = true;
    }

    pub(crate) fn on_lost(&mut self, at: ChunkAddress) {
        if self.chunks.lose(at) {
            self.haves.retain(|have| *have != at);
            self.dirty = true;
        }
    }

    fn on_want(&mut self, want: &Want) {
        if self.leaving {
            return;
        }
        self.note_demand(*want != Want::Nothing);
        self.chunks.want(want);
        self.drop_unwanted();
        self.dirty = true;
    }

    pub(crate) fn note_demand(&mut self, wanted: bool) {
        if wanted && self.demand_ms.is_none() {
            self.demand_ms = Some(self.now_ms);
            self.peer_progress_ms = self.now_ms;
        }
    }

    /// Tells a peer which chunks of a file are held here.
    pub(crate) fn send_inventory(&mut self, peer: PeerId, file: u32) {
        let Some(held) = self.chunks.held_set(file) else {
            return;
        };
        let chunks = self.chunks.chunks(file);
        let mut first = 0;
        let mut frames = Vec::new();
        while let Some(found) = held.next(first, chunks) {
            let count = (chunks - found).min(INVENTORY_CHUNKS_MAX);
            let bits = held.to_bitmap(found, count);
            frames.push(Frame::Inventory { file: FileIndex(file), first: ChunkIndex(found), count, bits });
            first = found + count;
        }
        frames.iter().for_each(|frame| self.send(peer, frame));
    }

    fn haves_due_ms(&self) -> Option<u64> {
        (!self.haves.is_empty()).then_some(self.haves_since_ms + HAVE_MS)
    }

    /// Announces new chunks to every peer that lacks one of them.
    fn announce(&mut self) {
        let mut haves = std::mem::take(&mut self.haves);
        haves.sort_unstable();
        for run in haves.chunk_by(|one, other| one.file == other.file) {
            for part in run.chunks(HAVE_CHUNKS_MAX) {
                let file = part[0].file;
                let frame = Frame::Have { file, chunks: part.iter().map(|at| at.chunk).collect() }.encode();
                for (peer, state) in &self.peers {
                    if state.is_ready() && part.iter().any(|at| !state.has(*at)) {
                        self.outputs.push_back(Output::Send { peer: *peer, frame: frame.clone() });
                    }
                }
            }
        }
    }
}
