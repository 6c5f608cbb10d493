//! Payment providers: where the money in wallets comes from.

pub mod simulated;

use std::future::Future;
use std::pin::Pin;

use matinee_protocol::api::Money;
use matinee_protocol::id::{AccountId, PaymentId};

/// Why a provider took nothing in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The provider said no; the text may be shown.
    #[error("the payment was declined: {0}")]
    Declined(String),
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
}

/// A charge that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The provider's own name for it; it is credited once.
    pub reference: String,
    /// What the viewer is told about it.
    pub note: &'static str,
}

/// The future that [`Provider::charge`] gives.
pub type Charging<'a> = Pin<Box<dyn Future<Output = Result<Receipt, Error>> + Send + 'a>>;

/// Takes money in.
pub trait Provider: Send + Sync + 'static {
    /// Its name, in payments and in the ledger.
    fn name(&self) -> &'static str;

    /// Charges an amount, once for each payment id.
    fn charge<'a>(&'a self, charge: &'a Charge) -> Charging<'a>;
}
