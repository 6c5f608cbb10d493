//! Figures for people and for the laboratory.

use matinee_protocol::id::{PeerId, Thumbprint};
use matinee_protocol::limit::CHUNK_BYTES;
use serde::Serialize;

use crate::peer::Peer;
use crate::swarm::Swarm;

/// Totals of this run.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Stats {
    /// Verified chunk bytes from peers.
    pub peer_bytes: u64,
    /// Verified chunk bytes from the origin.
    pub origin_bytes: u64,
    /// Chunk bytes sent to peers.
    pub uploaded_bytes: u64,
    /// Chunk bytes that came and were of no use (duplicates, wrong, cancelled).
    pub wasted_bytes: u64,
    /// Chunks held.
    pub chunks_held: u64,
    /// Chunks of the release.
    pub chunks_total: u64,
    /// Chunks being asked for.
    pub chunks_in_flight: u64,
    /// Wanted chunks still missing (`Want` and playheads together).
    pub chunks_missing: u64,
    /// Bytes held without a gap from the playhead on (the least of all readers); 0 without one.
    pub buffered_bytes: u64,
    /// The same in milliseconds of playback.
    pub buffered_ms: u64,
    /// Chunks from the origin whose hash was wrong.
    pub origin_corrupt_chunks: u64,
    /// Origin runs that failed.
    pub origin_failures: u64,
    /// Devices refused in this run.
    pub devices_refused: u64,
    /// One row a peer.
    pub peers: Vec<PeerStats>,
}

impl Stats {
    /// Share of the verified bytes that came from peers, 0 to 1.
    pub fn offload(&self) -> f64 {
        let all = self.peer_bytes + self.origin_bytes;
        if all == 0 { 0.0 } else { self.peer_bytes as f64 / all as f64 }
    }
}

/// One peer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PeerStats {
    /// Membership id.
    pub peer: PeerId,
    /// Device, once the handshake passed.
    pub thumbprint: Option<Thumbprint>,
    /// Verified bytes from it over this channel.
    pub downloaded_bytes: u64,
    /// Bytes sent to it over this channel.
    pub uploaded_bytes: u64,
    /// Measured speed of what it sends; 0 if not known yet.
    pub bytes_per_s: u64,
    /// Chunks asked of it now.
    pub requests_in_flight: u64,
    /// Chunks it asks of us and waits for.
    pub uploads_waiting: u64,
    /// Chunks it says it holds.
    pub chunks_held: u64,
    /// Strikes against it.
    pub strikes: u32,
}

/// Counters behind [`Stats`].
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) peer_bytes: u64,
    pub(crate) origin_bytes: u64,
    pub(crate) uploaded_bytes: u64,
    pub(crate) wasted_bytes: u64,
    pub(crate) origin_corrupt_chunks: u64,
    pub(crate) origin_failures: u64,
}

impl Swarm {
    /// Figures so far. Walks all peers: call it a few times a second, not per frame.
    pub fn stats(&self) -> Stats {
        let (chunks_held, chunks_missing, chunks_total) = self.chunks.counts();
        let (buffered_bytes, buffered_ms) = self.buffered();
        Stats {
            peer_bytes: self.totals.peer_bytes,
            origin_bytes: self.totals.origin_bytes,
            uploaded_bytes: self.totals.uploaded_bytes,
            wasted_bytes: self.totals.wasted_bytes,
            chunks_held,
            chunks_total,
            chunks_in_flight: self.chunks.requested_count() as u64,
            chunks_missing,
            buffered_bytes,
            buffered_ms,
            origin_corrupt_chunks: self.totals.origin_corrupt_chunks,
            origin_failures: self.totals.origin_failures,
            devices_refused: self.reputation.count(),
            peers: self.peers.iter().map(|(id, peer)| PeerStats::of(*id, peer)).collect(),
        }
    }

    fn buffered(&self) -> (u64, u64) {
        let ahead = self.readers.values().filter_map(|reader| {
            let gap = self.chunks.held_set(reader.file)?.next_gap(reader.first);
            let bytes = u64::from(gap.saturating_sub(reader.first)) * u64::from(CHUNK_BYTES);
            Some((bytes, reader.duration_ms(bytes)))
        });
        ahead.min_by_key(|(_, ms)| *ms).unwrap_or_default()
    }
}

impl PeerStats {
    fn of(id: PeerId, peer: &Peer) -> Self {
        Self {
            peer: id,
            thumbprint: peer.member.as_ref().map(|member| member.thumbprint),
            downloaded_bytes: peer.downloaded_bytes,
            uploaded_bytes: peer.upload.sent_bytes,
            bytes_per_s: peer.rate.bytes_per_s().unwrap_or(0.0) as u64,
            requests_in_flight: peer.requests.len() as u64,
            uploads_waiting: peer.upload.waiting() as u64,
            chunks_held: peer.chunks_held(),
            strikes: peer.strikes,
        }
    }
}
