//! Coming and going of peers: handshake, goodbye, expulsion.

use bytes::Bytes;
use matinee_protocol::frame::{Frame, Reason};
use matinee_protocol::hello::{ChannelBinding, Hello};
use matinee_protocol::id::{PeerId, Thumbprint};
use matinee_protocol::limit::{HELLO_MS_MAX, TOKEN_GRACE_MS};

use crate::chunk::Source;
use crate::config::OriginPolicy;
use crate::input::Want;
use crate::output::{Fault, Output};
use crate::peer::{Member, Peer};
use crate::swarm::Swarm;

/// Channels with one device at once: a reconnect may overtake the end of the channel before.
const CHANNELS_PER_DEVICE_MAX: usize = 2;
/// A renewed hello is looked at this often.
const HELLO_AGAIN_MS: u64 = 1_000;
/// How long a channel whose other end said goodbye is kept.
const LINGER_MS: u64 = 500;
/// How long a goodbye waits for the last receipt to be signed.
const PARTING_MS: u64 = 1_000;

impl Swarm {
    pub(crate) fn on_peer_opened(&mut self, peer: PeerId, binding: ChannelBinding, hello: Bytes) {
        self.forget(peer);
        let refusal = if self.leaving || self.config.origin == OriginPolicy::Only {
            Some(Reason::Leaving)
        } else if self.reputation.is_membership_refused(peer) {
            Some(Reason::NotAuthorized)
        } else if self.peers.len() >= self.config.peers_max {
            Some(Reason::Full)
        } else {
            None
        };
        if let Some(reason) = refusal {
            self.send(peer, &Frame::Goodbye(reason));
            self.outputs.push_back(Output::Close { peer, reason });
            return;
        }
        self.peers.insert(peer, Peer::new(binding, self.now_ms));
        self.outputs.push_back(Output::Send { peer, frame: hello });
    }

    pub(crate) fn on_hello_renewed(&mut self, peer: PeerId, hello: Bytes) {
        if self.peers.contains_key(&peer) {
            self.outputs.push_back(Output::Send { peer, frame: hello });
        }
    }

    pub(crate) fn on_hello(&mut self, peer: PeerId, hello: &Hello) {
        let now_ms = self.now_ms;
        let Some(state) = self.peers.get(&peer) else {
            return;
        };
        let renewal = state.member.as_ref();
        if renewal.is_some_and(|member| now_ms < member.hello_at_ms + HELLO_AGAIN_MS) {
            return;
        }
        let verified =
            hello.verify(&state.binding, &self.identity.keys, &self.identity.issuer, now_ms / 1000);
        let same_device = renewal.is_none_or(|member| member.public == hello.public);
        let claims = match verified {
            Ok(claims) if same_device => claims,
            // A renewal that does not hold changes nothing: the token before it runs out in its own time.
            _ if renewal.is_some() => return,
            _ => return self.expel(peer, Fault::NotAuthorized),
        };
        let is_new = renewal.is_none();
        let thumbprint = claims.cnf.jkt;
        let expires_at_ms = claims.exp.saturating_mul(1000);
        if let Some(fault) = self.reputation.device(thumbprint) {
            return self.close(peer, fault.reason());
        }
        if let Some(state) = self.peers.get_mut(&peer) {
            state.member =
                Some(Member { thumbprint, public: hello.public, expires_at_ms, hello_at_ms: now_ms });
        }
        if is_new {
            self.outputs.push_back(Output::PeerReady { peer, claims });
            self.welcome(peer, thumbprint);
        }
    }

    fn welcome(&mut self, peer: PeerId, thumbprint: Thumbprint) {
        let mut channels = self.channels_of(thumbprint);
        channels.sort_by_key(|channel| self.peers.get(channel).map(|state| state.opened_ms));
        let surplus = channels.len().saturating_sub(CHANNELS_PER_DEVICE_MAX);
        for old in channels.into_iter().filter(|channel| *channel != peer).take(surplus) {
            self.close(old, Reason::Leaving);
        }
        for file in 0..self.chunks.file_count() {
            if self.chunks.held_set(file).is_some_and(|held| !held.is_empty()) {
                self.send_inventory(peer, file);
            }
        }
        let early = self.peers.get_mut(&peer).map(|state| std::mem::take(&mut state.early));
        early.into_iter().flatten().for_each(|bytes| self.on_frame(peer, bytes));
        self.dirty = true;
    }

    fn channels_of(&self, thumbprint: Thumbprint) -> Vec<PeerId> {
        let same = |state: &Peer| state.member.as_ref().is_some_and(|member| member.thumbprint == thumbprint);
        self.peers.iter().filter(|(_, state)| same(state)).map(|(peer, _)| *peer).collect()
    }

    /// A device known to be bad, from an earlier run.
    pub(crate) fn remember(&mut self, thumbprint: Thumbprint) {
        self.reputation.refuse_device(thumbprint, Fault::BadData);
        for peer in self.channels_of(thumbprint) {
            self.close(peer, Reason::BadData);
        }
    }

    /// A peer did wrong: it is dropped and refused from now on.
    pub(crate) fn expel(&mut self, peer: PeerId, fault: Fault) {
        if !self.peers.contains_key(&peer) {
            return;
        }
        let thumbprint = self.thumbprint_of(peer);
        match thumbprint {
            Some(thumbprint) if fault != Fault::NotAuthorized => {
                self.reputation.refuse_device(thumbprint, fault);
                self.outputs.push_back(Output::Remembered { thumbprint, fault });
            }
            _ => self.reputation.refuse_membership(peer),
        }
        self.outputs.push_back(Output::Report { peer, fault });
        self.close(peer, fault.reason());
        if let Some(thumbprint) = thumbprint.filter(|_| fault == Fault::BadData) {
            for other in self.channels_of(thumbprint) {
                self.close(other, Reason::BadData);
            }
        }
    }

    /// Says goodbye and closes.
    pub(crate) fn close(&mut self, peer: PeerId, reason: Reason) {
        if self.peers.contains_key(&peer) {
            self.send(peer, &Frame::Goodbye(reason));
            self.forget(peer);
            self.outputs.push_back(Output::Close { peer, reason });
        }
    }

    /// The channel is gone: everything asked of it is free to be asked elsewhere.
    pub(crate) fn forget(&mut self, peer: PeerId) {
        let Some(state) = self.peers.remove(&peer) else {
            return;
        };
        for (at, request) in &state.requests {
            self.totals.wasted_bytes += u64::from(request.assembly.received());
            self.chunks.release(*at, Source::Peer(peer));
        }
        for (file, inventory) in &state.inventory {
            if let Some(availability) = self.availability.get_mut(*file as usize) {
                availability.subtract_all(inventory);
            }
        }
        self.forget_page_source(peer);
        self.dirty = true;
    }

    pub(crate) fn on_goodbye(&mut self, peer: PeerId, reason: Reason) {
        if reason == Reason::Leaving && self.peers.get(&peer).is_some_and(Peer::is_ready) {
            // It may have sent a last receipt that its goodbye overtook, and wants one from us.
            self.begin_parting(peer);
            if let Some(state) = self.peers.get_mut(&peer) {
                state.parting_until_ms = Some(self.now_ms + LINGER_MS);
            }
            return;
        }
        self.forget(peer);
        self.outputs.push_back(Output::Close { peer, reason });
    }

    pub(crate) fn on_leave(&mut self) {
        self.leaving = true;
        self.chunks.want(&Want::Nothing);
        let readers: Vec<u32> = self.readers.keys().copied().collect();
        readers.into_iter().for_each(|reader| self.on_playhead(reader, None));
        self.drop_unwanted();
        for peer in self.peers.keys().copied().collect::<Vec<_>>() {
            if !self.begin_parting(peer) {
                self.part(peer);
            }
        }
    }

    /// Has the last receipt signed before the goodbye; false if none is owed.
    fn begin_parting(&mut self, peer: PeerId) -> bool {
        self.drop_requests(peer);
        let until_ms = self.now_ms + PARTING_MS;
        if !self.ask_for_receipt(peer) {
            return false;
        }
        if let Some(state) = self.peers.get_mut(&peer) {
            state.parting_until_ms = Some(until_ms);
        }
        true
    }

    pub(crate) fn part(&mut self, peer: PeerId) {
        self.close(peer, Reason::Leaving);
    }

    /// Handshakes that take too long, tokens that ran out, goodbyes that waited long enough.
    pub(crate) fn tend_members(&mut self) {
        let now_ms = self.now_ms;
        let due = |state: &Peer| match (&state.member, state.parting_until_ms) {
            (_, Some(until_ms)) => (now_ms >= until_ms).then_some(Reason::Leaving),
            (None, None) => (now_ms >= state.opened_ms + HELLO_MS_MAX).then_some(Reason::NotAuthorized),
            (Some(member), None) => {
                (now_ms >= member.expires_at_ms + TOKEN_GRACE_MS).then_some(Reason::NotAuthorized)
            }
        };
        let ended: Vec<_> =
            self.peers.iter().filter_map(|(peer, state)| Some((*peer, due(state)?))).collect();
        for (peer, reason) in ended {
            self.close(peer, reason);
        }
    }
}
