//! Frames over WebRTC data channels, to browsers and to other native peers.
//!
//! One connection carries one data channel: negotiated, id 0, unordered, reliable, as a browser opens it by
//! `createDataChannel("matinee", {negotiated: true, id: 0, ordered: false})`. Everything that is particular to
//! the `webrtc` and `rtc` crates stays in this file, its workarounds included:
//!
//! - Socket buffers are never set, so bursts overflow the system's default and cost a retransmission timeout of
//!   at least a second. [`TunedRuntime`] sets them.
//! - A data channel does not end when ICE fails, and closing is queued behind unread frames (webrtc-rs/webrtc
//!   #875). [`State::over`] ends both halves.
//! - Dropping a connection detaches its driver task, sockets and all, instead of stopping it. [`keep`] closes it.
//! - A driver that panics leaves its channels open. [`TunedRuntime::spawn`] notices.
//! - The send buffer has no limit unless one is set (webrtc-rs/webrtc #817).
//! - The driver waits for DNS inside its loop, so an unreachable resolver would delay the other candidates.
//! - A peer-reflexive pair is only accepted after a second, which is how every browser behind mDNS appears.
//!
//! What cannot be bounded from here: while [`Receiver::recv`] is not called, the crate holds 256 frames for the
//! application and about as many behind that (webrtc-rs/webrtc #858), some 40 MB of full frames, before SCTP
//! stops the peer. A driver that reads on and drops peers that send what was not asked for never gets there.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ::webrtc::data_channel::{DataChannelEvent, RTCDataChannelInit};
use ::webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, RTCConfiguration, RTCConfigurationBuilder, RTCIceCandidateInit,
    RTCIceServer, RTCIceTransportPolicy, RTCSessionDescription, SettingEngine, SettingEngineBuilder,
};
use bytes::{Bytes, BytesMut};
use rtc::ice::mdns::MulticastDnsMode;
use rtc::peer_connection::configuration::setting_engine::SctpMaxMessageSize;
use tokio::sync::{Notify, Semaphore, watch};

use super::{Error, FRAME_BYTES_MAX, FrameReceiver, FrameSender, sdp};
use link::{Closer, Events, Link, State, finish, keep};
use runtime::{TunedRuntime, enlarge_buffers};

mod link;
mod runtime;

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
/// Connections of one endpoint unless set otherwise.
pub const CONNECTIONS_MAX: usize = 256;

/// SCTP window when the socket can hold it; a larger window than socket only loses packets.
const SCTP_WINDOW_BYTES: usize = 1 << 20;
/// SCTP window over a socket with the system's default buffer.
const SCTP_WINDOW_BYTES_SMALL: usize = 256 << 10;
const ICE_CHECK_INTERVAL: Duration = Duration::from_millis(20);
const ICE_CHECKS_MAX: u16 = 50;
const ICE_KEEPALIVE_INTERVAL: Duration = Duration::from_millis(500);
/// Silence until a path counts as disconnected; it may come back.
const ICE_DISCONNECTED_AFTER: Duration = Duration::from_secs(2);
/// Further silence until the connection is given up.
const ICE_FAILED_AFTER: Duration = Duration::from_secs(5);
const CLOSE_POLL_INTERVAL: Duration = Duration::from_millis(5);

/// A TURN server and the credential for it.
#[derive(Clone)]
pub struct Turn {
    /// `turn:host:port` URLs.
    pub urls: Vec<String>,
    /// User name, usually with an expiry time in it.
    pub username: String,
    /// Password; never shown by `Debug`.
    pub credential: String,
}

impl fmt::Debug for Turn {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Turn")
            .field("urls", &self.urls)
            .finish_non_exhaustive()
    }
}

/// How connections of an [`Endpoint`] are made.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Local UDP addresses. A wildcard stands for every interface except loopback; port 0 for a free port,
    /// and with another port only one connection can exist at a time.
    pub bind: Vec<SocketAddr>,
    /// `stun:host:port` URLs asked for this machine's public address.
    pub stun_urls: Vec<String>,
    /// Relay for peers that cannot be reached directly.
    pub turn: Option<Turn>,
    /// Tell peers only the relay's address.
    pub relay_only: bool,
    /// Connections that may exist at a time, those being set up included.
    pub connections_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            bind: vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))],
            stun_urls: Vec::new(),
            turn: None,
            relay_only: false,
            connections_max: CONNECTIONS_MAX,
        }
    }
}

/// Makes connections. Clones share the connection limit.
#[derive(Debug, Clone)]
pub struct Endpoint {
    settings: Arc<Settings>,
    permits: Arc<Semaphore>,
    sctp_window_bytes: usize,
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
        let address = settings
            .bind
            .first()
            .map_or(Ipv4Addr::UNSPECIFIED.into(), SocketAddr::ip);
        let probe = std::net::UdpSocket::bind((address, 0)).map_err(Error::Socket)?;
        let granted = enlarge_buffers(&probe).map_err(Error::Socket)?;
        let enough = granted >= SCTP_WINDOW_BYTES;
        if !enough {
            tracing::warn!(granted, "small udp receive buffer; raise net.core.rmem_max");
        }
        Ok(Self {
            permits: Arc::new(Semaphore::new(
                settings.connections_max.min(Semaphore::MAX_PERMITS),
            )),
            settings: Arc::new(settings),
            sctp_window_bytes: if enough {
                SCTP_WINDOW_BYTES
            } else {
                SCTP_WINDOW_BYTES_SMALL
            },
        })
    }

    /// Connections that exist now, those being set up or closed included.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.settings
            .connections_max
            .saturating_sub(self.permits.available_permits())
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
            link.connection
                .set_remote_description(offer)
                .await
                .map_err(Error::Engine)?;
            let answer = link.connection.create_answer(None).await.map_err(Error::Engine)?;
            let sdp = link.describe(answer).await?;
            let fingerprints = Fingerprints {
                local: sdp::fingerprint(&sdp)?,
                remote: remote.fingerprint,
            };
            Ok((
                Connection {
                    link,
                    fingerprints,
                    early: None,
                    open: false,
                },
                sdp,
            ))
        })
        .await
    }

    async fn open(&self) -> Result<Link, Error> {
        let permit = Arc::clone(&self.permits)
            .try_acquire_owned()
            .map_err(|_| Error::TooManyConnections(self.settings.connections_max))?;
        let state = watch::Sender::new(State::default());
        let connection: Arc<dyn PeerConnection> = Arc::new(
            PeerConnectionBuilder::new()
                .with_configuration(self.configuration())
                .with_setting_engine(self.engine())
                .with_runtime(Arc::new(TunedRuntime::new(state.clone())))
                .with_handler(Arc::new(Events(state.clone())))
                .with_udp_addrs(self.settings.bind.clone())
                .with_data_channel_send_buffer_limit(SEND_BUFFER_BYTES_MAX)
                .build()
                .await
                .map_err(Error::Engine)?,
        );
        let closer = Closer(Arc::new(Notify::new()));
        let watched = state.subscribe();
        tokio::spawn(keep(
            Arc::clone(&connection),
            state,
            Arc::clone(&closer.0),
            permit,
        ));
        let init = RTCDataChannelInit {
            negotiated: Some(CHANNEL_ID),
            ordered: false,
            ..Default::default()
        };
        let channel = connection
            .create_data_channel(CHANNEL_LABEL, Some(init))
            .await
            .map_err(Error::Engine)?;
        Ok(Link {
            connection,
            channel,
            state: watched,
            candidates: AtomicUsize::new(0),
            closer,
        })
    }

    fn configuration(&self) -> RTCConfiguration {
        let mut servers = Vec::new();
        if !self.settings.stun_urls.is_empty() {
            servers.push(RTCIceServer {
                urls: self.settings.stun_urls.clone(),
                ..Default::default()
            });
        }
        if let Some(turn) = &self.settings.turn {
            servers.push(RTCIceServer {
                urls: turn.urls.clone(),
                username: turn.username.clone(),
                credential: turn.credential.clone(),
            });
        }
        let policy = if self.settings.relay_only {
            RTCIceTransportPolicy::Relay
        } else {
            RTCIceTransportPolicy::All
        };
        RTCConfigurationBuilder::default()
            .with_ice_servers(servers)
            .with_ice_transport_policy(policy)
            .build()
    }

    fn engine(&self) -> SettingEngine {
        SettingEngineBuilder::new()
            .with_sctp_max_message_size(SctpMaxMessageSize::Bounded(FRAME_BYTES_MAX as u32))
            .with_sctp_max_receive_buffer_size(self.sctp_window_bytes as u32)
            .with_ice_connection_attempts(Some(ICE_CHECK_INTERVAL), Some(ICE_CHECKS_MAX))
            .with_prflx_acceptance_min_wait(Some(Duration::ZERO))
            .with_ice_timeouts(
                Some(ICE_DISCONNECTED_AFTER),
                Some(ICE_FAILED_AFTER),
                Some(ICE_KEEPALIVE_INTERVAL),
            )
            .with_multicast_dns_mode(MulticastDnsMode::Disabled)
            .build()
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
        link.connection
            .set_remote_description(answer)
            .await
            .map_err(Error::Engine)?;
        let fingerprints = Fingerprints {
            local,
            remote: remote.fingerprint,
        };
        Ok(Connection {
            link,
            fingerprints,
            early: None,
            open: false,
        })
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
        tokio::time::timeout(wait, opening)
            .await
            .unwrap_or(Err(Error::OpenTimeout(wait)))
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
        self.link
            .connection
            .add_ice_candidate(candidate)
            .await
            .map_err(Error::Engine)
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
        (
            Sender {
                link: Arc::clone(&link),
            },
            Receiver {
                link,
                early: self.early,
                ended: false,
            },
        )
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
        let frame = frame
            .try_into_mut()
            .unwrap_or_else(|shared| BytesMut::from(shared.as_ref()));
        tokio::select! {
            biased;
            sent = self.link.channel.send(frame) => sent.map_err(|error| match error {
                ::webrtc::error::Error::ErrDataChannelClosed => Error::Closed,
                other => Error::Engine(other),
            }),
            () = self.link.over() => Err(Error::Closed),
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
