//! What a driver sets: limits, origin policy, and who this device is.

use matinee_protocol::id::{SwarmId, Thumbprint};
use matinee_protocol::jws::KeySet;

/// Chunk data the engine emits to one peer before it waits for [`crate::Input::Drained`].
pub const SEND_WINDOW_BYTES: usize = 1 << 20;
/// Channels held at once, in handshake or ready.
pub const PEERS_MAX: usize = 40;
/// Chunks asked of one peer at once: at least.
pub const REQUESTS_IN_FLIGHT_MIN: usize = 2;
/// Chunks asked of one peer at once: at most.
pub const REQUESTS_IN_FLIGHT_MAX: usize = 16;
/// Chunks in flight from all peers together (each may hold an assembly buffer of a chunk).
pub const CHUNKS_IN_FLIGHT_MAX: usize = 256;
/// Peers served at the same time.
pub const UPLOAD_SLOTS: usize = 4;
/// Chunks read ahead from disk for one peer.
pub const UPLOAD_READS_MAX: usize = 2;
/// A chunk needed within this time is urgent: earliest deadline first.
pub const URGENT_MS: u64 = 6_000;
/// A peer that owes chunks and sends nothing for this long loses them.
pub const REQUEST_TIMEOUT_MS: u64 = 5_000;
/// One chunk may take a peer this long, counted from when its turn came.
pub const CHUNK_TIMEOUT_MS: u64 = 20_000;
/// Origin runs fetched at the same time.
pub const ORIGIN_RUNS_MAX: usize = 3;
/// Chunks in one origin run.
pub const ORIGIN_RUN_CHUNKS_MAX: u32 = 16;
/// Without progress for this long a run is given up.
pub const ORIGIN_TIMEOUT_MS: u64 = 10_000;
/// The origin is asked at the latest this long before a deadline (more if it has proved slow).
pub const ORIGIN_LEAD_MS: u64 = 2_000;
/// Without playhead, the origin is used where peers brought nothing for this long.
pub const ORIGIN_PATIENCE_MS: u64 = 5_000;
/// After the start, peers are expected to appear for this long before the engine takes itself to be alone.
pub const PEER_GRACE_MS: u64 = 2_000;
/// A peer asked for a hash page has this long before another source is tried.
pub const PAGE_TIMEOUT_MS: u64 = 1_500;
/// Strikes (timeouts, empty promises) after which a peer is dropped.
pub const STRIKES_MAX: u32 = 3;
/// Chunks ahead of a playhead that are looked at, whatever the driver asks for.
pub const AHEAD_CHUNKS_MAX: u32 = 4_096;

/// How the HTTP origin is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OriginPolicy {
    /// Where peers do not deliver in time (the default).
    #[default]
    Fallback,
    /// Never: peers only.
    Never,
    /// Only the origin: peers are refused.
    Only,
}

/// Limits and policy of one swarm. `Config::default()` is right for a viewer.
#[derive(Debug, Clone)]
pub struct Config {
    /// Channels held at once.
    pub peers_max: usize,
    /// Lower bound of the adaptive number of chunks in flight a peer.
    pub requests_in_flight_min: usize,
    /// Upper bound of it.
    pub requests_in_flight_max: usize,
    /// Chunks in flight from all peers together.
    pub chunks_in_flight_max: usize,
    /// Peers served at the same time; 0 serves nobody.
    pub upload_slots: usize,
    /// Cap on what is uploaded, chunk data only; `None` is no cap.
    pub upload_bytes_per_s_max: Option<u64>,
    /// Chunks due within this time go by deadline.
    pub urgent_ms: u64,
    /// Silence of a peer that owes chunks.
    pub request_timeout_ms: u64,
    /// Time one chunk may take a peer.
    pub chunk_timeout_ms: u64,
    /// Use of the origin.
    pub origin: OriginPolicy,
    /// Origin runs at the same time.
    pub origin_runs_max: usize,
    /// Chunks in an origin run.
    pub origin_run_chunks_max: u32,
    /// Silence of an origin run.
    pub origin_timeout_ms: u64,
    /// Least time before a deadline at which the origin is asked.
    pub origin_lead_ms: u64,
    /// Without playhead: how long peers may bring nothing.
    pub origin_patience_ms: u64,
    /// How long after the start peers are waited for.
    pub peer_grace_ms: u64,
    /// Time a peer has for a hash page.
    pub page_timeout_ms: u64,
    /// Strikes before a peer is dropped.
    pub strikes_max: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            peers_max: PEERS_MAX,
            requests_in_flight_min: REQUESTS_IN_FLIGHT_MIN,
            requests_in_flight_max: REQUESTS_IN_FLIGHT_MAX,
            chunks_in_flight_max: CHUNKS_IN_FLIGHT_MAX,
            upload_slots: UPLOAD_SLOTS,
            upload_bytes_per_s_max: None,
            urgent_ms: URGENT_MS,
            request_timeout_ms: REQUEST_TIMEOUT_MS,
            chunk_timeout_ms: CHUNK_TIMEOUT_MS,
            origin: OriginPolicy::Fallback,
            origin_runs_max: ORIGIN_RUNS_MAX,
            origin_run_chunks_max: ORIGIN_RUN_CHUNKS_MAX,
            origin_timeout_ms: ORIGIN_TIMEOUT_MS,
            origin_lead_ms: ORIGIN_LEAD_MS,
            origin_patience_ms: ORIGIN_PATIENCE_MS,
            peer_grace_ms: PEER_GRACE_MS,
            page_timeout_ms: PAGE_TIMEOUT_MS,
            strikes_max: STRIKES_MAX,
        }
    }
}

/// Who this device is in the swarm, and whose signatures it trusts.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The swarm of the release.
    pub swarm: SwarmId,
    /// This device's own thumbprint.
    pub thumbprint: Thumbprint,
    /// The issuer every view token must name.
    pub issuer: String,
    /// The server's keys (JWKS).
    pub keys: KeySet,
}
