//! The rule: everything that opening a view depends on goes in, whether it may be opened and what that means comes out.
//!
//! The order of the questions is the order of the refusals: first whether there is a right, then whether it is to this
//! title, here and now, then what it has left, then what the viewer's other devices leave room for.

use matinee_protocol::id::TitleId;

use super::entitlement::Entitlement;
use super::place::{Countries, Country, allows};
use super::plan::Scope;
use super::status::Status;
use super::view::{State as ViewState, View};

/// Why a view is not opened, or not continued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// The operator took the entitlement back.
    #[error("this entitlement was revoked")]
    Revoked,
    /// It was taken back before it was used.
    #[error("this entitlement was cancelled")]
    Cancelled,
    /// The viewer gave it back.
    #[error("this entitlement was given back")]
    Returned,
    /// What it was paid for is over, its grace too.
    #[error("this subscription has lapsed; buy it again")]
    Lapsed,
    /// It was not started in time.
    #[error("the time to start this rental has passed; rent it again")]
    StartWindowOver,
    /// It was started, and its time is over.
    #[error("the time to play this rental has passed; rent it again")]
    PlayWindowOver,
    /// Every view was used.
    #[error("every view of this rental was used; rent it again")]
    NoViewsLeft,
    /// It is to something else.
    #[error("this entitlement is not to this title; buy one that is")]
    NotCovered,
    /// The title asks for a higher tier.
    #[error("this title needs a higher tier; change the plan")]
    TierTooLow,
    /// The title is for the members of a group.
    #[error("this title is for the members of a group; ask its publisher")]
    GroupRequired,
    /// The title opens later.
    #[error("this title is not available yet; come back at its premiere")]
    NotAvailableYet,
    /// The title is no longer given.
    #[error("this title is no longer available")]
    NoLongerAvailable,
    /// Not in this country.
    #[error("this may not be played in this country")]
    CountryNotAllowed,
    /// Nobody knows which country this is.
    #[error("this may be played in some countries only, and yours is not known; try another network")]
    CountryUnknown,
    /// The period's titles are used.
    #[error("every title of this period was used; come back in the next")]
    QuotaUsedUp,
    /// The account has as many devices as it may.
    #[error("this account has as many devices as it may have; remove one first")]
    TooManyDevices,
    /// As many devices play as may at once.
    #[error("as many devices play as may at once; stop one first")]
    TooManyViews,
    /// The view was ended on its device.
    #[error("this view has ended; open another")]
    ViewEnded,
    /// The view asked for nothing for too long.
    #[error("this view was idle for too long; open another")]
    ViewExpired,
    /// Another device plays instead.
    #[error("this view was stopped, for another device plays now")]
    ViewStopped,
    /// The free beginning is over.
    #[error("the free preview ends here; buy the title to go on")]
    PreviewOver,
    /// A break comes first.
    #[error("a break comes first; show it to its end")]
    BreakNotShown,
    /// The break was not started, or another was since.
    #[error("this break was not started, or another was started since; start it")]
    BreakNotStarted,
    /// The break's time has not passed.
    #[error("this break is not over yet; show it to its end")]
    BreakNotOver,
    /// The plan does not lease.
    #[error("this is not to be had for playing offline")]
    OfflineNotAllowed,
    /// As many devices hold it, or the account holds as much, as may.
    #[error("as many leases are out as may be; give one back on its device, or wait for its end")]
    TooManyLeases,
    /// The lease has ended.
    #[error("this lease is over; take another")]
    LeaseOver,
}

impl Refusal {
    /// Every refusal.
    pub const ALL: [Self; 27] = [
        Self::Revoked,
        Self::Cancelled,
        Self::Returned,
        Self::Lapsed,
        Self::StartWindowOver,
        Self::PlayWindowOver,
        Self::NoViewsLeft,
        Self::NotCovered,
        Self::TierTooLow,
        Self::GroupRequired,
        Self::NotAvailableYet,
        Self::NoLongerAvailable,
        Self::CountryNotAllowed,
        Self::CountryUnknown,
        Self::QuotaUsedUp,
        Self::TooManyDevices,
        Self::TooManyViews,
        Self::ViewEnded,
        Self::ViewExpired,
        Self::ViewStopped,
        Self::PreviewOver,
        Self::BreakNotShown,
        Self::BreakNotStarted,
        Self::BreakNotOver,
        Self::OfflineNotAllowed,
        Self::TooManyLeases,
        Self::LeaseOver,
    ];

    /// The stable code of the problem.
    pub fn code(self) -> &'static str {
        match self {
            Self::Revoked => "entitlement_revoked",
            Self::Cancelled => "entitlement_cancelled",
            Self::Returned => "entitlement_returned",
            Self::Lapsed => "subscription_lapsed",
            Self::StartWindowOver => "start_window_over",
            Self::PlayWindowOver => "play_window_over",
            Self::NoViewsLeft => "no_views_left",
            Self::NotCovered => "title_not_covered",
            Self::TierTooLow => "tier_too_low",
            Self::GroupRequired => "group_required",
            Self::NotAvailableYet => "not_available_yet",
            Self::NoLongerAvailable => "no_longer_available",
            Self::CountryNotAllowed => "country_not_allowed",
            Self::CountryUnknown => "country_unknown",
            Self::QuotaUsedUp => "quota_used_up",
            Self::TooManyDevices => "too_many_devices",
            Self::TooManyViews => "too_many_views",
            Self::ViewEnded => "view_ended",
            Self::ViewExpired => "view_expired",
            Self::ViewStopped => "view_stopped",
            Self::PreviewOver => "preview_over",
            Self::BreakNotShown => "break_not_shown",
            Self::BreakNotStarted => "break_not_started",
            Self::BreakNotOver => "break_not_over",
            Self::OfflineNotAllowed => "offline_not_allowed",
            Self::TooManyLeases => "too_many_leases",
            Self::LeaseOver => "lease_over",
        }
    }
}

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

/// What the rule asks about the title.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Title {
    /// Its id.
    pub id: TitleId,
    /// From when it may be played; none is from ever.
    pub available_from_ms: Option<i64>,
    /// Until when; none is for ever.
    pub available_until_ms: Option<i64>,
    /// In which countries.
    pub countries: Countries,
    /// For whom.
    pub audience: Audience,
    /// The tier that it asks for in the entitlement's collection; none if it is not in it.
    pub tier: Option<u32>,
    /// Whether it was counted in the current period of the entitlement's quota.
    pub counted: bool,
}

impl Title {
    /// A title for everybody, everywhere, always.
    pub fn open(id: TitleId) -> Self {
        Self {
            id,
            available_from_ms: None,
            available_until_ms: None,
            countries: Countries::All,
            audience: Audience::Everyone,
            tier: None,
            counted: false,
        }
    }
}

/// What the rule asks about the account's devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Devices {
    /// Whether this one is among them.
    pub registered: bool,
    /// How many there are without this one.
    pub others: u32,
    /// How many without this one play now.
    pub others_playing: u32,
}

/// What happens when one device more than may wants to play.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AtLimit {
    /// It is refused.
    #[default]
    Refuse,
    /// The one that began first stops.
    StopOldest,
    /// The one that began last stops.
    StopNewest,
}

impl AtLimit {
    /// The choice of this name.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "refuse" => Some(Self::Refuse),
            "stop_oldest" => Some(Self::StopOldest),
            "stop_newest" => Some(Self::StopNewest),
            _ => None,
        }
    }
}

/// The operator's choices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Policy {
    /// Devices an account; none is no limit.
    pub devices_max: Option<u32>,
    /// Devices of an account that may play at once, where the plan does not say; none is no limit.
    pub concurrent_views_max: Option<u32>,
    /// What happens at that limit.
    pub at_limit: AtLimit,
    /// Leases of one entitlement that may be out at once; none is no limit.
    pub leases_per_entitlement_max: Option<u32>,
    /// Leases of one account that may be out at once; none is no limit.
    pub leases_per_account_max: Option<u32>,
    /// Whether a title or a plan for some countries may be played where the country is not known and it does not say so
    /// itself.
    pub unknown_country_allowed: bool,
}

/// Everything that opening a view depends on.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The right.
    pub entitlement: &'a Entitlement,
    /// What is to be played.
    pub title: &'a Title,
    /// Where the viewer is, if that is known.
    pub place: Option<Country>,
    /// On what.
    pub devices: Devices,
    /// The operator's choices.
    pub policy: Policy,
    /// The present.
    pub now_ms: i64,
}

/// A view that may be opened, and what opening it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowed {
    /// Until when play may go on.
    pub play_until_ms: i64,
    /// Whether it is the first view, which fixes the window.
    pub first: bool,
    /// Whether it counts the title in the period's quota.
    pub counts_title: bool,
    /// Whether it makes the device one of the account's.
    pub registers_device: bool,
    /// How many other devices must stop, in the order that the policy says.
    pub stops: u32,
}

/// Whether a view may be opened. What the store's guarded statements allow and what this allows is the same; this one
/// says why not.
pub fn decide(facts: &Facts<'_>) -> Result<Allowed, Refusal> {
    let Facts { entitlement, title, now_ms, .. } = *facts;
    windows(entitlement, now_ms)?;
    may_have(facts)?;
    let counts_title = entitlement.quota.is_some() && !title.counted;
    if counts_title && entitlement.quota.is_some_and(|quota| quota.used >= quota.titles) {
        return Err(Refusal::QuotaUsedUp);
    }
    Ok(Allowed {
        play_until_ms: until_ms(entitlement, title, now_ms),
        first: entitlement.views_used == 0,
        counts_title,
        registers_device: !facts.devices.registered,
        stops: room(facts)?,
    })
}

/// Whether the account's other devices leave room for this one, and how many of them must stop for it.
pub fn room(facts: &Facts<'_>) -> Result<u32, Refusal> {
    let new = !facts.devices.registered;
    if new && facts.policy.devices_max.is_some_and(|max| facts.devices.others >= max) {
        return Err(Refusal::TooManyDevices);
    }
    let Some(max) = concurrent_views_max(facts.entitlement, &facts.policy) else { return Ok(0) };
    let beyond = (facts.devices.others_playing + 1).saturating_sub(max);
    match facts.policy.at_limit {
        _ if beyond == 0 => Ok(0),
        AtLimit::Refuse => Err(Refusal::TooManyViews),
        AtLimit::StopOldest | AtLimit::StopNewest => Ok(beyond.min(facts.devices.others_playing)),
    }
}

/// How many of an account's devices may play at once: as the plan says, or else the operator.
pub fn concurrent_views_max(entitlement: &Entitlement, policy: &Policy) -> Option<u32> {
    entitlement.concurrent_views.or(policy.concurrent_views_max)
}

/// Whether the right is there and has something left at this time.
pub fn windows(entitlement: &Entitlement, now_ms: i64) -> Result<(), Refusal> {
    match entitlement.status {
        Status::Revoked => return Err(Refusal::Revoked),
        Status::Cancelled => return Err(Refusal::Cancelled),
        Status::Returned => return Err(Refusal::Returned),
        Status::Expired => return Err(Refusal::Lapsed),
        Status::Ready | Status::Active => {}
    }
    let over = |limit_ms: Option<i64>| limit_ms.is_some_and(|limit| limit <= now_ms);
    if over(entitlement.valid_until_ms) {
        return Err(Refusal::Lapsed);
    }
    let first = entitlement.views_used == 0;
    if first && over(entitlement.start_by_ms) {
        return Err(Refusal::StartWindowOver);
    }
    if !first && over(entitlement.play_until_ms) {
        return Err(Refusal::PlayWindowOver);
    }
    if entitlement.views_left == Some(0) {
        return Err(Refusal::NoViewsLeft);
    }
    Ok(())
}

/// Whether the right is to this title, and the title is for this viewer, here and now.
pub fn may_have(facts: &Facts<'_>) -> Result<(), Refusal> {
    let Facts { entitlement, title, now_ms, .. } = *facts;
    belongs(entitlement, title)?;
    if title.available_from_ms.is_some_and(|from| now_ms < from) {
        return Err(Refusal::NotAvailableYet);
    }
    if title.available_until_ms.is_some_and(|until| until <= now_ms) {
        return Err(Refusal::NoLongerAvailable);
    }
    in_place([&entitlement.countries, &title.countries], facts.place, &facts.policy)
}

/// Whether both the plan's and the title's countries allow a place.
fn in_place(limits: [&Countries; 2], place: Option<Country>, policy: &Policy) -> Result<(), Refusal> {
    for countries in limits {
        match allows(countries, place, policy.unknown_country_allowed) {
            Some(true) => {}
            Some(false) => return Err(Refusal::CountryNotAllowed),
            None => return Err(Refusal::CountryUnknown),
        }
    }
    Ok(())
}

/// Whether the right is to this title, and the title is for this viewer, whenever and wherever.
pub fn belongs(entitlement: &Entitlement, title: &Title) -> Result<(), Refusal> {
    match entitlement.scope {
        Scope::Title(covered) if covered != title.id => return Err(Refusal::NotCovered),
        Scope::Title(_) => {}
        Scope::Collection { tier, .. } => match title.tier {
            None => return Err(Refusal::NotCovered),
            Some(needed) if needed > tier => return Err(Refusal::TierTooLow),
            Some(_) => {}
        },
    }
    match title.audience {
        Audience::Outsider => Err(Refusal::GroupRequired),
        Audience::Everyone | Audience::Member => Ok(()),
    }
}

/// Until when a view that begins or goes on now may play.
pub fn until_ms(entitlement: &Entitlement, title: &Title, now_ms: i64) -> i64 {
    entitlement.play_until_at(now_ms).min(title.available_until_ms.unwrap_or(i64::MAX))
}

/// Whether a view may go on: be given keys, or a new token, at this place.
pub fn may_continue(
    view: &View,
    (place, policy): (Option<Country>, &Policy),
    now_ms: i64,
    idle_ms_max: i64,
) -> Result<(), Refusal> {
    match view.state {
        ViewState::Revoked => return Err(Refusal::Revoked),
        ViewState::Stopped => return Err(Refusal::ViewStopped),
        ViewState::Ended => return Err(Refusal::ViewEnded),
        ViewState::Expired => return Err(Refusal::ViewExpired),
        ViewState::Active => {}
    }
    let over = |limit_ms: Option<i64>| limit_ms.is_some_and(|limit| limit <= now_ms);
    if over(view.play_until_ms) {
        return Err(Refusal::PlayWindowOver);
    }
    if over(view.valid_until_ms) {
        return Err(Refusal::Lapsed);
    }
    if over(view.available_until_ms) {
        return Err(Refusal::NoLongerAvailable);
    }
    if view.last_seen_at_ms.saturating_add(idle_ms_max) < now_ms {
        return Err(Refusal::ViewExpired);
    }
    in_place([&view.plan_countries, &view.title_countries], place, policy)
}
