//! How fast one thread seals and hashes chunks that are in memory already: what `matinee publish` is measured against.
//!
//! `cargo run -p matinee-server --example bare_seal`

use std::io::Write as _;
use std::time::Instant;

use matinee_protocol::hash::chunk_hash;
use matinee_protocol::id::{ChunkAddress, ReleaseId};
use matinee_protocol::limit::CHUNK_BYTES;
use matinee_protocol::seal::{EpochKey, seal_chunk};

/// Chunks of 2 GiB.
const CHUNKS: u32 = 8192;

fn main() -> std::io::Result<()> {
    let (key, release) = (EpochKey::from_bytes([1; 32]), ReleaseId::from_bytes([2; 16]));
    let mut chunk = vec![7; CHUNK_BYTES as usize + 16];
    let mut mixed = 0_u8;
    #[expect(clippy::disallowed_methods, reason = "a stopwatch")]
    let started = Instant::now();
    for at in 0..CHUNKS {
        chunk.truncate(CHUNK_BYTES as usize);
        seal_chunk(&key, &release, ChunkAddress::new(0, at), &mut chunk);
        mixed ^= chunk_hash(&chunk).0[0];
    }
    let seconds = started.elapsed().as_secs_f64();
    let megabytes = f64::from(CHUNKS) * f64::from(CHUNK_BYTES) / 1e6;
    writeln!(std::io::stdout(), "{:.0} MB/s ({seconds:.2} s, check {mixed:02x})", megabytes / seconds)
}
