//! Test vectors of every construction in `docs/PROTOCOL.md`, computed from fixed inputs (feature `vectors`).
//!
//! `tests/vectors/v1.json` is what [`compute`] gave. The native build and the WebAssembly build both compare with that file;
//! a third party reads it to check an implementation of its own. Secrets in it are examples.

use std::convert::Infallible;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::device::SigningKey;
use crate::encoding::b64u;
use crate::frame::{Frame, Reason};
use crate::hash::{PageBuilder, chunk_hash};
use crate::hello::{ChannelBinding, Hello};
use crate::id::{
    ChunkAddress, ChunkIndex, EpochIndex, FileIndex, LicenseId, PageIndex, ReleaseId, SwarmId, ViewId,
};
use crate::license::{AgreementSecret, License, open_keys, seal_keys};
use crate::manifest::{FORMAT, Manifest, ManifestFile};
use crate::rand_core::{TryCryptoRng, TryRng};
use crate::receipt::{Parties, Receipt};
use crate::seal::{ReleaseSecret, derive_epoch_key, open_chunk, seal_chunk};
use crate::token::{AUDIENCE, Confirmation, Role, ViewTokenClaims};
use crate::{dpop, token};

/// A generator that repeats one byte: for vectors only, where the ephemeral key has to be known.
struct Repeat(u8);

impl TryRng for Repeat {
    type Error = Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_be_bytes([self.0; 4]))
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_be_bytes([self.0; 8]))
    }
    fn try_fill_bytes(&mut self, to: &mut [u8]) -> Result<(), Infallible> {
        to.fill(self.0);
        Ok(())
    }
}

impl TryCryptoRng for Repeat {}

const NOW_S: u64 = 1_795_000_000;
const RELEASE: ReleaseId = ReleaseId::from_bytes([0x11; 16]);
const VIEW: ViewId = ViewId::from_bytes([0x22; 16]);
const LICENSE: LicenseId = LicenseId::from_bytes([0x33; 16]);
const SWARM: SwarmId = SwarmId::from_bytes([0x44; 16]);

fn server_key() -> SigningKey {
    SigningKey::from_seed(&[1; 32])
}

fn device_key() -> SigningKey {
    SigningKey::from_seed(&[2; 32])
}

fn view_token() -> String {
    let claims = ViewTokenClaims {
        iss: "https://matinee.example".to_owned(),
        aud: AUDIENCE.to_owned(),
        sub: VIEW,
        jti: "AAAAAAAAAAAAAAAA".to_owned(),
        exp: NOW_S + 300,
        cnf: Confirmation { jkt: device_key().public().thumbprint() },
        swm: SWARM,
        rol: Role::Viewer,
    };
    token::issue(&claims, "view-1", &server_key())
}

/// Every vector as one JSON document.
pub fn compute() -> Value {
    json!({
        "version": 1,
        "seal": seal(),
        "device": {
            "signing_seed": b64u(&[2; 32]),
            "signing_public": b64u(&device_key().public().0),
            "thumbprint": device_key().public().thumbprint(),
        },
        "manifest": manifest(),
        "view_token": {
            "server_seed": b64u(&[1; 32]), "issuer": "https://matinee.example", "now_s": NOW_S, "token": view_token(),
        },
        "proof": proof(),
        "license": license(),
        "hello": hello(),
        "receipt": receipt(),
        "frames": frames(),
    })
}

fn seal() -> Value {
    let secret = ReleaseSecret::from_bytes([7; 32]);
    let (file, epoch) = (FileIndex(1), EpochIndex(2));
    let key = derive_epoch_key(&secret, &RELEASE, file, epoch);
    let at = ChunkAddress::new(1, 130);
    let plaintext = b"Matinee seals chunks one by one.";
    let mut sealed = plaintext.to_vec();
    seal_chunk(&key, &RELEASE, at, &mut sealed);
    let opened = open_chunk(&key, &RELEASE, at, &sealed).expect("a vector opens what it sealed");
    json!({
        "release_secret": b64u(secret.expose()), "release": RELEASE, "file": file, "epoch": epoch, "chunk": at.chunk,
        "epoch_key": b64u(key.expose()),
        "plaintext": b64u(&opened), "sealed": b64u(&sealed), "chunk_hash": b64u(&chunk_hash(&sealed).0),
    })
}

fn manifest() -> Value {
    let mut pages = PageBuilder::default();
    (0..3_u8).for_each(|chunk| pages.push(chunk_hash(&[chunk])));
    let file = ManifestFile {
        name: "film.mp4".to_owned(),
        media_type: "video/mp4".to_owned(),
        size_bytes: 2 * 262_144 + 1,
        epoch_chunks: 64,
        duration_ms: Some(5310),
        pages: pages.pages().map(|(_, hash)| hash).collect(),
    };
    let manifest = Manifest {
        format: FORMAT,
        release: RELEASE,
        title: "Big Buck Bunny".to_owned(),
        publisher: "Blender Foundation".to_owned(),
        created_at_ms: NOW_S * 1000,
        sealed: true,
        files: vec![file],
    };
    let page = pages.pages().next().map(|(page, _)| b64u(page));
    json!({ "manifest": manifest, "page": page, "jws": manifest.to_jws("release-1", &server_key()) })
}

fn proof() -> Value {
    let token = view_token();
    let body = br#"{"file":0,"epoch":4}"#;
    let claims = dpop::ProofClaims {
        jti: "BBBBBBBBBBBBBBBB".to_owned(),
        htm: "POST".to_owned(),
        htu: format!("https://matinee.example/v1/views/{VIEW}/licenses"),
        iat: NOW_S,
        ath: Some(dpop::digest(token.as_bytes())),
        body_sha256: Some(dpop::digest(body)),
        nonce: None,
    };
    json!({ "claims": claims, "body": b64u(body), "proof": dpop::create(&device_key(), &claims) })
}

fn license() -> Value {
    let device = AgreementSecret::from_bytes([9; 32]);
    let secret = ReleaseSecret::from_bytes([7; 32]);
    let keys: Vec<_> = (0..3)
        .map(|epoch| {
            let (file, epoch) = (FileIndex(0), EpochIndex(epoch));
            (file, epoch, derive_epoch_key(&secret, &RELEASE, file, epoch))
        })
        .collect();
    let sealed = seal_keys(&device.public(), (LICENSE, VIEW, RELEASE), &keys, &mut Repeat(5))
        .expect("a vector's own key is usable");
    let license = License {
        license: LICENSE,
        view: VIEW,
        release: RELEASE,
        device: device_key().public().thumbprint(),
        issued_at_ms: NOW_S * 1000,
        renew_at_ms: NOW_S * 1000 + 60_000,
        play_until_ms: NOW_S * 1000 + 3_600_000,
        epochs: vec![crate::license::EpochRange { file: FileIndex(0), first: EpochIndex(0), count: 3 }],
        encapsulated_key: sealed.encapsulated_key,
        sealed_keys: sealed.sealed_keys,
    };
    let opened = open_keys(&device, &license).expect("a vector opens what it sealed");
    json!({
        "agreement_secret": b64u(&[9; 32]), "agreement_public": b64u(&device.public()), "license": license,
        "keys": opened.iter().map(|(_, _, key)| b64u(key.expose())).collect::<Vec<_>>(),
    })
}

fn signed_hello() -> (ChannelBinding, Hello) {
    let binding = ChannelBinding { swarm: SWARM, local: [0xa; 32], remote: [0xb; 32] };
    let token = view_token();
    let signature = device_key().sign(&binding.signed_bytes(&token));
    (binding, Hello { token, public: device_key().public(), signature })
}

fn hello() -> Value {
    let (binding, hello) = signed_hello();
    json!({
        "swarm": SWARM, "sender_fingerprint": b64u(&binding.local), "receiver_fingerprint": b64u(&binding.remote),
        "frame": b64u(&Frame::Hello(hello).encode()),
    })
}

fn receipt() -> Value {
    let uploader = SigningKey::from_seed(&[3; 32]).public().thumbprint();
    let parties = Parties { swarm: SWARM, uploader, downloader: device_key().public().thumbprint() };
    let signature = device_key().sign(&parties.signed_bytes(8_388_608, NOW_S * 1000));
    let receipt = Receipt { total_bytes: 8_388_608, at_ms: NOW_S * 1000, signature };
    json!({
        "uploader": uploader, "downloader": parties.downloader, "total_bytes": receipt.total_bytes,
        "at_ms": receipt.at_ms, "frame": b64u(&Frame::Receipt(receipt).encode()),
    })
}

fn frames() -> Value {
    let at = ChunkAddress::new(1, 130);
    let frames = [
        (
            "inventory",
            Frame::Inventory {
                file: FileIndex(1),
                first: ChunkIndex(8),
                count: 11,
                bits: Bytes::from_static(&[0b1010_0000, 0b0110_0000]),
            },
        ),
        ("have", Frame::Have { file: FileIndex(1), chunks: vec![ChunkIndex(130), ChunkIndex(7)] }),
        ("request", Frame::Request(at)),
        ("data", Frame::Data { at, offset: 52_432, bytes: Bytes::from_static(b"sealed") }),
        ("cancel", Frame::Cancel(at)),
        ("busy", Frame::Busy { at, retry_after_ms: 250 }),
        ("page_request", Frame::PageRequest { file: FileIndex(1), page: PageIndex(3) }),
        ("page", Frame::Page { file: FileIndex(1), page: PageIndex(3), bytes: Bytes::from_static(&[6; 32]) }),
        ("goodbye", Frame::Goodbye(Reason::Revoked)),
    ];
    frames.iter().map(|(name, frame)| ((*name).to_owned(), json!(b64u(&frame.encode())))).collect::<Value>()
}
