//! Sealing and opening chunks (PROTOCOL §1.1).

use std::fmt;

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Nonce, Tag};
use hkdf::Hkdf;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::id::{ChunkAddress, EpochIndex, FileIndex, ReleaseId};
use crate::limit::TAG_BYTES;

const EPOCH_KEY_LABEL: &[u8] = b"matinee/1 epoch key";
/// The variant of every key today; others leave room for forensic marks.
const VARIANT: u16 = 0;

macro_rules! secret {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Zeroize, ZeroizeOnDrop)]
        pub struct $name([u8; 32]);

        impl $name {
            /// The secret with these bytes.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The bytes themselves. Never log them.
            pub const fn expose(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(hidden)"))
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.0.ct_eq(&other.0).into()
            }
        }

        impl Eq for $name {}
    };
}

secret!(
    /// The secret from which all content keys of a release come. It never leaves the server.
    ReleaseSecret
);
secret!(
    /// The content key of one epoch of one file.
    EpochKey
);

/// The chunk was not sealed with this key for this place, or was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the chunk does not open with this key at this place")]
pub struct OpenError;

/// Derives the content key of an epoch (HKDF-SHA256, RFC 5869).
pub fn derive_epoch_key(
    secret: &ReleaseSecret,
    release: &ReleaseId,
    file: FileIndex,
    epoch: EpochIndex,
) -> EpochKey {
    let hkdf = Hkdf::<Sha256>::new(Some(release.as_bytes()), secret.expose());
    let parts: [&[u8]; 4] =
        [EPOCH_KEY_LABEL, &file.0.to_be_bytes(), &epoch.0.to_be_bytes(), &VARIANT.to_be_bytes()];
    let mut key = [0; 32];
    hkdf.expand_multi_info(&parts, &mut key).expect("32 bytes is a valid length for HKDF-SHA256");
    EpochKey(key)
}

fn nonce(at: ChunkAddress) -> Nonce {
    let mut nonce = [0; 12];
    nonce[8..].copy_from_slice(&at.chunk.0.to_be_bytes());
    nonce.into()
}

fn associated_data(release: &ReleaseId, at: ChunkAddress) -> [u8; 24] {
    let mut data = [0; 24];
    data[..16].copy_from_slice(release.as_bytes());
    data[16..20].copy_from_slice(&at.file.0.to_be_bytes());
    data[20..].copy_from_slice(&at.chunk.0.to_be_bytes());
    data
}

/// Seals `plaintext` in place and returns the tag that follows it.
pub fn seal_chunk_detached(
    key: &EpochKey,
    release: &ReleaseId,
    at: ChunkAddress,
    plaintext: &mut [u8],
) -> [u8; TAG_BYTES as usize] {
    ChaCha20Poly1305::new(key.expose().into())
        .encrypt_inout_detached(&nonce(at), &associated_data(release, at), plaintext.into())
        .expect("a chunk is far below the cipher's limit of 256 GiB")
        .into()
}

/// Seals the chunk in `buffer` in place and appends the tag.
pub fn seal_chunk(key: &EpochKey, release: &ReleaseId, at: ChunkAddress, buffer: &mut Vec<u8>) {
    let tag = seal_chunk_detached(key, release, at, buffer);
    buffer.extend_from_slice(&tag);
}

/// Opens the sealed chunk in `buffer` in place; what remains is the plaintext. On an error the buffer is cleared.
pub fn open_chunk_in_place(
    key: &EpochKey,
    release: &ReleaseId,
    at: ChunkAddress,
    buffer: &mut Vec<u8>,
) -> Result<(), OpenError> {
    let Some(plaintext_bytes) = buffer.len().checked_sub(TAG_BYTES as usize) else {
        buffer.clear();
        return Err(OpenError);
    };
    let (sealed, tag) = buffer.split_at_mut(plaintext_bytes);
    let tag = Tag::try_from(&*tag).expect("the tag was split off with its exact length");
    let opened = ChaCha20Poly1305::new(key.expose().into()).decrypt_inout_detached(
        &nonce(at),
        &associated_data(release, at),
        sealed.into(),
        &tag,
    );
    buffer.truncate(if opened.is_ok() { plaintext_bytes } else { 0 });
    opened.map_err(|_| OpenError)
}

/// Opens a sealed chunk.
pub fn open_chunk(
    key: &EpochKey,
    release: &ReleaseId,
    at: ChunkAddress,
    sealed: &[u8],
) -> Result<Vec<u8>, OpenError> {
    let mut buffer = sealed.to_vec();
    open_chunk_in_place(key, release, at, &mut buffer)?;
    Ok(buffer)
}
