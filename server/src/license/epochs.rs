//! Which epochs one license holds.

use matinee_protocol::id::{EpochIndex, FileIndex};
use matinee_protocol::license::EpochRange;
use matinee_protocol::limit::{CHUNK_BYTES, EPOCH_LEAD};

use super::decide::Refusal;

/// How much of a file is open, from its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// All of it.
    All,
    /// So much of its playing time. It ends with the last epoch that is whole within it: never later than promised.
    Preview(u64),
    /// What comes before a break that was not shown. The epoch that the break falls into is open: it holds what comes
    /// before it.
    UntilBreak(u64),
}

impl Open {
    /// How many of a file's epochs are open, and why the next one is not.
    pub fn epochs(
        self,
        all: u32,
        duration_ms: Option<u64>,
        chunks: u64,
        epoch_chunks: u32,
    ) -> (u32, Refusal) {
        // Playing time is taken to be spread evenly over the bytes.
        let at = |open_ms: u64, up: bool| {
            let Some(duration_ms) = duration_ms.filter(|duration| *duration > 0) else { return 0 };
            let whole = u128::from(duration_ms) * u128::from(epoch_chunks.max(1));
            let part = u128::from(open_ms) * u128::from(chunks);
            let epochs = if up { part.div_ceil(whole) } else { part / whole };
            u32::try_from(epochs).unwrap_or(u32::MAX)
        };
        match self {
            Self::All => (all, Refusal::PreviewOver),
            Self::Preview(open_ms) if duration_ms.is_some_and(|duration| open_ms >= duration) => {
                (all, Refusal::PreviewOver)
            }
            Self::Preview(open_ms) => (at(open_ms, false).min(all), Refusal::PreviewOver),
            Self::UntilBreak(open_ms) => (at(open_ms, true).min(all), Refusal::BreakNotShown),
        }
    }
}

/// Chunks that a file of this size has.
pub fn chunks_of(size_bytes: u64) -> u64 {
    size_bytes.div_ceil(u64::from(CHUNK_BYTES))
}

/// Epochs that a file of this size has.
pub fn epochs_of(size_bytes: u64, epoch_chunks: u32) -> u32 {
    let chunks = chunks_of(size_bytes);
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
    fn a_preview_ends_early_and_a_break_late_by_less_than_an_epoch() {
        // 600 s in 640 chunks of 10 epochs: 60 s each.
        let open = |open: Open| open.epochs(10, Some(600_000), 640, 64);
        for (ms, preview, until_break) in [
            (0, 0, 0),
            (1, 0, 1),
            (59_999, 0, 1),
            (60_000, 1, 1),
            (60_001, 1, 2),
            (599_999, 9, 10),
            (600_000, 10, 10),
        ] {
            assert_eq!(open(Open::Preview(ms)), (preview, Refusal::PreviewOver), "{ms}");
            assert_eq!(open(Open::UntilBreak(ms)), (until_break, Refusal::BreakNotShown), "{ms}");
        }
        assert_eq!(open(Open::All).0, 10);
        assert_eq!(Open::Preview(1000).epochs(10, None, 640, 64).0, 0, "nobody knows how long it is");
        assert_eq!(Open::Preview(u64::MAX).epochs(10, Some(1), u64::MAX, 64).0, 10);
        // The last epoch is shorter: 330 chunks of 64 are 6 epochs.
        assert_eq!(Open::Preview(599_999).epochs(6, Some(600_000), 330, 64).0, 5);
        assert_eq!(Open::Preview(600_000).epochs(6, Some(600_000), 330, 64).0, 6);
    }

    #[test]
    fn a_license_leads_but_never_beyond_the_file() {
        let counts: Vec<_> =
            (0..6).map(|asked| rolling(FileIndex(0), asked, 5).map(|range| range.count)).collect();
        assert_eq!(counts, [Some(3), Some(3), Some(3), Some(2), Some(1), None]);
        assert_eq!(rolling(FileIndex(0), 0, 0), None);
    }
}
