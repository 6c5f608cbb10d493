//! Frames over WebRTC data channels, to browsers and to other native peers.
//!
//! One connection carries one data channel: negotiated, id 0, unordered, reliable, as a browser opens it by
//! `createDataChannel("matinee", {negotiated: true, id: 0, ordered: false})`. Everything that is particular to
//! the `webrtc` and `rtc` crates stays in this module, its workarounds included:
//!
//! - Socket buffers are never set, so bursts overflow the system's default and cost a retransmission timeout of
//!   at least a second. `TunedRuntime` sets them.
//! - A data channel does not end when ICE fails, and closing is queued behind unread frames (webrtc-rs/webrtc
//!   #875). `State::over` ends both halves.
//! - Dropping a connection detaches its driver task, sockets and all, instead of stopping it. `keep` closes it.
//! - A driver that panics leaves its channels open. `TunedRuntime::spawn` notices.
//! - The send buffer has no limit unless one is set (webrtc-rs/webrtc #817).
//! - The driver waits for DNS inside its loop, so an unreachable resolver would delay the other candidates.
//! - A peer-reflexive pair is only accepted after a second, which is how every browser behind mDNS appears.
//! - Handshakes of DTLS and SCTP, queued when ICE or DTLS is done, are not sent before something else wakes the
//!   driver, up to 200 ms later. `keep` wakes it.
//! - An SCTP message that never ends is held whatever its size, beyond the window (since the remedy for
//!   webrtc-rs/webrtc #822). `Intake` ends connections that take in much and deliver little.
//! - A peer may open channels that nobody reads, each with a queue of its own. `Events` ends such connections.
//!
//! While [`Receiver::recv`] is not called, the crate holds 256 frames for the application and about as many
//! behind that (webrtc-rs/webrtc #858), some 40 MB of full frames, before SCTP stops the peer. A driver that
//! reads on and drops peers that send what was not asked for never gets there.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ::webrtc::data_channel::{DataChannelEvent, RTCDataChannelInit};
use ::webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, RTCIceCandidateInit, RTCSessionDescription,
};
use bytes::{Bytes, BytesMut};
use tokio::sync::{Notify, Semaphore, watch};

use super::{Error, FRAME_BYTES_MAX, FrameReceiver, FrameSender, sdp};
use link::{Closer, Events, Link, State, finish, keep};
use runtime::{Intake, TunedRuntime, enlarge_buffers};
pub use settings::{CONNECTIONS_MAX, Settings, Turn};

mod link;
mod runtime;
mod settings;

/// Label of the data channel.
pub const CHANNEL_LABEL: &str = "matinee";
/// Stream id of the data channel, agreed beforehand.
pub const CHANNEL_ID: u16 = 0;
/// Frames handed over and not yet acknowledged by the peer, before `send` waits.
pub const SEND_BUFFER_BYTES_MAX: usize = 1 << 20;
/// Longest wait for local candidates; what is gathered by then is described.
pub const GATHER_WAIT: Duration = Duration::from_millis(2_000);
/// Longest time that `close` waits for buffered frames to be acknowledged.
pub const CLOSE_WAIT: Duration = Duration::from_millis(500);
const CLOSE_POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Makes connections. Clones share the connection limit.
#[derive(Debug, Clone)]
pub struct Endpoint {
    settings: Arc<Settings>,
    permits: Arc<Semaphore>,
    /// Receive buffer that the system grants a socket.
    granted_bytes: usize,
}

/// A connection whose offer awaits the peer's answer.
#[derive(Debug)]
pub struct Offering {
    link: Link,
    sdp: String,
    local: [u8; 32],
}

/// A connection with both descriptions in place, not necessarily open yet.
///
/// Dropping it, or both halves after [`Connection::split`], closes it.
#[derive(Debug)]
pub struct Connection {
    link: Link,
    fingerprints: Fingerprints,
    early: Option<Bytes>,
    open: bool,
}

/// SHA-256 of the two DTLS certificates, each side's own one first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprints {
    /// Of the certificate that this side presents.
    pub local: [u8; 32],
    /// Of the certificate that DTLS accepts from the peer, and no other.
    pub remote: [u8; 32],
}

/// A candidate that a browser sends after its description (RFC 8838), with the names of `RTCIceCandidate`.
#[derive(Debug, Clone, Default)]
pub struct RemoteCandidate {
    /// `candidate:…`, or empty for the end of candidates.
    pub candidate: String,
    /// Media section by name.
    pub sdp_mid: Option<String>,
    /// Media section by position.
    pub sdp_m_line_index: Option<u16>,
}

/// Sends frames; see [`FrameSender`].
#[derive(Debug, Clone)]
pub struct Sender {
    link: Arc<Link>,
}

/// Receives frames; see [`FrameReceiver`].
#[derive(Debug)]
pub struct Receiver {
    link: Arc<Link>,
    early: Option<Bytes>,
    ended: bool,
}

impl Endpoint {
    /// Prepares an endpoint; sockets are bound per connection.
    ///
    /// # Errors
    /// [`Error::Socket`] when not even one UDP socket can be opened.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        let address = settings.bind.first().map_or(Ipv4Addr::UNSPECIFIED.into(), SocketAddr::ip);
        let probe = std::net::UdpSocket::bind((address, 0)).map_err(Error::Socket)?;
        let granted_bytes = enlarge_buffers(&probe).map_err(Error::Socket)?;
        if granted_bytes < settings::SCTP_WINDOW_BYTES {
            tracing::warn!(granted_bytes, "small udp receive buffer; raise net.core.rmem_max");
        }
        let places = settings.connections_max.min(Semaphore::MAX_PERMITS);
        Ok(Self { permits: Arc::new(Semaphore::new(places)), settings: Arc::new(settings), granted_bytes })
    }

    /// Connections that exist now, those being set up or closed included.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.settings.connections_max.saturating_sub(self.permits.available_permits())
    }

    /// Starts a connection: its offer holds every local candidate found within [`GATHER_WAIT`].
    ///
    /// # Errors
    /// [`Error::TooManyConnections`], [`Error::Engine`], [`Error::Closed`].
    pub async fn offer(&self) -> Result<Offering, Error> {
        let endpoint = self.clone();
        finish(async move {
            let link = endpoint.open().await?;
            let offer = link.connection.create_offer(None).await.map_err(Error::Engine)?;
            let sdp = link.describe(offer).await?;
            let local = sdp::fingerprint(&sdp)?;
            Ok(Offering { link, sdp, local })
        })
        .await
    }

    /// Answers a peer's offer; gives the connection and the answer to send back.
    ///
    /// # Errors
    /// [`Error::Description`] for an unusable offer, else as [`Endpoint::offer`].
    pub async fn answer(&self, offer_sdp: &str) -> Result<(Connection, String), Error> {
        let remote = sdp::inspect(offer_sdp)?;
        let endpoint = self.clone();
        finish(async move {
            let link = endpoint.open().await?;
            link.candidates.store(remote.candidates, Ordering::Relaxed);
            let offer = RTCSessionDescription::offer(remote.text).map_err(Error::Engine)?;
            link.connection.set_remote_description(offer).await.map_err(Error::Engine)?;
            let answer = link.connection.create_answer(None).await.map_err(Error::Engine)?;
            let sdp = link.describe(answer).await?;
            let fingerprints = Fingerprints { local: sdp::fingerprint(&sdp)?, remote: remote.fingerprint };
            Ok((Connection { link, fingerprints, early: None, open: false }, sdp))
        })
        .await
    }

    async fn open(&self) -> Result<Link, Error> {
        let permit = Arc::clone(&self.permits)
            .try_acquire_owned()
            .map_err(|_| Error::TooManyConnections(self.settings.connections_max))?;
        let state = watch::Sender::new(State::default());
        let intake = Arc::new(Intake::default());
        let connection: Arc<dyn PeerConnection> = Arc::new(
            PeerConnectionBuilder::new()
                .with_configuration(self.settings.configuration())
                .with_setting_engine(settings::engine(self.granted_bytes))
                .with_runtime(Arc::new(TunedRuntime::new(state.clone(), Arc::clone(&intake))))
                .with_handler(Arc::new(Events(state.clone())))
                .with_udp_addrs(self.settings.bind.clone())
                .with_data_channel_send_buffer_limit(SEND_BUFFER_BYTES_MAX)
                .build()
                .await
                .map_err(Error::Engine)?,
        );
        let init = RTCDataChannelInit { negotiated: Some(CHANNEL_ID), ordered: false, ..Default::default() };
        let channel = match connection.create_data_channel(CHANNEL_LABEL, Some(init)).await {
            Ok(channel) => channel,
            Err(error) => {
                let _ = connection.close().await;
                return Err(Error::Engine(error));
            }
        };
        let closer = Closer(Arc::new(Notify::new()));
        let watched = state.subscribe();
        tokio::spawn(keep(
            Arc::clone(&connection),
            Arc::clone(&channel),
            state,
            Arc::clone(&closer.0),
            permit,
        ));
        Ok(Link { connection, channel, state: watched, candidates: AtomicUsize::new(0), intake, closer })
    }
}

impl Offering {
    /// The offer for the peer.
    #[must_use]
    pub fn sdp(&self) -> &str {
        &self.sdp
    }

    /// Takes the peer's answer.
    ///
    /// # Errors
    /// [`Error::Description`] for an unusable answer, [`Error::Engine`].
    pub async fn accept(self, answer_sdp: &str) -> Result<Connection, Error> {
        let Self { link, local, .. } = self;
        let remote = sdp::inspect(answer_sdp)?;
        link.candidates.store(remote.candidates, Ordering::Relaxed);
        let answer = RTCSessionDescription::answer(remote.text).map_err(Error::Engine)?;
        link.connection.set_remote_description(answer).await.map_err(Error::Engine)?;
        let fingerprints = Fingerprints { local, remote: remote.fingerprint };
        Ok(Connection { link, fingerprints, early: None, open: false })
    }
}

impl Connection {
    /// Waits until frames can be sent.
    ///
    /// # Errors
    /// [`Error::OpenTimeout`] after `wait`, [`Error::Closed`].
    pub async fn opened(&mut self, wait: Duration) -> Result<(), Error> {
        let opening = async {
            while !self.open {
                match self.link.next().await {
                    Some(DataChannelEvent::OnOpen) => self.open = true,
                    Some(DataChannelEvent::OnMessage(message)) => {
                        self.early = Some(message.data.freeze());
                        self.open = true;
                    }
                    Some(DataChannelEvent::OnClose) | None => return Err(Error::Closed),
                    Some(_) => {}
                }
            }
            Ok(())
        };
        tokio::time::timeout(wait, opening).await.unwrap_or(Err(Error::OpenTimeout(wait)))
    }

    /// Takes a candidate that the peer found after its description. Ones that cannot be dialled, such as
    /// mDNS names, are ignored.
    ///
    /// # Errors
    /// [`Error::Description`] for a malformed one or one too many, [`Error::Engine`].
    pub async fn add_candidate(&self, candidate: RemoteCandidate) -> Result<(), Error> {
        let text = candidate.candidate.trim();
        let text = text.strip_prefix("a=").unwrap_or(text);
        let text = text.strip_prefix("candidate:").unwrap_or(text);
        if text.is_empty() || !sdp::usable(text)? {
            return Ok(());
        }
        if self.link.candidates.fetch_add(1, Ordering::Relaxed) >= sdp::CANDIDATES_MAX {
            return Err(sdp::Flaw::TooManyCandidates.into());
        }
        let candidate = RTCIceCandidateInit {
            candidate: format!("candidate:{text}"),
            sdp_mid: candidate.sdp_mid,
            sdp_mline_index: candidate.sdp_m_line_index,
            ..Default::default()
        };
        self.link.connection.add_ice_candidate(candidate).await.map_err(Error::Engine)
    }

    /// The certificates of both sides. DTLS has checked the peer's once the channel is open.
    #[must_use]
    pub fn fingerprints(&self) -> Fingerprints {
        self.fingerprints
    }

    /// Separates sending from receiving. Call [`Connection::opened`] first.
    #[must_use]
    pub fn split(self) -> (Sender, Receiver) {
        let link = Arc::new(self.link);
        (Sender { link: Arc::clone(&link) }, Receiver { link, early: self.early, ended: false })
    }
}

impl Sender {
    /// Bytes sent that the peer has not acknowledged; at most [`SEND_BUFFER_BYTES_MAX`] and a frame for
    /// each `send` that waits.
    pub async fn buffered_bytes(&self) -> usize {
        self.link.channel.outstanding_bytes().await.unwrap_or(0)
    }
}

impl FrameSender for Sender {
    async fn send(&self, frame: Bytes) -> Result<(), Error> {
        if frame.len() > FRAME_BYTES_MAX {
            return Err(Error::FrameTooLarge { bytes: frame.len() });
        }
        let frame = frame.try_into_mut().unwrap_or_else(|shared| BytesMut::from(shared.as_ref()));
        tokio::select! {
            biased;
            () = self.link.over() => Err(Error::Closed),
            sent = self.link.channel.send(frame) => sent.map_err(|error| match error {
                ::webrtc::error::Error::ErrDataChannelClosed => Error::Closed,
                other => Error::Engine(other),
            }),
        }
    }

    async fn close(&self) {
        let drained = async {
            while self.buffered_bytes().await > 0 {
                tokio::time::sleep(CLOSE_POLL_INTERVAL).await;
            }
        };
        tokio::select! {
            _ = tokio::time::timeout(CLOSE_WAIT, drained) => {}
            () = self.link.over() => {}
        }
        self.link.closer.0.notify_one();
    }
}

impl FrameReceiver for Receiver {
    async fn recv(&mut self) -> Option<Bytes> {
        if let Some(frame) = self.early.take() {
            return Some(frame);
        }
        while !self.ended {
            match self.link.next().await {
                Some(DataChannelEvent::OnMessage(message)) if !message.is_string => {
                    self.link.intake.delivered(message.data.len());
                    return Some(message.data.freeze());
                }
                Some(DataChannelEvent::OnClose) | None => {
                    self.ended = true;
                    self.link.closer.0.notify_one();
                }
                Some(_) => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
