//! Countries in a body: what the rights of a title and a plan have in common.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use iso_currency::Country as Known;
use serde::Deserialize;

use super::problem::Problem;
use crate::license::place::{Countries, Country};

/// Countries in one rule.
pub const COUNTRIES_MAX: usize = 250;

/// In which countries.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CountriesBody {
    /// `only` these, or everywhere `except` in these.
    pub rule: String,
    /// ISO 3166-1 alpha-2, for example DE.
    pub countries: Vec<String>,
    /// Where the country is not known: `allow` or `deny`; the operator's choice if not given.
    pub unknown: Option<String>,
}

impl CountriesBody {
    /// The rule that this asks for; 422 `countries_invalid`.
    pub fn rule(&self) -> Result<Countries, Problem> {
        let mut listed = BTreeSet::new();
        for text in &self.countries {
            let country: Country = text.parse().map_err(invalid)?;
            if country.to_string().parse::<Known>().is_err() {
                return Err(invalid(format!(
                    "there is no country {country} (ISO 3166-1; the United Kingdom is GB)"
                )));
            }
            listed.insert(country);
        }
        if listed.is_empty() || listed.len() > COUNTRIES_MAX {
            return Err(invalid(format!("a rule names 1 to {COUNTRIES_MAX} countries")));
        }
        let unknown = match self.unknown.as_deref() {
            None => None,
            Some("allow") => Some(true),
            Some("deny") => Some(false),
            Some(_) => return Err(invalid("where the country is not known, allow or deny")),
        };
        let countries = listed.into_iter().collect();
        match self.rule.as_str() {
            "only" => Ok(Countries::Only { countries, unknown }),
            "except" => Ok(Countries::Except { countries, unknown }),
            _ => Err(invalid("a rule is only or except")),
        }
    }
}

fn invalid(detail: impl Into<std::borrow::Cow<'static, str>>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "countries_invalid", detail)
}
