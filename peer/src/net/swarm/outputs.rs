//! What the engine wants done.

use std::sync::Arc;

use matinee_engine::{Fault, Input, OriginError, Output};
use matinee_protocol::id::{ChunkAddress, ChunkIndex, FileIndex, PageIndex, PeerId};
use matinee_protocol::signaling::ToServer;

use super::driver::{Arrival, Driver, Report};
use crate::net::api::Error;

impl Driver {
    pub(super) fn perform(&mut self, output: Output) {
        match output {
            Output::Send { peer, frame } => {
                // A peer that takes nothing ends up here with a full queue and is cut.
                if self.links.get(&peer).is_some_and(|link| !link.send(frame)) {
                    self.links.remove(&peer);
                    self.handle(Input::PeerClosed { peer });
                }
            }
            Output::Store { at, bytes } => {
                self.shelf.put(at, bytes);
                self.note_first_peer_chunk();
                self.to_write.notify_one();
            }
            Output::StorePage { file, page, bytes } => {
                if let Err(error) = self.shelf.store().put_page(file, page, bytes) {
                    tracing::warn!(%error, "a hash page could not be kept");
                }
            }
            Output::Read { peer, at } => self.read(peer, at),
            Output::FetchOrigin { request, file, first, count } => self.fetch(request, file, (first, count)),
            Output::CancelOrigin { request } => {
                if let Some(fetch) = self.fetches.remove(&request) {
                    fetch.abort();
                }
            }
            Output::FetchPage { file, page } => self.fetch_page(file, page),
            Output::SignReceipt { peer, total_bytes, at_ms, signed_bytes, .. } => {
                let signature = self.membership.api().prover().device().signing().sign(&signed_bytes);
                self.handle(Input::ReceiptSigned { peer, total_bytes, at_ms, signature });
            }
            Output::ReceiptReceived { thumbprint, receipt, .. } => self.receipts.add(thumbprint, receipt),
            Output::Remembered { thumbprint, fault } => {
                tracing::warn!(%thumbprint, %fault, "a device is refused from now on");
                if fault == Fault::BadData {
                    (self.remember)(thumbprint);
                }
            }
            Output::Report { peer, fault } => {
                if let Some(signaling) = &self.signaling {
                    signaling.send(ToServer::Report { peer, reason: fault.to_string() });
                }
            }
            Output::PeerReady { peer, claims } => {
                tracing::debug!(%peer, role = ?claims.rol, "a peer is ready");
            }
            Output::Close { peer, reason } => self.closed(peer, reason),
        }
    }

    /// From memory at once, else from disk beside the engine.
    fn read(&mut self, peer: PeerId, at: ChunkAddress) {
        if let Some(bytes) = self.shelf.in_memory(at) {
            self.handle(Input::ReadDone { peer, at, bytes: Some(bytes) });
            return;
        }
        let (shelf, reports) = (Arc::clone(&self.shelf), self.reports.clone());
        tokio::task::spawn_blocking(move || {
            let bytes = shelf.read_from_disk(at);
            let _ = reports.blocking_send(Report::Read { peer, at, bytes });
        });
    }

    fn fetch(&mut self, request: u64, file: FileIndex, run: (ChunkIndex, u32)) {
        let (origin, manifest) = (self.origin.clone(), Arc::clone(&self.manifest));
        let arrivals = self.arrivals.clone();
        let fetching = tokio::spawn(async move {
            let deliver = |at, bytes| {
                let arrivals = arrivals.clone();
                async move {
                    let _ = arrivals.send(Arrival::OriginChunk { request, at, bytes }).await;
                }
            };
            let error =
                origin.run(&manifest, file, run, deliver).await.err().map(|error| origin_error(&error));
            let _ = arrivals.send(Arrival::OriginEnded { request, error }).await;
        });
        self.fetches.insert(request, fetching.abort_handle());
    }

    fn fetch_page(&mut self, file: FileIndex, page: PageIndex) {
        if let Some(kept) = self.shelf.store().page(file, page) {
            self.handle(Input::PageArrived { file, page, bytes: kept.bytes().clone() });
            return;
        }
        let (origin, reports) = (self.origin.clone(), self.reports.clone());
        let membership = Arc::clone(&self.membership);
        tokio::spawn(async move {
            let mut fetched = origin.page(file, page).await;
            if fetched.as_ref().is_err_and(Error::is_authorization) && membership.renew().await.is_ok() {
                fetched = origin.page(file, page).await;
            }
            if let Err(error) = &fetched {
                tracing::debug!(%error, "the origin gave no hash page");
            }
            let _ = reports.send(Report::Page { file, page, bytes: fetched.ok() }).await;
        });
    }
}

fn origin_error(error: &Error) -> OriginError {
    match error {
        Error::Refused { status: 401 | 403, .. } => OriginError::NotAuthorized,
        Error::Refused { status: 404 | 410 | 416, .. } => OriginError::NotFound,
        error => OriginError::Unreachable(error.to_string()),
    }
}
