//! How connections are made: what an operator chooses, and what was measured to be fastest.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use ::webrtc::peer_connection::{
    RTCConfiguration, RTCConfigurationBuilder, RTCIceServer, RTCIceTransportPolicy, SettingEngine,
    SettingEngineBuilder,
};
use rtc::ice::mdns::MulticastDnsMode;
use rtc::peer_connection::configuration::setting_engine::SctpMaxMessageSize;

use crate::net::FRAME_BYTES_MAX;

/// Connections of one endpoint unless set otherwise.
pub const CONNECTIONS_MAX: usize = 256;

/// SCTP window when the socket can hold it; a larger window than socket only loses packets.
pub(super) const SCTP_WINDOW_BYTES: usize = 1 << 20;
/// SCTP window over a socket with the system's default buffer.
const SCTP_WINDOW_BYTES_SMALL: usize = 256 << 10;
const ICE_CHECK_INTERVAL: Duration = Duration::from_millis(20);
const ICE_CHECKS_MAX: u16 = 50;
const ICE_KEEPALIVE_INTERVAL: Duration = Duration::from_millis(500);
/// Silence until a path counts as disconnected; it may come back.
const ICE_DISCONNECTED_AFTER: Duration = Duration::from_secs(2);
/// Further silence until the connection is given up.
const ICE_FAILED_AFTER: Duration = Duration::from_secs(5);

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
        out.debug_struct("Turn").field("urls", &self.urls).finish_non_exhaustive()
    }
}

/// How connections of an [`Endpoint`](super::Endpoint) are made.
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

impl Settings {
    pub(super) fn configuration(&self) -> RTCConfiguration {
        let mut servers = Vec::new();
        if !self.stun_urls.is_empty() {
            servers.push(RTCIceServer { urls: self.stun_urls.clone(), ..Default::default() });
        }
        if let Some(turn) = &self.turn {
            servers.push(RTCIceServer {
                urls: turn.urls.clone(),
                username: turn.username.clone(),
                credential: turn.credential.clone(),
            });
        }
        let policy = if self.relay_only { RTCIceTransportPolicy::Relay } else { RTCIceTransportPolicy::All };
        RTCConfigurationBuilder::default().with_ice_servers(servers).with_ice_transport_policy(policy).build()
    }
}

/// Engine settings for a UDP socket whose receive buffer is `granted` bytes.
pub(super) fn engine(granted: usize) -> SettingEngine {
    let window = if granted >= SCTP_WINDOW_BYTES { SCTP_WINDOW_BYTES } else { SCTP_WINDOW_BYTES_SMALL };
    SettingEngineBuilder::new()
        .with_sctp_max_message_size(SctpMaxMessageSize::Bounded(FRAME_BYTES_MAX as u32))
        .with_sctp_max_receive_buffer_size(window as u32)
        .with_ice_connection_attempts(Some(ICE_CHECK_INTERVAL), Some(ICE_CHECKS_MAX))
        .with_prflx_acceptance_min_wait(Some(Duration::ZERO))
        .with_ice_timeouts(Some(ICE_DISCONNECTED_AFTER), Some(ICE_FAILED_AFTER), Some(ICE_KEEPALIVE_INTERVAL))
        .with_multicast_dns_mode(MulticastDnsMode::Disabled)
        .build()
}
