//! Every limit of the protocol, with its unit last in the name.

/// Plaintext bytes of a chunk; the last chunk of a file may be shorter.
pub const CHUNK_BYTES: u32 = 256 * 1024;
/// Bytes that sealing adds to a chunk: the Poly1305 tag.
pub const TAG_BYTES: u32 = 16;
/// Hashes in a full hash page.
pub const PAGE_HASHES: u32 = 1024;
/// Bytes of a chunk hash and of a page hash (BLAKE3).
pub const HASH_BYTES: usize = 32;
/// Bytes of a full hash page.
pub const PAGE_BYTES_MAX: usize = PAGE_HASHES as usize * HASH_BYTES;
/// Chunks in a segment: the unit in which an upload is acknowledged and an object is written.
pub const SEGMENT_CHUNKS: u32 = 64;
/// Plaintext bytes in a full segment.
pub const SEGMENT_BYTES: u64 = SEGMENT_CHUNKS as u64 * CHUNK_BYTES as u64;
/// Chunks in an epoch where the duration of a file is not known.
pub const EPOCH_CHUNKS_DEFAULT: u32 = 64;
/// Playback that publishing aims to put in one epoch, where the duration is known.
pub const EPOCH_MS: u64 = 60_000;
/// Epochs in a rolling license: the asked one and those after it.
pub const EPOCH_LEAD: u32 = 3;
/// Keys in one license.
pub const LICENSE_KEYS_MAX: usize = 4096;
/// Files in a release.
pub const FILES_MAX: usize = 65_536;
/// Bytes of a file's name, of a title's name and of a publisher's name.
pub const NAME_BYTES_MAX: usize = 1024;
/// Bytes of a media type.
pub const MEDIA_TYPE_BYTES_MAX: usize = 127;
/// Bytes of a manifest in its signed form.
pub const MANIFEST_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes of a data-channel message.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;
/// Payload bytes of a data frame: a frame less its kind, file, chunk and offset.
pub const DATA_BYTES_MAX: usize = FRAME_BYTES_MAX - 13;
/// Chunks named by one inventory frame.
pub const INVENTORY_CHUNKS_MAX: u32 = 262_144;
/// Chunks named by one have frame.
pub const HAVE_CHUNKS_MAX: usize = 1024;
/// Requests that may wait for an uploader, a peer.
pub const REQUESTS_WAITING_MAX: usize = 64;
/// Time within which the other side's hello must have come.
pub const HELLO_MS_MAX: u64 = 10_000;
/// Time that a peer stays after its view token ended without a newer one.
pub const TOKEN_GRACE_MS: u64 = 30_000;
/// Verified bytes after which a downloader signs a receipt.
pub const RECEIPT_BYTES: u64 = 8 * 1024 * 1024;
/// Bytes of a view token.
pub const VIEW_TOKEN_BYTES_MAX: usize = 640;
/// Lifetime of a view token.
pub const VIEW_TOKEN_S: u64 = 300;
/// Leeway for the expiry of a view token.
pub const TOKEN_LEEWAY_S: u64 = 5;
/// Bytes of a proof of possession.
pub const PROOF_BYTES_MAX: usize = 2048;
/// How far a proof's time of issue may be from the server's clock.
pub const PROOF_AGE_S_MAX: u64 = 60;
/// Characters of a proof's `jti`.
pub const PROOF_ID_CHARS_MAX: usize = 64;
/// Bytes of a JWK set.
pub const JWKS_BYTES_MAX: usize = 64 * 1024;
/// Keys in a JWK set.
pub const JWKS_KEYS_MAX: usize = 32;
/// Bytes of a JSON request body.
pub const JSON_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a signaling message.
pub const SIGNALING_BYTES_MAX: usize = 32 * 1024;
/// Bytes of a session description in a signaling message.
pub const SDP_BYTES_MAX: usize = 16 * 1024;
/// Bytes of an ICE candidate line.
pub const CANDIDATE_BYTES_MAX: usize = 1024;
/// Bytes of a reason or detail in a signaling message.
pub const REASON_BYTES_MAX: usize = 256;
/// Signaling messages a second, a connection.
pub const SIGNALING_RATE_PER_S: u32 = 64;
/// Signaling messages at once, a connection.
pub const SIGNALING_BURST: u32 = 256;
/// Peers told to a member at once.
pub const PEERS_GIVEN_MAX: usize = 30;
