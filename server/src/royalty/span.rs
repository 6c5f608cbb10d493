//! Stretches of time that statements are of, months in UTC.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// How long after its end a month's statement is final. What moves money or releases keys is on record with the time at
/// which it began, and no request and no job's transaction is under way for so long.
pub const FINAL_AFTER_MS: i64 = 24 * 60 * 60 * 1000;

/// A time from one millisecond up to, and without, another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first.
    pub from_ms: i64,
    /// The one after the last.
    pub until_ms: i64,
}

impl Span {
    /// A month in UTC, `2026-10`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn month(text: &str) -> Result<Self, String> {
        let wrong = || "a month is written as year and month, for example 2026-10".to_owned();
        let (year, month) = text.split_once('-').filter(|_| text.len() == 7).ok_or_else(wrong)?;
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(year) || !digits(month) {
            return Err(wrong());
        }
        let (year, month) = (year.parse().map_err(|_| wrong())?, month.parse().map_err(|_| wrong())?);
        let first = Date::new(year, month, 1).map_err(|_| wrong())?;
        Self::of_month(first).ok_or_else(wrong)
    }

    /// The month that holds a time. None beyond what a calendar holds.
    pub fn month_of(at_ms: i64) -> Option<Self> {
        let date = Timestamp::from_millisecond(at_ms).ok()?.to_zoned(TimeZone::UTC).date();
        Self::of_month(date.first_of_month())
    }

    fn of_month(first: Date) -> Option<Self> {
        let next = first.checked_add(jiff::Span::new().months(1)).ok()?;
        Some(Self { from_ms: midnight_ms(first)?, until_ms: midnight_ms(next)? })
    }

    /// How a month is written. None beyond what a calendar holds.
    pub fn name(&self) -> Option<String> {
        let date = Timestamp::from_millisecond(self.from_ms).ok()?.to_zoned(TimeZone::UTC).date();
        Some(format!("{:04}-{:02}", date.year(), date.month()))
    }

    /// When it began, had it been so many months earlier; of a month, the beginning of that month. None beyond what a
    /// calendar holds.
    pub fn began_ms(&self, months_ago: u32) -> Option<i64> {
        let from = Timestamp::from_millisecond(self.from_ms).ok()?.to_zoned(TimeZone::UTC);
        let months = jiff::Span::new().try_months(months_ago).ok()?;
        Some(from.checked_sub(months).ok()?.timestamp().as_millisecond())
    }

    /// Whether nothing can come into it any more.
    pub fn is_final(&self, now_ms: i64) -> bool {
        self.until_ms.saturating_add(FINAL_AFTER_MS) <= now_ms
    }
}

fn midnight_ms(date: Date) -> Option<i64> {
    Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months() {
        let month = |text| Span::month(text).unwrap();
        let october = month("2026-10");
        assert_eq!((october.from_ms, october.until_ms), (1_790_812_800_000, 1_793_491_200_000));
        let leap = month("2028-02");
        assert_eq!((leap.until_ms - leap.from_ms) / 86_400_000, 29);
        assert_eq!(month("2026-12").until_ms, month("2027-01").from_ms);
        for wrong in ["", "2026", "2026-13", "2026-00", "2026-1", "2026-10-01", "-026-10", "2026-+1", "x"] {
            assert!(Span::month(wrong).is_err(), "{wrong}");
        }
        for at_ms in [october.from_ms, october.until_ms - 1] {
            assert_eq!(Span::month_of(at_ms), Some(october));
        }
        assert_eq!(Span::month_of(i64::MAX), None);
        assert_eq!(october.name().as_deref(), Some("2026-10"));
        assert_eq!(october.began_ms(0), Some(october.from_ms));
        assert_eq!(month("2027-01").began_ms(11), Some(month("2026-02").from_ms));
    }

    #[test]
    fn a_month_is_final_a_day_after_its_end() {
        let october = Span::month("2026-10").unwrap();
        let day = october.until_ms + FINAL_AFTER_MS;
        assert!(!october.is_final(october.until_ms) && !october.is_final(day - 1) && october.is_final(day));
    }
}
