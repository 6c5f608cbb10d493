//! What goes on beside the exchange: fresh tokens and keys, receipts, more peers, the end.

use std::sync::Arc;
use std::time::Duration;

use matinee_engine::Input;
use matinee_protocol::id::Thumbprint;
use matinee_protocol::receipt::Receipt;
use matinee_protocol::signaling::ToServer;

use super::driver::{Driver, Report};
use crate::net::api;

/// Channels below which more peers are asked for.
const CHANNELS_FEW: usize = 6;
/// Time for the last receipts.
const LAST_RECEIPTS_WAIT: Duration = Duration::from_secs(2);

impl Driver {
    pub(super) fn token_changed(&mut self) {
        let channels: Vec<_> = self.links.iter().map(|(peer, link)| (*peer, link.binding)).collect();
        for (peer, binding) in channels {
            let hello = self.hello(&binding);
            self.handle(Input::HelloRenewed { peer, hello });
        }
        let (api, reports) = (self.membership.api().clone(), self.reports.clone());
        tokio::spawn(async move {
            if let Ok(keys) = api.keys().await {
                let _ = reports.send(Report::Keys(keys)).await;
            }
        });
    }

    pub(super) fn renew_token(&self) {
        let membership = Arc::clone(&self.membership);
        tokio::spawn(async move {
            if let Err(error) = membership.renew().await {
                tracing::debug!(%error, "the view token could not be renewed");
            }
        });
    }

    pub(super) fn keep_house(&mut self) {
        if self.joined && self.connections() < CHANNELS_FEW.min(self.peers_max) {
            self.say(ToServer::More {});
        }
        if !self.receipts.is_empty() {
            let receipts = self.receipts.take();
            let (handing_in, reports) = (self.hand_in(receipts.clone()), self.reports.clone());
            tokio::spawn(async move {
                let report = match handing_in.await {
                    Ok(bytes) => Report::Credited { bytes },
                    Err(error) if error.is_transient() => Report::NotCredited(receipts),
                    Err(error) => {
                        tracing::warn!(%error, "the server refused receipts");
                        return;
                    }
                };
                let _ = reports.send(report).await;
            });
        }
    }

    pub(super) fn hand_in(
        &self,
        receipts: Vec<(Thumbprint, Receipt)>,
    ) -> impl Future<Output = Result<u64, api::Error>> + use<> {
        let named = receipts.into_iter().filter_map(|(downloader, receipt)| {
            let key = self.device_keys.get(&downloader)?;
            Some(super::receipts::encode(key, &receipt))
        });
        let encoded: Vec<String> = named.collect();
        let membership = Arc::clone(&self.membership);
        async move {
            if encoded.is_empty() {
                return Ok(0);
            }
            membership.api().receipts(&membership.token(), &encoded).await
        }
    }

    /// After the goodbyes: what is pending goes to disk, the last receipts to the server.
    pub(super) async fn finish(&mut self) {
        self.carry_out();
        self.links.clear();
        for (_, fetch) in self.fetches.drain() {
            fetch.abort();
        }
        while self.shelf.write_pending().await > 0 {}
        while !self.receipts.is_empty() {
            let last = self.receipts.take();
            match tokio::time::timeout(LAST_RECEIPTS_WAIT, self.hand_in(last)).await {
                Ok(Ok(bytes)) => self.credited_bytes += bytes,
                Ok(Err(_)) | Err(_) => break,
            }
        }
        self.joined = false;
        self.take_snapshot();
    }
}
