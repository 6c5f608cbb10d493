//! Leases: every key of a release for a time, on one device, for playing offline. Taking one is a use like opening a view,
//! and is decided by the same function; what a lease asks beside that is here.

use matinee_protocol::id::{AccountId, EntitlementId, LeaseId, ReleaseId, Thumbprint, TitleId, ViewId};

use super::decide::{self, Allowed, Facts, Refusal, decide};

/// A lease that is out, or was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Its id.
    pub id: LeaseId,
    /// What it is on.
    pub entitlement_id: EntitlementId,
    /// Whose it is.
    pub account_id: AccountId,
    /// What it plays.
    pub title_id: TitleId,
    /// Which release of it.
    pub release_id: ReleaseId,
    /// The view that counts it, and that its keys are on record under.
    pub view_id: ViewId,
    /// On which device.
    pub device: Thumbprint,
    /// Whether it was given back.
    pub returned: bool,
    /// When it was taken.
    pub issued_at_ms: i64,
    /// When it ends.
    pub expires_at_ms: i64,
}

impl Lease {
    /// Whether its keys may still be played with.
    pub fn is_out(&self, now_ms: i64) -> bool {
        !self.returned && now_ms < self.expires_at_ms
    }

    /// Where it stands.
    pub fn state(&self, now_ms: i64) -> &'static str {
        match (self.returned, now_ms < self.expires_at_ms) {
            (true, _) => "returned",
            (false, true) => "active",
            (false, false) => "expired",
        }
    }
}

/// Leases that are out besides the one that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Others {
    /// On the same entitlement.
    pub of_entitlement: u32,
    /// Of the same account.
    pub of_account: u32,
}

/// A lease that may be taken: what opening a view would mean, and when the lease ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leased {
    /// What it counts.
    pub allowed: Allowed,
    /// When it ends.
    pub expires_at_ms: i64,
}

/// Whether a lease may be taken. Devices that play do not matter to it: it plays when nobody sees it.
pub fn may_take(facts: &Facts<'_>, others: Others) -> Result<Leased, Refusal> {
    let offline_ms = offline_ms(facts)?;
    let devices = decide::Devices { others_playing: 0, ..facts.devices };
    let allowed = decide(&Facts { devices, ..*facts })?;
    let reached = |max: Option<u32>, out: u32| max.is_some_and(|max| out >= max);
    if reached(facts.policy.leases_per_entitlement_max, others.of_entitlement)
        || reached(facts.policy.leases_per_account_max, others.of_account)
    {
        return Err(Refusal::TooManyLeases);
    }
    let expires_at_ms = facts.now_ms.saturating_add(offline_ms).min(allowed.play_until_ms);
    Ok(Leased { allowed, expires_at_ms })
}

/// Until when a lease may be kept from now on. It counts no view again, and the title once in each period of a quota; the
/// right must still stand, here and now.
pub fn may_renew(facts: &Facts<'_>, lease: &Lease) -> Result<i64, Refusal> {
    if !lease.is_out(facts.now_ms) {
        return Err(Refusal::LeaseOver);
    }
    let offline_ms = offline_ms(facts)?;
    match decide::windows(facts.entitlement, facts.now_ms) {
        // The views were counted when the lease was taken.
        Ok(()) | Err(Refusal::NoViewsLeft) => {}
        Err(refusal) => return Err(refusal),
    }
    decide::may_have(facts)?;
    decide::counts_title(facts.entitlement.quota, facts.title.counted)?;
    decide::room(&Facts { devices: decide::Devices { others_playing: 0, ..facts.devices }, ..*facts })?;
    let until_ms = decide::until_ms(facts.entitlement, facts.title, facts.now_ms);
    Ok(facts.now_ms.saturating_add(offline_ms).min(until_ms))
}

fn offline_ms(facts: &Facts<'_>) -> Result<i64, Refusal> {
    let offline_ms = facts.entitlement.offline_ms.ok_or(Refusal::OfflineNotAllowed)?;
    Ok(i64::try_from(offline_ms).unwrap_or(i64::MAX))
}
