//! Who is in which swarm, and the passing of messages between members.
//!
//! A member is in exactly one swarm for as long as its [`Membership`] lives. Nothing here waits: a member whose queue is
//! full is cut off, so one stalled socket cannot hold up a swarm.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use matinee_protocol::id::{PeerId, SwarmId, Thumbprint, ViewId};
use matinee_protocol::signaling::{PeerHint, Relay, ToPeer};
use matinee_protocol::token::Role;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::near::network;
use super::swarm::{Member, Swarm};
use crate::random;

/// Messages that may wait for one socket.
pub const QUEUE_MESSAGES_MAX: usize = 128;
/// Connections of one view at once.
pub const VIEW_CONNECTIONS_MAX: usize = 4;
/// Members of all swarms together.
pub const MEMBERS_MAX: usize = 50_000;
/// Connections from one address at once, joined or not; a campus or a carrier's NAT is one address.
pub const ADDRESS_CONNECTIONS_MAX: u32 = 512;

/// How long the server remembers that a view was revoked: longer than the last token it was given.
const REVOKED_S: u64 = 600;
/// How long a report can still name a peer that has left.
const DEPARTED_S: u64 = 600;
/// How long two devices of which one reported the other are kept apart.
const APART_S: u64 = 24 * 60 * 60;
/// Entries of each of these memories.
const REMEMBERED_MAX: u64 = 100_000;

/// Who is in which swarm. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Hub {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Views that were revoked, and why.
    revoked: moka::sync::Cache<ViewId, Arc<str>>,
    /// Members that left lately, so that a report about them still finds its mark.
    departed: moka::sync::Cache<(SwarmId, PeerId), (ViewId, Thumbprint)>,
    /// Pairs of devices that are not introduced to each other, in either order.
    apart: moka::sync::Cache<(Thumbprint, Thumbprint), ()>,
}

#[derive(Debug)]
struct State {
    swarms: HashMap<SwarmId, Swarm>,
    views: HashMap<ViewId, Vec<(SwarmId, PeerId)>>,
    addresses: HashMap<IpAddr, u32>,
    members: usize,
    random: StdRng,
}

/// Why a connection ends without its peer having asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Its queue ran full.
    Stalled,
    /// Its view was ended.
    Revoked(Arc<str>),
}

/// The hub's end of a member's connection.
#[derive(Clone, Debug)]
pub struct Line {
    queue: mpsc::Sender<Utf8Bytes>,
    cut: CancellationToken,
    why: Arc<OnceLock<Cut>>,
}

/// The socket's end.
#[derive(Debug)]
pub struct LineReader {
    queue: mpsc::Receiver<Utf8Bytes>,
    cut: CancellationToken,
    why: Arc<OnceLock<Cut>>,
}

/// Who wants to join what.
#[derive(Clone, Copy, Debug)]
pub struct Joining {
    /// The swarm of the token.
    pub swarm: SwarmId,
    /// The token's subject.
    pub view: ViewId,
    /// The device that proved itself.
    pub device: Thumbprint,
    /// The token's role.
    pub role: Role,
    /// Where the connection comes from.
    pub address: IpAddr,
}

/// Why a connection or a membership was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Too many connections from one address, in one view, or on this server.
    #[error("too many connections: close another first")]
    TooMany,
    /// The view was ended.
    #[error("the view was ended: {0}")]
    Revoked(Arc<str>),
}

/// A place among the connections of an address; given back on drop.
#[derive(Debug)]
pub struct Connection {
    hub: Hub,
    address: IpAddr,
}

/// A membership; dropping it leaves the swarm and tells those who know the peer.
#[derive(Debug)]
pub struct Membership {
    hub: Hub,
    swarm: SwarmId,
    peer: PeerId,
    view: ViewId,
    /// What the hub sends to this member.
    pub line: LineReader,
}

/// Somebody of whom a member complained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accused {
    /// Its view.
    pub view: ViewId,
    /// Its device.
    pub device: Thumbprint,
}

impl Line {
    /// Both ends of a line.
    #[must_use]
    pub fn new() -> (Self, LineReader) {
        let (queue, reader) = mpsc::channel(QUEUE_MESSAGES_MAX);
        let (cut, why) = (CancellationToken::new(), Arc::new(OnceLock::new()));
        (Self { queue, cut: cut.clone(), why: Arc::clone(&why) }, LineReader { queue: reader, cut, why })
    }

    fn send(&self, message: Utf8Bytes) {
        if matches!(self.queue.try_send(message), Err(mpsc::error::TrySendError::Full(_))) {
            self.cut(Cut::Stalled);
        }
    }

    fn cut(&self, why: Cut) {
        // The first reason stands.
        let _ = self.why.set(why);
        self.cut.cancel();
    }
}

impl LineReader {
    /// The next message, or why there are no more.
    pub async fn next(&mut self) -> Result<Utf8Bytes, Cut> {
        tokio::select! {
            biased;
            () = self.cut.cancelled() => Err(self.why.get().cloned().unwrap_or(Cut::Stalled)),
            message = self.queue.recv() => message.ok_or(Cut::Stalled),
        }
    }

    /// Resolves when the connection should end.
    pub async fn cut(&self) -> Cut {
        self.cut.cancelled().await;
        self.why.get().cloned().unwrap_or(Cut::Stalled)
    }
}

impl Default for Hub {
    fn default() -> Self {
        Self::seeded(random::bytes())
    }
}

impl Hub {
    /// A hub whose choices of peers follow from `seed`.
    #[must_use]
    pub fn seeded(seed: [u8; 32]) -> Self {
        let state = State {
            swarms: HashMap::new(),
            views: HashMap::new(),
            addresses: HashMap::new(),
            members: 0,
            random: StdRng::from_seed(seed),
        };
        let shared = Shared {
            state: Mutex::new(state),
            revoked: memory(REVOKED_S),
            departed: memory(DEPARTED_S),
            apart: memory(APART_S),
        };
        Self { shared: Arc::new(shared) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a connection that has not joined yet.
    ///
    /// # Errors
    /// [`Refused::TooMany`] when its address has [`ADDRESS_CONNECTIONS_MAX`].
    pub fn connect(&self, address: IpAddr) -> Result<Connection, Refused> {
        let address = address.to_canonical();
        let mut state = self.state();
        let count = state.addresses.entry(address).or_default();
        if *count >= ADDRESS_CONNECTIONS_MAX {
            return Err(Refused::TooMany);
        }
        *count += 1;
        drop(state);
        Ok(Connection { hub: self.clone(), address })
    }

    /// Makes a member and says whom it should offer to.
    ///
    /// # Errors
    /// [`Refused`] when the view was revoked or has all the connections it may.
    pub fn join(&self, joining: Joining) -> Result<(Membership, Vec<PeerHint>, PeerId), Refused> {
        if let Some(reason) = self.shared.revoked.get(&joining.view) {
            return Err(Refused::Revoked(reason));
        }
        let peer = PeerId::from_bytes(random::bytes());
        let (line, reader) = Line::new();
        let Joining { swarm, view, device, role, address } = joining;
        let mut state = self.state();
        let state = &mut *state;
        let memberships = state.views.entry(view).or_default();
        if memberships.len() >= VIEW_CONNECTIONS_MAX || state.members >= MEMBERS_MAX {
            return Err(Refused::TooMany);
        }
        memberships.push((swarm, peer));
        state.members += 1;
        let members = state.swarms.entry(swarm).or_default();
        members.insert(peer, Member::new(view, device, role, network(address), line));
        let peers = members.introduce(peer, &mut state.random, |one, other| self.kept_apart(one, other));
        Ok((Membership { hub: self.clone(), swarm, peer, view, line: reader }, peers, peer))
    }

    fn kept_apart(&self, one: &Member, other: &Member) -> bool {
        self.shared.apart.contains_key(&pair(one.device, other.device))
    }

    /// Ends every membership held by `view`, refuses it from now on, and tells its peers that it left.
    pub fn revoke_view(&self, view: ViewId, reason: &str) {
        let reason: Arc<str> = reason.into();
        self.shared.revoked.insert(view, Arc::clone(&reason));
        let state = self.state();
        for (swarm, peer) in state.views.get(&view).into_iter().flatten() {
            if let Some(member) = state.swarms.get(swarm).and_then(|swarm| swarm.get(*peer)) {
                member.line.cut(Cut::Revoked(Arc::clone(&reason)));
            }
        }
    }

    /// How many members a swarm has.
    #[must_use]
    pub fn members(&self, swarm: SwarmId) -> usize {
        self.state().swarms.get(&swarm).map_or(0, Swarm::len)
    }

    /// How many members there are in all swarms.
    #[must_use]
    pub fn members_total(&self) -> usize {
        self.state().members
    }

    fn leave(&self, membership: &Membership) {
        let mut state = self.state();
        let state = &mut *state;
        if let Some(of_view) = state.views.get_mut(&membership.view) {
            of_view.retain(|(_, peer)| *peer != membership.peer);
            if of_view.is_empty() {
                state.views.remove(&membership.view);
            }
        }
        let Some(swarm) = state.swarms.get_mut(&membership.swarm) else { return };
        let Some((member, met)) = swarm.remove(membership.peer) else { return };
        state.members -= 1;
        self.shared.departed.insert((membership.swarm, membership.peer), (member.view, member.device));
        let left = Utf8Bytes::from(ToPeer::Left { peer: membership.peer }.encode());
        for other in met.iter().filter_map(|other| swarm.get(*other)) {
            other.line.send(left.clone());
        }
        if swarm.is_empty() {
            state.swarms.remove(&membership.swarm);
        }
    }
}

impl Membership {
    /// Own id.
    #[must_use]
    pub fn peer(&self) -> PeerId {
        self.peer
    }

    /// Passes a message on to a member of the same swarm. False when there is no such member any more.
    pub fn relay(&self, relay: Relay) -> bool {
        let mut state = self.hub.state();
        let to = relay.peer();
        let Some(swarm) = state.swarms.get_mut(&self.swarm) else { return false };
        let (Some(own), Some(other)) = (swarm.get(self.peer), swarm.get(to)) else { return false };
        if to == self.peer || self.hub.kept_apart(own, other) {
            return false;
        }
        other.line.send(ToPeer::Relay(relay.with_peer(self.peer)).encode().into());
        swarm.meet(self.peer, to);
        true
    }

    /// More peers than were told so far.
    #[must_use]
    pub fn more(&self) -> Vec<PeerHint> {
        let mut state = self.hub.state();
        let state = &mut *state;
        let Some(swarm) = state.swarms.get_mut(&self.swarm) else { return Vec::new() };
        swarm.introduce(self.peer, &mut state.random, |one, other| self.hub.kept_apart(one, other))
    }

    /// Finds out who `peer` is, or was lately, and keeps the two apart from now on.
    #[must_use]
    pub fn accuse(&self, peer: PeerId) -> Option<Accused> {
        let state = self.hub.state();
        let swarm = state.swarms.get(&self.swarm)?;
        let own = swarm.get(self.peer)?.device;
        let present = swarm.get(peer).map(|member| (member.view, member.device));
        drop(state);
        let (view, device) = present.or_else(|| self.hub.shared.departed.get(&(self.swarm, peer)))?;
        if device != own {
            self.hub.shared.apart.insert(pair(own, device), ());
        }
        Some(Accused { view, device })
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.hub.leave(self);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut state = self.hub.state();
        if let Some(count) = state.addresses.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                state.addresses.remove(&self.address);
            }
        }
    }
}

/// A pair of devices in an order of its own.
fn pair(one: Thumbprint, other: Thumbprint) -> (Thumbprint, Thumbprint) {
    if one <= other { (one, other) } else { (other, one) }
}

fn memory<K, V>(seconds: u64) -> moka::sync::Cache<K, V>
where
    K: std::hash::Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    moka::sync::Cache::builder()
        .max_capacity(REMEMBERED_MAX)
        .time_to_live(Duration::from_secs(seconds))
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joining(view: u8, device: u8) -> Joining {
        Joining {
            swarm: SwarmId::from_bytes([1; 16]),
            view: ViewId::from_bytes([view; 16]),
            device: Thumbprint::from_bytes([device; 32]),
            role: Role::Viewer,
            address: IpAddr::from([203, 0, 113, device]),
        }
    }

    fn hub() -> Hub {
        Hub::seeded([1; 32])
    }

    fn offer(peer: PeerId) -> Relay {
        Relay::Offer { peer, sdp: "v=0".to_owned() }
    }

    async fn next(membership: &mut Membership) -> ToPeer {
        ToPeer::decode(&membership.line.next().await.unwrap()).unwrap()
    }

    #[tokio::test]
    async fn relays_within_the_swarm_and_tells_of_leaving() {
        let hub = hub();
        let (mut old, peers, old_id) = hub.join(joining(1, 1)).unwrap();
        assert!(peers.is_empty());
        let (new, peers, new_id) = hub.join(joining(2, 2)).unwrap();
        assert_eq!(peers.iter().map(|hint| hint.peer).collect::<Vec<_>>(), [old_id]);
        assert!(new.relay(offer(old_id)));
        assert_eq!(next(&mut old).await, ToPeer::Relay(offer(new_id)));
        let mut elsewhere = joining(3, 3);
        elsewhere.swarm = SwarmId::from_bytes([2; 16]);
        let (outsider, peers, _) = hub.join(elsewhere).unwrap();
        assert!(peers.is_empty());
        assert!(!outsider.relay(offer(old_id)), "another swarm's peers cannot be reached");
        drop(new);
        assert_eq!(next(&mut old).await, ToPeer::Left { peer: new_id });
        assert_eq!(hub.members(SwarmId::from_bytes([1; 16])), 1);
    }

    #[tokio::test]
    async fn a_revoked_view_is_cut_off_and_stays_out() {
        let hub = hub();
        let (member, _, id) = hub.join(joining(1, 1)).unwrap();
        let (mut other, _, _) = hub.join(joining(2, 2)).unwrap();
        hub.revoke_view(ViewId::from_bytes([1; 16]), "refunded");
        assert_eq!(member.line.cut().await, Cut::Revoked("refunded".into()));
        drop(member);
        assert_eq!(next(&mut other).await, ToPeer::Left { peer: id });
        assert_eq!(hub.join(joining(1, 1)).unwrap_err(), Refused::Revoked("refunded".into()));
    }

    #[tokio::test]
    async fn a_stalled_member_is_cut_off() {
        let hub = hub();
        let (stalled, _, stalled_id) = hub.join(joining(1, 1)).unwrap();
        let (busy, _, _) = hub.join(joining(2, 2)).unwrap();
        for _ in 0..=QUEUE_MESSAGES_MAX {
            assert!(busy.relay(offer(stalled_id)));
        }
        assert_eq!(stalled.line.cut().await, Cut::Stalled);
    }

    #[test]
    fn connections_have_limits() {
        let hub = hub();
        let kept: Vec<_> = (0..VIEW_CONNECTIONS_MAX).map(|_| hub.join(joining(1, 1)).unwrap()).collect();
        assert_eq!(hub.join(joining(1, 1)).unwrap_err(), Refused::TooMany);
        drop(kept);
        assert!(hub.join(joining(1, 1)).is_ok());
        assert_eq!(hub.members_total(), 0);
        let address = IpAddr::from([198, 51, 100, 1]);
        let kept: Vec<_> = (0..ADDRESS_CONNECTIONS_MAX).map(|_| hub.connect(address).unwrap()).collect();
        assert_eq!(hub.connect(address).unwrap_err(), Refused::TooMany);
        drop(kept);
        assert!(hub.connect(address).is_ok());
    }

    #[test]
    fn a_report_names_the_view_and_parts_the_two() {
        let hub = hub();
        let (bad, _, bad_id) = hub.join(joining(1, 1)).unwrap();
        let (good, _, _) = hub.join(joining(2, 2)).unwrap();
        let accused = Accused { view: ViewId::from_bytes([1; 16]), device: Thumbprint::from_bytes([1; 32]) };
        assert_eq!(good.accuse(bad_id), Some(accused));
        assert!(!good.relay(offer(bad_id)));
        drop(bad);
        assert_eq!(good.accuse(bad_id), Some(accused), "also after it left");
        assert_eq!(good.accuse(PeerId::from_bytes([9; 16])), None);
        let (_back, peers, _) = hub.join(joining(1, 1)).unwrap();
        assert!(peers.is_empty(), "not introduced again");
    }
}
