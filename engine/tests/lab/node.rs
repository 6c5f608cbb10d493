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
pub(crate) enum Lie {
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

pub(crate) const EVERY_LIE: [Lie; 12] = [
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
pub(crate) struct Spec {
    pub(crate) config: Config,
    pub(crate) up_bytes_per_s: u64,
    pub(crate) down_bytes_per_s: u64,
    pub(crate) latency_us: u64,
    pub(crate) lie: Option<Lie>,
    /// Holds everything at the start.
    pub(crate) seeder: bool,
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
pub(crate) struct Player {
    pub(crate) bytes_per_s: u64,
    pub(crate) ahead_chunks: u32,
    pub(crate) next: u32,
    pub(crate) end: u32,
    pub(crate) asked_ms: u64,
    pub(crate) first_chunk_ms: Option<u64>,
    pub(crate) due_us: u64,
    pub(crate) waiting_since_us: Option<u64>,
    pub(crate) stalls: u32,
    pub(crate) stalled_us: u64,
    pub(crate) done: bool,
    /// Takes chunks as fast as they come, as a program that fills its buffer does.
    pub(crate) greedy: bool,
}

impl Player {
    pub(crate) fn playhead(&self) -> Playhead {
        Playhead {
            file: FileIndex(0),
            chunk: ChunkIndex(self.next.min(self.end - 1)),
            bytes_per_s: self.bytes_per_s,
            ahead_chunks: self.ahead_chunks,
        }
    }

    pub(crate) fn chunk_us(&self) -> u64 {
        if self.greedy {
            return 0;
        }
        u64::from(CHUNK_BYTES) * 1_000_000 / self.bytes_per_s
    }
}

/// One device.
pub(crate) struct Node {
    pub(crate) swarm: Swarm,
    pub(crate) spec: Spec,
    pub(crate) device: SigningKey,
    pub(crate) id: PeerId,
    pub(crate) alive: bool,
    pub(crate) store: BTreeMap<ChunkAddress, Bytes>,
    pub(crate) up_free_us: u64,
    pub(crate) down_free_us: u64,
    /// Bytes in the send queue, by peer.
    pub(crate) queued: BTreeMap<usize, usize>,
    pub(crate) drain_due: BTreeSet<usize>,
    pub(crate) wake_us: Option<u64>,
    pub(crate) player: Option<Player>,
    pub(crate) remembered: BTreeMap<Thumbprint, Fault>,
    pub(crate) reported: Vec<(PeerId, Fault)>,
    pub(crate) closed: Vec<(PeerId, Reason)>,
    pub(crate) ready: BTreeSet<PeerId>,
    pub(crate) receipts: BTreeMap<Thumbprint, Receipt>,
    pub(crate) origin_requests: u32,
    pub(crate) page_requests: u32,
    pub(crate) cancelled_runs: BTreeSet<u64>,
    /// Most chunk bytes that were ever queued to one peer.
    pub(crate) queued_most: usize,
}

impl Node {
    pub(crate) fn thumbprint(&self) -> Thumbprint {
        self.device.public().thumbprint()
    }

    pub(crate) fn stats(&self) -> Stats {
        self.swarm.stats()
    }

    pub(crate) fn stalled_ms(&self) -> u64 {
        self.player.as_ref().map_or(0, |player| player.stalled_us / 1000)
    }

    /// What a lying driver sends instead of this frame.
    pub(crate) fn distort(&self, frame: Bytes) -> Vec<Bytes> {
        let Some(lie) = self.spec.lie else {
            return vec![frame];
        };
        let Ok(decoded) = Frame::decode(frame.clone()) else {
            return vec![frame];
        };
        match (lie, decoded) {
            (Lie::OtherChunks, Frame::Data { mut at, offset, bytes }) => {
                at.chunk = ChunkIndex(at.chunk.get() ^ 1);
                vec![Frame::Data { at, offset, bytes }.encode()]
            }
            (Lie::TooMuch, Frame::Data { .. }) => vec![frame.clone(), frame],
            (Lie::BeyondTheEnd, Frame::Data { at, offset, bytes }) => {
                vec![Frame::Data { at, offset: offset + CHUNK_BYTES, bytes }.encode()]
            }
            (Lie::WrongPage, Frame::Page { file, page, bytes }) => {
                let mut wrong = bytes.to_vec();
                wrong[5] ^= 1;
                vec![Frame::Page { file, page, bytes: wrong.into() }.encode()]
            }
            (Lie::EmptyPromises | Lie::Nothing | Lie::TooSlow, Frame::Page { .. }) => Vec::new(),
            _ => vec![frame],
        }
    }
}
