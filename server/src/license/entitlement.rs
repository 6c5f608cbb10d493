//! Entitlements: standing rights, and what buying, starting and renewing make of them.

use matinee_protocol::api::EntitlementSummary;
use matinee_protocol::id::{AccountId, EntitlementId, PlanId, PurchaseId};

use super::NO_LIMIT_MS;
use super::breaks::Breaks;
use super::calendar::Period;
use super::decide;
use super::place::Countries;
use super::plan::{Kind, Plan, Renewal, Scope, Terms};
use super::status::{Event, Status, next};
use super::title::Title;

/// How a right that is paid for by the period stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Billing {
    /// What is paid for at a time.
    pub period: Period,
    /// From when periods are counted.
    pub anchor_ms: i64,
    /// How many periods were paid for so far; none in a trial.
    pub index: u32,
    /// Until when it is paid.
    pub end_ms: i64,
    /// How long the right outlives an unpaid period.
    pub grace_ms: i64,
    /// Whether the next period is to be charged.
    pub renews: bool,
}

impl Billing {
    /// Until when the right holds: through the grace, unless nobody means to pay.
    pub fn valid_until_ms(&self) -> i64 {
        if self.renews { self.end_ms.saturating_add(self.grace_ms) } else { self.end_ms }
    }

    /// From when to when a period lasts.
    pub fn span_ms(&self, index: u32) -> Option<(i64, i64)> {
        let end_ms = |index| self.period.end_ms(self.anchor_ms, index);
        Some((end_ms(index.checked_sub(1)?)?, end_ms(index)?))
    }

    /// After another period was paid for.
    pub fn renewed(&self) -> Option<Self> {
        let index = self.index.checked_add(1)?;
        Some(Self { index, end_ms: self.period.end_ms(self.anchor_ms, index)?, ..*self })
    }
}

/// How a quota stands in the current period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Titles a period.
    pub titles: u32,
    /// Titles counted in the current one.
    pub used: u32,
}

/// A standing right. What its plan promised is written into it, so that the plan is not asked again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entitlement {
    /// Its id.
    pub id: EntitlementId,
    /// Whose it is.
    pub account_id: AccountId,
    /// What it is to.
    pub scope: Scope,
    /// What kind of right it is.
    pub kind: Kind,
    /// The plan it came from, unless it was granted.
    pub plan_id: Option<PlanId>,
    /// The purchase it came from, unless it was granted.
    pub purchase_id: Option<PurchaseId>,
    /// Where it stands on the record; what only time has ended stands as before. See [`Entitlement::status_at`].
    pub status: Status,
    /// Until when play may start; none is no limit.
    pub start_by_ms: Option<i64>,
    /// How long play may go on after the first start; none is no limit.
    pub play_within_ms: Option<i64>,
    /// Until when play may go on; fixed by the first start.
    pub play_until_ms: Option<i64>,
    /// Until when it holds at all; none is no limit.
    pub valid_until_ms: Option<i64>,
    /// Views left; none is no limit.
    pub views_left: Option<u32>,
    /// Views counted so far.
    pub views_used: u32,
    /// How it is paid for, if by the period.
    pub billing: Option<Billing>,
    /// Whether the next period is charged to the payment method that was saved with the purchase.
    pub saved_method: bool,
    /// Where its payer pays tax, as declared with the purchase (ISO 3166).
    pub tax_country: Option<String>,
    /// How many titles a period it gives, if they are counted.
    pub quota: Option<Quota>,
    /// Devices that may play at once, where it is not the server's own limit.
    pub concurrent_views: Option<u32>,
    /// How long a device may hold every key, offline; none means not at all.
    pub offline_ms: Option<u64>,
    /// In which countries it plays, within those of the title.
    pub countries: Countries,
    /// The breaks in its titles, if it is ad-supported.
    pub breaks: Option<Breaks>,
    /// When it was created.
    pub created_at_ms: i64,
}

impl Entitlement {
    /// A right to something for ever, that nobody paid for.
    pub fn granted(id: EntitlementId, account_id: AccountId, scope: Scope, now_ms: i64) -> Self {
        Self {
            id,
            account_id,
            scope,
            kind: Kind::Purchase,
            plan_id: None,
            purchase_id: None,
            status: Status::Ready,
            start_by_ms: None,
            play_within_ms: None,
            play_until_ms: None,
            valid_until_ms: None,
            views_left: None,
            views_used: 0,
            billing: None,
            saved_method: false,
            tax_country: None,
            quota: None,
            concurrent_views: None,
            offline_ms: None,
            countries: Countries::All,
            breaks: None,
            created_at_ms: now_ms,
        }
    }

    /// What buying a plan gives for one of its scopes. None if its first period ends beyond what a calendar holds.
    pub fn bought(
        plan: &Plan,
        scope: Scope,
        (id, account_id): (EntitlementId, AccountId),
        trial: bool,
        now_ms: i64,
    ) -> Option<Self> {
        let span = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        let mut bought = Self {
            kind: plan.terms.kind(),
            plan_id: Some(plan.id),
            concurrent_views: plan.concurrent_views,
            offline_ms: plan.offline_ms,
            countries: plan.countries.clone(),
            ..Self::granted(id, account_id, scope, now_ms)
        };
        match &plan.terms {
            Terms::Rental { start_within_ms, play_within_ms, views } => {
                bought.start_by_ms = now_ms.checked_add(span(*start_within_ms));
                bought.play_within_ms = Some(span(*play_within_ms));
                bought.views_left = *views;
            }
            Terms::Subscription(renewal) | Terms::Quota { renewal, .. } => {
                let billing = first_period(renewal, trial, now_ms)?;
                bought.valid_until_ms = Some(billing.valid_until_ms());
                bought.billing = Some(billing);
                if let Terms::Quota { titles, .. } = plan.terms {
                    bought.quota = Some(Quota { titles, used: 0 });
                }
            }
            Terms::AdSupported { breaks, .. } => bought.breaks = Some(breaks.clone()),
            Terms::Purchase | Terms::Free { .. } => {}
        }
        Some(bought)
    }

    /// As who was given it has it: nobody has agreed to pay for another period.
    #[must_use]
    pub fn given(self) -> Self {
        let billing = self.billing.map(|billing| Billing { renews: false, ..billing });
        let valid_until_ms = billing.map_or(self.valid_until_ms, |billing| Some(billing.valid_until_ms()));
        Self { billing, valid_until_ms, ..self }
    }

    /// What opening a view, which the rules allowed, makes of it.
    #[must_use]
    pub fn started(&self, counts_title: bool, now_ms: i64) -> Self {
        let window = self.play_within_ms.map(|within| now_ms.saturating_add(within));
        let quota = self.quota.map(|quota| Quota { used: quota.used + u32::from(counts_title), ..quota });
        Self {
            status: next(self.status, Event::Start).unwrap_or(self.status),
            play_until_ms: self.play_until_ms.or(window),
            views_left: self.views_left.map(|left| left.saturating_sub(1)),
            views_used: self.views_used + 1,
            quota,
            ..self.clone()
        }
    }

    /// What another paid period makes of it. None if it may not be renewed.
    pub fn renewed(&self) -> Option<Self> {
        let billing = self.billing?.renewed()?;
        Some(Self {
            status: next(self.status, Event::Renew)?,
            valid_until_ms: Some(billing.valid_until_ms()),
            billing: Some(billing),
            quota: self.quota.map(|quota| Quota { used: 0, ..quota }),
            ..self.clone()
        })
    }

    /// Until when play may go on by what the entitlement itself says, were it started now.
    pub fn play_until_at(&self, now_ms: i64) -> i64 {
        let window = self.play_within_ms.map(|within| now_ms.saturating_add(within));
        let window = self.play_until_ms.or(window).unwrap_or(NO_LIMIT_MS);
        window.min(self.valid_until_ms.unwrap_or(NO_LIMIT_MS))
    }

    /// How much of a title it opens, from its beginning; none is all of it. Of a preview, what the title says now.
    pub fn preview_ms(&self, title: &Title) -> Option<u64> {
        (self.kind == Kind::Preview).then(|| title.preview_ms.unwrap_or(0))
    }

    /// Where it stands, with what time has ended.
    pub fn status_at(&self, now_ms: i64) -> Status {
        if !self.status.is_open() {
            return self.status;
        }
        match decide::windows(self, now_ms) {
            // The last view may still be running.
            Err(decide::Refusal::NoViewsLeft) | Ok(()) => self.status,
            Err(_) => Status::Expired,
        }
    }

    /// As the interface shows it.
    pub fn summary(&self, now_ms: i64) -> EntitlementSummary {
        let time = |at_ms: i64| u64::try_from(at_ms).unwrap_or(0);
        EntitlementSummary {
            id: self.id,
            kind: self.kind.text().to_owned(),
            title: self.scope.title(),
            collection: self.scope.collection().map(|(collection, _)| collection),
            tier: self.scope.collection().map(|(_, tier)| tier),
            status: self.status_at(now_ms).text().to_owned(),
            views_left: self.views_left,
            start_before_ms: time(self.start_by_ms.unwrap_or(NO_LIMIT_MS)),
            play_until_ms: self.play_until_ms.map(time),
            paid_until_ms: self.billing.map(|billing| time(billing.end_ms)),
            renews: self.billing.map(|billing| billing.renews),
            titles_left: self.quota.map(|quota| quota.titles.saturating_sub(quota.used)),
        }
    }
}

fn first_period(renewal: &Renewal, trial: bool, now_ms: i64) -> Option<Billing> {
    let span = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    let trial_ms = renewal.trial_ms.filter(|_| trial).map(span);
    // After a trial, periods are counted from its end; without one, the first is paid for already.
    let anchor_ms = now_ms.checked_add(trial_ms.unwrap_or(0))?;
    let index = u32::from(trial_ms.is_none());
    let end_ms = renewal.period.end_ms(anchor_ms, index)?;
    let grace_ms = span(renewal.grace_ms);
    Some(Billing { period: renewal.period, anchor_ms, index, end_ms, grace_ms, renews: true })
}
