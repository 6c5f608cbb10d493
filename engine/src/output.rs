//! What to do: everything the engine can ask of a driver.

use bytes::Bytes;
use matinee_protocol::frame::Reason;
use matinee_protocol::id::{ChunkAddress, ChunkIndex, FileIndex, PageIndex, PeerId, Thumbprint};
use matinee_protocol::receipt::Receipt;
use matinee_protocol::token::ViewTokenClaims;

/// One thing to do. Carried out in the order given.
#[derive(Debug, Clone)]
pub enum Output {
    /// Send one message on the peer's channel.
    Send {
        /// To whom.
        peer: PeerId,
        /// One encoded frame.
        frame: Bytes,
    },
    /// Flush what is queued and close the channel. The engine has forgotten the peer.
    Close {
        /// Whose channel.
        peer: PeerId,
        /// Why; the goodbye frame was already sent.
        reason: Reason,
    },
    /// The handshake passed.
    PeerReady {
        /// Who.
        peer: PeerId,
        /// What its token says.
        claims: ViewTokenClaims,
    },
    /// Keep this verified chunk.
    Store {
        /// Which one.
        at: ChunkAddress,
        /// Its ciphertext.
        bytes: Bytes,
    },
    /// Keep this verified hash page (optional; saves asking again after a restart).
    StorePage {
        /// File.
        file: FileIndex,
        /// Page of the file.
        page: PageIndex,
        /// Plain concatenation of hashes.
        bytes: Bytes,
    },
    /// Read a held chunk for upload; answered by [`crate::Input::ReadDone`].
    Read {
        /// For whom.
        peer: PeerId,
        /// Which chunk.
        at: ChunkAddress,
    },
    /// Fetch a run of chunks by one Range request.
    FetchOrigin {
        /// A number for the answers.
        request: u64,
        /// File.
        file: FileIndex,
        /// First chunk.
        first: ChunkIndex,
        /// How many, 1 to 16.
        count: u32,
    },
    /// Stop that fetch; no `OriginEnded` is expected (one that comes is ignored).
    CancelOrigin {
        /// Its number.
        request: u64,
    },
    /// Fetch a hash page from the driver's disk or the origin.
    FetchPage {
        /// File.
        file: FileIndex,
        /// Page of the file.
        page: PageIndex,
    },
    /// We downloaded: sign a receipt for the uploader; answered by [`crate::Input::ReceiptSigned`].
    SignReceipt {
        /// The uploader's channel.
        peer: PeerId,
        /// The uploader.
        uploader: Thumbprint,
        /// Running total of verified bytes.
        total_bytes: u64,
        /// Time of the receipt.
        at_ms: u64,
        /// What the device key signs.
        signed_bytes: Vec<u8>,
    },
    /// We uploaded: a verified receipt. The last one of each downloader is worth handing to the server.
    ReceiptReceived {
        /// The downloader's channel.
        peer: PeerId,
        /// The downloader.
        thumbprint: Thumbprint,
        /// The receipt.
        receipt: Receipt,
    },
    /// This device misbehaved and is refused from now on. Persist it if `fault` is [`Fault::BadData`] and give it back at
    /// the next start by [`crate::Input::Remember`]; the other faults count for this run only.
    Remembered {
        /// Which device.
        thumbprint: Thumbprint,
        /// What it did.
        fault: Fault,
    },
    /// Tell signaling.
    Report {
        /// Which peer.
        peer: PeerId,
        /// What it did.
        fault: Fault,
    },
}

/// What a peer did wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Fault {
    /// A chunk or page whose hash is wrong.
    #[error("bad_data")]
    BadData,
    /// A frame that does not decode, or breaks the rules of the exchange.
    #[error("protocol_error")]
    Protocol,
    /// Silent or too slow while it owed chunks.
    #[error("too_slow")]
    TooSlow,
    /// Announced chunks it does not have, again and again.
    #[error("empty_promises")]
    EmptyPromises,
    /// A hello that does not hold.
    #[error("not_authorized")]
    NotAuthorized,
}
