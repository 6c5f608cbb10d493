//! A deterministic laboratory: virtual time, a seeded network, an origin, devices with real keys and a real release.
//!
//! Invariants are checked at every step: nothing but the genuine chunk is ever stored, nothing is stored twice, only
//! stored chunks are read, nothing is sent on a closed channel, and send queues stay within the engine's window.

pub mod node;
pub mod origin;
pub mod release;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::rc::Rc;

use bytes::Bytes;
use matinee_engine::{Input, Output, SEND_WINDOW_BYTES, Swarm, Want};
use matinee_protocol::device::SigningKey;
use matinee_protocol::frame::{Frame, Reason};
use matinee_protocol::hello::ChannelBinding;
use matinee_protocol::id::{ChunkAddress, FileIndex, PeerId};
use matinee_protocol::limit::FRAME_BYTES_MAX;
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::{Rng, SeedableRng};

pub use node::{EVERY_LIE, Lie, Node, Player, Spec};
use origin::Origin;
pub use release::{Release, START_MS};

/// Queue length at which a driver says drained.
const LOW_WATER_BYTES: usize = 64 * 1024;
const JITTER_US: u64 = 4_000;
const DISK_US: u64 = 500;
const PLAYER_TICK_US: u64 = 250_000;
/// How long a dead peer goes unnoticed.
const DETECT_US: u64 = 1_400_000;

enum Event {
    Open {
        one: usize,
        other: usize,
    },
    Input {
        node: usize,
        input: Input,
    },
    Departed {
        from: usize,
        to: usize,
        bytes: usize,
    },
    Deliver {
        from: usize,
        to: usize,
        channel: u64,
        bytes: Bytes,
    },
    Wake {
        node: usize,
    },
    Play {
        node: usize,
    },
    Closed {
        node: usize,
        peer: usize,
        channel: u64,
    },
    Script(Box<dyn FnOnce(&mut Lab)>),
}

/// The laboratory.
pub struct Lab {
    pub release: Rc<Release>,
    /// What [`Lie::OldRelease`] sends.
    old_release: Option<Rc<Release>>,
    pub nodes: Vec<Node>,
    pub origin: Origin,
    pub now_us: u64,
    pub seed: u64,
    rng: Pcg64Mcg,
    events: BinaryHeap<Reverse<(u64, u64)>>,
    bodies: BTreeMap<u64, Event>,
    sequence: u64,
    /// Open channels: (node, node) in both orders → number of the channel.
    channels: BTreeMap<(usize, usize), u64>,
    overheard: Option<Bytes>,
    pub token_ms: u64,
    /// A running digest of everything that happened.
    pub trace: u64,
}

impl Lab {
    pub fn new(seed: u64, release: Rc<Release>) -> Self {
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
            trace: seed,
        }
    }

    pub fn elapsed_ms(&self) -> u64 {
        self.now_us / 1000 - START_MS
    }

    fn at(&mut self, time_us: u64, event: Event) {
        self.sequence += 1;
        self.events
            .push(Reverse((time_us.max(self.now_us), self.sequence)));
        self.bodies.insert(self.sequence, event);
    }

    /// Something to do after so many milliseconds from now.
    pub fn after(&mut self, ms: u64, script: impl FnOnce(&mut Lab) + 'static) {
        self.at(self.now_us + ms * 1000, Event::Script(Box::new(script)));
    }

    pub fn add(&mut self, spec: Spec) -> usize {
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
            let sizes: Vec<u64> = self
                .release
                .manifest
                .files
                .iter()
                .map(|file| file.size_bytes)
                .collect();
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
                self.input(
                    index,
                    Input::Held {
                        file,
                        chunks: vec![(0, chunks.len() as u32)],
                    },
                );
                for (page, bytes) in release.pages[file.get() as usize].iter().enumerate() {
                    self.input(
                        index,
                        Input::PageArrived {
                            file,
                            page: (page as u32).into(),
                            bytes: bytes.clone(),
                        },
                    );
                }
            }
        }
        index
    }

    /// Opens a channel between two devices, as signaling would.
    pub fn connect(&mut self, one: usize, other: usize) {
        let setup = 200_000 + self.rng.next_u64() % 150_000;
        self.at(self.now_us + setup, Event::Open { one, other });
    }

    pub fn connect_all(&mut self) {
        for one in 0..self.nodes.len() {
            for other in 0..one {
                self.connect(one, other);
            }
        }
    }

    /// Connects a newcomer to everyone there.
    pub fn connect_to_all(&mut self, one: usize) {
        (0..self.nodes.len())
            .filter(|other| *other != one)
            .for_each(|other| self.connect(one, other));
    }

    /// The device is gone without a word; the others notice after a while.
    pub fn kill(&mut self, node: usize) {
        self.nodes[node].alive = false;
        let channels: Vec<((usize, usize), u64)> = self
            .channels
            .iter()
            .filter(|((one, _), _)| *one == node)
            .map(|(key, channel)| (*key, *channel))
            .collect();
        for ((_, other), channel) in channels {
            self.at(
                self.now_us + DETECT_US,
                Event::Closed {
                    node: other,
                    peer: node,
                    channel,
                },
            );
        }
    }

    pub fn want_everything(&mut self, node: usize) {
        self.input(
            node,
            Input::Want {
                want: Want::Everything,
            },
        );
    }

    /// Starts playback of file 0.
    pub fn play(&mut self, node: usize, bytes_per_s: u64, ahead_chunks: u32) {
        let end = self.release.chunks[0].len() as u32;
        let asked_ms = self.now_us / 1000;
        self.nodes[node].player = Some(Player {
            bytes_per_s,
            ahead_chunks,
            next: 0,
            end,
            asked_ms,
            first_chunk_ms: None,
            due_us: self.now_us,
            waiting_since_us: None,
            stalls: 0,
            stalled_us: 0,
            done: false,
        });
        self.at(self.now_us, Event::Play { node });
    }

    pub fn input(&mut self, node: usize, input: Input) {
        if !self.nodes[node].alive {
            return;
        }
        let now_ms = self.now_us / 1000;
        self.nodes[node].swarm.handle(now_ms, input);
        while let Some(output) = self.nodes[node].swarm.poll_output() {
            self.carry_out(node, output);
        }
        let due: Vec<usize> = std::mem::take(&mut self.nodes[node].drain_due)
            .into_iter()
            .collect();
        for to in due {
            if self.nodes[node].queued.get(&to).copied().unwrap_or(0) <= LOW_WATER_BYTES {
                let peer = self.nodes[to].id;
                self.at(
                    self.now_us,
                    Event::Input {
                        node,
                        input: Input::Drained { peer },
                    },
                );
            }
        }
        if let Some(wake_ms) = self.nodes[node].swarm.next_wakeup_ms() {
            let wake_us = (wake_ms * 1000).max(self.now_us + 1_000);
            if self.nodes[node]
                .wake_us
                .is_none_or(|old| old > wake_us || old <= self.now_us)
            {
                self.nodes[node].wake_us = Some(wake_us);
                self.at(wake_us, Event::Wake { node });
            }
        }
    }

    pub fn index_of(&self, peer: PeerId) -> usize {
        self.nodes.iter().position(|node| node.id == peer).unwrap()
    }

    fn carry_out(&mut self, node: usize, output: Output) {
        match output {
            Output::Send { peer, frame } => self.send(node, peer, frame),
            Output::Close { peer, reason } => {
                self.nodes[node].closed.push((peer, reason));
                let other = self.index_of(peer);
                if let Some(channel) = self.channels.remove(&(node, other)) {
                    let time = self.now_us + self.nodes[node].spec.latency_us + 50_000;
                    self.at(
                        time,
                        Event::Closed {
                            node: other,
                            peer: node,
                            channel,
                        },
                    );
                }
            }
            Output::PeerReady { peer, .. } => {
                self.nodes[node].ready.insert(peer);
                self.lie_at_once(node, peer);
            }
            Output::Store { at, bytes } => {
                assert!(
                    bytes == *self.release.chunk(at),
                    "node {node} stored a chunk that is not genuine: {at}"
                );
                let genuine = self.release.chunk(at).clone();
                assert!(
                    self.nodes[node].store.insert(at, genuine).is_none(),
                    "node {node} stored {at} twice"
                );
            }
            Output::StorePage { file, page, bytes } => {
                assert_eq!(
                    bytes,
                    self.release.pages[file.get() as usize][page.get() as usize]
                );
            }
            Output::Read { peer, at } => self.read(node, peer, at),
            Output::FetchOrigin {
                request,
                file,
                first,
                count,
            } => {
                self.nodes[node].origin_requests += 1;
                assert!((1..=16).contains(&count));
                self.fetch(node, request, file, first.get(), count);
            }
            Output::CancelOrigin { request } => {
                self.nodes[node].cancelled_runs.insert(request);
            }
            Output::FetchPage { file, page } => {
                self.nodes[node].page_requests += 1;
                self.fetch_page(node, file, page);
            }
            Output::SignReceipt {
                peer,
                total_bytes,
                at_ms,
                signed_bytes,
                ..
            } => {
                let signature = self.nodes[node].device.sign(&signed_bytes);
                let input = Input::ReceiptSigned {
                    peer,
                    total_bytes,
                    at_ms,
                    signature,
                };
                self.at(self.now_us + 1_000, Event::Input { node, input });
            }
            Output::ReceiptReceived {
                thumbprint, receipt, ..
            } => {
                self.nodes[node].receipts.insert(thumbprint, receipt);
            }
            Output::Remembered { thumbprint, fault } => {
                self.nodes[node].remembered.insert(thumbprint, fault);
            }
            Output::Report { peer, fault } => self.nodes[node].reported.push((peer, fault)),
        }
    }

    fn send(&mut self, node: usize, peer: PeerId, frame: Bytes) {
        assert!(frame.len() <= FRAME_BYTES_MAX);
        let to = self.index_of(peer);
        let Some(channel) = self.channels.get(&(node, to)).copied() else {
            panic!(
                "node {node} sends on a closed channel to {to}: {:?}",
                Frame::decode(frame)
            );
        };
        for frame in self.nodes[node].distort(frame) {
            let from = &mut self.nodes[node];
            let queued = from.queued.entry(to).or_default();
            *queued += frame.len();
            from.queued_most = from.queued_most.max(*queued);
            assert!(
                *queued <= LOW_WATER_BYTES + SEND_WINDOW_BYTES + (1 << 20),
                "send queue of node {node} grows"
            );
            from.drain_due.insert(to);
            let departs =
                from.up_free_us.max(self.now_us) + frame.len() as u64 * 1_000_000 / from.spec.up_bytes_per_s;
            from.up_free_us = departs;
            let latency = from.spec.latency_us + self.rng.next_u64() % JITTER_US;
            let receiver = &mut self.nodes[to];
            let arrives = (departs + latency).max(receiver.down_free_us)
                + frame.len() as u64 * 1_000_000 / receiver.spec.down_bytes_per_s;
            receiver.down_free_us = arrives.saturating_sub(self.rng.next_u64() % JITTER_US);
            self.at(
                departs,
                Event::Departed {
                    from: node,
                    to,
                    bytes: frame.len(),
                },
            );
            self.at(
                arrives,
                Event::Deliver {
                    from: node,
                    to,
                    channel,
                    bytes: frame,
                },
            );
        }
    }

    fn lie_at_once(&mut self, node: usize, peer: PeerId) {
        match self.nodes[node].spec.lie {
            Some(Lie::Garbage) => {
                let mut noise = vec![0; 300];
                self.rng.fill_bytes(&mut noise);
                noise[0] = 2;
                self.send(node, peer, noise.into());
            }
            Some(Lie::Unasked) => {
                let at = ChunkAddress::new(0, 0);
                let bytes = self.release.chunk(at).slice(..1000);
                self.send(node, peer, Frame::Data { at, offset: 0, bytes }.encode());
            }
            _ => {}
        }
    }

    fn read(&mut self, node: usize, peer: PeerId, at: ChunkAddress) {
        let genuine = self.nodes[node]
            .store
            .get(&at)
            .unwrap_or_else(|| panic!("node {node} reads {at} unstored"));
        let bytes = match self.nodes[node].spec.lie {
            None | Some(Lie::OtherChunks | Lie::TooMuch | Lie::BeyondTheEnd) => Some(genuine.clone()),
            Some(Lie::WrongBytes) => {
                let mut wrong = genuine.to_vec();
                let place = self.rng.next_u64() as usize % wrong.len();
                wrong[place] ^= 0x40;
                Some(wrong.into())
            }
            Some(Lie::OldRelease) => self.old_release.as_ref().map(|release| release.chunk(at).clone()),
            Some(Lie::Nothing) => return,
            Some(Lie::EmptyPromises) => None,
            Some(_) => Some(genuine.clone()),
        };
        self.at(
            self.now_us + DISK_US,
            Event::Input {
                node,
                input: Input::ReadDone { peer, at, bytes },
            },
        );
    }

    /// Runs until `done` says so; panics if it does not within so many virtual milliseconds.
    pub fn run_until(&mut self, within_ms: u64, what: &str, mut done: impl FnMut(&Lab) -> bool) {
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

    pub fn run_for(&mut self, ms: u64) {
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
        self.trace = (self.trace ^ what ^ self.now_us)
            .wrapping_mul(0x100_0000_01b3)
            .rotate_left(17);
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
            Event::Deliver {
                from,
                to,
                channel,
                bytes,
            } => {
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

    fn binding(&self, node: usize, peer: usize) -> ChannelBinding {
        ChannelBinding {
            swarm: self.release.swarm,
            local: fingerprint(node, peer),
            remote: fingerprint(peer, node),
        }
    }

    fn open(&mut self, one: usize, other: usize) {
        if !self.nodes[one].alive || !self.nodes[other].alive {
            return;
        }
        self.sequence += 1;
        let channel = self.sequence;
        self.channels.insert((one, other), channel);
        self.channels.insert((other, one), channel);
        for (node, peer) in [(one, other), (other, one)] {
            let binding = self.binding(node, peer);
            let expires_ms = self.now_us / 1000 + self.token_ms;
            let mut hello = self.release.hello(&self.nodes[node].device, &binding, expires_ms);
            match (self.nodes[node].spec.lie, self.overheard.clone()) {
                (Some(Lie::ReplayedHello), Some(overheard)) => hello = overheard,
                (None, None) => self.overheard = Some(hello.clone()),
                _ => {}
            }
            let peer = self.nodes[peer].id;
            self.input(node, Input::PeerOpened { peer, binding, hello });
        }
    }

    fn advance_player(&mut self, node: usize) {
        let now_us = self.now_us;
        let Some(player) = self.nodes[node].player.clone() else {
            return;
        };
        let mut player = player;
        while !player.done && player.due_us <= now_us {
            let at = ChunkAddress::new(0, player.next);
            if !self.nodes[node].swarm.holds(at) {
                player
                    .waiting_since_us
                    .get_or_insert(player.due_us.max(player.waiting_since_us.unwrap_or(0)));
                break;
            }
            if player.first_chunk_ms.is_none() {
                player.first_chunk_ms = Some(now_us / 1000 - player.asked_ms);
                player.waiting_since_us = None;
                player.due_us = now_us;
            } else if let Some(since) = player.waiting_since_us.take() {
                player.stalls += 1;
                player.stalled_us += now_us - since;
                player.due_us = now_us;
            }
            player.due_us += player.chunk_us();
            player.next += 1;
            player.done = player.next == player.end;
        }
        let waits = player.waiting_since_us.is_some();
        let playhead = (!player.done).then(|| {
            Player {
                next: player.next.saturating_sub(u32::from(!waits)),
                ..player.clone()
            }
            .playhead()
        });
        let next = if waits {
            now_us + 20_000
        } else {
            player.due_us.min(now_us + PLAYER_TICK_US)
        };
        let done = player.done;
        let tell =
            !waits || now_us / PLAYER_TICK_US != (now_us - 20_000) / PLAYER_TICK_US || player.next == 0;
        self.nodes[node].player = Some(player);
        if tell || done {
            self.input(node, Input::Playhead { reader: 1, playhead });
        }
        if !done {
            self.at(next, Event::Play { node });
        }
    }

    pub fn is_whole(&self, node: usize) -> bool {
        self.nodes[node].store.len() == self.release.chunk_count()
    }

    /// A table of every device, for people and for failures.
    pub fn report(&self) -> String {
        let mut text = format!(
            "after {} ms, origin gave {} bytes\n",
            self.elapsed_ms(),
            self.origin.served_bytes
        );
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
                node.closed
                    .iter()
                    .map(|(_, reason)| *reason)
                    .collect::<Vec<Reason>>(),
            );
        }
        text
    }
}

fn fingerprint(node: usize, peer: usize) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[0] = node as u8;
    bytes[1] = peer as u8;
    bytes
}

impl Lab {
    /// A channel breaks; both ends notice at once.
    pub fn cut(&mut self, one: usize, other: usize) {
        for (node, peer) in [(one, other), (other, one)] {
            if let Some(channel) = self.channels.get(&(node, peer)).copied() {
                self.at(self.now_us, Event::Closed { node, peer, channel });
            }
        }
    }

    /// A device renewed its token and says so to a peer.
    pub fn renew(&mut self, node: usize, peer: usize) {
        let binding = self.binding(node, peer);
        let expires_ms = self.now_us / 1000 + self.token_ms;
        let hello = self.release.hello(&self.nodes[node].device, &binding, expires_ms);
        let peer = self.nodes[peer].id;
        self.input(node, Input::HelloRenewed { peer, hello });
    }

    pub fn channel_count(&self) -> usize {
        let both: BTreeSet<u64> = self.channels.values().copied().collect();
        both.len()
    }
}
