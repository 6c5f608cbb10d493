//! Payment providers: where the money in wallets comes from, and where some of it goes back to.
//!
//! A payment is a row before its provider is asked, and the provider is asked outside any transaction, under the
//! payment's id: asking again never charges again, so asking again is also how one learns what became of it.
//! [`cashier`] drives payments through their states; [`back`] moves money back, [`taken`] books what others move back.

pub mod back;
pub mod cashier;
pub mod renewing;
pub mod simulated;
pub mod stripe;
pub mod taken;
pub mod tax;
pub mod unused;

use std::future::Future;
use std::pin::Pin;

use matinee_protocol::api::Money;
use matinee_protocol::id::{AccountId, PaymentId};

use crate::store::dispute;

/// Why a provider gave no answer to go by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The provider does not take what it was asked; asking again gives the same.
    #[error("the payment provider refused the request: {0}")]
    Refused(String),
    /// Nobody knows what happened: ask again.
    #[error("the payment provider did not answer: {0}")]
    Unreachable(String),
    /// The same question is being answered to somebody else.
    #[error("the payment is under way; ask again in a moment")]
    InFlight,
}

/// A charge to make.
#[derive(Debug, Clone)]
pub struct Charge {
    /// The payment it is for: a provider that is asked twice charges once.
    pub payment: PaymentId,
    /// Whose wallet it fills.
    pub account: AccountId,
    /// How much.
    pub amount: Money,
    /// What the payer is shown that it is for.
    pub label: String,
    /// The provider's own name for it, once it is known.
    pub reference: Option<String>,
    /// Who pays it.
    pub by: By,
    /// Whether it may still be made. Otherwise only what became of it is told.
    pub may_be_made: bool,
}

/// Who pays a charge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// The payer, who is there.
    Payer {
        /// Whether the provider keeps the payment method for charges to come; the payer is told so.
        saves_method: bool,
    },
    /// A method that was saved, and nobody is there.
    SavedMethod {
        /// The provider's name of the money with which it was saved, as [`Standing::Succeeded`] gave it.
        with: String,
    },
}

/// How a charge stands with its provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The payer has still to act, or the provider has still to hear from a bank.
    Pending {
        /// The provider's own name for it.
        reference: String,
        /// Where the payer goes on.
        checkout_url: Option<String>,
    },
    /// The money is in.
    Succeeded {
        /// The provider's own name for it; it is booked once.
        reference: String,
        /// The provider's name of the money itself, which refunds and disputes go by.
        charge: String,
        /// How much came in.
        amount: Money,
    },
    /// No money will come.
    Failed {
        /// The provider's own name for it.
        reference: Option<String>,
        /// Why; the payer may be shown it.
        reason: String,
    },
}

impl Standing {
    /// Of a charge that was never made.
    pub fn never_made() -> Self {
        Self::Failed { reference: None, reason: "the payment provider was never reached".to_owned() }
    }
}

/// Money to send back.
#[derive(Debug, Clone)]
pub struct Reversal {
    /// The refund it is for: a provider that is asked twice refunds once.
    pub refund: String,
    /// The provider's name of the money, as [`Standing::Succeeded`] gave it.
    pub charge: String,
    /// How much of it.
    pub amount: Money,
    /// The provider's own name for the refund, once it is known.
    pub reference: Option<String>,
}

/// How a refund stands with its provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Returned {
    /// On its way.
    Pending(String),
    /// Done.
    Succeeded(String),
    /// It cannot be sent back this way.
    Failed(Option<String>),
}

/// What a provider tells of its own accord.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The provider's name for it; one is taken in once.
    pub id: String,
    /// The provider's word for what happened.
    pub kind: String,
    /// What it means here.
    pub notice: Notice,
}

/// What an event means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A payment stands so.
    Payment {
        /// Which.
        payment: PaymentId,
        /// How.
        standing: Standing,
    },
    /// Money was sent back, asked for by us or by hand at the provider.
    Refund {
        /// The provider's own name for the refund.
        reference: String,
        /// Our refund, if it was asked for by us.
        refund: Option<String>,
        /// The provider's name of the money.
        charge: String,
        /// How much of it.
        amount: Money,
        /// How it stands.
        returned: Returned,
    },
    /// The payer's bank takes money back, or gives it again.
    Dispute {
        /// The provider's own name for the dispute.
        reference: String,
        /// The provider's name of the money.
        charge: String,
        /// How much of it.
        amount: Money,
        /// How it stands.
        state: dispute::State,
    },
    /// Nothing that concerns this server.
    Nothing,
}

/// The future that a [`Provider`] gives.
pub type Asking<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// Takes money in, and sends it back.
pub trait Provider: Send + Sync + 'static {
    /// Its name, in payments and in the ledger.
    fn name(&self) -> &'static str;

    /// What the payer is told beside an answer.
    fn note(&self) -> Option<&'static str> {
        None
    }

    /// Makes a charge, or tells how the one made under the same payment id stands. Asked twice, it charges once.
    fn charge<'a>(&'a self, charge: &'a Charge) -> Asking<'a, Standing>;

    /// Sends money back, or tells how the refund made under the same id stands. Asked twice, it refunds once.
    fn refund<'a>(&'a self, reversal: &'a Reversal) -> Asking<'a, Returned>;

    /// Forgets the payment method that was saved with this money. Asked twice, it is forgotten.
    fn forget<'a>(&'a self, charge: &'a str) -> Asking<'a, ()> {
        let _ = charge;
        Box::pin(async { Ok(()) })
    }

    /// Whose money it is that an event names before the payment was booked; none if it is not ours.
    fn payment_of<'a>(&'a self, charge: &'a str) -> Asking<'a, Option<PaymentId>> {
        let _ = charge;
        Box::pin(async { Ok(None) })
    }
}
