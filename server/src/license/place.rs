//! Where a viewer is, and where a title may be played.

use std::fmt;
use std::str::FromStr;

use matinee_protocol::api::CountryRule;

/// A country (ISO 3166-1 alpha-2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

impl FromStr for Country {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text.as_bytes() {
            [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => {
                Ok(Self([a.to_ascii_uppercase(), b.to_ascii_uppercase()]))
            }
            _ => Err("a country is two letters, such as DE"),
        }
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.0).unwrap_or_default())
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Country({self})")
    }
}

/// In which countries a title may be played.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Countries {
    /// Everywhere.
    #[default]
    All,
    /// In these only.
    Only {
        /// These.
        countries: Vec<Country>,
        /// Whether also where the country is not known; none leaves it to the operator.
        unknown: Option<bool>,
    },
    /// Everywhere but in these.
    Except {
        /// These.
        countries: Vec<Country>,
        /// Whether also where the country is not known; none leaves it to the operator.
        unknown: Option<bool>,
    },
}

impl Countries {
    /// As the interface shows it; none is everywhere.
    pub fn summary(&self) -> Option<CountryRule> {
        let (rule, countries, unknown) = match self {
            Self::All => return None,
            Self::Only { countries, unknown } => ("only", countries, unknown),
            Self::Except { countries, unknown } => ("except", countries, unknown),
        };
        Some(CountryRule {
            rule: rule.to_owned(),
            countries: countries.iter().map(Country::to_string).collect(),
            unknown: unknown.map(|allowed| if allowed { "allow" } else { "deny" }.to_owned()),
        })
    }
}

/// Whether a place is among those allowed; none says that it is not known where it is, and that this is not allowed. What the
/// countries do not say about unknown places, the operator does.
pub fn allows(countries: &Countries, place: Option<Country>, unknown_allowed: bool) -> Option<bool> {
    match (countries, place) {
        (Countries::All, _) => Some(true),
        (Countries::Only { countries, .. }, Some(country)) => Some(countries.contains(&country)),
        (Countries::Except { countries, .. }, Some(country)) => Some(!countries.contains(&country)),
        (Countries::Only { unknown, .. } | Countries::Except { unknown, .. }, None) => {
            unknown.unwrap_or(unknown_allowed).then_some(true)
        }
    }
}
