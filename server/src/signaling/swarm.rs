//! The members of one swarm and whom a newcomer is told of. Pure: randomness comes in.

use std::collections::{BTreeMap, HashMap, VecDeque};

use matinee_protocol::id::{PeerId, Thumbprint, ViewId};
use matinee_protocol::limit::PEERS_GIVEN_MAX;
use matinee_protocol::signaling::{Near, PeerHint};
use matinee_protocol::token::Role;
use rand::{Rng, RngExt};

use super::hub::Line;
use super::near::Network;

/// Near peers that a newcomer is told of at most, so that a large household does not shut it off from the world.
const NEAR_GIVEN_MAX: usize = 12;
/// Carriers that a newcomer is told of at most: they hold everything and stay.
const CARRIERS_GIVEN_MAX: usize = 6;
/// Peers drawn at random from the whole swarm, so that it does not fall into a chain of newcomers.
const RANDOM_GIVEN_MAX: usize = 6;
/// Peers a member is remembered to have met, to tell it when they leave.
const MET_MAX: usize = 256;

/// One member of a swarm.
#[derive(Debug)]
pub struct Member {
    /// The view, or a carrier's opaque id.
    pub view: ViewId,
    /// The device.
    pub device: Thumbprint,
    /// What it may do.
    pub role: Role,
    /// Where it is.
    pub network: Network,
    /// How to reach it.
    pub line: Line,
    met: VecDeque<PeerId>,
    joined: u64,
    position: usize,
}

/// The members, indexed by what is asked of them.
#[derive(Debug, Default)]
pub struct Swarm {
    members: HashMap<PeerId, Member>,
    /// In no order, to draw from.
    all: Vec<PeerId>,
    newest: BTreeMap<u64, PeerId>,
    carriers: BTreeMap<u64, PeerId>,
    near: HashMap<Network, BTreeMap<u64, PeerId>>,
    joins: u64,
}

impl Member {
    /// A member that has met nobody.
    #[must_use]
    pub fn new(view: ViewId, device: Thumbprint, role: Role, network: Network, line: Line) -> Self {
        Self { view, device, role, network, line, met: VecDeque::new(), joined: 0, position: 0 }
    }
}

impl Swarm {
    /// Adds a member.
    pub fn insert(&mut self, peer: PeerId, mut member: Member) {
        self.joins += 1;
        member.joined = self.joins;
        member.position = self.all.len();
        self.all.push(peer);
        self.newest.insert(member.joined, peer);
        if member.role == Role::Carrier {
            self.carriers.insert(member.joined, peer);
        }
        self.near.entry(member.network).or_default().insert(member.joined, peer);
        self.members.insert(peer, member);
    }

    /// Removes a member and says who had met it.
    pub fn remove(&mut self, peer: PeerId) -> Option<(Member, Vec<PeerId>)> {
        let member = self.members.remove(&peer)?;
        self.all.swap_remove(member.position);
        if let Some(moved) = self.all.get(member.position).and_then(|moved| self.members.get_mut(moved)) {
            moved.position = member.position;
        }
        self.newest.remove(&member.joined);
        self.carriers.remove(&member.joined);
        if let Some(near) = self.near.get_mut(&member.network) {
            near.remove(&member.joined);
            if near.is_empty() {
                self.near.remove(&member.network);
            }
        }
        let met: Vec<PeerId> =
            member.met.iter().copied().filter(|met| self.members.contains_key(met)).collect();
        Some((member, met))
    }

    /// A member.
    #[must_use]
    pub fn get(&self, peer: PeerId) -> Option<&Member> {
        self.members.get(&peer)
    }

    /// How many members there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether nobody is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Every member's id.
    pub fn peers(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.all.iter().copied()
    }

    /// Remembers that two members know of each other.
    pub fn meet(&mut self, one: PeerId, other: PeerId) {
        for (of, met) in [(one, other), (other, one)] {
            if let Some(member) = self.members.get_mut(&of)
                && !member.met.contains(&met)
            {
                if member.met.len() == MET_MAX {
                    member.met.pop_front();
                }
                member.met.push_back(met);
            }
        }
    }

    /// Whom to tell `newcomer` of: at most [`PEERS_GIVEN_MAX`], near ones first, none it has met, none that `apart`
    /// keeps from it.
    pub fn introduce(
        &mut self,
        newcomer: PeerId,
        random: &mut impl Rng,
        apart: impl Fn(&Member, &Member) -> bool,
    ) -> Vec<PeerHint> {
        let Some(own) = self.members.get(&newcomer) else { return Vec::new() };
        let mut given: Vec<PeerHint> = Vec::with_capacity(PEERS_GIVEN_MAX);
        let mut give = |peer: PeerId, room: usize| {
            let Some(member) = self.members.get(&peer) else { return };
            let known = given.iter().any(|hint| hint.peer == peer) || own.met.contains(&peer);
            let same = peer == newcomer || member.device == own.device;
            if given.len() >= room || known || same || apart(own, member) {
                return;
            }
            let near = if member.network == own.network { Near::Lan } else { Near::Far };
            given.push(PeerHint { peer, near });
        };
        // Every candidate list is cut to a fixed length, so that a huge swarm costs no more than a small one.
        let candidates = 2 * PEERS_GIVEN_MAX;
        if let Some(near) = self.near.get(&own.network) {
            near.values().rev().take(candidates).for_each(|&peer| give(peer, NEAR_GIVEN_MAX));
        }
        let carriers = NEAR_GIVEN_MAX + CARRIERS_GIVEN_MAX;
        self.carriers.values().rev().take(candidates).for_each(|&peer| give(peer, carriers));
        for _ in 0..RANDOM_GIVEN_MAX {
            give(self.all[random.random_range(0..self.all.len())], carriers + RANDOM_GIVEN_MAX);
        }
        self.newest.values().rev().take(candidates).for_each(|&peer| give(peer, PEERS_GIVEN_MAX));
        for _ in 0..candidates {
            give(self.all[random.random_range(0..self.all.len())], PEERS_GIVEN_MAX);
        }
        given.sort_by_key(|hint| hint.near);
        for hint in &given {
            self.meet(newcomer, hint.peer);
        }
        given
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signaling::near::network;
    use proptest::prelude::*;
    use rand::SeedableRng as _;

    fn peer(n: u32) -> PeerId {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        PeerId::from_bytes(bytes)
    }

    fn member(n: u32, address: [u8; 4], role: Role) -> Member {
        let mut device = [0; 32];
        device[..4].copy_from_slice(&n.to_be_bytes());
        let (line, _reader) = Line::new();
        Member::new(
            ViewId::from_bytes([0; 16]),
            Thumbprint::from_bytes(device),
            role,
            network(address.into()),
            line,
        )
    }

    fn swarm(far: u32) -> Swarm {
        let mut swarm = Swarm::default();
        for n in 0..far {
            let [_, b, c, d] = n.to_be_bytes();
            swarm.insert(
                peer(n),
                member(n, [203, b, c, d], if n == 0 { Role::Carrier } else { Role::Viewer }),
            );
        }
        swarm
    }

    fn random() -> rand::rngs::StdRng {
        rand::rngs::StdRng::from_seed([3; 32])
    }

    #[test]
    fn near_ones_first_and_the_old_carrier_is_among_them() {
        let mut swarm = swarm(1000);
        swarm.insert(peer(2000), member(2000, [192, 168, 0, 7], Role::Viewer));
        swarm.insert(peer(2001), member(2001, [192, 168, 0, 8], Role::Viewer));
        let given = swarm.introduce(peer(2001), &mut random(), |_, _| false);
        assert_eq!(given.len(), PEERS_GIVEN_MAX);
        assert_eq!(given[0], PeerHint { peer: peer(2000), near: Near::Lan });
        assert!(given[1..].iter().all(|hint| hint.near == Near::Far));
        assert!(given.iter().any(|hint| hint.peer == peer(0)), "the carrier joined first and is told of");
        let more = swarm.introduce(peer(2001), &mut random(), |_, _| false);
        assert!(more.iter().all(|hint| !given.contains(hint)), "nobody is told twice");
        assert!(more.len() > PEERS_GIVEN_MAX / 2);
    }

    #[test]
    fn those_kept_apart_and_own_devices_are_left_out() {
        let mut swarm = swarm(3);
        swarm.insert(peer(9), member(2, [9, 9, 9, 9], Role::Viewer));
        let given = swarm.introduce(peer(9), &mut random(), |_, other| other.role == Role::Carrier);
        assert_eq!(given.iter().map(|hint| hint.peer).collect::<Vec<_>>(), [peer(1)]);
    }

    #[test]
    fn a_leaver_is_told_to_those_it_met() {
        let mut swarm = swarm(2);
        swarm.introduce(peer(1), &mut random(), |_, _| false);
        let (_, met) = swarm.remove(peer(0)).unwrap();
        assert_eq!(met, [peer(1)]);
        assert!(swarm.remove(peer(0)).is_none());
    }

    proptest! {
        /// The indexes agree with the members whatever comes and goes.
        #[test]
        fn indexes_stay_in_step(steps in proptest::collection::vec((any::<bool>(), 0_u32..40), 1..200)) {
            let mut swarm = Swarm::default();
            let mut random = random();
            for (join, n) in steps {
                if join && swarm.get(peer(n)).is_none() {
                    let role = if n % 5 == 0 { Role::Carrier } else { Role::Viewer };
                    swarm.insert(peer(n), member(n, [10, 0, (n % 3) as u8, 1], role));
                    let given = swarm.introduce(peer(n), &mut random, |_, _| false);
                    prop_assert!(given.len() <= PEERS_GIVEN_MAX);
                    prop_assert!(given.iter().all(|hint| hint.peer != peer(n) && swarm.get(hint.peer).is_some()));
                } else {
                    swarm.remove(peer(n));
                }
                prop_assert_eq!(swarm.all.len(), swarm.members.len());
                prop_assert_eq!(swarm.newest.len(), swarm.members.len());
                prop_assert_eq!(swarm.near.values().map(BTreeMap::len).sum::<usize>(), swarm.members.len());
                for (at, listed) in swarm.all.iter().enumerate() {
                    prop_assert_eq!(swarm.members[listed].position, at);
                }
            }
        }
    }
}
