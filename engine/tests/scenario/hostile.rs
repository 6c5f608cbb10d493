//! Bad input never panics, whoever it comes from, and never brings anything into the store.

use std::rc::Rc;

use crate::lab::{Lab, Release, START_MS, Spec};
use bytes::Bytes;
use matinee_engine::{Config, Input, OriginError, Output, Playhead, Swarm, Want};
use matinee_protocol::device::SigningKey;
use matinee_protocol::frame::{Frame, Reason};
use matinee_protocol::hello::ChannelBinding;
use matinee_protocol::id::{ChunkAddress, FileIndex, PeerId};
use matinee_protocol::receipt::Receipt;
use proptest::prelude::*;

const PEERS: u8 = 3;
const CHUNKS: u32 = 6;

fn peer(number: u8) -> PeerId {
    PeerId::from_bytes([number + 1; 16])
}

fn address() -> impl Strategy<Value = ChunkAddress> {
    (prop_oneof![9 => Just(0u32), 1 => any::<u32>()], prop_oneof![9 => 0..CHUNKS, 1 => any::<u32>()])
        .prop_map(|(file, chunk)| ChunkAddress::new(file, chunk))
}

fn frame() -> impl Strategy<Value = Bytes> {
    let bytes = || prop::collection::vec(any::<u8>(), 1..600).prop_map(Bytes::from);
    prop_oneof![
        bytes(),
        address().prop_map(|at| Frame::Request(at).encode()),
        address().prop_map(|at| Frame::Cancel(at).encode()),
        (address(), any::<u32>())
            .prop_map(|(at, retry_after_ms)| Frame::Busy { at, retry_after_ms }.encode()),
        (address(), 0..300_000u32, bytes())
            .prop_map(|(at, offset, bytes)| Frame::Data { at, offset, bytes }.encode()),
        address().prop_map(|at| Frame::Have { file: at.file, chunks: vec![at.chunk] }.encode()),
        (any::<u8>(), 0..4u32).prop_map(|(bits, first)| {
            let bits = Bytes::from(vec![bits & 0b1110_0000]);
            Frame::Inventory { file: FileIndex(0), first: first.into(), count: 3, bits }.encode()
        }),
        address().prop_map(|at| Frame::PageRequest { file: at.file, page: at.chunk.get().into() }.encode()),
        address().prop_map(|at| {
            Frame::Page { file: at.file, page: at.chunk.get().into(), bytes: Bytes::from(vec![1; 64]) }
                .encode()
        }),
        any::<u64>().prop_map(|total_bytes| {
            Frame::Receipt(Receipt { total_bytes, at_ms: 1, signature: [9; 64] }).encode()
        }),
        any::<u8>().prop_map(|code| Frame::Goodbye(Reason::from_code(code)).encode()),
    ]
}

/// What a driver could say, sensible or not.
fn input() -> impl Strategy<Value = Input> {
    let who = || (0..PEERS).prop_map(peer);
    prop_oneof![
        20 => (who(), frame()).prop_map(|(peer, bytes)| Input::Frame { peer, bytes }),
        2 => who().prop_map(|peer| Input::PeerClosed { peer }),
        2 => who().prop_map(|peer| Input::Drained { peer }),
        2 => (who(), address()).prop_map(|(peer, at)| Input::ReadDone { peer, at, bytes: Some(Bytes::from_static(b"x")) }),
        2 => (any::<u64>(), address())
            .prop_map(|(request, at)| Input::OriginChunk { request: request % 4, at, bytes: Bytes::from_static(b"y") }),
        2 => any::<u64>().prop_map(|request| Input::OriginEnded { request: request % 4, error: Some(OriginError::NotFound) }),
        2 => address().prop_map(|at| Input::PageFailed { file: at.file, page: at.chunk.get().into() }),
        2 => address().prop_map(|at| Input::Lost { at }),
        2 => (address(), any::<u32>()).prop_map(|(at, count)| Input::Held {
            file: at.file,
            chunks: vec![(at.chunk.get(), count % 9)],
        }),
        2 => (address(), any::<u32>()).prop_map(|(at, count)| Input::Want { want: Want::Only(vec![(at.file, at.chunk, count)]) }),
        1 => Just(Input::Want { want: Want::Everything }),
        2 => (address(), any::<u64>(), any::<u32>(), 0..20u32).prop_map(|(at, bytes_per_s, ahead_chunks, reader)| {
            let playhead = Playhead { file: at.file, chunk: at.chunk, bytes_per_s, ahead_chunks };
            Input::Playhead { reader, playhead: Some(playhead) }
        }),
        1 => any::<u32>().prop_map(|reader| Input::Playhead { reader: reader % 20, playhead: None }),
        3 => Just(Input::Tick),
        1 => (who(), any::<u64>()).prop_map(|(peer, total_bytes)| Input::ReceiptSigned {
            peer,
            total_bytes,
            at_ms: 5,
            signature: [0; 64],
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    /// Peers that passed the handshake, and a driver, both saying anything.
    #[test]
    fn anything_may_come(steps in prop::collection::vec((input(), 0..3_000u64), 1..80), greet in any::<[bool; 3]>()) {
        let release = RELEASE.with(Rc::clone);
        let own = SigningKey::from_seed(&[9; 32]);
        let mut swarm = Swarm::new(Config::default(), release.manifest.clone(), release.identity(&own), 1);
        let mut now_ms = START_MS;
        for number in 0..PEERS {
            let device = SigningKey::from_seed(&[number; 32]);
            let binding = ChannelBinding { swarm: release.swarm, local: [1; 32], remote: [2; 32] };
            let theirs = ChannelBinding { swarm: release.swarm, local: [2; 32], remote: [1; 32] };
            swarm.handle(now_ms, Input::PeerOpened { peer: peer(number), binding, hello: Bytes::from_static(b"hello") });
            if greet[number as usize] {
                let bytes = release.hello(&device, &theirs, START_MS + 60_000);
                swarm.handle(now_ms, Input::Frame { peer: peer(number), bytes });
            }
        }
        let page = release.pages[0][0].clone();
        swarm.handle(now_ms, Input::PageArrived { file: FileIndex(0), page: 0.into(), bytes: page });
        swarm.handle(now_ms, Input::Want { want: Want::Everything });
        for (input, later_ms) in steps {
            now_ms += later_ms;
            swarm.handle(now_ms, input);
            let mut count = 0;
            while let Some(output) = swarm.poll_output() {
                count += 1;
                prop_assert!(!matches!(output, Output::Store { .. }), "nothing here is genuine");
                prop_assert!(count < 2_000, "outputs are bounded");
            }
            let stats = swarm.stats();
            prop_assert!(stats.chunks_in_flight <= stats.chunks_total);
        }
    }
}

thread_local! {
    static RELEASE: Rc<Release> = Rc::new(Release::film(77, CHUNKS));
}

/// A whole exchange in which every frame may be lost to a flipped bit: what is stored is genuine all the same.
#[test]
fn flipped_bits_are_never_stored() {
    for seed in 1..=3 {
        let mut lab = Lab::new(seed, Rc::new(Release::film(seed, 30)));
        let seeder = lab.add(Spec { seeder: true, ..Spec::default() });
        let viewer = lab.add(Spec::default());
        lab.connect_all();
        lab.flip_one_in = Some(40);
        lab.want_everything(viewer);
        lab.run_for(20_000);
        assert!(lab.is_whole(viewer), "the origin makes up for it: {}", lab.report());
        assert!(!lab.nodes[viewer].reported.is_empty() || !lab.nodes[seeder].reported.is_empty());
    }
}
