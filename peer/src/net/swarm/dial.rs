//! Making a connection: descriptions by signaling, then the channel.

use std::time::Duration;

use matinee_protocol::id::PeerId;
use matinee_protocol::signaling::{Relay, ToServer};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::driver::Report;
use crate::net::Error;
use crate::net::webrtc::{Connection, Endpoint, RemoteCandidate};

/// Wait for the answer to an offer.
const ANSWER_WAIT: Duration = Duration::from_secs(12);
/// Wait for the channel after both descriptions are known.
const OPEN_WAIT: Duration = Duration::from_secs(12);
/// Time between the opening of the channel and the first frame. The other side's transport drops frames that come before
/// it has opened the channel itself, which is a round trip later on one of the two sides.
const SETTLE_WAIT: Duration = Duration::from_millis(30);
/// Messages of one peer that wait to be taken in.
const RELAYED_MAX: usize = 64;

/// A connection being made. Dropping it gives up.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) number: u64,
    /// Whether this side made the offer.
    pub(super) offered: bool,
    relayed: mpsc::Sender<Relay>,
    task: AbortHandle,
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What an attempt needs.
#[derive(Debug, Clone)]
pub(super) struct Dialer {
    pub(super) endpoint: Endpoint,
    pub(super) outgoing: mpsc::Sender<ToServer>,
    pub(super) reports: mpsc::Sender<Report>,
}

impl Attempt {
    /// Passes on what the peer said; too much of it is dropped.
    pub(super) fn relay(&self, relay: Relay) {
        let _ = self.relayed.try_send(relay);
    }
}

impl Dialer {
    /// Offers to a peer.
    pub(super) fn offer(&self, peer: PeerId, number: u64) -> Attempt {
        self.attempt(peer, number, None)
    }

    /// Answers a peer's offer.
    pub(super) fn answer(&self, peer: PeerId, number: u64, offer_sdp: String) -> Attempt {
        self.attempt(peer, number, Some(offer_sdp))
    }

    fn attempt(&self, peer: PeerId, number: u64, offer_sdp: Option<String>) -> Attempt {
        let (relayed, incoming) = mpsc::channel(RELAYED_MAX);
        let offered = offer_sdp.is_none();
        let dialer = self.clone();
        let task = tokio::spawn(async move {
            let made = match offer_sdp {
                None => dialer.make_offer(peer, incoming).await,
                Some(sdp) => dialer.make_answer(peer, &sdp, incoming).await,
            };
            let report = match made {
                Ok(connection) => {
                    Report::Connected { peer, attempt: number, connection: Box::new(connection) }
                }
                Err(error) => Report::NotConnected { peer, attempt: number, reason: error.to_string() },
            };
            let _ = dialer.reports.send(report).await;
        });
        Attempt { number, offered, relayed, task: task.abort_handle() }
    }

    async fn make_offer(
        &self,
        peer: PeerId,
        mut relayed: mpsc::Receiver<Relay>,
    ) -> Result<Connection, Error> {
        let offering = self.endpoint.offer().await?;
        let sdp = offering.sdp().to_owned();
        self.say(Relay::Offer { peer, sdp }).await?;
        let mut early = Vec::new();
        let answered = async {
            loop {
                match relayed.recv().await {
                    Some(Relay::Answer { sdp, .. }) => return Ok(sdp),
                    Some(candidate @ Relay::Candidate { .. }) if early.len() < RELAYED_MAX => {
                        early.push(candidate)
                    }
                    Some(_) => {}
                    None => return Err(Error::Closed),
                }
            }
        };
        let answer = timeout(ANSWER_WAIT, answered).await.unwrap_or(Err(Error::OpenTimeout(ANSWER_WAIT)))?;
        let connection = offering.accept(&answer).await?;
        for candidate in early {
            add(&connection, candidate).await;
        }
        opened(connection, relayed).await
    }

    async fn make_answer(
        &self,
        peer: PeerId,
        offer_sdp: &str,
        relayed: mpsc::Receiver<Relay>,
    ) -> Result<Connection, Error> {
        let (connection, sdp) = self.endpoint.answer(offer_sdp).await?;
        self.say(Relay::Answer { peer, sdp }).await?;
        opened(connection, relayed).await
    }

    async fn say(&self, relay: Relay) -> Result<(), Error> {
        self.outgoing.send(ToServer::Relay(relay)).await.map_err(|_| Error::Closed)
    }
}

/// Waits for the channel and takes in candidates meanwhile.
async fn opened(mut connection: Connection, mut relayed: mpsc::Receiver<Relay>) -> Result<Connection, Error> {
    let opening = async {
        loop {
            tokio::select! {
                opened = connection.opened(OPEN_WAIT) => return opened.map(|()| connection),
                Some(relay) = relayed.recv() => add(&connection, relay).await,
            }
        }
    };
    let connection = timeout(OPEN_WAIT, opening).await.unwrap_or(Err(Error::OpenTimeout(OPEN_WAIT)))?;
    tokio::time::sleep(SETTLE_WAIT).await;
    Ok(connection)
}

async fn add(connection: &Connection, relay: Relay) {
    let Relay::Candidate { candidate, sdp_mid, sdp_m_line_index, .. } = relay else {
        return;
    };
    if let Err(error) =
        connection.add_candidate(RemoteCandidate { candidate, sdp_mid, sdp_m_line_index }).await
    {
        tracing::debug!(%error, "a candidate was refused");
    }
}
