//! Finding peers and opening channels to them.

use std::time::Duration;

use bytes::Bytes;
use matinee_engine::Input;
use matinee_protocol::frame::{Frame, Reason};
use matinee_protocol::hello::{ChannelBinding, Hello};
use matinee_protocol::id::PeerId;
use matinee_protocol::signaling::{Near, PeerHint, Relay, ToServer};
use tokio::time::Instant;

use super::End;
use super::driver::Driver;
use super::link::Link;
use crate::clock;
use crate::net::signaling;
use crate::net::webrtc::Connection;

/// Peers named by signaling that are remembered.
const KNOWN_MAX: usize = 256;
/// Tries in a row before a peer is forgotten.
const TRIES_MAX: u32 = 5;
/// Time from one try to the next, three times as long after each.
const RETRY_WAIT: Duration = Duration::from_secs(3);

/// A peer that signaling named.
#[derive(Debug)]
pub(super) struct Known {
    near: bool,
    tries: u32,
    due: Instant,
}

impl Driver {
    /// Receipts name devices; the server wants their keys. Both come in hellos, which the engine verifies.
    pub(super) fn note_device(&mut self, bytes: &Bytes) {
        const HELLO_KIND: u8 = 1;
        const DEVICE_KEYS_MAX: usize = 4096;
        if bytes.first() == Some(&HELLO_KIND)
            && self.device_keys.len() < DEVICE_KEYS_MAX
            && let Ok(Frame::Hello(hello)) = Frame::decode(bytes.clone())
        {
            self.device_keys.insert(hello.public.thumbprint(), hello.public);
        }
    }

    pub(super) fn connected(&mut self, peer: PeerId, attempt: u64, connection: Connection) {
        if self.attempts.get(&peer).is_none_or(|held| held.number != attempt) {
            return;
        }
        self.attempts.remove(&peer);
        if self.leaving.is_some() {
            return;
        }
        if let Some(known) = self.known.get_mut(&peer) {
            known.tries = 0;
        }
        let prints = connection.fingerprints();
        let swarm = self.membership.opening().swarm;
        let binding = ChannelBinding { swarm, local: prints.local, remote: prints.remote };
        self.numbers += 1;
        let named = (peer, self.numbers);
        let halves = connection.split();
        let link = Link::start(named, binding, halves, self.arrivals.clone(), self.reports.clone());
        if self.links.insert(peer, link).is_some() {
            self.handle(Input::PeerClosed { peer });
        }
        let hello = self.hello(&binding);
        self.handle(Input::PeerOpened { peer, binding, hello });
        self.expect_peers();
    }

    pub(super) fn hello(&self, binding: &ChannelBinding) -> Bytes {
        let token = self.membership.token();
        let device = self.membership.api().prover().device().signing();
        let signature = device.sign(&binding.signed_bytes(&token));
        Frame::Hello(Hello { token, public: device.public(), signature }).encode()
    }

    /// Says hello again on channels whose first one may have been lost.
    pub(super) fn repeat_hellos(&mut self) {
        let due: Vec<PeerId> =
            self.links.iter_mut().filter_map(|(peer, link)| link.hello_is_due().then_some(*peer)).collect();
        for peer in due {
            if let Some(link) = self.links.get(&peer) {
                link.send(self.hello(&link.binding));
            }
        }
    }

    /// `Some` when signaling ends the swarm.
    pub(super) fn signaled(&mut self, event: signaling::Event) -> Option<End> {
        match event {
            signaling::Event::Joined { peer, peers } => {
                (self.own, self.joined) = (Some(peer), true);
                self.joined_at.get_or_insert_with(clock::instant);
                self.known.clear();
                self.named(peers);
            }
            signaling::Event::Peers(peers) => self.named(peers),
            signaling::Event::Left(peer) => {
                // A channel outlives its signaling; an attempt cannot.
                self.known.remove(&peer);
                if self.attempts.remove(&peer).is_some() {
                    self.expect_peers();
                }
            }
            signaling::Event::Relay(Relay::Offer { peer, sdp }) => self.offered(peer, sdp),
            signaling::Event::Relay(relay) => {
                if let Some(attempt) = self.attempts.get(&relay.peer()) {
                    attempt.relay(relay);
                }
            }
            signaling::Event::Revoked(reason) => return Some(End::Revoked(reason)),
            signaling::Event::Down(reason) => {
                if self.joined || self.own.is_none() {
                    tracing::info!(reason, "signaling is down; joining again");
                }
                self.joined = false;
                self.expect_peers();
            }
        }
        None
    }

    /// Remembers whom signaling named; they are dialled as there is room.
    pub(super) fn named(&mut self, peers: Vec<PeerHint>) {
        for PeerHint { peer, near } in peers {
            if Some(peer) != self.own && self.known.len() < KNOWN_MAX {
                let new = Known { near: near == Near::Lan, tries: 0, due: clock::instant() };
                self.known.entry(peer).or_insert(new);
            }
        }
        self.dial_due();
        self.expect_peers();
    }

    /// Offers to known peers whose time has come, near ones first. Signaling names a peer once, so it is for this
    /// side to try again when a connection fails or breaks.
    pub(super) fn dial_due(&mut self) {
        // A quarter of the room is left for those who come later and offer themselves.
        let outgoing_max = self.peers_max.div_ceil(4) * 3;
        if self.leaving.is_some() || self.connections() >= outgoing_max {
            return;
        }
        let now = clock::instant();
        let free = |peer: &PeerId| !self.links.contains_key(peer) && !self.attempts.contains_key(peer);
        let is_due = |(peer, known): &(&PeerId, &Known)| known.due <= now && free(peer);
        let mut due: Vec<(bool, PeerId)> =
            self.known.iter().filter(is_due).map(|(peer, known)| (!known.near, *peer)).collect();
        due.sort_unstable();
        for (_, peer) in due {
            if self.connections() >= outgoing_max {
                break;
            }
            let Some(known) = self.known.get_mut(&peer) else {
                continue;
            };
            if known.tries >= TRIES_MAX {
                self.known.remove(&peer);
                continue;
            }
            known.tries += 1;
            known.due = now + RETRY_WAIT * 3_u32.pow(known.tries - 1);
            self.numbers += 1;
            self.attempts.insert(peer, self.dialer.offer(peer, self.numbers));
        }
    }

    /// The engine dropped a peer: whether it may be dialled again depends on why.
    pub(super) fn closed(&mut self, peer: PeerId, reason: Reason) {
        self.links.remove(&peer);
        if !matches!(reason, Reason::Full | Reason::TooSlow) {
            self.known.remove(&peer);
        }
        self.expect_peers();
    }

    pub(super) fn offered(&mut self, peer: PeerId, sdp: String) {
        if self.leaving.is_some() || self.connections() >= self.peers_max {
            return;
        }
        // Both offered at once: the offer of the lower id stands, on both sides.
        let ours_stands = self.attempts.get(&peer).is_some_and(|held| held.offered)
            && self.own.is_some_and(|own| own < peer);
        if !ours_stands {
            self.numbers += 1;
            self.attempts.insert(peer, self.dialer.answer(peer, self.numbers, sdp));
            self.expect_peers();
        }
    }

    pub(super) fn connections(&self) -> usize {
        self.links.len() + self.attempts.len()
    }

    pub(super) fn expect_peers(&mut self) {
        let count = u32::try_from(self.connections()).unwrap_or(u32::MAX);
        self.handle(Input::PeersExpected { count });
    }

    pub(super) fn say(&self, message: ToServer) {
        if let Some(signaling) = &self.signaling {
            signaling.send(message);
        }
    }
}
