//! Signaling (PROTOCOL §7): one WebSocket, joined again whenever it breaks.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use matinee_protocol::id::PeerId;
use matinee_protocol::limit::SIGNALING_BYTES_MAX;
use matinee_protocol::signaling::{PeerHint, Relay, ToPeer, ToServer};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use super::membership::Membership;
use super::proof::About;
use crate::clock;

/// Time for connecting, the challenge and the join, each.
const STEP_WAIT: Duration = Duration::from_secs(10);
/// First wait before joining again.
const REJOIN_WAIT_MIN: Duration = Duration::from_millis(500);
/// Longest wait before joining again.
const REJOIN_WAIT_MAX: Duration = Duration::from_secs(30);
/// A ping this often keeps middleboxes from forgetting the connection.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// Silence, pongs included, after which the connection is taken for dead.
const SILENCE_MAX: Duration = Duration::from_secs(50);
/// Messages waiting to be sent, or to be read by the driver.
const QUEUE_MESSAGES_MAX: usize = 256;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// What signaling tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Joined, for the first time or again: own id, and whom to offer to.
    Joined {
        /// Own id for this membership.
        peer: PeerId,
        /// Near ones first.
        peers: Vec<PeerHint>,
    },
    /// More peers to offer to.
    Peers(Vec<PeerHint>),
    /// A peer left signaling.
    Left(PeerId),
    /// From another peer.
    Relay(Relay),
    /// The view was ended by the server; signaling is over.
    Revoked(String),
    /// The connection broke; it is being made again.
    Down(String),
}

/// A membership kept at the server.
#[derive(Debug)]
pub struct Signaling {
    outgoing: mpsc::Sender<ToServer>,
    task: AbortHandle,
}

impl Drop for Signaling {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Why one connection ended.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("the server closed the connection")]
    Closed,
    #[error("the server did not answer in time")]
    Silent,
    #[error("{0}")]
    Socket(#[from] Box<tungstenite::Error>),
    #[error("the server sent what is no signaling message")]
    Malformed,
    #[error("{detail} ({code})")]
    Refused { code: String, detail: String },
    #[error("the driver is gone")]
    Unwanted,
}

impl From<tungstenite::Error> for Broken {
    fn from(error: tungstenite::Error) -> Self {
        Self::Socket(Box::new(error))
    }
}

impl Signaling {
    /// Joins in the background and stays joined.
    #[must_use]
    pub fn start(membership: Arc<Membership>) -> (Self, mpsc::Receiver<Event>) {
        let (outgoing, to_send) = mpsc::channel(QUEUE_MESSAGES_MAX);
        let (events, incoming) = mpsc::channel(QUEUE_MESSAGES_MAX);
        let task = tokio::spawn(stay_joined(membership, to_send, events)).abort_handle();
        (Self { outgoing, task }, incoming)
    }

    /// Queues a message; while the connection is down or slow it may be dropped, since every message here
    /// concerns a moment that will have passed.
    pub fn send(&self, message: ToServer) {
        if self.outgoing.try_send(message).is_err() {
            tracing::debug!("a signaling message was dropped");
        }
    }
}

async fn stay_joined(
    membership: Arc<Membership>,
    mut to_send: mpsc::Receiver<ToServer>,
    events: mpsc::Sender<Event>,
) {
    let mut wait = REJOIN_WAIT_MIN;
    loop {
        let mut joined = false;
        let ended = one_connection(&membership, &mut to_send, &events, &mut joined).await;
        let reason = match ended {
            Ok(reason) => {
                let _ = events.send(Event::Revoked(reason)).await;
                return;
            }
            Err(Broken::Unwanted) => return,
            Err(broken) => broken,
        };
        if joined {
            wait = REJOIN_WAIT_MIN;
        } else if matches!(reason, Broken::Refused { .. }) {
            // Most often an expired token after a long sleep.
            if let Err(error) = membership.renew().await {
                tracing::debug!(%error, "the view token could not be renewed");
            }
        }
        tracing::debug!(%reason, "signaling broke");
        if events.send(Event::Down(reason.to_string())).await.is_err() {
            return;
        }
        while to_send.try_recv().is_ok() {}
        tokio::time::sleep(jittered(wait)).await;
        wait = (wait * 2).min(REJOIN_WAIT_MAX);
    }
}

/// Between half and all of `wait`, so that peers do not come back all at once after a restart of the server.
fn jittered(wait: Duration) -> Duration {
    let [random] = clock::random::<1>();
    wait / 2 + wait / 2 * u32::from(random) / 255
}

/// Runs one connection; `Ok` is the reason of a revocation.
async fn one_connection(
    membership: &Membership,
    to_send: &mut mpsc::Receiver<ToServer>,
    events: &mpsc::Sender<Event>,
    joined: &mut bool,
) -> Result<String, Broken> {
    let url = format!("{}/v1/signaling", membership.api().base());
    let socket_url = format!("ws{}", url.strip_prefix("http").unwrap_or(&url));
    let mut config = WebSocketConfig::default();
    config.max_message_size = Some(SIGNALING_BYTES_MAX);
    config.max_frame_size = Some(SIGNALING_BYTES_MAX);
    let connecting = connect_async_with_config(socket_url, Some(config), true);
    let (mut socket, _) = timeout(STEP_WAIT, connecting).await.map_err(|_| Broken::Silent)??;
    let first = timeout(STEP_WAIT, next(&mut socket)).await.map_err(|_| Broken::Silent)??;
    let ToPeer::Challenge { nonce } = first else {
        return Err(Broken::Malformed);
    };
    let mut tokens = membership.tokens();
    let pass = |token: String| {
        let about =
            About { method: "GET", url: &url, token: Some(&token), body: &[], nonce: Some(nonce.as_str()) };
        let proof = membership.api().prover().proof(&about);
        (token, proof)
    };
    let (token, proof) = pass(tokens.borrow_and_update().text.clone());
    socket.send(text(&ToServer::Join { token, proof })).await?;

    let mut ping = tokio::time::interval(PING_INTERVAL);
    let mut heard = clock::instant();
    loop {
        tokio::select! {
            message = socket.next() => {
                heard = clock::instant();
                let message = message.ok_or(Broken::Closed)??;
                let Some(message) = decode(message)? else { continue };
                let event = match message {
                    ToPeer::Challenge { .. } => return Err(Broken::Malformed),
                    ToPeer::Joined { peer, peers } => {
                        *joined = true;
                        Event::Joined { peer, peers }
                    }
                    ToPeer::Peers { peers } => Event::Peers(peers),
                    ToPeer::Left { peer } => Event::Left(peer),
                    ToPeer::Revoked { reason } => return Ok(reason),
                    ToPeer::Error { code, detail } if !*joined => return Err(Broken::Refused { code, detail }),
                    ToPeer::Error { code, detail } => {
                        tracing::debug!(code, detail, "signaling refused a message");
                        continue;
                    }
                    ToPeer::Relay(relay) => Event::Relay(relay),
                };
                events.send(event).await.map_err(|_| Broken::Unwanted)?;
            }
            message = to_send.recv(), if *joined => {
                let message = message.ok_or(Broken::Unwanted)?;
                socket.send(text(&message)).await?;
            }
            changed = tokens.changed(), if *joined => {
                changed.map_err(|_| Broken::Unwanted)?;
                let (token, proof) = pass(tokens.borrow_and_update().text.clone());
                socket.send(text(&ToServer::Renew { token, proof })).await?;
            }
            _ = ping.tick() => {
                if heard.elapsed() > SILENCE_MAX || (!*joined && heard.elapsed() > STEP_WAIT) {
                    return Err(Broken::Silent);
                }
                socket.send(Message::Ping(tungstenite::Bytes::new())).await?;
            }
        }
    }
}

async fn next(socket: &mut Socket) -> Result<ToPeer, Broken> {
    loop {
        let message = socket.next().await.ok_or(Broken::Closed)??;
        if let Some(message) = decode(message)? {
            return Ok(message);
        }
    }
}

fn decode(message: Message) -> Result<Option<ToPeer>, Broken> {
    match message {
        Message::Text(text) => ToPeer::decode(&text).map(Some).map_err(|_| Broken::Malformed),
        Message::Close(_) => Err(Broken::Closed),
        _ => Ok(None),
    }
}

fn text(message: &ToServer) -> Message {
    Message::text(message.encode())
}
