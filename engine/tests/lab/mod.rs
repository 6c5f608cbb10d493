//! A deterministic laboratory: virtual time, a seeded network, an origin, devices with real keys and a real release.
//!
//! Invariants are checked at every step: nothing but the genuine chunk is ever stored, nothing is stored twice, only
//! stored chunks are read, nothing is sent on a closed channel, and send queues stay within the engine's window.

mod driver;
mod node;
mod origin;
mod player;
mod release;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::rc::Rc;

use bytes::Bytes;
use matinee_engine::{Input, Swarm, Want};
use matinee_protocol::device::SigningKey;
use matinee_protocol::frame::Reason;
use matinee_protocol::id::{ChunkAddress, FileIndex, PeerId};
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::{Rng, SeedableRng};

pub(crate) use node::{EVERY_LIE, Lie, Node, Player, Spec};
use origin::Origin;
pub(crate) use release::{ISSUER, Release, START_MS};

/// Queue length at which a driver says drained.
const LOW_WATER_BYTES: usize = 64 * 1024;
const JITTER_US: u64 = 4_000;
const DISK_US: u64 = 500;
const PLAYER_TICK_US: u64 = 250_000;
/// How long a dead peer goes unnoticed.
const DETECT_US: u64 = 1_400_000;

enum Event {
    Open { one: usize, other: usize },
    Input { node: usize, input: Input },
    Departed { from: usize, to: usize, bytes: usize },
    Deliver { from: usize, to: usize, channel: u64, bytes: Bytes },
    Wake { node: usize },
    Play { node: usize },
    Closed { node: usize, peer: usize, channel: u64 },
    Script(Box<dyn FnOnce(&mut Lab)>),
}

/// The laboratory.
pub(crate) struct Lab {
    pub(crate) release: Rc<Release>,
    /// What [`Lie::OldRelease`] sends.
    old_release: Option<Rc<Release>>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) origin: Origin,
    pub(crate) now_us: u64,
    pub(crate) seed: u64,
    rng: Pcg64Mcg,
    events: BinaryHeap<Reverse<(u64, u64)>>,
    bodies: BTreeMap<u64, Event>,
    sequence: u64,
    /// Open channels: (node, node) in both orders → number of the channel.
    channels: BTreeMap<(usize, usize), u64>,
    overheard: Option<Bytes>,
    pub(crate) token_ms: u64,
    /// One frame in so many arrives with a flipped bit.
    pub(crate) flip_one_in: Option<u64>,
    /// A running digest of everything that happened.
    pub(crate) trace: u64,
}

impl Lab {
    pub(crate) fn new(seed: u64, release: Rc<Release>) -> Self {
        println!("laboratory seed {seed}");
        Self {
            release,
            old_release: None,
            nodes: Vec::new(),
            origin: Origin::default(),
            now_us: START_MS * 1000,
            seed,
            rng: Pcg64Mcg::seed_from_u64(seed),
            events: BinaryHeap::new(),
            bodies: BTreeMap::new(),
            sequence: 0,
            channels: BTreeMap::new(),
            overheard: None,
            token_ms: 3_600_000,
            flip_one_in: None,
            trace: seed,
        }
    }

    pub(crate) fn elapsed_ms(&self) -> u64 {
        self.now_us / 1000 - START_MS
    }

    fn at(&mut self, time_us: u64, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((time_us.max(self.now_us), self.sequence)));
        self.bodies.insert(self.sequence, event);
    }

    /// Something to do after so many milliseconds from now.
    pub(crate) fn after(&mut self, ms: u64, script: impl FnOnce(&mut Lab) + 'static) {
        self.at(self.now_us + ms * 1000, Event::Script(Box::new(script)));
    }

    pub(crate) fn add(&mut self, spec: Spec) -> usize {
        let index = self.nodes.len();
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        let device = SigningKey::from_seed(&seed);
        let mut id = [0; 16];
        self.rng.fill_bytes(&mut id);
        let swarm = Swarm::new(
            spec.config.clone(),
            self.release.manifest.clone(),
            self.release.identity(&device),
            self.seed.wrapping_add(index as u64),
        );
        let seeder = spec.seeder || spec.lie.is_some();
        if spec.lie == Some(Lie::OldRelease) && self.old_release.is_none() {
            let sizes: Vec<u64> = self.release.manifest.files.iter().map(|file| file.size_bytes).collect();
            self.old_release = Some(Rc::new(Release::new(self.seed ^ 99, &sizes)));
        }
        self.nodes.push(Node {
            swarm,
            spec,
            device,
            id: PeerId::from_bytes(id),
            alive: true,
            store: BTreeMap::new(),
            up_free_us: 0,
            down_free_us: 0,
            queued: BTreeMap::new(),
            drain_due: BTreeSet::new(),
            wake_us: None,
            player: None,
            remembered: BTreeMap::new(),
            reported: Vec::new(),
            closed: Vec::new(),
            ready: BTreeSet::new(),
            receipts: BTreeMap::new(),
            origin_requests: 0,
            page_requests: 0,
            cancelled_runs: BTreeSet::new(),
            queued_most: 0,
        });
        if seeder {
            let release = self.release.clone();
            for (file, chunks) in release.chunks.iter().enumerate() {
                for (chunk, bytes) in chunks.iter().enumerate() {
                    self.nodes[index]
                        .store
                        .insert(ChunkAddress::new(file as u32, chunk as u32), bytes.clone());
                }
                let file = FileIndex(file as u32);
                self.input(index, Input::Held { file, chunks: vec![(0, chunks.len() as u32)] });
                for (page, bytes) in release.pages[file.get() as usize].iter().enumerate() {
                    self.input(
                        index,
                        Input::PageArrived { file, page: (page as u32).into(), bytes: bytes.clone() },
                    );
                }
            }
        }
        index
    }

    /// Opens a channel between two devices, as signaling would.
    pub(crate) fn connect(&mut self, one: usize, other: usize) {
        let setup = 200_000 + self.rng.next_u64() % 150_000;
        self.at(self.now_us + setup, Event::Open { one, other });
    }

    pub(crate) fn connect_all(&mut self) {
        for one in 0..self.nodes.len() {
            for other in 0..one {
                self.connect(one, other);
            }
        }
    }

    /// Connects a newcomer to everyone there.
    pub(crate) fn connect_to_all(&mut self, one: usize) {
        (0..self.nodes.len()).filter(|other| *other != one).for_each(|other| self.connect(one, other));
    }

    /// The device is gone without a word; the others notice after a while.
    pub(crate) fn kill(&mut self, node: usize) {
        self.nodes[node].alive = false;
        let channels: Vec<((usize, usize), u64)> = self
            .channels
            .iter()
            .filter(|((one, _), _)| *one == node)
            .map(|(key, channel)| (*key, *channel))
            .collect();
        for ((_, other), channel) in channels {
            self.at(self.now_us + DETECT_US, Event::Closed { node: other, peer: node, channel });
        }
    }

    pub(crate) fn want_everything(&mut self, node: usize) {
        self.input(node, Input::Want { want: Want::Everything });
    }

    /// Runs until `done` says so; panics if it does not within so many virtual milliseconds.
    pub(crate) fn run_until(&mut self, within_ms: u64, what: &str, mut done: impl FnMut(&Lab) -> bool) {
        let end = self.now_us + within_ms * 1000;
        while !done(self) {
            assert!(
                self.step(end),
                "seed {}: {what} did not happen within {within_ms} ms\n{}",
                self.seed,
                self.report()
            );
        }
    }

    pub(crate) fn run_for(&mut self, ms: u64) {
        let end = self.now_us + ms * 1000;
        while self.step(end) {}
        self.now_us = end;
    }

    fn step(&mut self, end_us: u64) -> bool {
        let Some(Reverse((time_us, number))) = self.events.peek().copied() else {
            return false;
        };
        if time_us > end_us {
            return false;
        }
        self.events.pop();
        self.now_us = time_us;
        let Some(event) = self.bodies.remove(&number) else {
            return true;
        };
        self.happen(event);
        true
    }

    fn note(&mut self, what: u64) {
        self.trace = (self.trace ^ what ^ self.now_us).wrapping_mul(0x100_0000_01b3).rotate_left(17);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Open { one, other } => self.open(one, other),
            Event::Input { node, input } => self.input(node, input),
            Event::Departed { from, to, bytes } => {
                let queued = self.nodes[from].queued.entry(to).or_default();
                let before = *queued;
                *queued = queued.saturating_sub(bytes);
                if before > LOW_WATER_BYTES && *queued <= LOW_WATER_BYTES {
                    let peer = self.nodes[to].id;
                    self.input(from, Input::Drained { peer });
                }
            }
            Event::Deliver { from, to, channel, bytes } => {
                self.note(bytes.len() as u64 ^ (from as u64) << 32 ^ (to as u64) << 48);
                let open = self.channels.get(&(to, from)) == Some(&channel);
                if open && self.nodes[from].alive {
                    let peer = self.nodes[from].id;
                    self.input(to, Input::Frame { peer, bytes });
                }
            }
            Event::Wake { node } => {
                if self.nodes[node].wake_us.is_some_and(|at| at <= self.now_us) {
                    self.nodes[node].wake_us = None;
                    self.input(node, Input::Tick);
                }
            }
            Event::Play { node } => self.advance_player(node),
            Event::Closed { node, peer, channel } => {
                if self.channels.get(&(node, peer)) == Some(&channel) {
                    self.channels.remove(&(node, peer));
                    let peer = self.nodes[peer].id;
                    self.input(node, Input::PeerClosed { peer });
                }
            }
            Event::Script(script) => script(self),
        }
    }

    pub(crate) fn is_whole(&self, node: usize) -> bool {
        self.nodes[node].store.len() == self.release.chunk_count()
    }

    /// A table of every device, for people and for failures.
    pub(crate) fn report(&self) -> String {
        let mut text =
            format!("after {} ms, origin gave {} bytes\n", self.elapsed_ms(), self.origin.served_bytes);
        for (index, node) in self.nodes.iter().enumerate() {
            let stats = node.stats();
            text += &format!(
                "  {index}: {:?} held {}/{} missing {} in flight {} peers {} from peers {} origin {} up {} wasted {} stalls {} ({} ms) first {:?} ms closed {:?}\n",
                node.spec.lie,
                stats.chunks_held,
                stats.chunks_total,
                stats.chunks_missing,
                stats.chunks_in_flight,
                stats.peers.len(),
                stats.peer_bytes,
                stats.origin_bytes,
                stats.uploaded_bytes,
                stats.wasted_bytes,
                node.player.as_ref().map_or(0, |player| player.stalls),
                node.stalled_ms(),
                node.player.as_ref().and_then(|player| player.first_chunk_ms),
                node.closed.iter().map(|(_, reason)| *reason).collect::<Vec<Reason>>(),
            );
        }
        text
    }
}
