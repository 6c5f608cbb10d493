//! The rule: everything that opening a view depends on goes in, whether it may be opened and what that means comes out.
//!
//! The order of the questions is the order of the refusals: first whether there is a right, then whether it is to this
//! title, here and now, then what it has left, then what the viewer's other devices leave room for.

use super::entitlement::{Entitlement, Quota};
use super::place::Country;
use super::plan::{Kind, Scope};
use super::status::Status;
use super::title::Title;
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
    Ok(Allowed {
        play_until_ms: until_ms(entitlement, title, now_ms),
        first: entitlement.views_used == 0,
        counts_title: counts_title(entitlement.quota, title.counted)?,
        registers_device: !facts.devices.registered,
        stops: room(facts)?,
    })
}

/// Whether a use counts the title in the period's quota, which must have one left for it then.
pub fn counts_title(quota: Option<Quota>, counted: bool) -> Result<bool, Refusal> {
    match quota.filter(|_| !counted) {
        Some(quota) if quota.used >= quota.titles => Err(Refusal::QuotaUsedUp),
        uncounted => Ok(uncounted.is_some()),
    }
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

/// Whether a right of this status stands.
fn stands(status: Status) -> Result<(), Refusal> {
    match status {
        Status::Revoked => Err(Refusal::Revoked),
        Status::Cancelled => Err(Refusal::Cancelled),
        Status::Returned => Err(Refusal::Returned),
        Status::Expired => Err(Refusal::Lapsed),
        Status::Ready | Status::Active => Ok(()),
    }
}

/// Whether the right is there and has something left at this time.
pub fn windows(entitlement: &Entitlement, now_ms: i64) -> Result<(), Refusal> {
    stands(entitlement.status)?;
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
    covers(entitlement, title)?;
    title.rights.allow(&entitlement.countries, (facts.place, &facts.policy), now_ms)?;
    if entitlement.kind == Kind::Preview && title.preview_ms.is_none() {
        return Err(Refusal::PreviewOver);
    }
    Ok(())
}

/// Whether the right is to this title, and the title is for this viewer, whenever and wherever.
pub fn belongs(entitlement: &Entitlement, title: &Title) -> Result<(), Refusal> {
    covers(entitlement, title)?;
    title.rights.audience.admits()
}

fn covers(entitlement: &Entitlement, title: &Title) -> Result<(), Refusal> {
    match entitlement.scope {
        Scope::Title(covered) if covered != title.id => Err(Refusal::NotCovered),
        Scope::Title(_) => Ok(()),
        Scope::Collection { tier, .. } => match title.tier {
            None => Err(Refusal::NotCovered),
            Some(needed) if needed > tier => Err(Refusal::TierTooLow),
            Some(_) => Ok(()),
        },
    }
}

/// Until when a view that begins or goes on now may play.
pub fn until_ms(entitlement: &Entitlement, title: &Title, now_ms: i64) -> i64 {
    entitlement.play_until_at(now_ms).min(title.rights.available_until_ms.unwrap_or(i64::MAX))
}

/// Whether a view may go on: be given keys, or a new token, at this place. What the title's rights and the quota say now
/// is asked as of a new view. Whether the right is to the title is not: what leaves a collection plays to its end.
pub fn may_continue(
    view: &View,
    (place, policy): (Option<Country>, &Policy),
    now_ms: i64,
    idle_ms_max: i64,
) -> Result<(), Refusal> {
    match view.state {
        ViewState::Stopped => return Err(Refusal::ViewStopped),
        ViewState::Ended => return Err(Refusal::ViewEnded),
        ViewState::Expired => return Err(Refusal::ViewExpired),
        ViewState::Active | ViewState::Revoked => {}
    }
    stands(view.status)?;
    if view.state == ViewState::Revoked {
        // Not with its right: with a membership, or else with its device, which was removed.
        view.rights.audience.admits()?;
        return Err(Refusal::ViewEnded);
    }
    let over = |limit_ms: Option<i64>| limit_ms.is_some_and(|limit| limit <= now_ms);
    if over(view.play_until_ms) {
        return Err(Refusal::PlayWindowOver);
    }
    if over(view.valid_until_ms) {
        return Err(Refusal::Lapsed);
    }
    view.rights.allow(&view.plan_countries, (place, policy), now_ms)?;
    if view.last_seen_at_ms.saturating_add(idle_ms_max) < now_ms {
        return Err(Refusal::ViewExpired);
    }
    counts_title(view.quota, view.counted).map(drop)
}
