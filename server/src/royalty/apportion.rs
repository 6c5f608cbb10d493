//! Division of an amount by weights, by largest remainder: every part is within one unit of exact, and they sum to the
//! amount.

/// Divides `amount` in the proportion of `weights`. What is left after rounding towards zero goes, a unit each, to the
/// largest remainders, the earlier of equal ones first. Weights that are all zero get nothing, the first excepted: it
/// gets all.
pub fn apportion(amount: i64, weights: &[u64]) -> Vec<i64> {
    let whole: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
    let size = u128::from(amount.unsigned_abs());
    let sign = if amount < 0 { -1 } else { 1 };
    let mut parts = vec![0_i64; weights.len()];
    if whole == 0 {
        if let Some(first) = parts.first_mut() {
            *first = amount;
        }
        return parts;
    }
    // Below 2^64 each, so that no product is lost.
    let exact = |weight: u64| (size * u128::from(weight) / whole, size * u128::from(weight) % whole);
    let mut order: Vec<(u128, usize)> = Vec::with_capacity(weights.len());
    let mut given: u128 = 0;
    for (at, weight) in weights.iter().enumerate() {
        let (part, remainder) = exact(*weight);
        given += part;
        parts[at] = sign * i64::try_from(part).unwrap_or(i64::MAX);
        order.push((remainder, at));
    }
    order.sort_by(|(one, at), (two, other)| two.cmp(one).then(at.cmp(other)));
    let left = usize::try_from(size - given).unwrap_or(usize::MAX);
    for (_, at) in order.into_iter().take(left) {
        parts[at] += sign;
    }
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_divisions() {
        for (amount, weights, expected) in [
            (100, vec![1, 1, 1], vec![34, 33, 33]),
            (-100, vec![1, 1, 1], vec![-34, -33, -33]),
            (1, vec![1, 2], vec![0, 1]),
            (10, vec![3, 3, 3, 1], vec![3, 3, 3, 1]),
            (5, vec![0, 0], vec![5, 0]),
            (0, vec![7, 7], vec![0, 0]),
            (5, vec![], vec![]),
            (i64::MAX, vec![u64::MAX, u64::MAX], vec![i64::MAX / 2 + 1, i64::MAX / 2]),
        ] {
            assert_eq!(apportion(amount, &weights), expected, "{amount} by {weights:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_lost(amount in any::<i32>(), weights in proptest::collection::vec(0..=1_000_000_u64, 1..20)) {
            let amount = i64::from(amount);
            let parts = apportion(amount, &weights);
            prop_assert_eq!(parts.iter().sum::<i64>(), amount);
            let whole: u64 = weights.iter().sum();
            if whole > 0 {
                for (part, weight) in parts.iter().zip(&weights) {
                    let exact = i128::from(amount) * i128::from(*weight);
                    let off = i128::from(*part) * i128::from(whole) - exact;
                    prop_assert!(off.abs() < i128::from(whole), "within one unit");
                }
            }
        }
    }
}
