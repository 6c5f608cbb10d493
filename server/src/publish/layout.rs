//! Where the bytes of a file go: segments and pages.

use matinee_protocol::limit::{CHUNK_BYTES, PAGE_HASHES, SEGMENT_BYTES, SEGMENT_CHUNKS};

/// Segments of a page of hashes.
pub const PAGE_SEGMENTS: u32 = PAGE_HASHES / SEGMENT_CHUNKS;

/// Segments of a file.
#[must_use]
pub fn segments(size_bytes: u64) -> u64 {
    size_bytes.div_ceil(SEGMENT_BYTES)
}

/// Plaintext bytes of one segment of a file; 0 beyond its end.
#[must_use]
pub fn segment_bytes(size_bytes: u64, segment: u64) -> u64 {
    let start = segment.saturating_mul(SEGMENT_BYTES);
    size_bytes.saturating_sub(start).min(SEGMENT_BYTES)
}

/// Chunks that `bytes` of plaintext are cut into (at most a segment's worth of them is asked for).
#[must_use]
pub fn chunks_of(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(u64::from(CHUNK_BYTES))).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_cover_the_file_exactly() {
        let segment = SEGMENT_BYTES;
        for size in [0, 1, segment - 1, segment, segment + 1, 3 * segment + 5] {
            let sum: u64 = (0..segments(size)).map(|at| segment_bytes(size, at)).sum();
            assert_eq!(sum, size);
            assert_eq!(segment_bytes(size, segments(size)), 0);
        }
        assert_eq!(PAGE_SEGMENTS, 16);
    }
}
