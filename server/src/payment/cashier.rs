//! Drives payments through their states: asks the provider outside any transaction, and books what it said inside one.

use std::sync::Arc;

use matinee_protocol::api::Money;
use matinee_protocol::id::{AccountId, EntitlementId, PaymentId, PlanId, PurchaseId, TitleId, ViewId};

use super::renewing::Desk;
use super::tax::Rates;
use super::{By, Charge, Error, Event, Notice, Provider, Returned, Reversal, Standing, back, taken};
use crate::clock::Clock;
use crate::letter::{Receipt, Writer};
use crate::license::plan::Scope;
use crate::random;
use crate::store::dispute::Told;
use crate::store::payment::{self, Payment, State};
use crate::store::plan::{self, Plan};
use crate::store::purchase::{self, Conditions, Sale, Settled};
use crate::store::refund::{self, Refund};
use crate::store::{self, Store, Tx, account, event, outbox, right, saved_method};

/// How long a provider remembers the id under which it was asked. After it, a payment of which it said nothing is
/// given up: asking again could charge again.
pub const ASKING_AGAIN_MS_MAX: i64 = 23 * 60 * 60 * 1000;
/// The longest time between two looks at an open payment.
const CHECK_EVERY_MS_MAX: i64 = 60 * 60 * 1000;
/// Characters of what a payer is shown that a payment is for.
const LABEL_CHARS_MAX: usize = 200;
/// Why money is sent back whose owner has left.
const CLOSED: &str = "the account was closed";
/// Why nothing more is heard of what was open at another provider.
const PROVIDER_CHANGED: &str = "the payment provider was changed";

/// Why a payment did not go on.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The provider.
    #[error(transparent)]
    Provider(#[from] Error),
    /// Another amount came in than was asked for.
    #[error("payment {payment}: {got_minor} {got_currency} came in: book it by hand")]
    Amount {
        /// Which payment.
        payment: PaymentId,
        /// How much came in.
        got_minor: i64,
        /// In which currency.
        got_currency: String,
    },
}

/// What a payment is made for.
#[derive(Debug, Clone)]
pub struct Purpose {
    /// Whose wallet it fills.
    pub account: AccountId,
    /// What is bought with it at once; none is a top-up.
    pub plan: Option<PlanId>,
    /// How much.
    pub amount: Money,
    /// Where the payer pays tax, as declared.
    pub country: Option<String>,
    /// Whether the payment method is saved with it, to be charged for renewals.
    pub saves_method: bool,
}

/// Asks the provider, and books what it says.
pub struct Cashier {
    provider: Box<dyn Provider>,
    clock: Arc<dyn Clock>,
    check_after_ms: i64,
    rates: Rates,
    letters: Writer,
}

impl std::fmt::Debug for Cashier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cashier").field("provider", &self.provider.name()).finish_non_exhaustive()
    }
}

impl Cashier {
    /// A cashier at this provider. A payment of which nothing was heard for `check_after_s` is asked about.
    pub fn new(provider: Box<dyn Provider>, clock: Arc<dyn Clock>, check_after_s: u32, rates: Rates) -> Self {
        let check_after_ms = i64::from(check_after_s) * 1000;
        Self { provider, clock, check_after_ms, rates, letters: Writer::silent() }
    }

    /// One that writes receipts.
    pub fn writing(self, letters: Writer) -> Self {
        Self { letters, ..self }
    }

    /// The tax rates.
    pub fn rates(&self) -> &Rates {
        &self.rates
    }

    /// Whom it asks.
    pub fn provider(&self) -> &dyn Provider {
        &*self.provider
    }

    /// Writes a payment, not asking for it yet.
    pub async fn begin(&self, tx: &mut Tx, purpose: Purpose) -> Result<Payment, store::Error> {
        let now_ms = self.clock.now_ms();
        let id = PaymentId::from_bytes(random::id(now_ms));
        let payment = Payment {
            plan_id: purpose.plan,
            country: purpose.country,
            saves_method: purpose.saves_method,
            check_at_ms: Some(now_ms.saturating_add(self.check_after_ms)),
            ..Payment::new(id, purpose.account, self.provider.name(), purpose.amount, now_ms)
        };
        payment::insert(tx, &payment).await?;
        Ok(payment)
    }

    /// Asks the provider how a payment stands, making the charge if it was not made and is still `wanted`. What is open at a
    /// provider that is not asked any more has failed. Not to be called with a transaction open: the provider may take its
    /// time.
    pub async fn ask(&self, payment: &Payment, label: &str, wanted: bool) -> Result<Standing, Error> {
        if payment.provider != self.provider.name() {
            return Ok(Standing::Failed { reference: None, reason: PROVIDER_CHANGED.to_owned() });
        }
        let age_ms = self.clock.now_ms().saturating_sub(payment.created_at_ms);
        let by = match &payment.method_reference {
            Some(with) => By::SavedMethod { with: with.clone() },
            None => By::Payer { saves_method: payment.saves_method },
        };
        let late = payment.state == State::Created && age_ms > ASKING_AGAIN_MS_MAX;
        if late && matches!(by, By::Payer { .. }) {
            return Ok(Standing::never_made());
        }
        let charge = Charge {
            payment: payment.id,
            account: payment.account_id,
            amount: payment.amount.clone(),
            label: label.chars().take(LABEL_CHARS_MAX).collect(),
            reference: payment.provider_reference.clone(),
            by,
            may_be_made: wanted && !late,
        };
        self.provider.charge(&charge).await
    }

    /// Books how a payment stands, and buys what it is for. Booked before, it changes nothing.
    pub async fn book(&self, tx: &mut Tx, payment: &Payment, standing: &Standing) -> Result<(), Failure> {
        let now_ms = self.clock.now_ms();
        match standing {
            Standing::Pending { reference, checkout_url } => {
                payment::wait(tx, payment.id, reference, checkout_url.as_deref(), now_ms).await?;
            }
            Standing::Failed { reference, reason } => {
                if let Some(renews) = payment.renews {
                    let why = (reference.as_deref(), reason.as_str());
                    self.desk().failed(tx, (payment, renews), why, now_ms).await?;
                    return Ok(());
                }
                payment::fail(tx, payment.id, reference.as_deref(), reason, now_ms).await?;
            }
            Standing::Succeeded { reference, charge, amount } => {
                if *amount != payment.amount {
                    return Err(Failure::Amount {
                        payment: payment.id,
                        got_minor: amount.minor,
                        got_currency: amount.currency.clone(),
                    });
                }
                if let Some(renews) = payment.renews {
                    self.desk().paid(tx, (payment, renews), (reference, charge), now_ms).await?;
                    return Ok(());
                }
                // Before the money is in its wallet: the account cannot be closed in between.
                let open = account::hold_open(tx, payment.account_id).await?;
                if !payment::succeed(tx, payment, reference, charge, now_ms).await? {
                    return Ok(());
                }
                if !open {
                    saved_method::forget_of(tx, payment.id, now_ms).await?;
                    back::send_back(tx, payment, CLOSED, now_ms).await?;
                } else if let Some(plan) = payment.plan_id {
                    self.buy(tx, payment, plan, now_ms).await?;
                }
            }
        }
        Ok(())
    }

    /// What payments for renewals are booked by.
    pub fn desk(&self) -> Desk<'_> {
        Desk { rates: &self.rates, letters: &self.letters, provider: self.provider.name() }
    }

    /// Asks the provider to forget a saved method. Not to be called with a transaction open.
    pub async fn forget(&self, method: &saved_method::Forgetting) -> Result<(), Error> {
        self.provider.forget(&method.charge).await
    }

    /// Buys a plan out of the wallet that the payment has filled. What cannot be bought any more leaves the money there.
    async fn buy(
        &self,
        tx: &mut Tx,
        payment: &Payment,
        plan: PlanId,
        now_ms: i64,
    ) -> Result<(), store::Error> {
        let Some(plan) = plan::by_id(tx, plan).await? else {
            return saved_method::forget_of(tx, payment.id, now_ms).await;
        };
        // An ended plan is bought all the same: it was on sale when its payer went to pay.
        let titles: Vec<TitleId> = plan.scopes.iter().filter_map(|scope| scope.title()).collect();
        if right::refused(tx, &titles, payment.account_id, now_ms).await?.is_some() {
            return saved_method::forget_of(tx, payment.id, now_ms).await;
        }
        let id = PurchaseId::from_bytes(random::id(now_ms));
        let fresh = || EntitlementId::from_bytes(random::id(now_ms));
        let tax = self.rates.line(&plan.price, payment.country.as_deref());
        let (country, saved_method) = (payment.country.clone(), payment.saves_method);
        let conditions = Conditions { tax, country, saved_method, ..Conditions::default() };
        let sale = purchase::draft(payment.account_id, &plan, id, fresh, conditions, now_ms);
        if let Some(sale) = sale
            && purchase::settle(tx, &plan, &sale).await? == Settled::Yes
        {
            payment::note_purchase(tx, payment.id, sale.summary.id).await?;
            return receipt(tx, &self.letters, &plan, &sale).await;
        }
        saved_method::forget_of(tx, payment.id, now_ms).await
    }

    /// Asks the provider to send a pending refund back, or how it stands. Of a provider that is not asked any more: what it
    /// has named is on its way, and the rest cannot be sent. Not to be called with a transaction open.
    pub async fn send_back(&self, pending: &Refund, payment: &Payment) -> Result<Returned, Error> {
        if payment.provider != self.provider.name() {
            let named = pending.provider_reference.clone();
            return Ok(named.map_or(Returned::Failed(None), Returned::Succeeded));
        }
        let Some(charge) = payment.charge_reference.clone() else { return Ok(Returned::Failed(None)) };
        let reversal = Reversal {
            refund: pending.id.clone(),
            charge,
            amount: pending.amount.clone(),
            reference: pending.provider_reference.clone(),
        };
        self.provider.refund(&reversal).await
    }

    /// Takes in what the provider tells. Told again, late or in another order, it changes nothing twice. Gives the views
    /// that ended, whose members are to be told, with the reason.
    pub async fn take_in(
        &self,
        store: &Store,
        event: &Event,
    ) -> Result<(Vec<ViewId>, &'static str), Failure> {
        let mut tx = store.read().await?;
        let known = event::is_known(&mut tx, self.provider.name(), &event.id).await?;
        drop(tx);
        if known {
            return Ok((Vec::new(), ""));
        }
        let concerns = match &event.notice {
            Notice::Nothing => None,
            Notice::Payment { payment, .. } => Some(*payment),
            Notice::Refund { charge, .. } | Notice::Dispute { charge, .. } => {
                self.payment_of(store, charge).await?
            }
        };
        let now_ms = self.clock.now_ms();
        let mut tx = store.write().await?;
        if !event::take_in(&mut tx, self.provider.name(), &event.id, &event.kind, now_ms).await? {
            return Ok((Vec::new(), ""));
        }
        // Read again under the event's own lock: what was booked meanwhile counts.
        let payment = match concerns {
            Some(payment) => payment::by_id(&mut tx, payment).await?,
            None => None,
        };
        let payment = payment.filter(|payment| payment.provider == self.provider.name());
        let ended = match payment {
            Some(payment) => self.apply(&mut tx, &event.notice, &payment, now_ms).await?,
            None => Vec::new(),
        };
        tx.commit().await?;
        let reason =
            if matches!(event.notice, Notice::Dispute { .. }) { taken::DISPUTED } else { "refunded" };
        Ok((ended, reason))
    }

    /// Whose money a provider names; books it first if the news of that has not come yet.
    async fn payment_of(&self, store: &Store, charge: &str) -> Result<Option<PaymentId>, Failure> {
        let found = payment::by_charge(&mut store.read().await?, self.provider.name(), charge).await?;
        if let Some(found) = found {
            return Ok(Some(found.id));
        }
        let Some(id) = self.provider.payment_of(charge).await? else { return Ok(None) };
        let Some(found) = payment::by_id(&mut store.read().await?, id).await? else { return Ok(None) };
        let open = matches!(found.state, State::Created | State::Pending | State::Failed);
        if open && found.provider == self.provider.name() {
            // A renewal's charge was made, for its money is named: what is to be known is how it stands.
            let standing = self.ask(&found, "", found.renews.is_none()).await?;
            let mut tx = store.write().await?;
            self.book(&mut tx, &found, &standing).await?;
            tx.commit().await?;
        }
        Ok(Some(id))
    }

    async fn apply(
        &self,
        tx: &mut Tx,
        notice: &Notice,
        payment: &Payment,
        now_ms: i64,
    ) -> Result<Vec<ViewId>, Failure> {
        match notice {
            Notice::Nothing => Ok(Vec::new()),
            Notice::Payment { standing, .. } => {
                self.book(tx, payment, standing).await?;
                Ok(Vec::new())
            }
            Notice::Refund { reference, refund, amount, returned, .. } => {
                let ours = match refund {
                    Some(refund) => refund::by_id(tx, refund).await?,
                    None => None,
                };
                let known = match ours {
                    // Made by hand, and perhaps heard of before.
                    None => refund::by_reference(tx, self.provider.name(), reference).await?,
                    ours => ours,
                };
                if let Some(known) = known {
                    back::settle(tx, &known, returned, now_ms).await?;
                    return Ok(Vec::new());
                }
                if !matches!(returned, Returned::Succeeded(_)) {
                    return Ok(Vec::new());
                }
                Ok(taken::refunded_by_hand(tx, payment, reference, amount, now_ms).await?)
            }
            Notice::Dispute { reference, amount, state, .. } => {
                let told = Told {
                    provider: self.provider.name(),
                    reference,
                    payment: payment.id,
                    amount,
                    state: *state,
                };
                Ok(taken::disputed(tx, payment, told, now_ms).await?)
            }
        }
    }

    /// When something that was just asked about so often is due again.
    pub fn due_again_ms(&self, checks: i64) -> i64 {
        let doublings = u32::try_from(checks).unwrap_or(u32::MAX).min(20);
        let wait_ms = self.check_after_ms.max(1000).saturating_mul(1 << doublings);
        self.clock.now_ms().saturating_add(wait_ms.min(CHECK_EVERY_MS_MAX))
    }
}

/// Writes the buyer a receipt, where letters are written; none for what cost nothing.
pub async fn receipt(tx: &mut Tx, letters: &Writer, plan: &Plan, sale: &Sale) -> Result<(), store::Error> {
    let paid = &sale.summary.amount;
    if letters.is_silent() || paid.minor == 0 {
        return Ok(());
    }
    let at_ms = sale.entitlement().created_at_ms;
    let (id, item) = (sale.summary.id.to_string(), label(tx, Some(plan)).await?);
    let tax = sale.tax.as_ref().map(|line| (line.country.as_str(), line.rate_basis_points, line.tax_minor));
    let letter = letters.receipt(&Receipt { id: &id, item: &item, paid, tax, at_ms });
    outbox::mail(tx, sale.entitlement().account_id, letter.as_ref(), at_ms).await
}

/// What a payer is shown that a payment is for.
pub async fn label(tx: &mut Tx, plan: Option<&Plan>) -> Result<String, store::Error> {
    let Some(plan) = plan else { return Ok("Wallet".to_owned()) };
    if let Some(name) = &plan.name {
        return Ok(name.clone());
    }
    let title = match plan.scope().and_then(Scope::title) {
        Some(title) => store::title::by_id(tx, title).await?,
        None => None,
    };
    Ok(title.map_or_else(|| "Matinee".to_owned(), |title| title.name))
}
