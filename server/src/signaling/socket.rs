//! One signaling connection: challenge, join, then messages both ways until somebody ends it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use matinee_protocol::id::{SwarmId, Thumbprint, ViewId};
use matinee_protocol::limit::{HELLO_MS_MAX, SIGNALING_BURST, SIGNALING_RATE_PER_S, TOKEN_GRACE_MS};
use matinee_protocol::signaling::{ToPeer, ToServer};
use matinee_protocol::token::Role;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::hub::{Accused, Cut, Hub, Joining, Membership, Refused};
use super::rate::Rate;
use crate::random;

/// How often a silent connection is asked whether it is still there.
const PING_MS: u64 = 20_000;
/// Pings that may go unanswered.
const PINGS_UNANSWERED_MAX: u32 = 2;
/// How long the clock goes unread: clocks are set and machines sleep.
const CLOCK_MS_MAX: u64 = 60_000;
/// How long one message may take to leave for a slow reader.
const SEND_MS_MAX: u64 = 10_000;
/// Reports that one membership may hand in.
const REPORTS_MAX: u32 = 64;

/// What a token and a proof turned out to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// The token's swarm.
    pub swarm: SwarmId,
    /// Its subject.
    pub view: ViewId,
    /// The device.
    pub device: Thumbprint,
    /// Its role.
    pub role: Role,
    /// When the token ends, in Unix milliseconds.
    pub expires_at_ms: i64,
}

/// Why somebody was not admitted, as it is told to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Stable code.
    pub code: &'static str,
    /// What to do.
    pub detail: String,
}

/// What signaling asks of the rest of the server.
pub trait Gate: Send + Sync + 'static {
    /// Checks a token and the proof that carries `nonce`.
    fn admit(
        &self,
        token: &str,
        proof: &str,
        nonce: &str,
    ) -> impl Future<Output = Result<Admitted, Refusal>> + Send;

    /// Writes down that `reporter` complained of `accused`.
    fn report(&self, reporter: Admitted, accused: Accused, reason: &str) -> impl Future<Output = ()> + Send;

    /// The present, in Unix milliseconds.
    fn now_ms(&self) -> i64;
}

/// Why a connection ended; becomes the last message and the close frame.
enum End {
    /// The peer went, or cannot be reached.
    Gone,
    /// The view was ended.
    Revoked(Arc<str>),
    /// An error that is told.
    Error(&'static str, String),
}

/// The writing half, with a limit on how long a reader may stall it.
struct Writer(SplitSink<WebSocket, Message>);

impl Writer {
    async fn send(&mut self, message: Message) -> Result<(), End> {
        match timeout(Duration::from_millis(SEND_MS_MAX), self.0.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(End::Gone),
        }
    }

    async fn tell(&mut self, message: ToPeer) -> Result<(), End> {
        self.send(Message::Text(message.encode().into())).await
    }
}

/// Serves one connection to its end.
pub async fn serve(socket: WebSocket, hub: Hub, gate: impl Gate, address: IpAddr) {
    let (writer, reader) = socket.split();
    let mut writer = Writer(writer);
    let Err(end) = run(&mut writer, reader, &hub, &gate, address).await;
    let (code, reason, last) = match end {
        End::Gone => return,
        End::Revoked(reason) => (4403, "revoked", ToPeer::Revoked { reason: reason.to_string() }),
        End::Error(code, detail) => (4400, code, ToPeer::Error { code: code.to_owned(), detail }),
    };
    if writer.tell(last).await.is_ok() {
        let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
        let _ = writer.send(Message::Close(Some(frame))).await;
    }
}

async fn run(
    writer: &mut Writer,
    mut reader: SplitStream<WebSocket>,
    hub: &Hub,
    gate: &impl Gate,
    address: IpAddr,
) -> Result<std::convert::Infallible, End> {
    let _connection = hub.connect(address).map_err(refused)?;
    let nonce = hex::encode(random::bytes::<16>());
    writer.tell(ToPeer::Challenge { nonce: nonce.clone() }).await?;
    let first = timeout(Duration::from_millis(HELLO_MS_MAX), next_text(&mut reader));
    let first = first.await.map_err(|_| End::Error("join_timeout", "join within 10 s".to_owned()))??;
    let Ok(ToServer::Join { token, proof }) = ToServer::decode(&first) else {
        return Err(End::Error("join_expected", "send join first".to_owned()));
    };
    let admitted = gate.admit(&token, &proof, &nonce).await.map_err(refusal)?;
    let Admitted { swarm, view, device, role, .. } = admitted;
    let (membership, peers, peer) =
        hub.join(Joining { swarm, view, device, role, address }).map_err(refused)?;
    writer.tell(ToPeer::Joined { peer, peers }).await?;
    Member { gate, nonce, admitted, membership, reports: 0 }.serve(writer, reader).await
}

/// A connection that has joined.
struct Member<'a, G> {
    gate: &'a G,
    nonce: String,
    admitted: Admitted,
    membership: Membership,
    reports: u32,
}

impl<G: Gate> Member<'_, G> {
    async fn serve(
        mut self,
        writer: &mut Writer,
        mut reader: SplitStream<WebSocket>,
    ) -> Result<std::convert::Infallible, End> {
        let mut rate = Rate::new(SIGNALING_RATE_PER_S, SIGNALING_BURST, self.gate.now_ms().unsigned_abs());
        let mut ping = interval(Duration::from_millis(PING_MS));
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ping.reset();
        let mut unanswered = 0;
        loop {
            // Looked at every time round, so that no flow of messages can hold the timer back.
            let left = self.left();
            if left.is_zero() {
                let detail = "renew the view and send renew in time".to_owned();
                return Err(End::Error("token_expired", detail));
            }
            tokio::select! {
                biased;
                line = self.membership.line.next() => match line {
                    Ok(message) => self.forward(writer, message).await?,
                    Err(Cut::Revoked(reason)) => return Err(End::Revoked(reason)),
                    Err(Cut::Stalled) => return Err(End::Error("too_slow", "read faster".to_owned())),
                },
                received = reader.next() => {
                    unanswered = 0;
                    if !rate.take(self.gate.now_ms().unsigned_abs()) {
                        return Err(End::Error("too_fast", "send at most 64 messages a second".to_owned()));
                    }
                    if let Some(text) = text_of(received)? {
                        self.handle(writer, &text).await?;
                    }
                }
                _ = ping.tick() => {
                    if unanswered >= PINGS_UNANSWERED_MAX {
                        return Err(End::Gone);
                    }
                    unanswered += 1;
                    writer.send(Message::Ping(bytes::Bytes::new())).await?;
                }
                () = sleep(left.min(Duration::from_millis(CLOCK_MS_MAX))) => {}
            }
        }
    }

    /// Sends one message, watching for the line to be cut meanwhile: a stalled socket must not delay a revocation.
    async fn forward(&self, writer: &mut Writer, message: Utf8Bytes) -> Result<(), End> {
        tokio::select! {
            biased;
            sent = writer.send(Message::Text(message)) => sent,
            cut = self.membership.line.cut() => Err(match cut {
                Cut::Revoked(reason) => End::Revoked(reason),
                // What blocks the queue blocks the farewell too.
                Cut::Stalled => End::Gone,
            }),
        }
    }

    /// How long the membership still lasts: until the token ends, and the grace after it.
    fn left(&self) -> Duration {
        let ends_at_ms = self.admitted.expires_at_ms.saturating_add_unsigned(TOKEN_GRACE_MS);
        Duration::from_millis(u64::try_from(ends_at_ms.saturating_sub(self.gate.now_ms())).unwrap_or(0))
    }

    async fn handle(&mut self, writer: &mut Writer, text: &str) -> Result<(), End> {
        let message = match ToServer::decode(text) {
            Ok(message) => message,
            Err(error) => return Err(End::Error("message_invalid", error.to_string())),
        };
        match message {
            ToServer::Relay(relay) => {
                let peer = relay.peer();
                if !self.membership.relay(relay) {
                    writer.tell(ToPeer::Left { peer }).await?;
                }
            }
            ToServer::More {} => {
                let peers = self.membership.more();
                writer.tell(ToPeer::Peers { peers }).await?;
            }
            ToServer::Report { peer, reason } => self.report(peer, &reason).await,
            ToServer::Renew { token, proof } => {
                let renewed = self.gate.admit(&token, &proof, &self.nonce).await.map_err(refusal)?;
                let same =
                    Admitted { expires_at_ms: self.admitted.expires_at_ms, ..renewed } == self.admitted;
                if !same {
                    let detail = "renew with a token of the same view and device".to_owned();
                    return Err(End::Error("token_of_another_view", detail));
                }
                self.admitted.expires_at_ms = renewed.expires_at_ms.max(self.admitted.expires_at_ms);
            }
            ToServer::Join { .. } => {
                return Err(End::Error("already_joined", "open another connection".to_owned()));
            }
        }
        Ok(())
    }

    async fn report(&mut self, peer: matinee_protocol::id::PeerId, reason: &str) {
        if self.reports >= REPORTS_MAX {
            return;
        }
        if let Some(accused) = self.membership.accuse(peer) {
            self.reports += 1;
            self.gate.report(self.admitted, accused, reason).await;
        }
    }
}

/// The next text message; control messages are passed over.
async fn next_text(reader: &mut SplitStream<WebSocket>) -> Result<Utf8Bytes, End> {
    loop {
        if let Some(text) = text_of(reader.next().await)? {
            return Ok(text);
        }
    }
}

fn text_of(received: Option<Result<Message, axum::Error>>) -> Result<Option<Utf8Bytes>, End> {
    match received {
        Some(Ok(Message::Text(text))) => Ok(Some(text)),
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(None),
        Some(Ok(Message::Binary(_))) => Err(End::Error("message_invalid", "send text messages".to_owned())),
        Some(Ok(Message::Close(_)) | Err(_)) | None => Err(End::Gone),
    }
}

fn refused(refused: Refused) -> End {
    match refused {
        Refused::Revoked(reason) => End::Revoked(reason),
        Refused::TooMany => End::Error("too_many_connections", refused.to_string()),
    }
}

fn refusal(refusal: Refusal) -> End {
    End::Error(refusal.code, refusal.detail)
}
