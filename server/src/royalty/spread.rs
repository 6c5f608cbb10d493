//! What of a price that was paid for a year is earned in which month.
//!
//! It is earned in twelve equal parts, beginning with the month in which it was booked: no month that is over changes.
//! What is given back comes out of those of the twelve months that are not over, in equal parts too; after the twelve, out
//! of the month in which it is booked.
//!
//! *Invariant:* the parts of all months are the amount.

use super::apportion::apportion;

/// Months that a year's price is earned in.
pub const YEAR_MONTHS: u32 = 12;

/// Money that was booked for a year, or given back of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Booked {
    /// How much, in minor units; what was given back is below zero.
    pub minor: i64,
    /// How many months ago, as the month that is told of sees it.
    pub months_ago: u32,
    /// How many months before that it was sold; none is what was sold then.
    pub sold_before: u32,
}

impl Booked {
    /// What of it the month that is told of has earned.
    pub fn earned_minor(&self) -> i64 {
        let months = YEAR_MONTHS.saturating_sub(self.sold_before).max(1);
        if self.months_ago >= months {
            return 0;
        }
        let part = |at: u32| usize::try_from(at).unwrap_or(usize::MAX);
        let parts = apportion(self.minor, &vec![1; part(months)]);
        parts.get(part(self.months_ago)).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(minor: i64, sold_before: u32) -> Vec<i64> {
        let earned = |months_ago| Booked { minor, months_ago, sold_before }.earned_minor();
        (0..2 * YEAR_MONTHS).map(earned).collect()
    }

    #[test]
    fn a_year_is_twelve_months() {
        let sold = all(100, 0);
        assert_eq!(sold[..12], [9, 9, 9, 9, 8, 8, 8, 8, 8, 8, 8, 8]);
        assert!(sold[12..].iter().all(|part| *part == 0));
        // Given back in the tenth month: out of that and the two after it.
        assert_eq!(all(-25, 9)[..4], [-9, -8, -8, 0]);
        assert_eq!(all(-25, 11)[..2], [-25, 0]);
        assert_eq!(all(-25, 40)[..2], [-25, 0], "after the year");
    }

    proptest! {
        #[test]
        fn nothing_is_lost(minor in any::<i32>(), sold_before in 0..30_u32) {
            let minor = i64::from(minor);
            let parts = all(minor, sold_before);
            prop_assert_eq!(parts.iter().sum::<i64>(), minor);
            let months = YEAR_MONTHS.saturating_sub(sold_before).max(1) as usize;
            let (least, most) = (parts[..months].iter().min(), parts[..months].iter().max());
            prop_assert!(most.unwrap() - least.unwrap() <= 1, "equal parts");
        }

        #[test]
        fn what_is_given_back_whole_leaves_nothing(minor in 1..=1_000_000_i64, cuts in proptest::collection::vec((1..=1_000_000_i64, 0..20_u32), 0..5)) {
            // The months of a year's price, and of everything that is given back of it until nothing is left.
            let mut months = vec![0_i64; 40];
            let mut add = |minor: i64, sold_before: u32| {
                for (at, part) in all(minor, sold_before).into_iter().enumerate() {
                    if let Some(month) = months.get_mut(sold_before as usize + at) {
                        *month += part;
                    }
                }
            };
            add(minor, 0);
            let mut left = minor;
            for (cut, month) in cuts {
                let back = cut.min(left);
                add(-back, month);
                left -= back;
            }
            add(-left, 19);
            prop_assert_eq!(months.iter().sum::<i64>(), 0);
        }
    }
}
