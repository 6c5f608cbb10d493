//! Who is refused, and why.

use std::collections::{BTreeMap, BTreeSet};

use matinee_protocol::frame::Reason;
use matinee_protocol::id::{PeerId, Thumbprint};

use crate::output::Fault;

/// Devices and memberships remembered; beyond it nobody is added (a swarm token each is needed to get on the list).
const REFUSED_MAX: usize = 65_536;

/// Devices that misbehaved in this run or earlier ones.
#[derive(Debug, Default)]
pub(crate) struct Reputation {
    devices: BTreeMap<Thumbprint, Fault>,
    /// Memberships whose handshake failed. Their claimed device is not held responsible: it may have been robbed of its token.
    memberships: BTreeSet<PeerId>,
}

impl Reputation {
    pub(crate) fn refuse_device(&mut self, thumbprint: Thumbprint, fault: Fault) {
        if self.devices.len() < REFUSED_MAX {
            self.devices.entry(thumbprint).or_insert(fault);
        }
    }

    pub(crate) fn refuse_membership(&mut self, peer: PeerId) {
        if self.memberships.len() < REFUSED_MAX {
            self.memberships.insert(peer);
        }
    }

    pub(crate) fn device(&self, thumbprint: Thumbprint) -> Option<Fault> {
        self.devices.get(&thumbprint).copied()
    }

    pub(crate) fn is_membership_refused(&self, peer: PeerId) -> bool {
        self.memberships.contains(&peer)
    }

    pub(crate) fn count(&self) -> u64 {
        self.devices.len() as u64
    }
}

impl Fault {
    /// What the goodbye says.
    pub(crate) fn reason(self) -> Reason {
        match self {
            Self::BadData => Reason::BadData,
            Self::Protocol => Reason::ProtocolError,
            Self::TooSlow | Self::EmptyPromises => Reason::TooSlow,
            Self::NotAuthorized => Reason::NotAuthorized,
        }
    }
}
