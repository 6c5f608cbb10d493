//! Every decoder is bounded, total and round-trips.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use bytes::Bytes;
use matinee_protocol::device::{DevicePublicKey, SigningKey};
use matinee_protocol::frame::{Error, Frame, Reason};
use matinee_protocol::hello::{ChannelBinding, Hello};
use matinee_protocol::id::{ChunkAddress, ChunkIndex, FileIndex, PageIndex, PeerId, ReleaseId, SwarmId};
use matinee_protocol::jws::{KeySet, KeyUse};
use matinee_protocol::limit::{FRAME_BYTES_MAX, HAVE_CHUNKS_MAX, INVENTORY_CHUNKS_MAX, SIGNALING_BYTES_MAX};
use matinee_protocol::manifest::{self, Manifest, ManifestFile};
use matinee_protocol::receipt::Receipt;
use matinee_protocol::signaling::{Near, PeerHint, Relay, ToPeer, ToServer};
use matinee_protocol::{dpop, license, token};
use proptest::prelude::*;

fn bytes(range: std::ops::Range<usize>) -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), range).prop_map(Bytes::from)
}

fn address() -> impl Strategy<Value = ChunkAddress> {
    any::<(u32, u32)>().prop_map(|(file, chunk)| ChunkAddress::new(file, chunk))
}

fn inventory() -> impl Strategy<Value = Frame> {
    (any::<u32>(), 0..1_000_000_u32, 1..5_000_u32).prop_flat_map(|(file, first, count)| {
        let length = count.div_ceil(8) as usize;
        prop::collection::vec(any::<u8>(), length).prop_map(move |mut bits| {
            let spare = length as u32 * 8 - count;
            *bits.last_mut().unwrap() &= u8::MAX << spare;
            Frame::Inventory { file: FileIndex(file), first: ChunkIndex(first), count, bits: bits.into() }
        })
    })
}

fn frame() -> impl Strategy<Value = Frame> {
    let hello = ("[A-Za-z0-9._-]{0,512}", any::<[u8; 32]>(), prop::array::uniform32(any::<u16>())).prop_map(
        |(token, public, halves)| {
            let mut signature = [0; 64];
            halves
                .iter()
                .enumerate()
                .for_each(|(i, h)| signature[i * 2..][..2].copy_from_slice(&h.to_be_bytes()));
            Frame::Hello(Hello { token, public: DevicePublicKey(public), signature })
        },
    );
    let chunks = prop::collection::vec(any::<u32>().prop_map(ChunkIndex), 1..HAVE_CHUNKS_MAX);
    prop_oneof![
        hello,
        inventory(),
        (any::<u32>(), chunks).prop_map(|(file, chunks)| Frame::Have { file: FileIndex(file), chunks }),
        address().prop_map(Frame::Request),
        (address(), any::<u32>(), bytes(1..3_000)).prop_map(|(at, offset, bytes)| Frame::Data {
            at,
            offset,
            bytes
        }),
        address().prop_map(Frame::Cancel),
        (address(), any::<u32>()).prop_map(|(at, retry_after_ms)| Frame::Busy { at, retry_after_ms }),
        any::<(u32, u32)>().prop_map(|(f, p)| Frame::PageRequest { file: FileIndex(f), page: PageIndex(p) }),
        (any::<u32>(), any::<u32>(), 1..=1024_usize).prop_map(|(f, p, hashes)| Frame::Page {
            file: FileIndex(f),
            page: PageIndex(p),
            bytes: vec![3; hashes * 32].into(),
        }),
        any::<(u64, u64)>().prop_map(|(total_bytes, at_ms)| Frame::Receipt(Receipt {
            total_bytes,
            at_ms,
            signature: [5; 64]
        })),
        any::<u8>().prop_map(|code| Frame::Goodbye(Reason::from_code(code))),
        (12..=255_u8).prop_map(|kind| Frame::Unknown { kind }),
    ]
}

proptest! {
    #[test]
    fn frames_round_trip(frame in frame()) {
        let encoded = frame.encode();
        prop_assert!(encoded.len() <= FRAME_BYTES_MAX);
        prop_assert_eq!(Frame::decode(encoded), Ok(frame));
    }

    #[test]
    fn mutated_frames_decode_to_something_that_round_trips_or_to_an_error(
        frame in frame(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), cut in any::<prop::sample::Index>()
    ) {
        let mut bytes = frame.encode().to_vec();
        for (at, value) in changes { let at = at.index(bytes.len()); bytes[at] = value; }
        bytes.truncate(cut.index(bytes.len()) + 1);
        if let Ok(decoded) = Frame::decode(bytes.clone().into())
            && !matches!(decoded, Frame::Unknown { .. }) {
            prop_assert_eq!(decoded.encode(), bytes);
        }
    }

    #[test]
    fn noise_never_panics(noise in bytes(0..600), text in "\\PC{0,300}") {
        let _ = Frame::decode(noise.clone());
        let _ = ToServer::decode(&text);
        let _ = ToPeer::decode(&text);
        let _ = Manifest::from_jws(&text, &KeySet::default());
        let _ = token::verify(&text, &KeySet::default(), "", 0);
        let _ = KeySet::from_jwks(&noise);
        let _ = license::decode_keys(&noise);
        let expected = dpop::Expectation { method: "GET", url: "", token: None, body: &[], nonce: None, now_s: 0 };
        let _ = dpop::verify(&text, &expected);
    }

    #[test]
    fn ids_read_what_they_write(id in any::<[u8; 16]>()) {
        let release = ReleaseId::from_bytes(id);
        prop_assert_eq!(release.to_string().parse(), Ok(release));
        let swarm = SwarmId::from_bytes(id);
        prop_assert_eq!(swarm.to_string().parse(), Ok(swarm));
    }

    #[test]
    fn geometry_of_a_file_adds_up(size_bytes in 0..u64::from(u32::MAX) * 8, epoch_chunks in 1..500_u32, sealed: bool) {
        let file = ManifestFile {
            name: "x".into(), media_type: String::new(), size_bytes, epoch_chunks, duration_ms: None, pages: Vec::new(),
        };
        let chunks = file.chunks();
        let manifest = Manifest {
            format: 1, release: ReleaseId::from_bytes([0; 16]), title: String::new(), publisher: String::new(),
            created_at_ms: 0, sealed, files: vec![file.clone()],
        };
        if let Some(last) = chunks.checked_sub(1) {
            let at = ChunkAddress::new(0, last);
            let end = manifest.ciphertext_offset(at).unwrap() + u64::from(manifest.travel_chunk_bytes(at).unwrap());
            prop_assert_eq!(Some(end), manifest.ciphertext_bytes(FileIndex(0)));
            prop_assert!(file.epoch_of(ChunkIndex(last)).0 < file.epochs());
        } else {
            prop_assert_eq!(manifest.ciphertext_bytes(FileIndex(0)), Some(0));
        }
        prop_assert_eq!(manifest.travel_chunk_bytes(ChunkAddress::new(0, chunks)), None);
    }
}

#[test]
fn limits_of_frames_are_kept() {
    let decode = |bytes: Vec<u8>| Frame::decode(bytes.into());
    assert_eq!(decode(vec![]), Err(Error::Empty));
    assert_eq!(decode(vec![5; FRAME_BYTES_MAX + 1]), Err(Error::TooLong));
    assert_eq!(decode(vec![200, 1, 2, 3]), Ok(Frame::Unknown { kind: 200 }));
    assert_eq!(decode([&[5_u8][..], &[0; 12]].concat()), Err(Error::Length), "data without bytes");
    let inventory =
        |count: u32, bits: &[u8]| decode([&[2_u8][..], &[0; 8], &count.to_be_bytes(), bits].concat());
    assert_eq!(inventory(0, &[]), Err(Error::Value));
    assert_eq!(inventory(INVENTORY_CHUNKS_MAX + 1, &vec![0; 32_769]), Err(Error::Value));
    assert_eq!(inventory(4, &[0b0000_1000]), Err(Error::Value), "a spare bit is set");
    assert!(inventory(4, &[0b0001_0000]).is_ok());
    assert_eq!(decode([&[4_u8][..], &[0; 9]].concat()), Err(Error::Length), "a byte too many");
}

#[test]
fn signaling_messages_have_the_documented_form() {
    let peer = PeerId::from_bytes([1; 16]);
    let relay = Relay::Candidate {
        peer,
        candidate: "c".into(),
        sdp_mid: Some("0".into()),
        sdp_m_line_index: Some(0),
    };
    let text = ToServer::Relay(relay.clone()).encode();
    let expected = r#"{"type":"candidate","peer":"AQEBAQEBAQEBAQEBAQEBAQ","candidate":"c","sdp_mid":"0","sdp_m_line_index":0}"#;
    assert_eq!(text, expected);
    assert_eq!(ToServer::decode(&text), Ok(ToServer::Relay(relay.clone())));
    assert_eq!(ToPeer::decode(&text), Ok(ToPeer::Relay(relay)));
    assert_eq!(ToServer::decode(r#"{"type":"more"}"#), Ok(ToServer::More {}));
    let joined = ToPeer::Joined { peer, peers: vec![PeerHint { peer, near: Near::Lan }] };
    assert_eq!(
        joined.encode(),
        r#"{"type":"joined","peer":"AQEBAQEBAQEBAQEBAQEBAQ","peers":[{"peer":"AQEBAQEBAQEBAQEBAQEBAQ","near":"lan"}]}"#
    );
    assert_eq!(ToPeer::decode(&joined.encode()), Ok(joined));
    let long = format!(r#"{{"type":"offer","peer":"{peer}","sdp":"{}"}}"#, "x".repeat(SIGNALING_BYTES_MAX));
    assert!(ToServer::decode(&long).is_err());
    assert!(ToServer::decode(r#"{"type":"joined","peer":"AQ"}"#).is_err());
}

#[test]
fn a_hello_holds_for_its_own_channel_only() {
    let (server, device) = (SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32]));
    let mut keys = KeySet::default();
    keys.insert("k", KeyUse::View, server.public());
    let swarm = SwarmId::from_bytes([3; 16]);
    let claims = token::ViewTokenClaims {
        iss: "i".into(),
        aud: token::AUDIENCE.into(),
        sub: matinee_protocol::id::ViewId::from_bytes([4; 16]),
        jti: "j".into(),
        exp: 1_000,
        cnf: token::Confirmation { jkt: device.public().thumbprint() },
        swm: swarm,
        rol: token::Role::Viewer,
    };
    let text = token::issue(&claims, "k", &server);
    let sender = ChannelBinding { swarm, local: [5; 32], remote: [6; 32] };
    let hello =
        Hello { signature: device.sign(&sender.signed_bytes(&text)), token: text, public: device.public() };
    let receiver = ChannelBinding { swarm, local: [6; 32], remote: [5; 32] };
    assert_eq!(hello.verify(&receiver, &keys, "i", 10).unwrap(), claims);

    use matinee_protocol::hello::Error as Refused;
    let relayed = ChannelBinding { remote: [7; 32], ..receiver };
    assert!(matches!(hello.verify(&relayed, &keys, "i", 10), Err(Refused::Channel)));
    assert!(
        matches!(hello.verify(&sender, &keys, "i", 10), Err(Refused::Channel)),
        "reflected to its sender"
    );
    let elsewhere = ChannelBinding { swarm: SwarmId::from_bytes([9; 16]), ..receiver };
    assert!(matches!(hello.verify(&elsewhere, &keys, "i", 10), Err(Refused::Swarm)));
    let thief = SigningKey::from_seed(&[8; 32]);
    let stolen = Hello {
        signature: thief.sign(&sender.signed_bytes(&hello.token)),
        public: thief.public(),
        token: hello.token.clone(),
    };
    assert!(matches!(stolen.verify(&receiver, &keys, "i", 10), Err(Refused::Device)));
    assert!(matches!(hello.verify(&receiver, &keys, "i", 1_006), Err(Refused::Token(token::Error::Expired))));
    assert!(matches!(hello.verify(&receiver, &keys, "other", 10), Err(Refused::Token(token::Error::Issuer))));
}

#[test]
fn a_token_stays_small() {
    let vectors = matinee_protocol::vectors::compute();
    let token = vectors["view_token"]["token"].as_str().unwrap();
    assert!(token.len() <= 490, "{} bytes", token.len());
    assert!(manifest::TYP != token::TYP && token::TYP != dpop::TYP, "types keep documents apart");
}
