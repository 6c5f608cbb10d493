//! Periods that are paid for: calendar months and years in UTC, counted from the day it began, so that what began on
//! the 31st ends on the last day of a shorter month and on the 31st again after it.

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

/// A stretch that is paid for at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    /// A calendar month.
    Month,
    /// A calendar year.
    Year,
}

impl Period {
    /// Its name in the interface and in the database.
    pub fn text(self) -> &'static str {
        match self {
            Self::Month => "month",
            Self::Year => "year",
        }
    }

    /// The period of this name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Month, Self::Year].into_iter().find(|period| period.text() == text)
    }

    fn months(self) -> u32 {
        match self {
            Self::Month => 1,
            Self::Year => 12,
        }
    }

    /// When the first `periods` periods since `anchor_ms` are over, in Unix milliseconds. None beyond what a calendar
    /// holds.
    pub fn end_ms(self, anchor_ms: i64, periods: u32) -> Option<i64> {
        let anchor = Timestamp::from_millisecond(anchor_ms).ok()?.to_zoned(TimeZone::UTC);
        let months = Span::new().try_months(self.months().checked_mul(periods)?).ok()?;
        Some(anchor.checked_add(months).ok()?.timestamp().as_millisecond())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn months_end_where_calendars_say() {
        for (anchor, period, periods, end) in [
            ("2026-01-31T10:00:00.001Z", Period::Month, 1, "2026-02-28T10:00:00.001Z"),
            ("2026-01-31T10:00:00.001Z", Period::Month, 2, "2026-03-31T10:00:00.001Z"),
            ("2028-01-31T00:00:00.000Z", Period::Month, 1, "2028-02-29T00:00:00.000Z"),
            ("2028-02-29T12:00:00.000Z", Period::Year, 1, "2029-02-28T12:00:00.000Z"),
            ("2028-02-29T12:00:00.000Z", Period::Year, 4, "2032-02-29T12:00:00.000Z"),
            ("2026-12-15T23:59:59.999Z", Period::Month, 1, "2027-01-15T23:59:59.999Z"),
        ] {
            assert_eq!(period.end_ms(ms(anchor), periods), Some(ms(end)), "{anchor} {period:?} {periods}");
        }
        assert_eq!(Period::Year.end_ms(i64::MAX, 1), None);
        assert_eq!(Period::Year.end_ms(0, u32::MAX), None);
    }

    proptest! {
        #[test]
        fn periods_follow_one_another(anchor_ms in 0_i64..4_000_000_000_000, periods in 0_u32..600) {
            const DAY_MS: i64 = 86_400_000;
            let at = |periods| Period::Month.end_ms(anchor_ms, periods).unwrap();
            let days = (at(periods + 1) - at(periods)) / DAY_MS;
            prop_assert!((28..=31).contains(&days), "{days}");
            prop_assert_eq!(Period::Year.end_ms(anchor_ms, periods), Period::Month.end_ms(anchor_ms, 12 * periods));
        }
    }
}
