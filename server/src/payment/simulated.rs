//! A provider that takes every charge and no money, and says so.

use super::{Charge, Charging, Provider, Receipt};

/// The provider without money.
#[derive(Debug, Clone, Copy, Default)]
pub struct Simulated;

impl Provider for Simulated {
    fn name(&self) -> &'static str {
        "simulated"
    }

    fn charge<'a>(&'a self, charge: &'a Charge) -> Charging<'a> {
        let reference = format!("simulated-{}", charge.payment);
        Box::pin(async move { Ok(Receipt { reference, note: "simulated: no money was taken" }) })
    }
}
