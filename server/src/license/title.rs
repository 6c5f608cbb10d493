//! What the rules ask about a title: when, where and for whom it may be played.

use matinee_protocol::id::TitleId;

use super::decide::{Policy, Refusal};
use super::place::{Countries, Country, allows};

/// Who may have a title at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Audience {
    /// Everybody.
    #[default]
    Everyone,
    /// The members of a group; this viewer is one.
    Member,
    /// The members of a group; this viewer is none.
    Outsider,
}

impl Audience {
    /// Whether this viewer is of it.
    pub fn admits(self) -> Result<(), Refusal> {
        match self {
            Self::Outsider => Err(Refusal::GroupRequired),
            Self::Everyone | Self::Member => Ok(()),
        }
    }
}

/// When, where and for whom a title may be played. What opens a view asks it, and what goes on with one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rights {
    /// From when; none is from ever.
    pub available_from_ms: Option<i64>,
    /// Until when; none is for ever.
    pub available_until_ms: Option<i64>,
    /// In which countries.
    pub countries: Countries,
    /// For whom.
    pub audience: Audience,
}

impl Rights {
    /// Whether a viewer may have the title here and now, under a plan for these countries.
    pub fn allow(
        &self,
        plan: &Countries,
        (place, policy): (Option<Country>, &Policy),
        now_ms: i64,
    ) -> Result<(), Refusal> {
        self.audience.admits()?;
        if self.available_from_ms.is_some_and(|from| now_ms < from) {
            return Err(Refusal::NotAvailableYet);
        }
        self.not_over(now_ms)?;
        for countries in [plan, &self.countries] {
            match allows(countries, place, policy.unknown_country_allowed) {
                Some(true) => {}
                Some(false) => return Err(Refusal::CountryNotAllowed),
                None => return Err(Refusal::CountryUnknown),
            }
        }
        Ok(())
    }

    /// Whether a viewer may buy it: one may buy here and before the premiere, and play there and then.
    pub fn allow_buying(&self, now_ms: i64) -> Result<(), Refusal> {
        self.audience.admits()?;
        self.not_over(now_ms)
    }

    fn not_over(&self, now_ms: i64) -> Result<(), Refusal> {
        match self.available_until_ms {
            Some(until_ms) if until_ms <= now_ms => Err(Refusal::NoLongerAvailable),
            _ => Ok(()),
        }
    }
}

/// A title, as one of an account's entitlements sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Title {
    /// Its id.
    pub id: TitleId,
    /// When, where and for whom it may be played.
    pub rights: Rights,
    /// How much of it a preview opens, from its beginning; none is nothing.
    pub preview_ms: Option<u64>,
    /// The tier that it asks for in the entitlement's collection; none if it is not in it.
    pub tier: Option<u32>,
    /// Whether it was counted in the current period of the entitlement's quota.
    pub counted: bool,
}

impl Title {
    /// A title for everybody, everywhere, always.
    pub fn open(id: TitleId) -> Self {
        Self { id, rights: Rights::default(), preview_ms: None, tier: None, counted: false }
    }
}
