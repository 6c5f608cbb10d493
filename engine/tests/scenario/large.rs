//! Large files: several hash pages, speed, and millions of chunks.

#![expect(clippy::disallowed_methods, reason = "a stopwatch")]

use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use matinee_engine::{Config, Input, Output, Playhead, Swarm, Want};
use matinee_protocol::device::SigningKey;
use matinee_protocol::frame::Frame;
use matinee_protocol::hash::{PageHash, page_hash};
use matinee_protocol::hello::ChannelBinding;
use matinee_protocol::id::{ChunkAddress, FileIndex, PeerId, ReleaseId};
use matinee_protocol::limit::{CHUNK_BYTES, INVENTORY_CHUNKS_MAX, PAGE_HASHES};
use matinee_protocol::manifest::{FORMAT, Manifest, ManifestFile};

use crate::lab::{ISSUER, Lab, Release, START_MS, Spec};
use crate::seeder;

/// Several pages: got from the seeder, and each chunk verified against its own.
#[test]
fn several_hash_pages() {
    let mut lab = Lab::new(21, Rc::new(Release::film(21, 1_100)));
    lab.add(Spec { up_bytes_per_s: 100_000_000, ..seeder() });
    let getter = lab.add(Spec { down_bytes_per_s: 100_000_000, ..Spec::default() });
    lab.connect_all();
    lab.run_for(1_000);
    lab.want_everything(getter);
    lab.run_until(60_000, "complete", |lab| lab.is_whole(getter));
    assert_eq!(lab.nodes[getter].page_requests, 0, "pages come from the peer");
    assert_eq!(lab.nodes[getter].stats().origin_bytes, 0);
}

/// Two engines with nothing between them: how fast one core is. Both sides' work is in the figure.
#[test]
fn throughput_of_two_engines_on_one_core() {
    let release = Release::film(22, 400);
    let mut pair = Pair::new(&release);
    pair.open();
    let begun = Instant::now();
    pair.wants(Want::Everything);
    pair.run();
    let seconds = begun.elapsed().as_secs_f64();
    let rate = release.bytes() as f64 / seconds / 1e6;
    println!("uploader and downloader on one core: {rate:.0} MB/s");
    assert_eq!(pair.engines[1].stats().chunks_held, release.chunk_count() as u64);
    assert!(rate > 60.0, "even without optimization: {rate:.0} MB/s");
}

/// A driver without any delay: what one sends, the other gets.
struct Pair<'a> {
    release: &'a Release,
    engines: [Swarm; 2],
    now_ms: u64,
}

impl<'a> Pair<'a> {
    fn new(release: &'a Release) -> Self {
        let engine = |own: u8| {
            let device = SigningKey::from_seed(&[own; 32]);
            Swarm::new(Config::default(), release.manifest.clone(), release.identity(&device), u64::from(own))
        };
        Self { release, engines: [engine(0), engine(1)], now_ms: START_MS }
    }

    fn peer(index: usize) -> PeerId {
        PeerId::from_bytes([index as u8; 16])
    }

    fn open(&mut self) {
        let chunks = self.release.chunks[0].len() as u32;
        self.engines[0].handle(START_MS, Input::Held { file: FileIndex(0), chunks: vec![(0, chunks)] });
        for (page, bytes) in self.release.pages[0].iter().enumerate() {
            let page = (page as u32).into();
            let input = Input::PageArrived { file: FileIndex(0), page, bytes: bytes.clone() };
            self.engines[0].handle(START_MS, input);
        }
        for own in [0, 1] {
            let device = SigningKey::from_seed(&[own as u8; 32]);
            let binding = ChannelBinding {
                swarm: self.release.swarm,
                local: [own as u8; 32],
                remote: [1 - own as u8; 32],
            };
            let hello = self.release.hello(&device, &binding, START_MS + 3_600_000);
            self.engines[own]
                .handle(START_MS, Input::PeerOpened { peer: Self::peer(1 - own), binding, hello });
        }
        self.run();
    }

    fn wants(&mut self, want: Want) {
        self.engines[1].handle(self.now_ms, Input::Want { want });
    }

    /// Passes outputs on until both are silent.
    fn run(&mut self) {
        let mut silent = 0;
        while silent < 30 {
            silent += 1;
            for own in [0, 1] {
                let mut sent = false;
                while let Some(output) = self.engines[own].poll_output() {
                    silent = 0;
                    match output {
                        Output::Send { frame, .. } => {
                            sent = true;
                            let input = Input::Frame { peer: Self::peer(own), bytes: frame };
                            self.engines[1 - own].handle(self.now_ms, input);
                        }
                        Output::Read { peer, at } => {
                            let bytes = Some(self.release.chunk(at).clone());
                            self.engines[own].handle(self.now_ms, Input::ReadDone { peer, at, bytes });
                        }
                        Output::Close { reason, .. } => panic!("closed: {reason:?}"),
                        _ => {}
                    }
                }
                if sent {
                    self.engines[own].handle(self.now_ms, Input::Drained { peer: Self::peer(1 - own) });
                }
            }
            if silent > 0 {
                self.now_ms += 10;
                self.engines.iter_mut().for_each(|engine| engine.handle(self.now_ms, Input::Tick));
            }
        }
    }
}

/// A file of four million chunks (a terabyte): every step stays far below what a frame takes on the network.
#[test]
fn four_million_chunks_stay_fast() {
    const CHUNKS: u32 = 4_000_000;
    let page = Bytes::from(vec![7; PAGE_HASHES as usize * 32]);
    let hash: PageHash = page_hash(&page);
    let file = ManifestFile {
        name: "sky survey".to_owned(),
        media_type: "application/octet-stream".to_owned(),
        size_bytes: u64::from(CHUNKS) * u64::from(CHUNK_BYTES),
        epoch_chunks: 64,
        duration_ms: None,
        pages: vec![hash; CHUNKS.div_ceil(PAGE_HASHES) as usize],
    };
    let manifest = Manifest {
        format: FORMAT,
        release: ReleaseId::from_bytes([1; 16]),
        title: "Sky".to_owned(),
        publisher: "Observatory".to_owned(),
        created_at_ms: START_MS,
        sealed: true,
        files: vec![file],
    };
    let small = Release::film(23, 1);
    let own = SigningKey::from_seed(&[1; 32]);
    let mut identity = small.identity(&own);
    identity.issuer = ISSUER.to_owned();
    let mut swarm = Swarm::new(Config::default(), manifest, identity, 1);
    let mut slowest = (0, "");
    let mut timed = |swarm: &mut Swarm, what: &'static str, input: Input| -> Vec<Output> {
        let begun = Instant::now();
        swarm.handle(START_MS, input);
        let outputs: Vec<Output> = std::iter::from_fn(|| swarm.poll_output()).collect();
        slowest = slowest.max((begun.elapsed().as_micros(), what));
        outputs
    };
    let file = FileIndex(0);
    // Half of it is there already, in runs of 1,000.
    let runs = (0..CHUNKS / 2_000).map(|run| (run * 2_000, 1_000)).collect();
    timed(&mut swarm, "held", Input::Held { file, chunks: runs });
    timed(&mut swarm, "want", Input::Want { want: Want::Everything });
    let peers: Vec<PeerId> = (0..8).map(|peer| PeerId::from_bytes([peer + 10; 16])).collect();
    for (index, peer) in peers.iter().enumerate() {
        let device = SigningKey::from_seed(&[index as u8 + 50; 32]);
        let binding = ChannelBinding { swarm: small.swarm, local: [1; 32], remote: [2; 32] };
        let theirs = ChannelBinding { swarm: small.swarm, local: [2; 32], remote: [1; 32] };
        timed(&mut swarm, "opened", Input::PeerOpened { peer: *peer, binding, hello: Bytes::new() });
        let hello = small.hello(&device, &theirs, START_MS + 3_600_000);
        timed(&mut swarm, "hello", Input::Frame { peer: *peer, bytes: hello });
        for first in (0..CHUNKS).step_by(INVENTORY_CHUNKS_MAX as usize) {
            let count = INVENTORY_CHUNKS_MAX.min(CHUNKS - first);
            let bits = Bytes::from(vec![0xff; count as usize / 8]);
            let bytes = Frame::Inventory { file, first: first.into(), count, bits }.encode();
            timed(&mut swarm, "inventory", Input::Frame { peer: *peer, bytes });
        }
    }
    let mut waiting: Vec<(PeerId, ChunkAddress)> = Vec::new();
    for number in 0..CHUNKS.div_ceil(PAGE_HASHES) {
        let input = Input::PageArrived { file, page: number.into(), bytes: page.clone() };
        waiting.extend(timed(&mut swarm, "page", input).iter().filter_map(asked));
    }
    let mut requests = 0;
    while let Some((peer, at)) = waiting.pop().filter(|_| requests < 2_000) {
        requests += 1;
        // A refusal, so that each answer makes room for the next request.
        let bytes = Frame::Busy { at, retry_after_ms: 0 }.encode();
        waiting.extend(timed(&mut swarm, "busy", Input::Frame { peer, bytes }).iter().filter_map(asked));
    }
    let playhead = Playhead { file, chunk: 3_000_500.into(), bytes_per_s: 2_000_000, ahead_chunks: 4_096 };
    timed(&mut swarm, "playhead", Input::Playhead { reader: 1, playhead: Some(playhead) });
    let moved = Playhead { chunk: 3_000_501.into(), ..playhead };
    timed(&mut swarm, "playhead", Input::Playhead { reader: 1, playhead: Some(moved) });
    timed(&mut swarm, "tick", Input::Tick);
    timed(&mut swarm, "closed", Input::PeerClosed { peer: peers[0] });
    println!("{requests} requests; slowest step: {} took {} µs", slowest.1, slowest.0);
    assert!(requests > 1_000);
    // "held" and "closed" walk a whole inventory once; all this without optimization, on a loaded machine.
    assert!(slowest.0 < 400_000, "{slowest:?}");
}

fn asked(output: &Output) -> Option<(PeerId, ChunkAddress)> {
    let Output::Send { peer, frame } = output else { return None };
    match Frame::decode(frame.clone()) {
        Ok(Frame::Request(at)) => Some((*peer, at)),
        _ => None,
    }
}
