//! The tax inside a price: prices are what the payer pays, and the rate of the payer's country says what part of them
//! is tax.

use std::collections::BTreeMap;

use matinee_protocol::api::Money;

use crate::store::purchase::TaxLine;
use crate::store::renewal::Taxes;

/// The highest rate, in basis points.
const RATE_BASIS_POINTS_MAX: u32 = 10_000;
/// The whole, in basis points.
const WHOLE_BASIS_POINTS: i128 = 10_000;

/// Rates by country.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rates {
    home: Option<String>,
    by_country: BTreeMap<String, u32>,
}

/// Whether a text is of the form of a country code (ISO 3166-1 alpha-2).
pub fn is_country(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

impl Rates {
    /// Reads `DE=1900` (19 %) and the country of payers who declare none.
    ///
    /// # Errors
    /// What is wrong with which entry.
    pub fn parse(home: &str, rates: &[String]) -> Result<Self, String> {
        if !home.is_empty() && !is_country(home) {
            return Err(format!("{home:?} is no country code such as DE"));
        }
        let mut by_country = BTreeMap::new();
        for entry in rates {
            let parts = entry.trim().split_once('=');
            let rate = parts.and_then(|(country, rate)| Some((country, rate.parse::<u32>().ok()?)));
            match rate {
                Some((country, rate)) if is_country(country) && rate <= RATE_BASIS_POINTS_MAX => {
                    if by_country.insert(country.to_owned(), rate).is_some() {
                        return Err(format!("{country} has two rates"));
                    }
                }
                _ => return Err(format!("{entry:?}: write a country and basis points, for example DE=1900")),
            }
        }
        Ok(Self { home: Some(home.to_owned()).filter(|home| !home.is_empty()), by_country })
    }

    /// The tax inside a price, rounded half up; none where the country has no rate.
    pub fn line(&self, price: &Money, country: Option<&str>) -> Option<TaxLine> {
        let country = country.or(self.home.as_deref())?;
        let rate = *self.by_country.get(country)?;
        let whole = WHOLE_BASIS_POINTS + i128::from(rate);
        let twice = 2 * i128::from(price.minor) * i128::from(rate);
        let tax_minor = i64::try_from((twice + whole) / (2 * whole)).unwrap_or(0);
        Some(TaxLine {
            country: country.to_owned(),
            rate_basis_points: rate,
            net_minor: price.minor - tax_minor,
            tax_minor,
        })
    }
}

impl Taxes for Rates {
    fn inside(&self, price: &Money, country: Option<&str>) -> Option<TaxLine> {
        self.line(price, country)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn dollars(minor: i64) -> Money {
        Money { minor, currency: "USD".to_owned() }
    }

    #[test]
    fn rates_by_country() {
        let entries = ["DE=1900".to_owned(), "CH=810".to_owned(), "US=0".to_owned()];
        let rates = Rates::parse("DE", &entries).unwrap();
        let tax = |minor, country| {
            rates.line(&dollars(minor), country).map(|line| (line.net_minor, line.tax_minor))
        };
        assert_eq!(tax(119, None), Some((100, 19)), "at home");
        assert_eq!(tax(50, None), Some((42, 8)));
        assert_eq!(tax(50, Some("CH")), Some((46, 4)));
        assert_eq!(tax(50, Some("US")), Some((50, 0)), "a rate of nothing is a rate");
        assert_eq!(tax(50, Some("FR")), None);
        assert_eq!(Rates::default().line(&dollars(50), Some("DE")), None);
        for (home, entry) in [("de", "DE=1"), ("", "DE"), ("", "DE=x"), ("", "DEU=1"), ("", "DE=10001")] {
            assert!(Rates::parse(home, &[entry.to_owned()]).is_err(), "{home} {entry}");
        }
        assert!(Rates::parse("", &["DE=1".to_owned(), "DE=2".to_owned()]).is_err());
    }

    proptest! {
        #[test]
        fn net_and_tax_are_the_price(minor in 0..=100_000_000_i64, rate in 0..=RATE_BASIS_POINTS_MAX) {
            let rates = Rates::parse("DE", &[format!("DE={rate}")]).unwrap();
            let line = rates.line(&dollars(minor), None).unwrap();
            prop_assert_eq!(line.net_minor + line.tax_minor, minor);
            prop_assert!(line.tax_minor >= 0 && line.net_minor >= 0);
            // The tax on the net price is the tax within half a minor unit of each.
            let on_net = line.net_minor as f64 * f64::from(rate) / 10_000.0;
            prop_assert!((on_net - line.tax_minor as f64).abs() <= 1.0);
        }
    }
}
