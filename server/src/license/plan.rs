//! Plans: things for sale, and what each kind promises.

use matinee_protocol::api::{Money, PlanSummary};
use matinee_protocol::id::{CollectionId, PlanId, TitleId};

use super::breaks::Breaks;
use super::calendar::Period;
use super::place::Countries;

/// What kind of right is sold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Start within a time, play within a time, so many views.
    Rental,
    /// Own for ever.
    Purchase,
    /// A catalogue, as long as it is paid for.
    Subscription,
    /// So many titles of a catalogue in a period.
    Quota,
    /// For nothing.
    Free,
    /// For nothing, with breaks.
    AdSupported,
    /// The beginning of a title, for nothing. Never sold: the title itself says how much of it is free.
    Preview,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Rental,
        Self::Purchase,
        Self::Subscription,
        Self::Quota,
        Self::Free,
        Self::AdSupported,
        Self::Preview,
    ];

    /// Its name in the interface and in the database.
    pub fn text(self) -> &'static str {
        match self {
            Self::Rental => "rental",
            Self::Purchase => "purchase",
            Self::Subscription => "subscription",
            Self::Quota => "quota",
            Self::Free => "free",
            Self::AdSupported => "ad_supported",
            Self::Preview => "preview",
        }
    }

    /// The kind of this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.text() == text)
    }
}

/// What a right is to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// One title.
    Title(TitleId),
    /// The titles of a collection that ask for this tier or a lower one.
    Collection {
        /// Which one.
        collection: CollectionId,
        /// The highest tier of its titles that is open.
        tier: u32,
    },
}

impl Scope {
    /// The title, if it is one.
    pub fn title(self) -> Option<TitleId> {
        match self {
            Self::Title(title) => Some(title),
            Self::Collection { .. } => None,
        }
    }

    /// The collection and the tier, if it is one.
    pub fn collection(self) -> Option<(CollectionId, u32)> {
        match self {
            Self::Title(_) => None,
            Self::Collection { collection, tier } => Some((collection, tier)),
        }
    }
}

/// How a subscription or a quota goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewal {
    /// What is paid for at a time.
    pub period: Period,
    /// How long the right outlives an unpaid period.
    pub grace_ms: u64,
    /// How long it is free at first, once an account.
    pub trial_ms: Option<u64>,
}

/// What a plan promises, by kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Terms {
    /// Start within a time, play within a time, so many views.
    Rental {
        /// Time after the purchase within which play must start.
        start_within_ms: u64,
        /// Time after the first start within which play may go on.
        play_within_ms: u64,
        /// Views; none means as many as fit the window.
        views: Option<u32>,
    },
    /// For ever.
    Purchase,
    /// As long as it is paid for.
    Subscription(Renewal),
    /// As long as it is paid for, so many titles in a period.
    Quota {
        /// How it goes on.
        renewal: Renewal,
        /// Titles a period.
        titles: u32,
    },
    /// For nothing.
    Free {
        /// Whether guests may have it too.
        guests: bool,
    },
    /// For nothing, with breaks.
    AdSupported {
        /// Whether guests may have it too.
        guests: bool,
        /// The breaks.
        breaks: Breaks,
    },
}

impl Terms {
    /// The kind that these are of.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Rental { .. } => Kind::Rental,
            Self::Purchase => Kind::Purchase,
            Self::Subscription(_) => Kind::Subscription,
            Self::Quota { .. } => Kind::Quota,
            Self::Free { .. } => Kind::Free,
            Self::AdSupported { .. } => Kind::AdSupported,
        }
    }

    /// How it goes on, for kinds that do.
    pub fn renewal(&self) -> Option<Renewal> {
        match self {
            Self::Subscription(renewal) | Self::Quota { renewal, .. } => Some(*renewal),
            _ => None,
        }
    }

    /// Whether guests may have it.
    pub fn guests(&self) -> bool {
        matches!(self, Self::Free { guests: true } | Self::AdSupported { guests: true, .. })
    }
}

/// A thing for sale. It never changes, but for its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Its id.
    pub id: PlanId,
    /// Its name, where the title's does not say enough.
    pub name: Option<String>,
    /// What it is for; several titles are a bundle, each with an entitlement of its own.
    pub scopes: Vec<Scope>,
    /// What it costs, each period where there are periods.
    pub price: Money,
    /// What it promises.
    pub terms: Terms,
    /// Devices that may play at once, where it is not the server's own limit.
    pub concurrent_views: Option<u32>,
    /// How long a device may hold every key, offline; none means not at all.
    pub offline_ms: Option<u64>,
    /// In which countries it lets a title play, within those of the title.
    pub countries: Countries,
    /// When it was added.
    pub created_at_ms: i64,
    /// Since when it is sold no longer; none is on sale.
    pub ended_at_ms: Option<i64>,
}

impl Plan {
    /// A plan for one title, without anything special.
    pub fn of_title(id: PlanId, title: TitleId, price: Money, terms: Terms, created_at_ms: i64) -> Self {
        let scopes = vec![Scope::Title(title)];
        Self {
            id,
            name: None,
            scopes,
            price,
            terms,
            concurrent_views: None,
            offline_ms: None,
            countries: Countries::All,
            created_at_ms,
            ended_at_ms: None,
        }
    }

    /// The first thing it is for.
    pub fn scope(&self) -> Option<Scope> {
        self.scopes.first().copied()
    }

    /// As the interface shows it.
    pub fn summary(&self) -> PlanSummary {
        let titles: Vec<TitleId> = self.scopes.iter().filter_map(|scope| scope.title()).collect();
        let collection = self.scopes.iter().find_map(|scope| scope.collection());
        let renewal = self.terms.renewal();
        let mut summary = PlanSummary {
            id: self.id,
            kind: self.terms.kind().text().to_owned(),
            name: self.name.clone(),
            price: self.price.clone(),
            titles,
            collection: collection.map(|(collection, _)| collection),
            tier: collection.map(|(_, tier)| tier),
            start_within_ms: None,
            play_within_ms: None,
            views: None,
            period: renewal.map(|renewal| renewal.period.text().to_owned()),
            trial_ms: renewal.and_then(|renewal| renewal.trial_ms),
            quota_titles: None,
            guests: self.terms.guests(),
            concurrent_views: self.concurrent_views,
            offline_ms: self.offline_ms,
            breaks: None,
            countries: self.countries.summary(),
        };
        match &self.terms {
            Terms::Rental { start_within_ms, play_within_ms, views } => {
                summary.start_within_ms = Some(*start_within_ms);
                summary.play_within_ms = Some(*play_within_ms);
                summary.views = *views;
            }
            Terms::Quota { titles, .. } => summary.quota_titles = Some(*titles),
            Terms::AdSupported { breaks, .. } => {
                summary.breaks = Some(u32::try_from(breaks.list.len()).unwrap_or(u32::MAX));
            }
            _ => {}
        }
        summary
    }
}
