//! Frames between peers (PROTOCOL §6): one message of a data channel each, big-endian, first byte the kind.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::device::{DevicePublicKey, SIGNATURE_BYTES};
use crate::hello::{Hello, VERSION};
use crate::id::{ChunkAddress, ChunkIndex, FileIndex, PageIndex};
use crate::limit::{
    FRAME_BYTES_MAX, HASH_BYTES, HAVE_CHUNKS_MAX, INVENTORY_CHUNKS_MAX, PAGE_BYTES_MAX, VIEW_TOKEN_BYTES_MAX,
};
use crate::receipt::Receipt;

/// `retry_after_ms` of a busy frame for a chunk that is not held at all.
pub const NOT_HELD: u32 = u32::MAX;

mod kind {
    pub(super) const HELLO: u8 = 1;
    pub(super) const INVENTORY: u8 = 2;
    pub(super) const HAVE: u8 = 3;
    pub(super) const REQUEST: u8 = 4;
    pub(super) const DATA: u8 = 5;
    pub(super) const CANCEL: u8 = 6;
    pub(super) const BUSY: u8 = 7;
    pub(super) const PAGE_REQUEST: u8 = 8;
    pub(super) const PAGE: u8 = 9;
    pub(super) const RECEIPT: u8 = 10;
    pub(super) const GOODBYE: u8 = 11;
}

/// Why a peer leaves or was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// It goes away.
    Leaving,
    /// The handshake was refused, or the token ran out.
    NotAuthorized,
    /// It sent what the protocol does not allow.
    ProtocolError,
    /// It sent bytes with a wrong hash.
    BadData,
    /// It did not deliver in time.
    TooSlow,
    /// No room for another connection.
    Full,
    /// Its view was ended by the server.
    Revoked,
    /// A reason that a later version has.
    Other(u8),
}

impl Reason {
    /// The byte on the wire.
    pub const fn code(self) -> u8 {
        match self {
            Self::Leaving => 0,
            Self::NotAuthorized => 1,
            Self::ProtocolError => 2,
            Self::BadData => 3,
            Self::TooSlow => 4,
            Self::Full => 5,
            Self::Revoked => 6,
            Self::Other(code) => code,
        }
    }

    /// The reason with this byte.
    pub const fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Leaving,
            1 => Self::NotAuthorized,
            2 => Self::ProtocolError,
            3 => Self::BadData,
            4 => Self::TooSlow,
            5 => Self::Full,
            6 => Self::Revoked,
            other => Self::Other(other),
        }
    }
}

/// One message between peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Who I am.
    Hello(Hello),
    /// Which chunks of a run I have: bit `i`, most significant first, is chunk `first + i`.
    Inventory {
        /// The file.
        file: FileIndex,
        /// The chunk of the first bit.
        first: ChunkIndex,
        /// How many chunks the bits name.
        count: u32,
        /// The bits; spare ones are zero.
        bits: Bytes,
    },
    /// Chunks I have got since.
    Have {
        /// The file.
        file: FileIndex,
        /// The chunks.
        chunks: Vec<ChunkIndex>,
    },
    /// Send me this chunk.
    Request(ChunkAddress),
    /// Part of a chunk.
    Data {
        /// The chunk.
        at: ChunkAddress,
        /// Where in the chunk the bytes belong.
        offset: u32,
        /// The bytes.
        bytes: Bytes,
    },
    /// I no longer want this chunk.
    Cancel(ChunkAddress),
    /// Not now.
    Busy {
        /// The chunk asked for.
        at: ChunkAddress,
        /// When to ask again, or [`NOT_HELD`].
        retry_after_ms: u32,
    },
    /// Send me this hash page.
    PageRequest {
        /// The file.
        file: FileIndex,
        /// The page.
        page: PageIndex,
    },
    /// A hash page.
    Page {
        /// The file.
        file: FileIndex,
        /// The page.
        page: PageIndex,
        /// Its bytes.
        bytes: Bytes,
    },
    /// What I have had from you.
    Receipt(Receipt),
    /// I leave.
    Goodbye(Reason),
    /// A kind that a later version has; to be skipped.
    Unknown {
        /// The kind.
        kind: u8,
    },
}

/// Why a frame was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nothing in it.
    #[error("the frame is empty")]
    Empty,
    /// Above [`FRAME_BYTES_MAX`].
    #[error("the frame is longer than {FRAME_BYTES_MAX} bytes")]
    TooLong,
    /// Shorter or longer than its kind calls for.
    #[error("the frame's length does not fit its kind")]
    Length,
    /// A value outside its limits.
    #[error("the frame holds a value outside its limits")]
    Value,
    /// Hello of another version.
    #[error("the peer speaks another version of the protocol")]
    Version,
}

struct Reader(Bytes);

impl Reader {
    fn u8(&mut self) -> Result<u8, Error> {
        self.0.try_get_u8().map_err(|_| Error::Length)
    }
    fn u16(&mut self) -> Result<u16, Error> {
        self.0.try_get_u16().map_err(|_| Error::Length)
    }
    fn u32(&mut self) -> Result<u32, Error> {
        self.0.try_get_u32().map_err(|_| Error::Length)
    }
    fn u64(&mut self) -> Result<u64, Error> {
        self.0.try_get_u64().map_err(|_| Error::Length)
    }
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        self.0.try_copy_to_slice(&mut bytes).map_err(|_| Error::Length)?;
        Ok(bytes)
    }
    fn take(&mut self, count: usize) -> Result<Bytes, Error> {
        if self.0.len() < count { Err(Error::Length) } else { Ok(self.0.split_to(count)) }
    }
    fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.0)
    }
    fn address(&mut self) -> Result<ChunkAddress, Error> {
        Ok(ChunkAddress::new(self.u32()?, self.u32()?))
    }
}

impl Frame {
    /// Reads one message. Payloads share the message's memory.
    pub fn decode(message: Bytes) -> Result<Self, Error> {
        if message.len() > FRAME_BYTES_MAX {
            return Err(Error::TooLong);
        }
        let mut reader = Reader(message);
        let kind = reader.u8().map_err(|_| Error::Empty)?;
        let frame = match kind {
            kind::HELLO => Self::Hello(decode_hello(&mut reader)?),
            kind::INVENTORY => decode_inventory(&mut reader)?,
            kind::HAVE => decode_have(&mut reader)?,
            kind::REQUEST => Self::Request(reader.address()?),
            kind::DATA => decode_data(&mut reader)?,
            kind::CANCEL => Self::Cancel(reader.address()?),
            kind::BUSY => Self::Busy { at: reader.address()?, retry_after_ms: reader.u32()? },
            kind::PAGE_REQUEST => {
                Self::PageRequest { file: FileIndex(reader.u32()?), page: PageIndex(reader.u32()?) }
            }
            kind::PAGE => decode_page(&mut reader)?,
            kind::RECEIPT => Self::Receipt(Receipt {
                total_bytes: reader.u64()?,
                at_ms: reader.u64()?,
                signature: reader.array()?,
            }),
            kind::GOODBYE => Self::Goodbye(Reason::from_code(reader.u8()?)),
            kind => return Ok(Self::Unknown { kind }),
        };
        if reader.0.is_empty() { Ok(frame) } else { Err(Error::Length) }
    }

    /// Writes the message. `Unknown` writes its kind alone.
    ///
    /// Values outside the limits are the caller's mistake and make a frame that the other side refuses.
    pub fn encode(&self) -> Bytes {
        let mut to = BytesMut::with_capacity(self.encoded_bytes());
        match self {
            Self::Hello(hello) => encode_hello(&mut to, hello),
            Self::Inventory { file, first, count, bits } => {
                put_kind(&mut to, kind::INVENTORY, &[file.0, first.0, *count]);
                to.put_slice(bits);
            }
            Self::Have { file, chunks } => {
                put_kind(&mut to, kind::HAVE, &[file.0]);
                to.put_u16(chunks.len() as u16);
                chunks.iter().for_each(|chunk| to.put_u32(chunk.0));
            }
            Self::Request(at) => put_kind(&mut to, kind::REQUEST, &[at.file.0, at.chunk.0]),
            Self::Data { at, offset, bytes } => {
                put_kind(&mut to, kind::DATA, &[at.file.0, at.chunk.0, *offset]);
                to.put_slice(bytes);
            }
            Self::Cancel(at) => put_kind(&mut to, kind::CANCEL, &[at.file.0, at.chunk.0]),
            Self::Busy { at, retry_after_ms } => {
                put_kind(&mut to, kind::BUSY, &[at.file.0, at.chunk.0, *retry_after_ms]);
            }
            Self::PageRequest { file, page } => put_kind(&mut to, kind::PAGE_REQUEST, &[file.0, page.0]),
            Self::Page { file, page, bytes } => {
                put_kind(&mut to, kind::PAGE, &[file.0, page.0]);
                to.put_slice(bytes);
            }
            Self::Receipt(receipt) => {
                to.put_u8(kind::RECEIPT);
                to.put_u64(receipt.total_bytes);
                to.put_u64(receipt.at_ms);
                to.put_slice(&receipt.signature);
            }
            Self::Goodbye(reason) => to.put_slice(&[kind::GOODBYE, reason.code()]),
            Self::Unknown { kind } => to.put_u8(*kind),
        }
        to.freeze()
    }

    fn encoded_bytes(&self) -> usize {
        const FIELDS_BYTES_MAX: usize = 128;
        FIELDS_BYTES_MAX
            + match self {
                Self::Hello(hello) => hello.token.len(),
                Self::Inventory { bits, .. } => bits.len(),
                Self::Have { chunks, .. } => chunks.len() * 4,
                Self::Data { bytes, .. } | Self::Page { bytes, .. } => bytes.len(),
                _ => 0,
            }
    }
}

fn put_kind(to: &mut BytesMut, kind: u8, words: &[u32]) {
    to.put_u8(kind);
    words.iter().for_each(|&word| to.put_u32(word));
}

fn encode_hello(to: &mut BytesMut, hello: &Hello) {
    to.put_u8(kind::HELLO);
    to.put_u8(VERSION);
    to.put_u16(hello.token.len() as u16);
    to.put_slice(hello.token.as_bytes());
    to.put_slice(&hello.public.0);
    to.put_slice(&hello.signature);
}

fn decode_hello(reader: &mut Reader) -> Result<Hello, Error> {
    if reader.u8()? != VERSION {
        return Err(Error::Version);
    }
    let token_bytes = usize::from(reader.u16()?);
    if token_bytes > VIEW_TOKEN_BYTES_MAX {
        return Err(Error::Value);
    }
    let token = String::from_utf8(reader.take(token_bytes)?.to_vec()).map_err(|_| Error::Value)?;
    let public = DevicePublicKey(reader.array()?);
    let signature: [u8; SIGNATURE_BYTES] = reader.array()?;
    Ok(Hello { token, public, signature })
}

fn decode_inventory(reader: &mut Reader) -> Result<Frame, Error> {
    let (file, first, count) = (FileIndex(reader.u32()?), ChunkIndex(reader.u32()?), reader.u32()?);
    if count == 0 || count > INVENTORY_CHUNKS_MAX || first.0.checked_add(count).is_none() {
        return Err(Error::Value);
    }
    let bits = reader.take(count.div_ceil(8) as usize)?;
    let spare = bits.len() as u32 * 8 - count;
    if bits.last().is_some_and(|last| last.trailing_zeros() < spare) {
        return Err(Error::Value);
    }
    Ok(Frame::Inventory { file, first, count, bits })
}

fn decode_have(reader: &mut Reader) -> Result<Frame, Error> {
    let file = FileIndex(reader.u32()?);
    let count = usize::from(reader.u16()?);
    if count == 0 || count > HAVE_CHUNKS_MAX {
        return Err(Error::Value);
    }
    let chunks = (0..count).map(|_| reader.u32().map(ChunkIndex)).collect::<Result<_, _>>()?;
    Ok(Frame::Have { file, chunks })
}

fn decode_data(reader: &mut Reader) -> Result<Frame, Error> {
    let (at, offset, bytes) = (reader.address()?, reader.u32()?, reader.rest());
    if bytes.is_empty() { Err(Error::Length) } else { Ok(Frame::Data { at, offset, bytes }) }
}

fn decode_page(reader: &mut Reader) -> Result<Frame, Error> {
    let (file, page, bytes) = (FileIndex(reader.u32()?), PageIndex(reader.u32()?), reader.rest());
    let whole_hashes = !bytes.is_empty() && bytes.len().is_multiple_of(HASH_BYTES);
    if !whole_hashes || bytes.len() > PAGE_BYTES_MAX {
        return Err(Error::Length);
    }
    Ok(Frame::Page { file, page, bytes })
}
