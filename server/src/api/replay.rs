//! Proofs seen lately, for requests that do not touch the database. Views and licenses keep theirs in the database, in
//! the request's own transaction.

use std::time::Duration;

use matinee_protocol::id::Thumbprint;
use matinee_protocol::limit::PROOF_AGE_S_MAX;

/// Proofs remembered; beyond it the oldest are forgotten first.
const SEEN_PROOFS_MAX: u64 = 500_000;

/// A bounded memory of proof ids.
#[derive(Debug, Clone)]
pub struct SeenProofs(moka::sync::Cache<(Thumbprint, String), ()>);

impl Default for SeenProofs {
    fn default() -> Self {
        // A proof is accepted that long either side of the clock, so that long twice.
        let lifetime = Duration::from_secs(2 * PROOF_AGE_S_MAX + 1);
        Self(moka::sync::Cache::builder().max_capacity(SEEN_PROOFS_MAX).time_to_live(lifetime).build())
    }
}

impl SeenProofs {
    /// Whether this proof is seen for the first time.
    pub fn first_time(&self, device: Thumbprint, jti: &str) -> bool {
        self.0.entry((device, jti.to_owned())).or_insert(()).is_fresh()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_once() {
        let seen = SeenProofs::default();
        let (a, b) = (Thumbprint::from_bytes([1; 32]), Thumbprint::from_bytes([2; 32]));
        assert!(seen.first_time(a, "one"));
        assert!(!seen.first_time(a, "one"));
        assert!(seen.first_time(b, "one"), "ids are a device's own");
        assert!(seen.first_time(a, "two"));
    }
}
