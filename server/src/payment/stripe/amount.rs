//! Amounts as Stripe counts them: its smallest unit of a currency is not always that of ISO 4217.

use iso_currency::Currency;
use matinee_protocol::api::Money;

/// Currencies that Stripe counts in whole units, whatever ISO 4217 says (docs.stripe.com/currencies, zero-decimal).
const WHOLE: [&str; 15] =
    ["BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"];
/// Currencies without minor units that Stripe counts in hundredths all the same (there, special cases).
const HUNDREDTHS: [&str; 2] = ["ISK", "UGX"];

/// Digits after the point, as ISO 4217 and as Stripe has them.
fn digits(code: &str) -> Option<(u32, u32)> {
    let iso = u32::from(Currency::from_code(code)?.exponent().unwrap_or(0));
    let stripe = if WHOLE.contains(&code) {
        0
    } else if HUNDREDTHS.contains(&code) {
        2
    } else {
        iso
    };
    Some((iso, stripe))
}

/// An amount in Stripe's unit. None if Stripe cannot take it exactly.
pub fn to_stripe(money: &Money) -> Option<i64> {
    let (iso, stripe) = digits(&money.currency)?;
    if stripe >= iso {
        let amount = money.minor.checked_mul(10_i64.checked_pow(stripe - iso)?)?;
        // Three decimals are taken, the last of them zero.
        return (stripe < 3 || amount % 10 == 0).then_some(amount);
    }
    let unit = 10_i64.checked_pow(iso - stripe)?;
    (money.minor % unit == 0).then_some(money.minor / unit)
}

/// An amount out of Stripe's unit and its lower-case code. None for a currency that is not known.
pub fn from_stripe(amount: i64, code: &str) -> Option<Money> {
    let currency = code.to_ascii_uppercase();
    let (iso, stripe) = digits(&currency)?;
    let minor = if stripe >= iso {
        let unit = 10_i64.checked_pow(stripe - iso)?;
        (amount % unit == 0).then_some(amount / unit)?
    } else {
        amount.checked_mul(10_i64.checked_pow(iso - stripe)?)?
    };
    Some(Money { minor, currency })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_currency() {
        let table = [
            ("USD", 1050, Some(1050)),
            ("JPY", 500, Some(500)),
            ("ISK", 5, Some(500)),
            ("UGX", 5, Some(500)),
            ("KWD", 5120, Some(5120)),
            ("KWD", 5124, None),
            ("MGA", 700, Some(7)),
            ("MGA", 750, None),
            ("XXZ", 1, None),
            ("ISK", i64::MAX, None),
        ];
        for (code, minor, expected) in table {
            let money = Money { minor, currency: code.to_owned() };
            let seen = to_stripe(&money);
            assert_eq!(seen, expected, "{code} {minor}");
            if let Some(amount) = seen {
                assert_eq!(from_stripe(amount, &code.to_ascii_lowercase()), Some(money), "{code} back");
            }
        }
        assert_eq!(from_stripe(501, "isk"), None, "half a krona");
        assert_eq!(from_stripe(1, "nope"), None);
    }
}
