//! Serving: a bounded queue a peer, few peers at a time, in turns, no faster than channels drain.

use std::collections::VecDeque;

use bytes::Bytes;
use matinee_protocol::frame::{Frame, NOT_HELD};
use matinee_protocol::id::{ChunkAddress, PeerId};
use matinee_protocol::limit::{DATA_BYTES_MAX, REQUESTS_WAITING_MAX};

use crate::config::{SEND_WINDOW_BYTES, UPLOAD_READS_MAX};
use crate::output::Output;
use crate::swarm::Swarm;

/// Chunks a peer is served in one turn while others wait for a slot.
const TURN_CHUNKS: u32 = 1;
/// A request that waited this long is answered busy, so that the other side asks elsewhere instead of taking us for dead.
const WAIT_MS_MAX: u64 = 2_000;
/// When a peer that was answered busy may ask again.
const RETRY_AFTER_MS: u32 = 1_000;
/// The send window of a channel is what it drains in this time, so that a cancel still finds something to cancel.
const WINDOW_MS: u64 = 500;
const WINDOW_BYTES_MIN: usize = 128 * 1024;
/// How much the upload cap may be saved up.
const BURST_MS: u64 = 250;

/// A chunk on its way out.
#[derive(Debug)]
struct Sending {
    at: ChunkAddress,
    bytes: Bytes,
    offset: usize,
    step: usize,
}

/// What one peer asked for.
#[derive(Debug)]
pub(crate) struct Upload {
    waiting: VecDeque<(ChunkAddress, u64)>,
    reading: Vec<ChunkAddress>,
    sending: VecDeque<Sending>,
    /// Bytes that may be emitted before the channel must drain; a frame may overdraw it.
    window: i64,
    /// What the window is set to when the channel drains, and since when it is in use.
    window_bytes: usize,
    window_since_ms: u64,
    turn_chunks: u32,
    pub(crate) sent_bytes: u64,
}

impl Default for Upload {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            reading: Vec::new(),
            sending: VecDeque::new(),
            window: WINDOW_BYTES_MIN as i64,
            window_bytes: WINDOW_BYTES_MIN,
            window_since_ms: 0,
            turn_chunks: 0,
            sent_bytes: 0,
        }
    }
}

impl Upload {
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len() + self.reading.len() + self.sending.len()
    }

    fn is_served(&self) -> bool {
        !self.reading.is_empty() || !self.sending.is_empty()
    }

    pub(crate) fn may_send(&self) -> bool {
        self.window > 0
    }

    pub(crate) fn take(&mut self, bytes: usize) {
        self.window -= bytes as i64;
    }

    /// The channel drained: the window opens again, wider or narrower by how fast that went.
    fn drained(&mut self, now_ms: u64) {
        let elapsed_ms = now_ms.saturating_sub(self.window_since_ms);
        if self.window <= 0 {
            let drained = (self.window_bytes as i64 - self.window) as u64;
            let target = drained * WINDOW_MS / elapsed_ms.max(1);
            let most = (self.window_bytes * 2).min(SEND_WINDOW_BYTES);
            self.window_bytes = usize::try_from(target).unwrap_or(usize::MAX).clamp(WINDOW_BYTES_MIN, most);
        }
        self.window = self.window_bytes as i64;
        self.window_since_ms = now_ms;
    }

    /// Forgets a chunk wherever it is.
    pub(crate) fn cancel(&mut self, at: ChunkAddress) {
        self.waiting.retain(|(other, _)| *other != at);
        self.reading.retain(|other| *other != at);
        self.sending.retain(|sending| sending.at != at);
    }

    fn has(&self, at: ChunkAddress) -> bool {
        self.waiting.iter().any(|(other, _)| *other == at)
            || self.reading.contains(&at)
            || self.sending.iter().any(|sending| sending.at == at)
    }
}

/// The cap on uploading, for all peers together.
#[derive(Debug, Default)]
pub(crate) struct UploadCap {
    saved_bytes: f64,
    filled_ms: u64,
    /// Where the next round of serving begins.
    next: Option<PeerId>,
}

impl UploadCap {
    fn fill(&mut self, per_s: u64, now_ms: u64) {
        let elapsed = now_ms.saturating_sub(self.filled_ms);
        self.filled_ms = now_ms;
        let most = (per_s as f64 * BURST_MS as f64 / 1000.0).max(DATA_BYTES_MAX as f64);
        self.saved_bytes = (self.saved_bytes + per_s as f64 * elapsed as f64 / 1000.0).min(most);
    }
}

impl Swarm {
    pub(crate) fn on_request(&mut self, peer: PeerId, at: ChunkAddress) {
        let held = self.chunks.is_held(at);
        let serves = self.config.upload_slots > 0;
        let now_ms = self.now_ms;
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        let upload = &mut state.upload;
        if upload.has(at) {
            return;
        }
        let refused = match (held, serves && upload.waiting() < REQUESTS_WAITING_MAX) {
            (false, _) => Some(NOT_HELD),
            (true, false) => Some(RETRY_AFTER_MS),
            (true, true) => None,
        };
        match refused {
            Some(retry_after_ms) => self.send(peer, &Frame::Busy { at, retry_after_ms }),
            None => {
                upload.waiting.push_back((at, now_ms));
                self.serve();
            }
        }
    }

    pub(crate) fn on_drained(&mut self, peer: PeerId) {
        if let Some(state) = self.peers.get_mut(&peer) {
            state.upload.drained(self.now_ms);
            self.pump(peer);
            self.serve();
        }
    }

    pub(crate) fn on_read_done(&mut self, peer: PeerId, at: ChunkAddress, bytes: Option<Bytes>) {
        let expected = self.manifest.travel_chunk_bytes(at);
        let bytes = bytes.filter(|bytes| u32::try_from(bytes.len()).ok() == expected);
        if bytes.is_none() {
            self.on_lost(at);
        }
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        let upload = &mut state.upload;
        let asked = upload.reading.len();
        upload.reading.retain(|other| *other != at);
        if upload.reading.len() == asked {
            return; // cancelled meanwhile
        }
        match bytes {
            Some(bytes) => {
                let frames = bytes.len().div_ceil(DATA_BYTES_MAX).max(1);
                let step = bytes.len().div_ceil(frames);
                upload.sending.push_back(Sending { at, bytes, offset: 0, step });
                self.pump(peer);
            }
            None => self.send(peer, &Frame::Busy { at, retry_after_ms: NOT_HELD }),
        }
        self.serve();
    }

    /// Starts reads for peers whose turn it is.
    pub(crate) fn serve(&mut self) {
        let live = |state: &crate::peer::Peer| state.is_ready() && state.upload.may_send();
        let order = self.serving_order();
        let mut served = self.peers.values().filter(|state| live(state) && state.upload.is_served()).count();
        let starved = self
            .peers
            .values()
            .any(|state| live(state) && !state.upload.is_served() && !state.upload.waiting.is_empty());
        for peer in order {
            let Some(state) = self.peers.get_mut(&peer) else {
                continue;
            };
            if !live(state) {
                continue;
            }
            let upload = &mut state.upload;
            if !upload.is_served() {
                if upload.waiting.is_empty() || served >= self.config.upload_slots {
                    continue;
                }
                upload.turn_chunks = 0;
                served += 1;
                self.cap.next = Some(peer);
            }
            while upload.reading.len() + upload.sending.len() < UPLOAD_READS_MAX
                && !(starved && upload.turn_chunks >= TURN_CHUNKS)
            {
                let Some((at, _)) = upload.waiting.pop_front() else {
                    break;
                };
                upload.reading.push(at);
                upload.turn_chunks += 1;
                self.outputs.push_back(Output::Read { peer, at });
            }
        }
    }

    /// Peers after the one whose turn began last come first.
    fn serving_order(&self) -> Vec<PeerId> {
        let Some(last) = self.cap.next else {
            return self.peers.keys().copied().collect();
        };
        let after = self.peers.range((std::ops::Bound::Excluded(last), std::ops::Bound::Unbounded));
        after.chain(self.peers.range(..=last)).map(|(peer, _)| *peer).collect()
    }

    /// Emits data to one peer while its window and the cap allow it.
    pub(crate) fn pump(&mut self, peer: PeerId) {
        let capped = self.config.upload_bytes_per_s_max;
        if let Some(per_s) = capped {
            self.cap.fill(per_s, self.now_ms);
        }
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        let upload = &mut state.upload;
        while upload.window > 0 {
            let Some(sending) = upload.sending.front_mut() else {
                break;
            };
            if capped.is_some() && self.cap.saved_bytes <= 0.0 {
                break;
            }
            let end = (sending.offset + sending.step).min(sending.bytes.len());
            let bytes = sending.bytes.slice(sending.offset..end);
            let count = bytes.len();
            if upload.window == upload.window_bytes as i64 {
                upload.window_since_ms = self.now_ms;
            }
            let frame = Frame::Data { at: sending.at, offset: sending.offset as u32, bytes }.encode();
            sending.offset = end;
            let whole = end == sending.bytes.len();
            upload.window -= frame.len() as i64;
            upload.sent_bytes += count as u64;
            self.totals.uploaded_bytes += count as u64;
            if capped.is_some() {
                self.cap.saved_bytes -= count as f64;
            }
            self.outputs.push_back(Output::Send { peer, frame });
            if whole {
                upload.sending.pop_front();
            }
        }
    }

    /// Goes on under the cap, and answers busy to who waits too long.
    pub(crate) fn tend_uploads(&mut self) {
        let peers: Vec<PeerId> = self.peers.keys().copied().collect();
        let mut late = Vec::new();
        for peer in peers {
            self.pump(peer);
            let Some(state) = self.peers.get_mut(&peer) else {
                continue;
            };
            let since = self.now_ms.saturating_sub(WAIT_MS_MAX);
            if state.upload.is_served() && state.upload.may_send() {
                continue; // its turn is on: what waits behind is on its way
            }
            while state.upload.waiting.front().is_some_and(|(_, at_ms)| *at_ms < since) {
                late.extend(state.upload.waiting.pop_front().map(|(at, _)| (peer, at)));
            }
        }
        for (peer, at) in late {
            self.send(peer, &Frame::Busy { at, retry_after_ms: RETRY_AFTER_MS });
        }
        self.serve();
    }

    /// Whether anything waits for time to pass here.
    pub(crate) fn uploads_wait(&self) -> bool {
        self.peers.values().any(|state| state.upload.waiting() > 0)
    }
}
