//! Which epochs one license holds.

use matinee_protocol::id::{EpochIndex, FileIndex};
use matinee_protocol::license::EpochRange;
use matinee_protocol::limit::{CHUNK_BYTES, EPOCH_LEAD};

/// Epochs that a file of this size has.
pub fn epochs_of(size_bytes: u64, epoch_chunks: u32) -> u32 {
    let chunks = size_bytes.div_ceil(u64::from(CHUNK_BYTES));
    u32::try_from(chunks.div_ceil(u64::from(epoch_chunks.max(1)))).unwrap_or(u32::MAX)
}

/// The epoch asked for and those after it, as far as the lead and the file go. None if the file has no such epoch.
pub fn rolling(file: FileIndex, asked: u32, epochs: u32) -> Option<EpochRange> {
    let left = epochs.checked_sub(asked).filter(|left| *left > 0)?;
    Some(EpochRange { file, first: EpochIndex(asked), count: left.min(EPOCH_LEAD) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_as_many_epochs_as_its_chunks_fill() {
        let chunk = u64::from(CHUNK_BYTES);
        for (size, epoch_chunks, epochs) in [
            (0, 64, 0),
            (1, 64, 1),
            (64 * chunk, 64, 1),
            (64 * chunk + 1, 64, 2),
            (5 * chunk, 1, 5),
            (chunk, 0, 1),
        ] {
            assert_eq!(epochs_of(size, epoch_chunks), epochs, "{size} bytes");
        }
    }

    #[test]
    fn a_license_leads_but_never_beyond_the_file() {
        let counts: Vec<_> =
            (0..6).map(|asked| rolling(FileIndex(0), asked, 5).map(|range| range.count)).collect();
        assert_eq!(counts, [Some(3), Some(3), Some(3), Some(2), Some(1), None]);
        assert_eq!(rolling(FileIndex(0), 0, 0), None);
    }
}
