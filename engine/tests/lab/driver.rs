//! What a driver does around an engine: channels, disk, back-pressure, and the checks of every output.

use bytes::Bytes;
use matinee_engine::{Input, Output, SEND_WINDOW_BYTES};
use matinee_protocol::frame::Frame;
use matinee_protocol::hello::ChannelBinding;
use matinee_protocol::id::{ChunkAddress, PeerId};
use matinee_protocol::limit::FRAME_BYTES_MAX;
use rand_pcg::rand_core::Rng;

use super::{DISK_US, Event, JITTER_US, LOW_WATER_BYTES, Lab, Lie};

impl Lab {
    pub(crate) fn input(&mut self, node: usize, input: Input) {
        if !self.nodes[node].alive {
            return;
        }
        let now_ms = self.now_us / 1000;
        self.nodes[node].swarm.handle(now_ms, input);
        while let Some(output) = self.nodes[node].swarm.poll_output() {
            self.carry_out(node, output);
        }
        let due: Vec<usize> = std::mem::take(&mut self.nodes[node].drain_due).into_iter().collect();
        for to in due {
            if self.nodes[node].queued.get(&to).copied().unwrap_or(0) <= LOW_WATER_BYTES {
                let peer = self.nodes[to].id;
                self.at(self.now_us, Event::Input { node, input: Input::Drained { peer } });
            }
        }
        if let Some(wake_ms) = self.nodes[node].swarm.next_wakeup_ms() {
            let wake_us = (wake_ms * 1000).max(self.now_us + 1_000);
            if self.nodes[node].wake_us.is_none_or(|old| old > wake_us || old <= self.now_us) {
                self.nodes[node].wake_us = Some(wake_us);
                self.at(wake_us, Event::Wake { node });
            }
        }
    }

    pub(crate) fn index_of(&self, peer: PeerId) -> usize {
        self.nodes.iter().position(|node| node.id == peer).unwrap()
    }

    pub(crate) fn carry_out(&mut self, node: usize, output: Output) {
        match output {
            Output::Send { peer, frame } => self.send(node, peer, frame),
            Output::Close { peer, reason } => {
                self.nodes[node].closed.push((peer, reason));
                let other = self.index_of(peer);
                if let Some(channel) = self.channels.remove(&(node, other)) {
                    let time = self.now_us + self.nodes[node].spec.latency_us + 50_000;
                    self.at(time, Event::Closed { node: other, peer: node, channel });
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
                assert_eq!(bytes, self.release.pages[file.get() as usize][page.get() as usize]);
            }
            Output::Read { peer, at } => self.read(node, peer, at),
            Output::FetchOrigin { request, file, first, count } => {
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
            Output::SignReceipt { peer, total_bytes, at_ms, signed_bytes, .. } => {
                let signature = self.nodes[node].device.sign(&signed_bytes);
                let input = Input::ReceiptSigned { peer, total_bytes, at_ms, signature };
                self.at(self.now_us + 1_000, Event::Input { node, input });
            }
            Output::ReceiptReceived { thumbprint, receipt, .. } => {
                self.nodes[node].receipts.insert(thumbprint, receipt);
            }
            Output::Remembered { thumbprint, fault } => {
                self.nodes[node].remembered.insert(thumbprint, fault);
            }
            Output::Report { peer, fault } => self.nodes[node].reported.push((peer, fault)),
        }
    }

    pub(crate) fn send(&mut self, node: usize, peer: PeerId, frame: Bytes) {
        assert!(frame.len() <= FRAME_BYTES_MAX);
        let to = self.index_of(peer);
        let Some(channel) = self.channels.get(&(node, to)).copied() else {
            panic!("node {node} sends on a closed channel to {to}: {:?}", Frame::decode(frame));
        };
        for frame in self.nodes[node].distort(frame) {
            let frame = self.maybe_flip(frame);
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
            self.at(departs, Event::Departed { from: node, to, bytes: frame.len() });
            self.at(arrives, Event::Deliver { from: node, to, channel, bytes: frame });
        }
    }

    fn maybe_flip(&mut self, frame: Bytes) -> Bytes {
        match self.flip_one_in {
            Some(one_in) if self.rng.next_u64().is_multiple_of(one_in) => {
                let mut flipped = frame.to_vec();
                let place = self.rng.next_u64() as usize % flipped.len();
                flipped[place] ^= 1 << (self.rng.next_u64() % 8);
                flipped.into()
            }
            _ => frame,
        }
    }

    pub(crate) fn lie_at_once(&mut self, node: usize, peer: PeerId) {
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

    pub(crate) fn read(&mut self, node: usize, peer: PeerId, at: ChunkAddress) {
        let genuine =
            self.nodes[node].store.get(&at).unwrap_or_else(|| panic!("node {node} reads {at} unstored"));
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
        self.at(self.now_us + DISK_US, Event::Input { node, input: Input::ReadDone { peer, at, bytes } });
    }

    pub(crate) fn binding(&self, node: usize, peer: usize) -> ChannelBinding {
        ChannelBinding {
            swarm: self.release.swarm,
            local: fingerprint(node, peer),
            remote: fingerprint(peer, node),
        }
    }

    pub(crate) fn open(&mut self, one: usize, other: usize) {
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

    /// A channel breaks; both ends notice at once.
    pub(crate) fn cut(&mut self, one: usize, other: usize) {
        for (node, peer) in [(one, other), (other, one)] {
            if let Some(channel) = self.channels.get(&(node, peer)).copied() {
                self.at(self.now_us, Event::Closed { node, peer, channel });
            }
        }
    }

    /// A device renewed its token and says so to a peer.
    pub(crate) fn renew(&mut self, node: usize, peer: usize) {
        let binding = self.binding(node, peer);
        let expires_ms = self.now_us / 1000 + self.token_ms;
        let hello = self.release.hello(&self.nodes[node].device, &binding, expires_ms);
        let peer = self.nodes[peer].id;
        self.input(node, Input::HelloRenewed { peer, hello });
    }
}

fn fingerprint(node: usize, peer: usize) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[0] = node as u8;
    bytes[1] = peer as u8;
    bytes
}
