//! A provider that takes every charge and no money, and says so.

use super::{Asking, Charge, Provider, Returned, Reversal, Standing};

/// The provider without money.
#[derive(Debug, Clone, Copy, Default)]
pub struct Simulated;

impl Provider for Simulated {
    fn name(&self) -> &'static str {
        "simulated"
    }

    fn note(&self) -> Option<&'static str> {
        Some("simulated: no money was taken")
    }

    fn charge<'a>(&'a self, charge: &'a Charge) -> Asking<'a, Standing> {
        let reference = format!("simulated-{}", charge.payment);
        let amount = charge.amount.clone();
        let standing = if charge.may_be_made {
            Standing::Succeeded { charge: reference.clone(), reference, amount }
        } else {
            Standing::never_made()
        };
        Box::pin(async move { Ok(standing) })
    }

    fn refund<'a>(&'a self, reversal: &'a Reversal) -> Asking<'a, Returned> {
        Box::pin(async move { Ok(Returned::Succeeded(format!("simulated-{}", reversal.refund))) })
    }
}
