//! Which epochs one license holds.

use matinee_protocol::id::{EpochIndex, FileIndex};
use matinee_protocol::license::EpochRange;
use matinee_protocol::limit::{CHUNK_BYTES, EPOCH_LEAD};

use super::breaks::Breaks;
use super::decide::Refusal;

/// How long a file is, in everything that it is measured by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Its epochs.
    pub epochs: u32,
    /// Its chunks.
    pub chunks: u64,
    /// Chunks of an epoch.
    pub epoch_chunks: u32,
    /// Its playing time, where known.
    pub duration_ms: Option<u64>,
}

impl Extent {
    /// Of a file of this size.
    pub fn of(size_bytes: u64, epoch_chunks: u32, duration_ms: Option<u64>) -> Self {
        let epochs = epochs_of(size_bytes, epoch_chunks);
        Self { epochs, chunks: chunks_of(size_bytes), epoch_chunks, duration_ms }
    }
}

/// How much of a file is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open<'a> {
    /// All of it.
    All,
    /// So much of its playing time. It ends with the last epoch that is whole within it: never later than promised.
    Preview(u64),
    /// What is not behind a break that must be shown and was not.
    Breaks {
        /// The breaks of the plan.
        breaks: &'a Breaks,
        /// Those shown in this view, by number.
        shown: &'a [u32],
    },
}

impl Open<'_> {
    /// Whether an epoch may be given.
    pub fn permits(self, epoch: u32, of: &Extent) -> Result<(), Refusal> {
        match self {
            Self::All => Ok(()),
            Self::Preview(open_ms) if epoch < preview_epochs(open_ms, of) => Ok(()),
            Self::Preview(_) => Err(Refusal::PreviewOver),
            Self::Breaks { breaks, shown } => match breaks.due(shown, epoch, of) {
                None => Ok(()),
                Some(_) => Err(Refusal::BreakNotShown),
            },
        }
    }
}

/// How many of a file's epochs are whole within a preview.
fn preview_epochs(open_ms: u64, of: &Extent) -> u32 {
    let Some(duration_ms) = of.duration_ms.filter(|duration| *duration > 0) else { return 0 };
    if open_ms >= duration_ms {
        return of.epochs;
    }
    // Playing time is taken to be spread evenly over the bytes.
    let whole = u128::from(duration_ms) * u128::from(of.epoch_chunks.max(1));
    let epochs = u128::from(open_ms) * u128::from(of.chunks) / whole;
    u32::try_from(epochs).unwrap_or(u32::MAX).min(of.epochs)
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

/// The epoch asked for and those after it, as far as the lead, the file and what is open of it go; or why not even that one.
/// None if the file has no such epoch.
pub fn rolling(
    file: FileIndex,
    asked: u32,
    of: &Extent,
    open: Open<'_>,
) -> Option<Result<EpochRange, Refusal>> {
    let left = of.epochs.checked_sub(asked).filter(|left| *left > 0)?;
    if let Err(refusal) = open.permits(asked, of) {
        return Some(Err(refusal));
    }
    let run = (asked..asked + left.min(EPOCH_LEAD)).take_while(|epoch| open.permits(*epoch, of).is_ok());
    let count = u32::try_from(run.count()).unwrap_or(EPOCH_LEAD);
    Some(Ok(EpochRange { file, first: EpochIndex(asked), count }))
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
    fn a_preview_ends_early_by_less_than_an_epoch() {
        // 600 s in 640 chunks of 10 epochs: 60 s each.
        let film = Extent { epochs: 10, chunks: 640, epoch_chunks: 64, duration_ms: Some(600_000) };
        let open = |open_ms, of: &Extent| {
            let open = (0..of.epochs).take_while(|epoch| Open::Preview(open_ms).permits(*epoch, of).is_ok());
            open.count()
        };
        for (ms, preview) in [
            (0, 0),
            (1, 0),
            (59_999, 0),
            (60_000, 1),
            (60_001, 1),
            (599_999, 9),
            (600_000, 10),
            (u64::MAX, 10),
        ] {
            assert_eq!(open(ms, &film), preview, "{ms}");
        }
        assert_eq!(Open::Preview(60_000).permits(1, &film), Err(Refusal::PreviewOver));
        assert_eq!(Open::All.permits(9, &film), Ok(()));
        assert_eq!(open(1000, &Extent { duration_ms: None, ..film }), 0, "nobody knows how long it is");
        let endless = Extent { chunks: u64::MAX, duration_ms: Some(1), ..film };
        assert_eq!(open(u64::MAX, &endless), 10);
        // The last epoch is shorter: 330 chunks of 64 are 6 epochs.
        let short = Extent { epochs: 6, chunks: 330, ..film };
        assert_eq!((open(599_999, &short), open(600_000, &short)), (5, 6));
    }

    #[test]
    fn a_license_leads_but_never_beyond_the_file() {
        let of = |epochs| Extent { epochs, chunks: 5, epoch_chunks: 1, duration_ms: None };
        let count = |asked| Some(rolling(FileIndex(0), asked, &of(5), Open::All)?.unwrap().count);
        assert_eq!(
            (0..6).map(count).collect::<Vec<_>>(),
            [Some(3), Some(3), Some(3), Some(2), Some(1), None]
        );
        assert_eq!(rolling(FileIndex(0), 0, &of(0), Open::All), None);
    }
}
