//! What is written to people by email: a subject and a plain text. Pure; the outbox of the store keeps them.

use iso_currency::Currency;
use matinee_protocol::api::Money;

/// How long a letter is worth sending, unless it says otherwise.
pub const LASTS_MS: i64 = 3 * 24 * 60 * 60 * 1000;

/// An email that is to be written.
#[derive(Clone, PartialEq, Eq)]
pub struct Letter {
    /// What it is about, as the outbox lists it.
    pub topic: &'static str,
    /// The subject.
    pub subject: String,
    /// The text. It is forgotten when the letter was sent or given up: it may hold a secret.
    pub text: String,
    /// How long it is worth sending, in milliseconds.
    pub lasts_ms: i64,
}

impl std::fmt::Debug for Letter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Letter").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl Letter {
    /// A letter that is worth sending for [`LASTS_MS`].
    pub fn new(topic: &'static str, subject: impl Into<String>, text: impl Into<String>) -> Self {
        Self { topic, subject: subject.into(), text: text.into(), lasts_ms: LASTS_MS }
    }
}

/// What a receipt tells.
#[derive(Debug, Clone, Copy)]
pub struct Receipt<'a> {
    /// The purchase's id, or the renewal's journal.
    pub id: &'a str,
    /// What was bought.
    pub item: &'a str,
    /// What was paid.
    pub paid: &'a Money,
    /// The tax inside it: whose, its rate in basis points, and how much in minor units.
    pub tax: Option<(&'a str, u32, i64)>,
    /// When, in Unix milliseconds.
    pub at_ms: i64,
}

/// Writes letters, where email is sent at all.
#[derive(Debug, Clone, Default)]
pub struct Writer {
    url: Option<String>,
}

impl Writer {
    /// One that writes in the name of the server at this address.
    pub fn new(public_url: &str) -> Self {
        Self { url: Some(public_url.to_owned()) }
    }

    /// One that writes nothing: no mail server is configured.
    pub fn silent() -> Self {
        Self::default()
    }

    /// Whether it writes nothing.
    pub fn is_silent(&self) -> bool {
        self.url.is_none()
    }

    /// What was paid for what.
    pub fn receipt(&self, receipt: &Receipt<'_>) -> Option<Letter> {
        let url = self.url.as_deref()?;
        let Receipt { id, item, paid, tax, at_ms } = receipt;
        let day = day(*at_ms);
        let mut text = format!(
            "Thank you.\n\nBought: {item}\nPaid: {}\nDay: {day}\nPurchase: {id}\n",
            amount(paid.minor, &paid.currency)
        );
        if let Some((country, rate, minor)) = tax {
            let rate = format!("{}.{:02}", rate / 100, rate % 100);
            let tax = amount(*minor, &paid.currency);
            text.push_str(&format!("Tax inside it: {tax} ({rate} %, {country})\n"));
        }
        text.push_str(&format!("\n{url}\n"));
        Some(Letter::new("receipt", format!("Your receipt: {}", one_line(item)), text))
    }

    /// A link to sign in with, since when the account is there, and how long the link is good for. The token stands behind
    /// the `#`: no server on the way is told.
    pub fn sign_in_link(&self, token: &str, opened_at_ms: i64, lasts_ms: i64) -> Option<Letter> {
        let url = self.url.as_deref()?;
        let (day, minutes) = (day(opened_at_ms), lasts_ms / 60_000);
        let text = format!(
            "Somebody asked for a link to sign in to the account that was opened under this address on {day}. If it was \
             you, open it within {minutes} minutes:\n\n{url}/sign-in-link#{token}\n\nIt is good once. If it was not you, \
             do nothing, and give it to nobody.\n"
        );
        let mut letter = Letter::new("sign_in_link", "Your link to sign in", text);
        letter.lasts_ms = lasts_ms;
        Some(letter)
    }

    /// Something ends soon and is not renewed.
    pub fn ending(&self, item: &str, ends_at_ms: i64) -> Option<Letter> {
        let url = self.url.as_deref()?;
        let day = day(ends_at_ms);
        let text = format!("What you have ends on {day} (UTC): {item}\n\n{url}\n");
        Some(Letter::new("ending", format!("Ends soon: {}", one_line(item)), text))
    }

    /// A period could not be charged, to a saved payment method or to the wallet alone, and the right ends unless the wallet
    /// is filled.
    pub fn renewal_failed(
        &self,
        item: &str,
        price: &Money,
        by_method: bool,
        ends_at_ms: i64,
    ) -> Option<Letter> {
        let url = self.url.as_deref()?;
        let (price, day) = (amount(price.minor, &price.currency), day(ends_at_ms));
        let first = if by_method {
            "Your payment method could not be charged, and there is too little in your wallet, to renew"
        } else {
            "There is too little in your wallet to renew"
        };
        let text = format!(
            "{first}: {item}\n\nIt costs {price}. Top the wallet up before {day} (UTC), when it ends.\n\n{url}\n"
        );
        Some(Letter::new("renewal_failed", format!("Not renewed yet: {}", one_line(item)), text))
    }
}

/// A title's name in a subject: no line breaks, and not without end.
fn one_line(item: &str) -> String {
    const CHARS_MAX: usize = 100;
    item.chars().map(|c| if c.is_control() { ' ' } else { c }).take(CHARS_MAX).collect()
}

/// A day as people write it, in UTC.
fn day(at_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(at_ms).map_or_else(
        |_| "-".to_owned(),
        |at| at.to_zoned(jiff::tz::TimeZone::UTC).strftime("%-d %B %Y").to_string(),
    )
}

/// An amount as people write it.
fn amount(minor: i64, currency: &str) -> String {
    let digits = Currency::from_code(currency).and_then(|one| one.exponent()).unwrap_or(0);
    if digits == 0 {
        return format!("{minor} {currency}");
    }
    let (unit, width) = (10_u64.pow(u32::from(digits)), usize::from(digits));
    let (sign, minor) = (if minor < 0 { "-" } else { "" }, minor.unsigned_abs());
    format!("{sign}{}.{:0width$} {currency}", minor / unit, minor % unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_in_the_currencys_own_digits() {
        assert_eq!(amount(50, "USD"), "0.50 USD");
        assert_eq!(amount(-1205, "EUR"), "-12.05 EUR");
        assert_eq!(amount(1200, "JPY"), "1200 JPY");
        assert_eq!(amount(1234, "KWD"), "1.234 KWD");
    }

    #[test]
    fn a_receipt_says_what_was_paid_and_a_silent_writer_nothing() {
        let paid = Money { minor: 1190, currency: "EUR".to_owned() };
        let receipt = Receipt {
            id: "p1",
            item: "One\nBcc: all@example.org",
            paid: &paid,
            tax: Some(("DE", 1900, 190)),
            at_ms: 1_795_000_000_000,
        };
        let letter = Writer::new("https://cinema.example").receipt(&receipt).unwrap();
        assert_eq!(letter.subject, "Your receipt: One Bcc: all@example.org");
        for part in ["Paid: 11.90 EUR\n", "Day: 18 November 2026\n", "1.90 EUR (19.00 %, DE)\n"] {
            assert!(letter.text.contains(part), "{part} in {}", letter.text);
        }
        assert!(!format!("{letter:?}").contains("11.90"), "a letter is not logged");
        assert_eq!(Writer::silent().receipt(&receipt), None);
    }
}
