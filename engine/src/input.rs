//! What happened: everything a driver can tell the engine.

use bytes::Bytes;
use matinee_protocol::hello::ChannelBinding;
use matinee_protocol::id::{ChunkAddress, ChunkIndex, FileIndex, PageIndex, PeerId, Thumbprint};
use matinee_protocol::jws::KeySet;

/// One thing that happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// Chunks verified earlier and still on disk (start-up): runs of (first, count).
    Held {
        /// The file they belong to.
        file: FileIndex,
        /// Runs as (first chunk, how many); what lies outside the file is ignored.
        chunks: Vec<(u32, u32)>,
    },
    /// The driver evicted this chunk, or could not store or read it: the engine forgets it.
    Lost {
        /// Which one.
        at: ChunkAddress,
    },
    /// A data channel is open.
    PeerOpened {
        /// The peer at its other end.
        peer: PeerId,
        /// Both certificate fingerprints as this side sees them.
        binding: ChannelBinding,
        /// Our own hello as an encoded frame, signed by the driver for this channel.
        hello: Bytes,
    },
    /// Our token was renewed: a new hello frame for this channel.
    HelloRenewed {
        /// To whom.
        peer: PeerId,
        /// The encoded frame.
        hello: Bytes,
    },
    /// The channel is gone.
    PeerClosed {
        /// Whose.
        peer: PeerId,
    },
    /// One message arrived.
    Frame {
        /// From whom.
        peer: PeerId,
        /// As received.
        bytes: Bytes,
    },
    /// The driver's send queue to this peer is at or below its low-water mark.
    Drained {
        /// Whose queue.
        peer: PeerId,
    },
    /// The answer to [`crate::Output::Read`].
    ReadDone {
        /// For whom it was read.
        peer: PeerId,
        /// Which chunk.
        at: ChunkAddress,
        /// The chunk as stored (ciphertext); `None` if it could not be read, which also means it is lost.
        bytes: Option<Bytes>,
    },
    /// One chunk of an origin run.
    OriginChunk {
        /// The number from [`crate::Output::FetchOrigin`].
        request: u64,
        /// Which chunk.
        at: ChunkAddress,
        /// Its ciphertext, not yet verified.
        bytes: Bytes,
    },
    /// An origin run is over. Chunks that did not come are absent again.
    OriginEnded {
        /// The number from [`crate::Output::FetchOrigin`].
        request: u64,
        /// Why it ended early.
        error: Option<OriginError>,
    },
    /// A hash page from the origin or the driver's disk; verified here.
    PageArrived {
        /// File.
        file: FileIndex,
        /// Page of the file.
        page: PageIndex,
        /// Plain concatenation of hashes.
        bytes: Bytes,
    },
    /// The origin could not give a hash page.
    PageFailed {
        /// File.
        file: FileIndex,
        /// Page of the file.
        page: PageIndex,
    },
    /// What to get, apart from what playheads need.
    Want {
        /// Replaces the former wish.
        want: Want,
    },
    /// A reader's position. Several readers (video and audio, or two HTTP ranges) each have a number of their own.
    Playhead {
        /// The reader's number, chosen by the driver; at most 16 at once.
        reader: u32,
        /// `None` when paused or stopped: nothing is urgent for it any more.
        playhead: Option<Playhead>,
    },
    /// How many peers signaling knows of and the driver is connecting to. Optional: with 0 the engine uses the origin
    /// at once instead of waiting a grace time for peers.
    PeersExpected {
        /// Peers known.
        count: u32,
    },
    /// A device banned in an earlier run.
    Remember {
        /// Its thumbprint.
        thumbprint: Thumbprint,
    },
    /// The server's keys were fetched anew (a `kid` was rotated in).
    KeysChanged {
        /// The whole key set.
        keys: KeySet,
    },
    /// The answer to [`crate::Output::SignReceipt`].
    ReceiptSigned {
        /// The uploader's channel.
        peer: PeerId,
        /// As asked.
        total_bytes: u64,
        /// As asked.
        at_ms: u64,
        /// Ed25519 by the device key over `signed_bytes`.
        signature: [u8; 64],
    },
    /// Say goodbye to all and stop. `Close` follows for each peer once its last receipt is signed, at the latest after a
    /// second of ticks.
    Leave,
    /// The time asked for by `next_wakeup_ms` has come.
    Tick,
}

/// What to get, apart from what playheads need.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Want {
    /// Nothing: only serve, or only what playheads need.
    #[default]
    Nothing,
    /// Every chunk of every file.
    Everything,
    /// Runs of chunks: (file, first chunk, how many).
    Only(Vec<(FileIndex, ChunkIndex, u32)>),
}

/// Where a reader is and how fast it consumes. Chunk `chunk` is needed now, the one after it
/// `CHUNK_BYTES / bytes_per_s` later, and so on for `ahead_chunks` chunks.
///
/// Best is the position that is *shown*. A reader that moves on without a gap faster than `bytes_per_s` (a program that
/// fills its buffer, an HTTP client) is taken to have that much in hand, up to six seconds: so reading ahead does not drive
/// everything to the origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Playhead {
    /// File being read.
    pub file: FileIndex,
    /// The chunk needed next.
    pub chunk: ChunkIndex,
    /// Consumption speed (size over duration); 0 is taken as 1.
    pub bytes_per_s: u64,
    /// How many chunks from `chunk` on are wanted.
    pub ahead_chunks: u32,
}

/// Why the origin failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// The view token was refused: the driver renews it.
    #[error("the origin refused the view token, renew it")]
    NotAuthorized,
    /// The origin does not have it.
    #[error("the origin does not have this range")]
    NotFound,
    /// Network, timeout or a server error; retried with backoff.
    #[error("the origin is not reachable: {0}")]
    Unreachable(String),
}
