//! Receipts: what we had from each device, signed; and what others signed for us.

use std::collections::BTreeMap;

use matinee_protocol::frame::Frame;
use matinee_protocol::id::{PeerId, Thumbprint};
use matinee_protocol::limit::RECEIPT_BYTES;
use matinee_protocol::receipt::{Parties, Receipt};

use crate::output::{Fault, Output};
use crate::swarm::Swarm;

/// Devices for which totals are kept; others go without receipts.
const UPLOADERS_MAX: usize = 16_384;

/// Running totals in this swarm.
#[derive(Debug, Default)]
pub(crate) struct Receipts {
    had: BTreeMap<Thumbprint, Total>,
    /// The largest total each device signed for us.
    given: BTreeMap<Thumbprint, u64>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Total {
    bytes: u64,
    signed_bytes: u64,
}

impl Swarm {
    /// Verified bytes came from this device. Every 8 MiB that calls for a receipt.
    pub(crate) fn note_download(&mut self, peer: PeerId, uploader: Thumbprint, bytes: u64) {
        if !self.receipts.had.contains_key(&uploader) && self.receipts.had.len() >= UPLOADERS_MAX {
            return;
        }
        let total = self.receipts.had.entry(uploader).or_default();
        total.bytes += bytes;
        if total.bytes - total.signed_bytes >= RECEIPT_BYTES {
            self.ask_for_receipt(peer);
        }
    }

    /// Asks the driver to sign what is owed to this peer; false if nothing is.
    pub(crate) fn ask_for_receipt(&mut self, peer: PeerId) -> bool {
        let Some(uploader) = self.thumbprint_of(peer) else {
            return false;
        };
        let Some(total) = self.receipts.had.get_mut(&uploader) else {
            return false;
        };
        if total.bytes == total.signed_bytes {
            return false;
        }
        total.signed_bytes = total.bytes;
        let (total_bytes, at_ms) = (total.bytes, self.now_ms);
        let parties = Parties { swarm: self.identity.swarm, uploader, downloader: self.identity.thumbprint };
        let signed_bytes = parties.signed_bytes(total_bytes, at_ms);
        self.outputs.push_back(Output::SignReceipt { peer, uploader, total_bytes, at_ms, signed_bytes });
        true
    }

    pub(crate) fn on_receipt_signed(&mut self, peer: PeerId, receipt: Receipt) {
        let Some(state) = self.peers.get(&peer) else {
            return;
        };
        let last = self.leaving && state.parting_until_ms.is_some();
        let owed = state.member.as_ref().and_then(|member| self.receipts.had.get(&member.thumbprint));
        let whole = owed.is_none_or(|total| receipt.total_bytes >= total.bytes);
        self.send(peer, &Frame::Receipt(receipt));
        if last && whole {
            self.part(peer);
        }
    }

    pub(crate) fn on_receipt(&mut self, peer: PeerId, receipt: Receipt) {
        let Some(member) = self.peers.get(&peer).and_then(|state| state.member.as_ref()) else {
            return;
        };
        let (thumbprint, public) = (member.thumbprint, member.public);
        let parties = Parties {
            swarm: self.identity.swarm,
            uploader: self.identity.thumbprint,
            downloader: thumbprint,
        };
        if receipt.verify(&parties, &public).is_err() {
            self.expel(peer, Fault::Protocol);
            return;
        }
        if !self.receipts.given.contains_key(&thumbprint) && self.receipts.given.len() >= UPLOADERS_MAX {
            return;
        }
        let best = self.receipts.given.entry(thumbprint).or_default();
        if receipt.total_bytes > *best {
            *best = receipt.total_bytes;
            self.outputs.push_back(Output::ReceiptReceived { peer, thumbprint, receipt });
        }
    }

    pub(crate) fn thumbprint_of(&self, peer: PeerId) -> Option<Thumbprint> {
        Some(self.peers.get(&peer)?.member.as_ref()?.thumbprint)
    }
}
