//! Drives payments through their states: asks the provider outside any transaction, and books what it said inside one.

use std::sync::Arc;

use matinee_protocol::api::Money;
use matinee_protocol::id::{AccountId, EntitlementId, PaymentId, PlanId, PurchaseId};

use super::{Charge, Error, Provider, Standing};
use crate::clock::Clock;
use crate::license::plan::Scope;
use crate::random;
use crate::store::payment::{self, Payment, State};
use crate::store::plan::{self, Plan};
use crate::store::purchase::{self, Conditions, Settled};
use crate::store::{self, Tx};

/// How long a provider remembers the id under which it was asked. After it, a payment of which it said nothing is
/// given up: asking again could charge again.
pub const ASKING_AGAIN_MS_MAX: i64 = 23 * 60 * 60 * 1000;
/// The longest time between two looks at an open payment.
const CHECK_EVERY_MS_MAX: i64 = 60 * 60 * 1000;
/// Characters of what a payer is shown that a payment is for.
const LABEL_CHARS_MAX: usize = 200;

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
}

/// Asks the provider, and books what it says.
pub struct Cashier {
    provider: Box<dyn Provider>,
    clock: Arc<dyn Clock>,
    check_after_ms: i64,
}

impl std::fmt::Debug for Cashier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cashier").field("provider", &self.provider.name()).finish_non_exhaustive()
    }
}

impl Cashier {
    /// A cashier at this provider. A payment of which nothing was heard for `check_after_s` is asked about.
    pub fn new(provider: Box<dyn Provider>, clock: Arc<dyn Clock>, check_after_s: u32) -> Self {
        Self { provider, clock, check_after_ms: i64::from(check_after_s) * 1000 }
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
            check_at_ms: Some(now_ms.saturating_add(self.check_after_ms)),
            ..Payment::new(id, purpose.account, self.provider.name(), purpose.amount, now_ms)
        };
        payment::insert(tx, &payment).await?;
        Ok(payment)
    }

    /// Asks the provider how a payment stands, making the charge if it was not made. Not to be called with a
    /// transaction open: the provider may take its time.
    pub async fn ask(&self, payment: &Payment, label: &str) -> Result<Standing, Error> {
        let age_ms = self.clock.now_ms().saturating_sub(payment.created_at_ms);
        if payment.provider != self.provider.name() {
            let name = &payment.provider;
            return Err(Error::Refused(format!("payments of the provider {name} are not taken any more")));
        }
        if payment.state == State::Created && age_ms > ASKING_AGAIN_MS_MAX {
            let reason = "the payment provider was never reached".to_owned();
            return Ok(Standing::Failed { reference: None, reason });
        }
        let charge = Charge {
            payment: payment.id,
            account: payment.account_id,
            amount: payment.amount.clone(),
            label: label.chars().take(LABEL_CHARS_MAX).collect(),
            reference: payment.provider_reference.clone(),
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
                if payment::succeed(tx, payment, reference, charge, now_ms).await?
                    && let Some(plan) = payment.plan_id
                {
                    self.buy(tx, payment, plan, now_ms).await?;
                }
            }
        }
        Ok(())
    }

    /// Buys a plan out of the wallet that the payment has filled. What cannot be bought any more leaves the money there.
    async fn buy(
        &self,
        tx: &mut Tx,
        payment: &Payment,
        plan: PlanId,
        now_ms: i64,
    ) -> Result<(), store::Error> {
        let Some(plan) = plan::by_id(tx, plan).await? else { return Ok(()) };
        let id = PurchaseId::from_bytes(random::id(now_ms));
        let fresh = || EntitlementId::from_bytes(random::id(now_ms));
        let sale = purchase::draft(payment.account_id, &plan, id, fresh, Conditions::default(), now_ms);
        let Some(sale) = sale else { return Ok(()) };
        if purchase::settle(tx, &plan, &sale).await? == Settled::Yes {
            payment::note_purchase(tx, payment.id, sale.summary.id).await?;
        }
        Ok(())
    }

    /// When an open payment that was just asked about is due again.
    pub fn due_again_ms(&self, payment: &Payment) -> i64 {
        let doublings = u32::try_from(payment.checks).unwrap_or(u32::MAX).min(20);
        let wait_ms = self.check_after_ms.max(1000).saturating_mul(1 << doublings);
        self.clock.now_ms().saturating_add(wait_ms.min(CHECK_EVERY_MS_MAX))
    }
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
