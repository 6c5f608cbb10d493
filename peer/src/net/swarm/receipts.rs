//! Receipts of those who downloaded from this device, on their way to the server.

use std::collections::HashMap;

use matinee_protocol::device::DevicePublicKey;
use matinee_protocol::encoding::b64u;
use matinee_protocol::frame::Frame;
use matinee_protocol::id::Thumbprint;
use matinee_protocol::receipt::Receipt;

/// Receipts handed in by one request.
pub(super) const RECEIPTS_MAX: usize = 64;
/// Downloaders whose last receipt is kept at most; beyond that new ones wait for the next hand-in.
const DOWNLOADERS_MAX: usize = 4096;

/// The last receipt of each downloader. Only what grows counts, so an older one is never of use.
#[derive(Debug, Default)]
pub(super) struct ReceiptBook {
    last: HashMap<Thumbprint, Receipt>,
}

impl ReceiptBook {
    /// Keeps a receipt if it says more than the one before.
    pub(super) fn add(&mut self, downloader: Thumbprint, receipt: Receipt) {
        if self.last.len() >= DOWNLOADERS_MAX && !self.last.contains_key(&downloader) {
            return;
        }
        let kept = self.last.entry(downloader).or_insert(receipt);
        if receipt.total_bytes > kept.total_bytes {
            *kept = receipt;
        }
    }

    /// Takes receipts for one request.
    pub(super) fn take(&mut self) -> Vec<(Thumbprint, Receipt)> {
        let some: Vec<Thumbprint> = self.last.keys().copied().take(RECEIPTS_MAX).collect();
        some.into_iter().filter_map(|downloader| self.last.remove_entry(&downloader)).collect()
    }

    /// Puts back what could not be handed in.
    pub(super) fn put_back(&mut self, receipts: Vec<(Thumbprint, Receipt)>) {
        for (downloader, receipt) in receipts {
            self.add(downloader, receipt);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.last.is_empty()
    }
}

/// A receipt as the server takes it: receipt frame ‖ downloader's signing key, base64url. Swarm and uploader are those
/// of the token and proof that it is handed in with.
pub(super) fn encode(downloader: &DevicePublicKey, receipt: &Receipt) -> String {
    let frame = Frame::Receipt(*receipt).encode();
    b64u(&[frame.as_ref(), &downloader.0].concat())
}
