//! The `Range` header, one range only (RFC 9110, section 14).

use std::ops::Range;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// All of it: no range, or one in a form that may be passed over.
    Whole,
    /// These bytes, at least one.
    Part(Range<u64>),
    /// Nothing that exists.
    Unsatisfiable,
}

/// Reads a `Range` header for a body of `length` bytes. Anything that is not one range of bytes is passed over, as the
/// RFC allows.
#[must_use]
pub fn asked(header: Option<&str>, length: u64) -> Asked {
    let Some(spec) = header.and_then(|header| header.trim().strip_prefix("bytes=")) else {
        return Asked::Whole;
    };
    let Some((first, last)) = spec.trim().split_once('-') else { return Asked::Whole };
    let (first, last) = (first.trim(), last.trim());
    match (number(first), number(last)) {
        (Some(first), _) if first >= length && (last.is_empty() || number(last).is_some()) => {
            Asked::Unsatisfiable
        }
        (Some(first), Some(last)) if last >= first => Asked::Part(first..length.min(last.saturating_add(1))),
        (Some(first), None) if last.is_empty() => Asked::Part(first..length),
        (None, Some(0)) if first.is_empty() => Asked::Unsatisfiable,
        (None, Some(suffix)) if first.is_empty() && length > 0 => {
            Asked::Part(length - suffix.min(length)..length)
        }
        (None, Some(_)) if first.is_empty() => Asked::Unsatisfiable,
        _ => Asked::Whole,
    }
}

/// Digits only; more than fit are as many as fit.
fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges() {
        let cases = [
            ("bytes=0-0", Asked::Part(0..1)),
            ("bytes=0-", Asked::Part(0..100)),
            ("bytes=99-", Asked::Part(99..100)),
            ("bytes=10-19", Asked::Part(10..20)),
            ("bytes=10-1000", Asked::Part(10..100)),
            ("bytes=-1", Asked::Part(99..100)),
            ("bytes=-1000", Asked::Part(0..100)),
            ("bytes=10-99999999999999999999999", Asked::Part(10..100)),
            ("bytes=100-", Asked::Unsatisfiable),
            ("bytes=100-200", Asked::Unsatisfiable),
            ("bytes=-0", Asked::Unsatisfiable),
            ("bytes=20-10", Asked::Whole),
            ("bytes=0-1,3-4", Asked::Whole),
            ("bytes=-", Asked::Whole),
            ("bytes=a-b", Asked::Whole),
            ("bytes=+1-2", Asked::Whole),
            ("chunks=0-1", Asked::Whole),
        ];
        for (header, expected) in cases {
            assert_eq!(asked(Some(header), 100), expected, "{header}");
        }
        assert_eq!(asked(None, 100), Asked::Whole);
        assert_eq!(asked(Some("bytes=0-"), 0), Asked::Unsatisfiable);
        assert_eq!(asked(Some("bytes=-5"), 0), Asked::Unsatisfiable);
    }

    proptest! {
        #[test]
        fn a_part_is_never_empty_nor_beyond_the_end(header in "bytes=[0-9]{0,4}-[0-9]{0,4}|.{0,20}", length in 0_u64..2000) {
            if let Asked::Part(part) = asked(Some(&header), length) {
                prop_assert!(part.start < part.end && part.end <= length);
            }
        }
    }
}
