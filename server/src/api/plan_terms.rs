//! What a plan's body says, and within which bounds: what the endpoints that add plans have in common with the command
//! line.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use matinee_protocol::api::Money;
use matinee_protocol::id::{PlanId, TitleId};
use matinee_protocol::limit::NAME_BYTES_MAX;
use serde::Deserialize;

use super::countries::CountriesBody;
use super::problem::Problem;
use crate::license::breaks::{Break, Breaks, Skipped};
use crate::license::calendar::Period;
use crate::license::place::Countries;
use crate::license::plan::{Kind, Plan, Renewal, Scope, Terms};

/// The longest window, grace or trial.
pub const WINDOW_MS_MAX: u64 = 10 * 365 * 24 * 60 * 60 * 1000;
/// The highest price, in minor units.
pub const PRICE_MINOR_MAX: i64 = 100_000_000;
/// The most views that a plan counts; above it, sell the window alone.
pub const VIEWS_MAX: u32 = 1_000_000;
/// The most titles that a quota counts in a period; above it, sell a subscription.
pub const QUOTA_TITLES_MAX: u32 = 1_000_000;
/// The most titles in a bundle; above it, sell a collection.
pub const BUNDLE_TITLES_MAX: usize = 100;
/// The highest tier.
pub const TIER_MAX: u32 = 100;
/// The most devices that a plan lets play at once.
pub const CONCURRENT_VIEWS_MAX: u32 = 1000;
/// The shortest lease: a minute.
pub const OFFLINE_MS_MIN: u64 = 60_000;
/// The most breaks in a plan.
pub const BREAKS_MAX: usize = 100;
/// The shortest break: it is longer than the tolerance at its end.
pub const BREAK_MS_MIN: u64 = 2_000;
/// The longest break.
pub const BREAK_MS_MAX: u64 = 10 * 60 * 1000;
/// The grace where a plan names none: three days.
pub const GRACE_MS_DEFAULT: u64 = 3 * 24 * 60 * 60 * 1000;

/// What a plan is refused with, for the interface's document.
pub const PROBLEMS: &[&str] = &[
    "breaks_invalid",
    "bundle_invalid",
    "collection_required",
    "concurrent_views_out_of_range",
    "countries_invalid",
    "currency_unknown",
    "name_invalid",
    "period_unknown",
    "plan_field_missing",
    "plan_field_unexpected",
    "plan_kind_unknown",
    "price_out_of_range",
    "quota_out_of_range",
    "tier_out_of_range",
    "title_required",
    "views_out_of_range",
    "window_out_of_range",
];

/// A plan as it is asked for. Which fields belong to which kind is checked; one that does not is refused.
#[derive(Debug, Clone, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanBody {
    /// `rental`, `purchase`, `subscription`, `quota`, `free` or `ad_supported`.
    pub kind: String,
    /// Every kind: its name, where the title's does not say enough.
    pub name: Option<String>,
    /// Every kind but free and ad-supported: the price, each period where there are periods.
    pub price: Option<Money>,
    /// Rental, purchase and free of one title: further titles, which make it a bundle.
    #[serde(default)]
    pub titles: Vec<TitleId>,
    /// Over a collection: the highest tier that it opens; 1 if not given.
    pub tier: Option<u32>,
    /// Rental: time after the purchase within which play must start.
    pub start_within_ms: Option<u64>,
    /// Rental: time after the first start within which play may go on.
    pub play_within_ms: Option<u64>,
    /// Rental: views; none means as many as fit the window.
    pub views: Option<u32>,
    /// Subscription and quota: `month` or `year`.
    pub period: Option<String>,
    /// Subscription and quota: how long the right outlives an unpaid period.
    pub grace_ms: Option<u64>,
    /// Subscription and quota: how long it is free at first, once an account.
    pub trial_ms: Option<u64>,
    /// Quota: titles a period.
    pub quota_titles: Option<u32>,
    /// Ad-supported: the breaks, in order.
    pub breaks: Option<Vec<BreakBody>>,
    /// Ad-supported: which of the breaks that a seek skips must be shown, the `last` (if not given) or `all`.
    pub breaks_skipped: Option<String>,
    /// Free and ad-supported: whether guests may have it too.
    pub guests: Option<bool>,
    /// Every kind: devices that may play at once, where it is not the server's own limit.
    pub concurrent_views: Option<u32>,
    /// Rental, purchase, subscription and quota: how long a device may hold every key, for playing offline.
    pub offline_ms: Option<u64>,
    /// Every kind: the countries in which it lets a title play, within those of the title.
    pub countries: Option<CountriesBody>,
}

/// A break as it is asked for.
#[derive(Debug, Clone, Copy, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BreakBody {
    /// Where in the title.
    pub at_ms: u64,
    /// How long it takes to be shown.
    pub duration_ms: u64,
    /// Whether the keys behind it wait for it; true if not given.
    pub must_show: Option<bool>,
}

impl PlanBody {
    /// The plan that this asks for, over these things.
    pub fn plan(self, id: PlanId, scopes: Vec<Scope>, currency: &str, now_ms: i64) -> Result<Plan, Problem> {
        let kind = Kind::parse(&self.kind);
        let terms = match kind {
            Some(Kind::Rental) => Terms::Rental {
                start_within_ms: given("start_within_ms", self.start_within_ms)?,
                play_within_ms: given("play_within_ms", self.play_within_ms)?,
                views: self.views,
            },
            Some(Kind::Purchase) => Terms::Purchase,
            Some(Kind::Subscription) => Terms::Subscription(self.renewal()?),
            Some(Kind::Quota) => {
                Terms::Quota { renewal: self.renewal()?, titles: given("quota_titles", self.quota_titles)? }
            }
            Some(Kind::Free) => Terms::Free { guests: self.guests.unwrap_or(false) },
            Some(Kind::AdSupported) => {
                Terms::AdSupported { guests: self.guests.unwrap_or(false), breaks: self.breaks()? }
            }
            Some(Kind::Preview) | None => {
                let detail =
                    "the kind of a plan is rental, purchase, subscription, quota, free or ad_supported";
                return Err(refusal("plan_kind_unknown", detail));
            }
        };
        self.refuse_foreign_fields(terms.kind())?;
        let nothing = Money { minor: 0, currency: currency.to_owned() };
        let for_nothing = matches!(terms.kind(), Kind::Free | Kind::AdSupported);
        let price = if for_nothing { nothing } else { given("price", self.price)? };
        let plan = Plan {
            id,
            name: self.name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()),
            scopes,
            price,
            terms,
            concurrent_views: self.concurrent_views,
            offline_ms: self.offline_ms,
            countries: self.countries.map_or(Ok(Countries::All), |countries| countries.rule())?,
            created_at_ms: now_ms,
            ended_at_ms: None,
        };
        check(&plan, currency)?;
        Ok(plan)
    }

    fn renewal(&self) -> Result<Renewal, Problem> {
        let period = given("period", self.period.as_deref())?;
        let period =
            Period::parse(period).ok_or_else(|| refusal("period_unknown", "a period is month or year"))?;
        let grace_ms = self.grace_ms.unwrap_or(GRACE_MS_DEFAULT);
        Ok(Renewal { period, grace_ms, trial_ms: self.trial_ms })
    }

    fn breaks(&self) -> Result<Breaks, Problem> {
        let skipped = self.breaks_skipped.as_deref().unwrap_or("last");
        let skipped = Skipped::parse(skipped).ok_or_else(|| {
            refusal("breaks_invalid", "of the breaks that a seek skips, last or all are shown")
        })?;
        let list = given("breaks", self.breaks.as_deref())?.iter().map(|one| Break {
            at_ms: one.at_ms,
            duration_ms: one.duration_ms,
            must_show: one.must_show.unwrap_or(true),
        });
        Ok(Breaks { list: list.collect(), skipped })
    }

    fn refuse_foreign_fields(&self, kind: Kind) -> Result<(), Problem> {
        let rental: &[Kind] = &[Kind::Rental];
        let renewing: &[Kind] = &[Kind::Subscription, Kind::Quota];
        let paid: &[Kind] = &[Kind::Rental, Kind::Purchase, Kind::Subscription, Kind::Quota];
        for (name, is_given, kinds) in [
            ("price", self.price.is_some(), paid),
            ("start_within_ms", self.start_within_ms.is_some(), rental),
            ("play_within_ms", self.play_within_ms.is_some(), rental),
            ("views", self.views.is_some(), rental),
            ("period", self.period.is_some(), renewing),
            ("grace_ms", self.grace_ms.is_some(), renewing),
            ("trial_ms", self.trial_ms.is_some(), renewing),
            ("quota_titles", self.quota_titles.is_some(), &[Kind::Quota]),
            ("offline_ms", self.offline_ms.is_some(), paid),
            ("breaks", self.breaks.is_some(), &[Kind::AdSupported]),
            ("breaks_skipped", self.breaks_skipped.is_some(), &[Kind::AdSupported]),
            ("guests", self.guests.is_some(), &[Kind::Free, Kind::AdSupported]),
        ] {
            if is_given && !kinds.contains(&kind) {
                let detail = format!("{name} does not belong to a plan of kind {}", kind.text());
                return Err(refusal("plan_field_unexpected", detail));
            }
        }
        Ok(())
    }
}

fn given<T>(name: &str, value: Option<T>) -> Result<T, Problem> {
    value.ok_or_else(|| refusal("plan_field_missing", format!("a plan of this kind needs {name}")))
}

/// Refuses terms out of range.
pub fn check(plan: &Plan, currency: &str) -> Result<(), Problem> {
    if plan.price.currency != currency {
        return Err(refusal("currency_unknown", format!("prices are in {currency}")));
    }
    if !(0..=PRICE_MINOR_MAX).contains(&plan.price.minor) {
        return Err(refusal(
            "price_out_of_range",
            format!("a price is of 0 to {PRICE_MINOR_MAX} minor units"),
        ));
    }
    if plan.name.as_ref().is_some_and(|name| name.len() > NAME_BYTES_MAX) {
        return Err(refusal("name_invalid", format!("a name has at most {NAME_BYTES_MAX} bytes")));
    }
    if plan.concurrent_views.is_some_and(|views| !(1..=CONCURRENT_VIEWS_MAX).contains(&views)) {
        let detail = format!("a plan lets 1 to {CONCURRENT_VIEWS_MAX} devices play at once, or null");
        return Err(refusal("concurrent_views_out_of_range", detail));
    }
    if plan.offline_ms.is_some_and(|offline_ms| !(OFFLINE_MS_MIN..=WINDOW_MS_MAX).contains(&offline_ms)) {
        let detail = format!("a lease is of {OFFLINE_MS_MIN} to {WINDOW_MS_MAX} ms");
        return Err(refusal("window_out_of_range", detail));
    }
    check_scopes(plan)?;
    check_terms(&plan.terms)
}

fn check_scopes(plan: &Plan) -> Result<(), Problem> {
    let distinct: BTreeSet<&Scope> = plan.scopes.iter().collect();
    if plan.scopes.is_empty() || distinct.len() != plan.scopes.len() || plan.scopes.len() > BUNDLE_TITLES_MAX
    {
        let detail = format!("a bundle has 1 to {BUNDLE_TITLES_MAX} titles, each once");
        return Err(refusal("bundle_invalid", detail));
    }
    let collections = plan.scopes.iter().filter_map(|scope| scope.collection());
    if collections.clone().any(|(_, tier)| !(1..=TIER_MAX).contains(&tier)) {
        return Err(refusal("tier_out_of_range", format!("a tier is of 1 to {TIER_MAX}")));
    }
    let alone = plan.scopes.len() == 1;
    if !alone && (collections.count() > 0 || plan.terms.renewal().is_some()) {
        let detail = "only titles are bundled, and only where nothing renews";
        return Err(refusal("bundle_invalid", detail));
    }
    if matches!(plan.terms, Terms::Quota { .. }) && plan.scopes.iter().any(|scope| scope.title().is_some()) {
        return Err(refusal("collection_required", "a quota is over a collection"));
    }
    let over_collection = plan.scopes.iter().any(|scope| scope.collection().is_some());
    if over_collection && matches!(plan.terms, Terms::Rental { .. }) {
        return Err(refusal("title_required", "a rental is of titles; sell a collection by the period"));
    }
    Ok(())
}

fn check_breaks(breaks: &Breaks) -> Result<(), Problem> {
    let list = &breaks.list;
    let ordered = list.windows(2).all(|pair| pair[0].at_ms < pair[1].at_ms);
    let in_range = list
        .iter()
        .all(|one| one.at_ms <= WINDOW_MS_MAX && (BREAK_MS_MIN..=BREAK_MS_MAX).contains(&one.duration_ms));
    if list.is_empty() || list.len() > BREAKS_MAX || !ordered || !in_range {
        let detail = format!(
            "a plan has 1 to {BREAKS_MAX} breaks, each later than the one before and of {BREAK_MS_MIN} to {BREAK_MS_MAX} ms"
        );
        return Err(refusal("breaks_invalid", detail));
    }
    Ok(())
}

fn check_terms(terms: &Terms) -> Result<(), Problem> {
    let mut windows_ms = Vec::new();
    match terms {
        Terms::Rental { start_within_ms, play_within_ms, views } => {
            windows_ms.extend([*start_within_ms, *play_within_ms]);
            if views.is_some_and(|views| !(1..=VIEWS_MAX).contains(&views)) {
                let detail = format!("a plan has 1 to {VIEWS_MAX} views, or null");
                return Err(refusal("views_out_of_range", detail));
            }
        }
        Terms::AdSupported { breaks, .. } => check_breaks(breaks)?,
        Terms::Quota { titles, .. } if !(1..=QUOTA_TITLES_MAX).contains(titles) => {
            let detail = format!("a quota is of 1 to {QUOTA_TITLES_MAX} titles");
            return Err(refusal("quota_out_of_range", detail));
        }
        _ => {}
    }
    if let Some(renewal) = terms.renewal() {
        windows_ms.extend(renewal.trial_ms);
        // No grace at all is a choice.
        windows_ms.push(renewal.grace_ms.max(1));
    }
    if windows_ms.iter().any(|window_ms| !(1..=WINDOW_MS_MAX).contains(window_ms)) {
        return Err(refusal("window_out_of_range", format!("a window is of 1 to {WINDOW_MS_MAX} ms")));
    }
    Ok(())
}

fn refusal(code: &'static str, detail: impl Into<std::borrow::Cow<'static, str>>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
}
