//! Breaks: pauses in play in which something else is shown, and the epochs that are given only after it was.

use super::decide::Refusal;
use super::epochs::Extent;

/// How much earlier than its end a break may be called shown: clocks of players tick differently, and requests take time.
pub const BREAK_TOLERANCE_MS: u64 = 1_000;

/// A pause in play, in which something else is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Break {
    /// Where in the title.
    pub at_ms: u64,
    /// How long it takes to be shown.
    pub duration_ms: u64,
    /// Whether the keys behind it wait for it; otherwise it is the player's to show.
    pub must_show: bool,
}

/// Which of the breaks that a seek skips must be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Skipped {
    /// The last before where it lands.
    #[default]
    Last,
    /// All of them.
    All,
}

impl Skipped {
    /// The choice of this name.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "last" => Some(Self::Last),
            "all" => Some(Self::All),
            _ => None,
        }
    }

    /// Its name.
    pub fn text(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::All => "all",
        }
    }
}

/// The breaks of a plan, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Breaks {
    /// The breaks; a break's number is its place here.
    pub list: Vec<Break>,
    /// What a seek over several asks for.
    pub skipped: Skipped,
}

impl Breaks {
    /// The break that must be shown before an epoch is given, if one must. An epoch is behind a break if it begins at it or
    /// later; the epoch that a break falls into holds what comes before it, and is given without. Of a file whose duration is
    /// not known, all is behind every break.
    pub fn due(&self, shown: &[u32], epoch: u32, of: &Extent) -> Option<u32> {
        let behind =
            (0_u32..).zip(&self.list).filter(|(_, one)| one.must_show && is_behind(epoch, one.at_ms, of));
        let missing = |number: &u32| !shown.contains(number);
        match self.skipped {
            Skipped::Last => behind.last().map(|(number, _)| number).filter(missing),
            Skipped::All => behind.map(|(number, _)| number).find(missing),
        }
    }
}

/// Whether an epoch begins at a position or later. Playing time is taken to be spread evenly over the bytes.
fn is_behind(epoch: u32, at_ms: u64, of: &Extent) -> bool {
    let Some(duration_ms) = of.duration_ms.filter(|duration| *duration > 0) else { return true };
    let begins = u128::from(epoch) * u128::from(of.epoch_chunks.max(1)) * u128::from(duration_ms);
    begins >= u128::from(at_ms) * u128::from(of.chunks)
}

/// When a break that was started may be called shown.
pub fn shown_from_ms(one: &Break, started_at_ms: i64) -> i64 {
    let takes_ms = one.duration_ms.saturating_sub(BREAK_TOLERANCE_MS);
    started_at_ms.saturating_add(i64::try_from(takes_ms).unwrap_or(i64::MAX))
}

/// Whether a break may be called shown, by when the server saw it start.
pub fn may_complete(one: &Break, started_at_ms: Option<i64>, now_ms: i64) -> Result<(), Refusal> {
    match started_at_ms {
        None => Err(Refusal::BreakNotStarted),
        Some(started_ms) if now_ms < shown_from_ms(one, started_ms) => Err(Refusal::BreakNotOver),
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::license::epochs::{Open, rolling};
    use matinee_protocol::id::FileIndex;
    use matinee_protocol::limit::EPOCH_LEAD;

    const MINUTES: Extent = Extent { epochs: 10, chunks: 640, epoch_chunks: 64, duration_ms: Some(600_000) };

    fn breaks(at_ms: &[u64], skipped: Skipped) -> Breaks {
        let one = |at_ms: &u64| Break { at_ms: *at_ms, duration_ms: 15_000, must_show: true };
        Breaks { list: at_ms.iter().map(one).collect(), skipped }
    }

    fn open(breaks: &Breaks, shown: &[u32]) -> Vec<u32> {
        (0..10).filter(|epoch| breaks.due(shown, *epoch, &MINUTES).is_none()).collect()
    }

    #[test]
    fn what_is_behind_a_break_waits_for_it_to_the_millisecond() {
        for (at_ms, first_behind) in [
            (0, 0),
            (1, 1),
            (59_999, 1),
            (60_000, 1),
            (60_001, 2),
            (540_000, 9),
            (540_001, 10),
            (600_000, 10),
            (u64::MAX, 10),
        ] {
            let one = breaks(&[at_ms], Skipped::All);
            assert_eq!(open(&one, &[]), (0..first_behind).collect::<Vec<_>>(), "{at_ms}");
            assert_eq!(open(&one, &[0]).len(), 10);
        }
        let unknown = Extent { duration_ms: None, ..MINUTES };
        assert_eq!(
            breaks(&[500_000], Skipped::Last).due(&[], 0, &unknown),
            Some(0),
            "nobody knows where it is"
        );
    }

    #[test]
    fn a_seek_asks_for_the_last_break_or_for_all() {
        let at = [60_000, 180_000, 360_000];
        let last = breaks(&at, Skipped::Last);
        assert_eq!(open(&last, &[]), [0]);
        assert_eq!(open(&last, &[2]), [0, 6, 7, 8, 9], "what lies between waits for its own");
        assert_eq!(open(&last, &[0, 2]), [0, 1, 2, 6, 7, 8, 9]);
        let all = breaks(&at, Skipped::All);
        assert_eq!(open(&all, &[2]), [0]);
        assert_eq!(open(&all, &[0, 1]), [0, 1, 2, 3, 4, 5]);
        assert_eq!(all.due(&[0], 9, &MINUTES), Some(1), "in their order");
        let mut courtesy = all.clone();
        courtesy.list[0].must_show = false;
        assert_eq!(open(&courtesy, &[]), [0, 1, 2], "one that need not be shown holds nothing back");
        // A license begun before a break ends there.
        let run = |asked, shown: &[u32]| {
            let open = Open::Breaks { breaks: &last, shown };
            rolling(FileIndex(0), asked, &MINUTES, open).unwrap().unwrap().count
        };
        assert_eq!((run(1, &[0]), run(2, &[0]), run(2, &[0, 1]), run(9, &[2])), (2, 1, 3, 1));
    }

    #[test]
    fn a_break_is_shown_when_its_time_has_passed() {
        let one = Break { at_ms: 0, duration_ms: 15_000, must_show: true };
        assert_eq!(may_complete(&one, None, i64::MAX), Err(Refusal::BreakNotStarted));
        assert_eq!(may_complete(&one, Some(1_000), 14_999), Err(Refusal::BreakNotOver));
        assert_eq!(may_complete(&one, Some(1_000), 15_000), Ok(()));
        let short = Break { duration_ms: 500, ..one };
        assert_eq!(may_complete(&short, Some(1_000), 999), Err(Refusal::BreakNotOver));
        assert_eq!(may_complete(&short, Some(1_000), 1_000), Ok(()));
    }

    /// The same, slowly: walk through the film chunk by chunk and keep every break that one comes by.
    fn walked(breaks: &Breaks, shown: &[u32], of: &Extent, duration_ms: u64) -> Vec<bool> {
        let mut passed: Vec<u32> = Vec::new();
        let mut open = Vec::new();
        for chunk in 0..of.chunks {
            let comes_by = |one: &Break| one.at_ms * of.chunks <= chunk * duration_ms;
            for (number, one) in (0..).zip(&breaks.list) {
                if one.must_show && comes_by(one) && !passed.contains(&number) {
                    passed.push(number);
                }
            }
            if chunk % u64::from(of.epoch_chunks) == 0 {
                open.push(match breaks.skipped {
                    Skipped::All => passed.iter().all(|number| shown.contains(number)),
                    Skipped::Last => passed.last().is_none_or(|number| shown.contains(number)),
                });
            }
        }
        open
    }

    proptest! {
        #[test]
        fn a_license_holds_what_a_slow_walk_gives(
            mut at_ms in proptest::collection::vec((0_u64..1000, any::<bool>()), 0..6),
            shown in proptest::collection::vec(0_u32..6, 0..6),
            (chunks, epoch_chunks, duration_ms) in (1_u64..200, 1_u32..20, 1_u64..1000),
            all in any::<bool>(),
            asked in 0_u32..20,
        ) {
            at_ms.sort_unstable();
            let list = at_ms.iter().map(|(at_ms, must_show)| Break { at_ms: *at_ms, duration_ms: 1, must_show: *must_show });
            let skipped = if all { Skipped::All } else { Skipped::Last };
            let breaks = Breaks { list: list.collect(), skipped };
            let epochs = u32::try_from(chunks.div_ceil(u64::from(epoch_chunks))).unwrap();
            let of = Extent { epochs, chunks, epoch_chunks, duration_ms: Some(duration_ms) };
            let slow = walked(&breaks, &shown, &of, duration_ms);
            prop_assert_eq!(slow.len(), epochs as usize);
            let given = rolling(FileIndex(0), asked, &of, Open::Breaks { breaks: &breaks, shown: &shown });
            let expected = slow.iter().skip(asked as usize).take(EPOCH_LEAD as usize).take_while(|open| **open).count();
            match given {
                None => prop_assert!(asked >= epochs),
                Some(Err(refusal)) => {
                    prop_assert_eq!(refusal, Refusal::BreakNotShown);
                    prop_assert_eq!(expected, 0);
                }
                Some(Ok(range)) => prop_assert_eq!((range.first.0, range.count as usize), (asked, expected)),
            }
        }
    }
}
