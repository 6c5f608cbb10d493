//! How much of a title a play used, out of what was released to its views.

use matinee_protocol::id::ReleaseId;

/// A run of epochs released to a view: their keys, or all of a file that needs none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Released {
    /// Of what.
    pub release: ReleaseId,
    /// The file.
    pub file: i64,
    /// The first epoch.
    pub first_epoch: i64,
    /// How many.
    pub epochs: i64,
    /// When, in Unix milliseconds.
    pub at_ms: i64,
}

/// Use, summed up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Plays that began.
    pub plays: u64,
    /// Epochs that were released for the first time.
    pub epochs: u64,
}

/// What a play used from `from_ms` on. An epoch counts when it was first released, however often it is released again, to
/// whichever of the play's views; the play counts when its first epoch was.
pub fn usage(releases: Vec<Released>, from_ms: i64) -> Usage {
    let began = releases.iter().map(|release| release.at_ms).min();
    let before = releases.iter().copied().filter(|release| release.at_ms < from_ms).collect();
    let epochs = distinct(releases).saturating_sub(distinct(before));
    Usage { plays: u64::from(began.is_some_and(|began| began >= from_ms)), epochs }
}

/// Epochs in the union of some runs.
fn distinct(mut releases: Vec<Released>) -> u64 {
    releases.sort_unstable_by_key(|release| (release.release, release.file, release.first_epoch));
    let (mut file, mut until, mut count) = (None, i64::MIN, 0_u64);
    for release in releases {
        let of = Some((release.release, release.file));
        if of != file {
            (file, until) = (of, i64::MIN);
        }
        let end = release.first_epoch.saturating_add(release.epochs.max(0));
        let start = release.first_epoch.max(until);
        count += u64::try_from(end.saturating_sub(start)).unwrap_or(0);
        until = until.max(end);
    }
    count
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn release((file, first_epoch, epochs, at_ms): (i64, i64, i64, i64)) -> Released {
        // Files from 10 on are another release's.
        let release = ReleaseId::from_bytes([u8::from(file >= 10); 16]);
        Released { release, file: file % 10, first_epoch, epochs, at_ms }
    }

    #[test]
    fn an_epoch_counts_once_and_when_it_was_first_released() {
        let seen = |releases: &[(i64, i64, i64, i64)], from_ms| {
            let usage = usage(releases.iter().copied().map(release).collect(), from_ms);
            (usage.plays, usage.epochs)
        };
        // The next two come along with each epoch that is asked for.
        let rolling = [(0, 0, 3, 10), (0, 1, 3, 20), (0, 2, 3, 30)];
        assert_eq!(seen(&rolling, 0), (1, 5));
        assert_eq!(seen(&rolling, 10), (1, 5));
        assert_eq!(seen(&rolling, 11), (0, 2), "begun in the month before");
        assert_eq!(seen(&rolling, 31), (0, 0));
        assert_eq!(seen(&[(0, 0, 3, 10), (1, 0, 3, 10), (0, 0, 3, 20)], 0), (1, 6), "two files");
        assert_eq!(seen(&[(0, 0, 3, 10), (10, 0, 3, 10)], 0), (1, 6), "two releases");
        assert_eq!(seen(&[], 0), (0, 0));
    }

    proptest! {
        #[test]
        fn as_a_set_would_count(
            releases in proptest::collection::vec((0..3_i64, 0..30_i64, 0..6_i64, 0..100_i64), 0..30),
            from_ms in 0..100_i64,
        ) {
            let set = |until: i64| -> BTreeSet<(i64, i64)> {
                let runs = releases.iter().filter(|run| run.3 < until);
                runs.flat_map(|run| (run.1..run.1 + run.2).map(|epoch| (run.0, epoch))).collect()
            };
            let expected = set(i64::MAX).difference(&set(from_ms)).count() as u64;
            prop_assert_eq!(usage(releases.iter().copied().map(release).collect(), from_ms).epochs, expected);
        }
    }
}
