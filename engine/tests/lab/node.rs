//! A device in the laboratory: an engine with a driver, honest or lying.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use matinee_engine::{Config, Fault, Playhead, Stats, Swarm};
use matinee_protocol::device::SigningKey;
use matinee_protocol::frame::{Frame, Reason};
use matinee_protocol::id::{ChunkAddress, ChunkIndex, FileIndex, PeerId, Thumbprint};
use matinee_protocol::limit::CHUNK_BYTES;
use matinee_protocol::receipt::Receipt;

/// How a device lies. The engine behind it is an honest one; its driver changes what goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lie {
    /// Sends chunks with one byte changed.
    WrongBytes,
    /// Sends the chunks of another release.
    OldRelease,
    /// Sends another chunk than the one asked for.
    OtherChunks,
    /// Sends every part twice.
    TooMuch,
    /// Sends parts beyond the end of the chunk.
    BeyondTheEnd,
    /// Sends a chunk nobody asked for.
    Unasked,
    /// Sends a few bytes a second.
    TooSlow,
    /// Promises everything and sends nothing.
    Nothing,
    /// Promises everything and says "not held" when asked.
    EmptyPromises,
    /// Sends frames of random bytes.
    Garbage,
    /// Sends a wrong hash page.
    WrongPage,
    /// Presents the hello of another device, overheard on another channel.
    ReplayedHello,
}

pub const EVERY_LIE: [Lie; 12] = [
    Lie::WrongBytes,
    Lie::OldRelease,
    Lie::OtherChunks,
    Lie::TooMuch,
    Lie::BeyondTheEnd,
    Lie::Unasked,
    Lie::TooSlow,
    Lie::Nothing,
    Lie::EmptyPromises,
    Lie::Garbage,
    Lie::WrongPage,
    Lie::ReplayedHello,
];

/// What a device is made of.
#[derive(Clone)]
pub struct Spec {
    pub config: Config,
    pub up_bytes_per_s: u64,
    pub down_bytes_per_s: u64,
    pub latency_us: u64,
    pub lie: Option<Lie>,
    /// Holds everything at the start.
    pub seeder: bool,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            config: Config::default(),
            up_bytes_per_s: 5_000_000,
            down_bytes_per_s: 20_000_000,
            latency_us: 20_000,
            lie: None,
            seeder: false,
        }
    }
}

/// Plays file 0 from the start and notes when it had to wait.
#[derive(Debug, Clone)]
pub struct Player {
    pub bytes_per_s: u64,
    pub ahead_chunks: u32,
    pub next: u32,
    pub end: u32,
    pub asked_ms: u64,
    pub first_chunk_ms: Option<u64>,
    pub due_us: u64,
    pub waiting_since_us: Option<u64>,
    pub stalls: u32,
    pub stalled_us: u64,
    pub done: bool,
}

impl Player {
    pub fn playhead(&self) -> Playhead {
        Playhead {
            file: FileIndex(0),
            chunk: ChunkIndex(self.next.min(self.end - 1)),
            bytes_per_s: self.bytes_per_s,
            ahead_chunks: self.ahead_chunks,
        }
    }

    pub fn chunk_us(&self) -> u64 {
        u64::from(CHUNK_BYTES) * 1_000_000 / self.bytes_per_s
    }
}

/// One device.
pub struct Node {
    pub swarm: Swarm,
    pub spec: Spec,
    pub device: SigningKey,
    pub id: PeerId,
    pub alive: bool,
    pub store: BTreeMap<ChunkAddress, Bytes>,
    pub up_free_us: u64,
    pub down_free_us: u64,
    /// Bytes in the send queue, by peer.
    pub queued: BTreeMap<usize, usize>,
    pub drain_due: BTreeSet<usize>,
    pub wake_us: Option<u64>,
    pub player: Option<Player>,
    pub remembered: BTreeMap<Thumbprint, Fault>,
    pub reported: Vec<(PeerId, Fault)>,
    pub closed: Vec<(PeerId, Reason)>,
    pub ready: BTreeSet<PeerId>,
    pub receipts: BTreeMap<Thumbprint, Receipt>,
    pub origin_requests: u32,
    pub page_requests: u32,
    pub cancelled_runs: BTreeSet<u64>,
    /// Most chunk bytes that were ever queued to one peer.
    pub queued_most: usize,
}

impl Node {
    pub fn thumbprint(&self) -> Thumbprint {
        self.device.public().thumbprint()
    }

    pub fn stats(&self) -> Stats {
        self.swarm.stats()
    }

    pub fn stalled_ms(&self) -> u64 {
        self.player.as_ref().map_or(0, |player| player.stalled_us / 1000)
    }

    /// What a lying driver sends instead of this frame.
    pub fn distort(&self, frame: Bytes) -> Vec<Bytes> {
        let Some(lie) = self.spec.lie else {
            return vec![frame];
        };
        let Ok(decoded) = Frame::decode(frame.clone()) else {
            return vec![frame];
        };
        match (lie, decoded) {
            (
                Lie::OtherChunks,
                Frame::Data {
                    mut at,
                    offset,
                    bytes,
                },
            ) => {
                at.chunk = ChunkIndex(at.chunk.get() ^ 1);
                vec![Frame::Data { at, offset, bytes }.encode()]
            }
            (Lie::TooMuch, Frame::Data { .. }) => vec![frame.clone(), frame],
            (Lie::BeyondTheEnd, Frame::Data { at, offset, bytes }) => {
                vec![
                    Frame::Data {
                        at,
                        offset: offset + CHUNK_BYTES,
                        bytes,
                    }
                    .encode(),
                ]
            }
            (Lie::WrongPage, Frame::Page { file, page, bytes }) => {
                let mut wrong = bytes.to_vec();
                wrong[5] ^= 1;
                vec![
                    Frame::Page {
                        file,
                        page,
                        bytes: wrong.into(),
                    }
                    .encode(),
                ]
            }
            (Lie::EmptyPromises | Lie::Nothing | Lie::TooSlow, Frame::Page { .. }) => Vec::new(),
            _ => vec![frame],
        }
    }
}
