//! Countries in three columns of a row: of a title, of a plan, of an entitlement.

use std::str::FromStr as _;

use super::Error;
use crate::license::place::{Countries, Country};

/// The columns.
#[derive(Debug, Clone, Default, sqlx::FromRow)]
pub struct Columns {
    /// `only` or `except`; none is everywhere.
    pub country_rule: Option<String>,
    /// With commas between.
    pub countries: Option<String>,
    /// What holds where the country is not known; none leaves it to the operator.
    pub unknown_country_allowed: Option<bool>,
}

impl Columns {
    /// What they say.
    pub fn rule(&self) -> Result<Countries, Error> {
        let Some(rule) = &self.country_rule else { return Ok(Countries::All) };
        let list = self.countries.as_deref().unwrap_or_default();
        let countries: Result<Vec<Country>, _> =
            list.split(',').filter(|part| !part.is_empty()).map(Country::from_str).collect();
        let countries = countries.map_err(|_| Error::Corrupt("countries"))?;
        let unknown = self.unknown_country_allowed;
        match rule.as_str() {
            "only" => Ok(Countries::Only { countries, unknown }),
            "except" => Ok(Countries::Except { countries, unknown }),
            _ => Err(Error::Corrupt("country rule")),
        }
    }
}

impl From<&Countries> for Columns {
    fn from(rule: &Countries) -> Self {
        let (name, countries, unknown) = match rule {
            Countries::All => return Self::default(),
            Countries::Only { countries, unknown } => ("only", countries, *unknown),
            Countries::Except { countries, unknown } => ("except", countries, *unknown),
        };
        let listed = countries.iter().map(Country::to_string).collect::<Vec<_>>().join(",");
        Self {
            country_rule: Some(name.to_owned()),
            countries: Some(listed),
            unknown_country_allowed: unknown,
        }
    }
}
