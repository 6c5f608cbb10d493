//! What peers say once they are ready: inventories, data, refusals.

use bytes::Bytes;
use matinee_protocol::frame::{Frame, NOT_HELD};
use matinee_protocol::id::{ChunkAddress, ChunkIndex, FileIndex, PeerId};

use crate::chunk::Source;
use crate::inventory::{Bitset, bitmap_members};
use crate::output::{Fault, Output};
use crate::peer::Cancelled;
use crate::swarm::Swarm;

/// Frames kept that overtook the hello: the inventories of a large release and some.
const EARLY_FRAMES_MAX: usize = 128;
/// "Not held" answers in a row that cost a strike.
const EMPTY_PROMISES_MAX: u32 = 8;
/// Chunks in a row that others had to bring in its place that cost a strike.
const OVERTAKEN_MAX: u32 = 4;
/// Requests younger than this do not count for that.
const OVERTAKEN_MS: u64 = 4_000;
/// Chunks brought in time that make up for a strike.
const CHUNKS_PER_STRIKE: u32 = 16;
/// Longest pause a busy answer may ask for.
const BUSY_MS_MAX: u32 = 30_000;

impl Swarm {
    pub(crate) fn on_frame(&mut self, peer: PeerId, bytes: Bytes) {
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        let Ok(frame) = Frame::decode(bytes.clone()) else {
            return self.expel(peer, Fault::Protocol);
        };
        let greeted = state.member.is_some();
        match frame {
            Frame::Hello(hello) => self.on_hello(peer, &hello),
            Frame::Goodbye(reason) => self.on_goodbye(peer, reason),
            Frame::Unknown { .. } => {}
            _ if !greeted && state.early.len() < EARLY_FRAMES_MAX => state.early.push(bytes),
            _ if !greeted => self.expel(peer, Fault::Protocol),
            Frame::Receipt(receipt) => self.on_receipt(peer, receipt),
            _ if state.parting_until_ms.is_some() => {}
            frame => self.on_exchange(peer, frame),
        }
    }

    fn on_exchange(&mut self, peer: PeerId, frame: Frame) {
        match frame {
            Frame::Data { at, offset, bytes } => self.on_data(peer, at, offset, &bytes),
            Frame::Inventory { file, first, count, bits } => {
                if u64::from(first.get()) + u64::from(count) > u64::from(self.chunks.chunks(file.get())) {
                    return self.expel(peer, Fault::Protocol);
                }
                let first = first.get();
                self.on_announced(peer, file, bitmap_members(&bits).map(|bit| first + bit));
            }
            Frame::Have { file, chunks } => {
                let most = self.chunks.chunks(file.get());
                if chunks.iter().any(|chunk| chunk.get() >= most) {
                    return self.expel(peer, Fault::Protocol);
                }
                self.on_announced(peer, file, chunks.iter().map(|chunk: &ChunkIndex| chunk.get()));
            }
            Frame::Request(at) if self.chunks.exists(at) => self.on_request(peer, at),
            Frame::Request(_) => self.expel(peer, Fault::Protocol),
            Frame::Cancel(at) => {
                if let Some(state) = self.peers.get_mut(&peer) {
                    state.upload.cancel(at);
                    self.serve();
                }
            }
            Frame::Busy { at, retry_after_ms } => self.on_busy(peer, at, retry_after_ms),
            Frame::PageRequest { file, page } => self.on_page_request(peer, (file.get(), page.get())),
            Frame::Page { file, page, bytes } => self.on_page(peer, (file.get(), page.get()), bytes),
            Frame::Hello(_) | Frame::Goodbye(_) | Frame::Receipt(_) | Frame::Unknown { .. } => {}
        }
    }

    /// The peer says that it has these chunks. Only what is new changes anything.
    fn on_announced(&mut self, peer: PeerId, file: FileIndex, chunks: impl Iterator<Item = u32>) {
        let index = file.get();
        let len = self.chunks.chunks(index);
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        let Some(availability) = self.availability.get_mut(index as usize) else {
            return;
        };
        let inventory = state.inventory.entry(index).or_insert_with(|| Bitset::new(len));
        let open = self.chunks.open_set(index);
        let (mut news, mut useful) = (false, false);
        for chunk in chunks {
            if inventory.insert(chunk) {
                availability.add(chunk);
                news = true;
                useful = useful || open.is_some_and(|open| open.contains(chunk));
            }
        }
        if news {
            self.pages.wake(index);
        }
        if useful {
            state.dry_at = None;
            self.dirty = true;
        }
        // Pages may be worth asking for now that someone has chunks of them.
        self.dirty |= self.chunks.open_files(0).next().is_none();
    }

    fn on_data(&mut self, peer: PeerId, at: ChunkAddress, offset: u32, bytes: &[u8]) {
        let now_ms = self.now_ms;
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        let Some(request) = state.requests.get_mut(&at) else {
            return self.on_stray_data(peer, at, bytes.len());
        };
        let first = request.assembly.received() == 0;
        let sent_ms = request.sent_ms;
        let Ok(whole) = request.assembly.add(offset, bytes) else {
            return self.expel(peer, Fault::Protocol);
        };
        state.received(bytes.len(), sent_ms, first, now_ms);
        self.progress_ms = now_ms;
        if whole {
            self.on_whole(peer, at);
        }
    }

    /// Every byte of a chunk came from this peer: it answers for it.
    fn on_whole(&mut self, peer: PeerId, at: ChunkAddress) {
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        let Some(request) = state.requests.remove(&at) else {
            return;
        };
        state.finished(self.now_ms);
        self.chunks.release(at, Source::Peer(peer));
        let bytes = request.assembly.into_bytes();
        let count = bytes.len() as u64;
        if !self.is_genuine(at, &bytes) {
            self.totals.wasted_bytes += count;
            return self.expel(peer, Fault::BadData);
        }
        self.peer_progress_ms = self.now_ms;
        self.totals.peer_bytes += count;
        let mut uploader = None;
        if let Some(state) = self.peers.get_mut(&peer) {
            state.downloaded_bytes += count;
            state.empty_promises = 0;
            state.overtaken = 0;
            state.good_chunks += 1;
            if state.good_chunks.is_multiple_of(CHUNKS_PER_STRIKE) {
                state.strikes = state.strikes.saturating_sub(1);
            }
            uploader = state.member.as_ref().map(|member| member.thumbprint);
        }
        self.accept(at, bytes);
        if let Some(uploader) = uploader.filter(|uploader| *uploader != self.identity.thumbprint) {
            self.note_download(peer, uploader, count);
        }
    }

    /// Data that was not asked for, or no longer.
    fn on_stray_data(&mut self, peer: PeerId, at: ChunkAddress, count: usize) {
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        let tolerated = match state.cancelled.get_mut(&at) {
            Some(Cancelled { until_ms, bytes }) if *until_ms > self.now_ms && *bytes >= count as u64 => {
                *bytes -= count as u64;
                // Of no use, but it shows that the peer is alive and how fast it is.
                state.progress_ms = self.now_ms;
                state.rate.add(count as u64, self.now_ms);
                true
            }
            _ => false,
        };
        self.totals.wasted_bytes += count as u64;
        if !tolerated {
            self.expel(peer, Fault::Protocol);
        }
    }

    fn on_busy(&mut self, peer: PeerId, at: ChunkAddress, retry_after_ms: u32) {
        let now_ms = self.now_ms;
        let strikes_max = self.config.strikes_max;
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        let Some(request) = state.requests.remove(&at) else {
            return;
        };
        state.finished(now_ms);
        self.totals.wasted_bytes += u64::from(request.assembly.received());
        let mut expelled = false;
        if retry_after_ms == NOT_HELD {
            let removed =
                state.inventory.get_mut(&at.file.get()).is_some_and(|has| has.remove(at.chunk.get()));
            if let Some(availability) = self.availability.get_mut(at.file.get() as usize).filter(|_| removed)
            {
                availability.subtract(at.chunk.get());
            }
            state.empty_promises += 1;
            if state.empty_promises >= EMPTY_PROMISES_MAX {
                state.empty_promises = 0;
                state.strikes += 1;
                expelled = state.strikes >= strikes_max;
            }
        } else {
            state.busy_until_ms = now_ms + u64::from(retry_after_ms.min(BUSY_MS_MAX));
        }
        self.chunks.release(at, Source::Peer(peer));
        self.dirty = true;
        if expelled {
            self.expel(peer, Fault::EmptyPromises);
        }
    }

    /// Gives up the request of a chunk at a peer, telling it.
    pub(crate) fn call_off(&mut self, peer: PeerId, at: ChunkAddress) {
        let cancelled = self.peers.get_mut(&peer).and_then(|state| state.cancel(at, self.now_ms));
        if let Some(received) = cancelled {
            self.totals.wasted_bytes += u64::from(received);
            self.send(peer, &Frame::Cancel(at));
        }
    }

    /// Another source brought what this peer owed. A peer that never brings anything itself is too slow to keep.
    pub(crate) fn overtake(&mut self, peer: PeerId, at: ChunkAddress) {
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        let age_ms = state.requests.get(&at).map_or(0, |request| self.now_ms.saturating_sub(request.sent_ms));
        state.overtaken += u32::from(age_ms >= OVERTAKEN_MS);
        self.call_off(peer, at);
        let strikes_max = self.config.strikes_max;
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        if state.overtaken >= OVERTAKEN_MAX {
            state.overtaken = 0;
            state.strikes += 1;
            if state.strikes >= strikes_max {
                self.expel(peer, Fault::TooSlow);
            }
        }
    }

    /// Ends one source of a chunk, whichever it is.
    pub(crate) fn give_up(&mut self, source: Source, at: ChunkAddress) {
        self.chunks.release(at, source);
        match source {
            Source::Peer(peer) => self.call_off(peer, at),
            Source::Origin(request) => self.settle_origin(request, at),
        }
    }

    /// Calls off everything asked of a peer.
    pub(crate) fn drop_requests(&mut self, peer: PeerId) {
        let asked: Vec<ChunkAddress> =
            self.peers.get(&peer).into_iter().flat_map(|state| state.requests.keys().copied()).collect();
        for at in asked {
            self.give_up(Source::Peer(peer), at);
        }
        self.dirty = true;
    }

    /// Calls off what nobody wants any more.
    pub(crate) fn drop_unwanted(&mut self) {
        let unwanted: Vec<(ChunkAddress, Vec<Source>)> = self
            .chunks
            .requested()
            .filter(|(at, _)| !self.chunks.is_wanted(*at))
            .map(|(at, sources)| (at, sources.to_vec()))
            .collect();
        for (at, sources) in unwanted {
            sources.into_iter().for_each(|source| self.give_up(source, at));
        }
    }

    /// Asks a peer for a chunk.
    pub(crate) fn ask(&mut self, peer: PeerId, at: ChunkAddress) -> bool {
        let Some(len) = self.manifest.travel_chunk_bytes(at) else {
            return false;
        };
        let Some(state) = self.peers.get_mut(&peer) else {
            return false;
        };
        if !self.chunks.request(at, Source::Peer(peer)) {
            return false;
        }
        state.ask(at, len, self.now_ms);
        self.outputs.push_back(Output::Send { peer, frame: Frame::Request(at).encode() });
        true
    }
}
