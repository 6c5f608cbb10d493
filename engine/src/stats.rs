//! Figures for people and for the laboratory.

use matinee_protocol::id::{PeerId, Thumbprint};

/// Totals of this run.
#[derive(Debug, Clone, Default, PartialEq)]
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
#[derive(Debug, Clone, PartialEq)]
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
