//! Renewals by a saved payment method: what becomes of their payments, and what owners are written about renewals.

use matinee_protocol::id::{EntitlementId, PurchaseId};

use super::back;
use super::tax::Rates;
use crate::letter::{Receipt, Writer};
use crate::license::entitlement::Entitlement;
use crate::random;
use crate::store::payment::{self, Payment, Renews};
use crate::store::renewal::{self, Plans, Renewed, Rules};
use crate::store::{self, Tx, entitlement, outbox, plan, title};

/// Why a charge that pays for nothing is sent back.
const NOTHING_TO_PAY: &str = "what it was for is not renewed any more";

/// What payments for renewals are booked by.
pub struct Desk<'a> {
    /// The tax rates of the day.
    pub rates: &'a Rates,
    /// What writes to owners.
    pub letters: &'a Writer,
    /// The payment provider's name.
    pub provider: &'a str,
}

impl Desk<'_> {
    /// The money is in: extends what it pays for by a period, or goes back where nothing is left to be paid for. Booked
    /// before, it changes nothing.
    pub async fn paid(
        &self,
        tx: &mut Tx,
        (payment, renews): (&Payment, Renews),
        (reference, charge): (&str, &str),
        now_ms: i64,
    ) -> Result<(), store::Error> {
        // The entitlement first, as the job that renews locks them.
        entitlement::hold(tx, renews.entitlement).await?;
        if !payment::succeed(tx, payment, reference, charge, now_ms).await? {
            return Ok(());
        }
        let purchase = PurchaseId::from_bytes(random::id(now_ms));
        let plans = Plans::default();
        let paid = renewal::pay(tx, payment, purchase, &self.rules(&plans), now_ms).await?;
        if paid {
            return self.write_to(tx, (renews.entitlement, purchase), Renewed::Yes, now_ms).await;
        }
        back::send_back(tx, payment, NOTHING_TO_PAY, now_ms).await
    }

    /// No money will come of it. Booked before, it changes nothing.
    pub async fn failed(
        &self,
        tx: &mut Tx,
        (payment, renews): (&Payment, Renews),
        (reference, reason): (Option<&str>, &str),
        now_ms: i64,
    ) -> Result<(), store::Error> {
        entitlement::hold(tx, renews.entitlement).await?;
        if !payment::fail(tx, payment.id, reference, reason, now_ms).await? {
            return Ok(());
        }
        let purchase = PurchaseId::from_bytes(random::id(now_ms));
        let plans = Plans::default();
        let rules = self.rules(&plans);
        let outcome = renewal::declined(tx, (payment, reason), purchase, &rules, now_ms).await?;
        self.write_to(tx, (renews.entitlement, purchase), outcome, now_ms).await
    }

    /// What the store renews by.
    pub fn rules<'a>(&'a self, plans: &'a Plans) -> Rules<'a> {
        Rules { plans, tax: self.rates, provider: self.provider }
    }

    /// Writes to the owner what came of a renewal, where there is something to say. A receipt names the purchase.
    pub async fn write_to(
        &self,
        tx: &mut Tx,
        (renewed, purchase): (EntitlementId, PurchaseId),
        outcome: Renewed,
        now_ms: i64,
    ) -> Result<(), store::Error> {
        if self.letters.is_silent() || !matches!(outcome, Renewed::Yes | Renewed::Failed) {
            return Ok(());
        }
        let Some(found) = entitlement::by_id(tx, renewed).await? else { return Ok(()) };
        let (Some(plan_id), Some(billing)) = (found.plan_id, found.billing) else { return Ok(()) };
        let Some(plan) = plan::by_id(tx, plan_id).await? else { return Ok(()) };
        let item = item(tx, &found).await?;
        let letter = match outcome {
            Renewed::Yes if plan.price.minor > 0 => {
                let id = purchase.to_string();
                let paid = &plan.price;
                let line = self.rates.line(paid, found.tax_country.as_deref());
                let tax =
                    line.as_ref().map(|line| (line.country.as_str(), line.rate_basis_points, line.tax_minor));
                self.letters.receipt(&Receipt { id: &id, item: &item, paid, tax, at_ms: now_ms })
            }
            Renewed::Failed => {
                let ends_at_ms = billing.valid_until_ms();
                self.letters.renewal_failed(&item, &plan.price, found.saved_method, ends_at_ms)
            }
            _ => None,
        };
        outbox::mail(tx, found.account_id, letter.as_ref(), now_ms).await
    }
}

/// What a right is to, as its owner knows it: the plan's name, or the title's.
pub async fn item(tx: &mut Tx, found: &Entitlement) -> Result<String, store::Error> {
    let plan = match found.plan_id {
        Some(plan_id) => plan::by_id(tx, plan_id).await?,
        None => None,
    };
    if let Some(name) = plan.and_then(|plan| plan.name) {
        return Ok(name);
    }
    let title = match found.scope.title() {
        Some(title_id) => title::by_id(tx, title_id).await?,
        None => None,
    };
    Ok(title.map_or_else(|| "your subscription".to_owned(), |title| title.name))
}
