//! What is given back of a price when only part of a title was used.

/// The refund, in minor units, of a price of which `used` of `all` epochs were released: the unused part, rounded in the
/// viewer's favor. A title without epochs was not used.
pub fn refund_minor(price_minor: i64, used: u64, all: u64) -> i64 {
    if price_minor <= 0 || used == 0 || all == 0 {
        return price_minor.max(0);
    }
    let unused = i128::from(all.saturating_sub(used));
    let refund = (i128::from(price_minor) * unused + i128::from(all) - 1) / i128::from(all);
    i64::try_from(refund).unwrap_or(price_minor)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_unused_part_is_given_back() {
        for (price, used, all, refund) in [
            (100, 0, 10, 100),
            (100, 1, 10, 90),
            (100, 10, 10, 0),
            (100, 11, 10, 0),
            (50, 1, 3, 34),
            (50, 2, 3, 17),
            (1, 1, 2, 1),
            (0, 1, 2, 0),
            (50, 3, 0, 50),
            (i64::MAX, 1, u64::MAX, i64::MAX),
        ] {
            assert_eq!(refund_minor(price, used, all), refund, "{price} {used} {all}");
        }
    }

    proptest! {
        #[test]
        fn more_use_is_never_more_refund(price in 0_i64..1_000_000_000, all in 1_u64..10_000, used in 0_u64..10_000) {
            let refund = refund_minor(price, used, all);
            prop_assert!((0..=price).contains(&refund));
            prop_assert!(refund_minor(price, used + 1, all) <= refund);
            let exact = price as f64 * all.saturating_sub(used) as f64 / all as f64;
            prop_assert!((refund as f64 - exact) < 1.0 && refund as f64 >= exact - 1e-6 * exact);
        }
    }
}
