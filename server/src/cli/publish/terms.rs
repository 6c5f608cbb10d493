//! Prices and times as people write them.

use matinee_protocol::api::Money;

/// The longest time that can be given: a hundred years.
const TIME_MS_MAX: u64 = 100 * 365 * 24 * 3600 * 1000;

/// Reads an amount such as `0.50USD`, `12 EUR` or `300JPY`: exact, in the currency's own minor units.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn money(text: &str) -> Result<Money, String> {
    let text = text.trim();
    let split = text.find(|c: char| c.is_ascii_alphabetic()).ok_or("add a currency, for example 0.50USD")?;
    let (amount, code) = (text[..split].trim(), text[split..].to_ascii_uppercase());
    let currency = iso_currency::Currency::from_code(&code)
        .ok_or_else(|| format!("{code} is no currency of ISO 4217"))?;
    let digits = usize::from(currency.exponent().unwrap_or(0));
    let (whole, part) = amount.split_once('.').unwrap_or((amount, ""));
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !plain(whole) || !plain(part) {
        return Err(format!("write the amount as digits, for example 0.50{code}"));
    }
    if part.len() > digits {
        return Err(format!("{code} has {digits} digits after the point"));
    }
    let minor =
        format!("{whole}{part:0<digits$}").parse().map_err(|_| "the amount is too large".to_owned())?;
    Ok(Money { minor, currency: code })
}

/// An amount with its point, without its currency.
pub(crate) fn shown(money: &Money) -> String {
    let currency = iso_currency::Currency::from_code(&money.currency);
    let digits = usize::from(currency.and_then(|currency| currency.exponent()).unwrap_or(0));
    let sign = if money.minor < 0 { "-" } else { "" };
    let text = format!("{:0>width$}", money.minor.unsigned_abs(), width = digits + 1);
    let (whole, part) = text.split_at(text.len() - digits);
    if part.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{part}") }
}

/// Reads a time such as `45s`, `90m`, `48h` or `30d`, in milliseconds.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn time_ms(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let unit = text.chars().last().ok_or("write a number and a unit, for example 48h")?;
    let unit_ms = match unit {
        's' => 1000,
        'm' => 60_000,
        'h' => 3_600_000,
        'd' => 86_400_000,
        _ => return Err("end with s, m, h or d, for example 48h".to_owned()),
    };
    let number: u64 =
        text[..text.len() - 1].parse().map_err(|_| "write a whole number and a unit, for example 48h")?;
    number
        .checked_mul(unit_ms)
        .filter(|ms| (1..=TIME_MS_MAX).contains(ms))
        .ok_or_else(|| "give a time between 1s and 36500d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact() {
        let minor = |text| money(text).map(|money| (money.minor, money.currency));
        assert_eq!(minor("0.50USD"), Ok((50, "USD".to_owned())));
        assert_eq!(minor("0.5 usd"), Ok((50, "USD".to_owned())));
        assert_eq!(minor("12EUR"), Ok((1200, "EUR".to_owned())));
        assert_eq!(minor("300JPY"), Ok((300, "JPY".to_owned())));
        for wrong in
            ["", "0.50", "USD", "0.505USD", "3.1JPY", "-1USD", "1e3USD", "1XQQ", "99999999999999999999USD"]
        {
            assert!(money(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn amounts_are_shown_as_they_are_read() {
        let shown = |minor, code: &str| shown(&Money { minor, currency: code.to_owned() });
        assert_eq!(shown(50, "USD"), "0.50");
        assert_eq!(shown(-1205, "USD"), "-12.05");
        assert_eq!(shown(300, "JPY"), "300");
        assert_eq!(shown(5, "KWD"), "0.005");
        assert_eq!(shown(0, "JPY"), "0");
    }

    #[test]
    fn times() {
        assert_eq!(time_ms("48h"), Ok(172_800_000));
        assert_eq!(time_ms("30d"), Ok(2_592_000_000));
        for wrong in ["", "h", "48", "48 h", "0s", "-1h", "1y", "99999999999999d", "4é"] {
            assert!(time_ms(wrong).is_err(), "{wrong}");
        }
    }
}
