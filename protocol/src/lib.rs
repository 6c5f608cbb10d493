//! The wire and the cryptography of Matinee, without I/O.
//!
//! This crate says what bytes mean: ids, the manifest, sealing and opening chunks, view tokens, proofs, licenses,
//! frames between peers and messages to signaling. `docs/PROTOCOL.md` is its specification. It reads no clock, opens no socket
//! and draws no randomness of its own, so that the native build and the WebAssembly build behave alike.
//!
//! *Architecture invariant:* every decoder here is bounded and total. It returns an error for any input it does not accept,
//! never panics, and never allocates more than the input's own size calls for.

pub mod api;
pub mod device;
pub mod dpop;
pub mod encoding;
pub mod frame;
pub mod hash;
pub mod hello;
pub mod id;
pub mod jws;
pub mod license;
pub mod limit;
pub mod manifest;
pub mod receipt;
pub mod seal;
pub mod signaling;
pub mod token;
#[cfg(feature = "vectors")]
pub mod vectors;

/// The traits of random number generators that [`license::seal_keys`] accepts.
pub use hpke::rand_core;
