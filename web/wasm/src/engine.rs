//! One release's swarm, its manifest and its content keys, as a JavaScript class.

use std::collections::BTreeMap;

use bytes::Bytes;
use js_sys::{Reflect, Uint8Array};
use matinee_engine::{Config, Identity, Input, OriginError, OriginPolicy, Output, Playhead, Swarm};
use matinee_protocol::device::DevicePublicKey;
use matinee_protocol::frame::Frame;
use matinee_protocol::hash::HashPage;
use matinee_protocol::hello::{ChannelBinding, Hello};
use matinee_protocol::id::{ChunkAddress, EpochIndex, FileIndex, PageIndex, PeerId, SwarmId, Thumbprint};
use matinee_protocol::jws::KeySet;
use matinee_protocol::manifest::Manifest;
use matinee_protocol::seal::EpochKey;
use wasm_bindgen::prelude::{JsError, JsValue, wasm_bindgen};

use crate::output;

/// First byte of a hello frame.
const HELLO_KIND: u8 = 1;
/// Devices whose signing key is remembered for their receipts.
const DEVICE_KEYS_MAX: usize = 4096;

/// The engine of one release. `now` is Unix time in milliseconds everywhere.
#[wasm_bindgen]
pub struct Engine {
    pub(crate) manifest: Manifest,
    swarm_id: SwarmId,
    swarm: Swarm,
    pub(crate) pages: BTreeMap<(FileIndex, PageIndex), HashPage>,
    pub(crate) keys: BTreeMap<(FileIndex, EpochIndex), EpochKey>,
    device_keys: BTreeMap<Thumbprint, DevicePublicKey>,
}

pub(crate) fn js(error: impl std::fmt::Display) -> JsError {
    JsError::new(&error.to_string())
}

fn peer_id(text: &str) -> Result<PeerId, JsError> {
    text.parse().map_err(js)
}

fn fingerprint(bytes: &[u8]) -> Result<[u8; 32], JsError> {
    bytes.try_into().map_err(|_| JsError::new("a fingerprint has 32 bytes"))
}

fn signature(bytes: &[u8]) -> Result<[u8; 64], JsError> {
    bytes.try_into().map_err(|_| JsError::new("a signature has 64 bytes"))
}

/// The one copy on the way in: from JavaScript's heap to memory that the engine may keep.
fn taken(bytes: &Uint8Array) -> Bytes {
    Bytes::from(bytes.to_vec())
}

#[wasm_bindgen]
impl Engine {
    /// Verifies the manifest by the release keys of `jwks` and starts with no peers and no chunks.
    ///
    /// `swarm` and `thumbprint` as base64url; `peers` whether peers may be used at all;
    /// `upload_bytes_per_s_max` 0 for no cap; `seed` random bits from the browser.
    #[wasm_bindgen(constructor)]
    #[expect(clippy::too_many_arguments, reason = "JavaScript's constructor; each has a name there")]
    pub fn new(
        manifest_jws: &str,
        jwks: &str,
        release: &str,
        swarm: &str,
        thumbprint: &str,
        issuer: &str,
        peers: bool,
        upload_bytes_per_s_max: f64,
        seed: u64,
    ) -> Result<Self, JsError> {
        let keys = KeySet::from_jwks(jwks.as_bytes()).map_err(js)?;
        let manifest = Manifest::from_jws(manifest_jws, &keys).map_err(js)?;
        if manifest.release.to_string() != release {
            return Err(JsError::new("the manifest is of another release"));
        }
        let thumbprint: Thumbprint = thumbprint.parse().map_err(js)?;
        let swarm_id: SwarmId = swarm.parse().map_err(js)?;
        let identity = Identity { swarm: swarm_id, thumbprint, issuer: issuer.to_owned(), keys };
        let capped = upload_bytes_per_s_max > 0.0;
        let config = Config {
            origin: if peers { OriginPolicy::Fallback } else { OriginPolicy::Only },
            upload_bytes_per_s_max: capped.then_some(upload_bytes_per_s_max as u64),
            ..Config::default()
        };
        let swarm = Swarm::new(config, manifest.clone(), identity, seed);
        let (pages, keys, device_keys) = Default::default();
        Ok(Self { manifest, swarm_id, swarm, pages, keys, device_keys })
    }

    /// `{title, publisher, sealed, files: [{name, media_type, size_bytes, duration_ms, chunks, epoch_chunks}]}`.
    pub fn facts(&self) -> Result<JsValue, JsValue> {
        output::facts(&self.manifest)
    }

    /// Bytes of a chunk as it travels; undefined if there is no such chunk.
    pub fn travel_bytes(&self, file: u32, chunk: u32) -> Option<u32> {
        self.manifest.travel_chunk_bytes(ChunkAddress::new(file, chunk))
    }

    /// Where a chunk starts in its file's ciphertext; undefined if there is no such chunk.
    pub fn travel_offset(&self, file: u32, chunk: u32) -> Option<f64> {
        self.manifest.ciphertext_offset(ChunkAddress::new(file, chunk)).map(|offset| offset as f64)
    }

    // What happened.

    /// Chunks on disk, verified in this run, as (first, count) pairs.
    pub fn held(&mut self, now: f64, file: u32, runs: &[u32]) {
        let (pairs, _) = runs.as_chunks::<2>();
        let chunks = pairs.iter().map(|&[first, count]| (first, count)).collect();
        self.take(now, Input::Held { file: FileIndex(file), chunks });
    }

    /// A chunk that was evicted or cannot be read.
    pub fn lost(&mut self, now: f64, file: u32, chunk: u32) {
        self.take(now, Input::Lost { at: ChunkAddress::new(file, chunk) });
    }

    /// What the device key signs for a hello on the channel with these fingerprints.
    pub fn hello_signed_bytes(&self, local: &[u8], remote: &[u8], token: &str) -> Result<Vec<u8>, JsError> {
        Ok(self.binding(local, remote)?.signed_bytes(token))
    }

    /// The hello frame; `device` is the public signing key.
    pub fn hello_frame(token: &str, device: &[u8], signed: &[u8]) -> Result<Vec<u8>, JsError> {
        let public =
            DevicePublicKey(device.try_into().map_err(|_| JsError::new("a device key has 32 bytes"))?);
        let hello = Hello { token: token.to_owned(), public, signature: signature(signed)? };
        Ok(Frame::Hello(hello).encode().into())
    }

    /// A data channel is open.
    pub fn peer_opened(
        &mut self,
        now: f64,
        peer: &str,
        local: &[u8],
        remote: &[u8],
        hello: &[u8],
    ) -> Result<(), JsError> {
        let binding = self.binding(local, remote)?;
        let hello = Bytes::copy_from_slice(hello);
        self.take(now, Input::PeerOpened { peer: peer_id(peer)?, binding, hello });
        Ok(())
    }

    /// A hello with a newer token for a channel.
    pub fn hello_renewed(&mut self, now: f64, peer: &str, hello: &[u8]) -> Result<(), JsError> {
        self.take(now, Input::HelloRenewed { peer: peer_id(peer)?, hello: Bytes::copy_from_slice(hello) });
        Ok(())
    }

    /// The channel is gone.
    pub fn peer_closed(&mut self, now: f64, peer: &str) -> Result<(), JsError> {
        self.take(now, Input::PeerClosed { peer: peer_id(peer)? });
        Ok(())
    }

    /// One message came in.
    pub fn frame(&mut self, now: f64, peer: &str, bytes: &Uint8Array) -> Result<(), JsError> {
        let (peer, bytes) = (peer_id(peer)?, taken(bytes));
        self.note_device_key(&bytes);
        self.take(now, Input::Frame { peer, bytes });
        Ok(())
    }

    /// What waits in the channel is below the low-water mark.
    pub fn drained(&mut self, now: f64, peer: &str) -> Result<(), JsError> {
        self.take(now, Input::Drained { peer: peer_id(peer)? });
        Ok(())
    }

    /// The answer to a `read`; undefined when the chunk is lost.
    pub fn read_done(
        &mut self,
        now: f64,
        peer: &str,
        file: u32,
        chunk: u32,
        bytes: Option<Uint8Array>,
    ) -> Result<(), JsError> {
        let bytes = bytes.as_ref().map(taken);
        let at = ChunkAddress::new(file, chunk);
        self.take(now, Input::ReadDone { peer: peer_id(peer)?, at, bytes });
        Ok(())
    }

    /// One chunk of an origin run, not verified yet.
    pub fn origin_chunk(&mut self, now: f64, request: f64, file: u32, chunk: u32, bytes: &Uint8Array) {
        let at = ChunkAddress::new(file, chunk);
        self.take(now, Input::OriginChunk { request: request as u64, at, bytes: taken(bytes) });
    }

    /// An origin run is over: `error` is undefined, `not_authorized`, `not_found` or words.
    pub fn origin_ended(&mut self, now: f64, request: f64, error: Option<String>) {
        let error = error.map(|error| match error.as_str() {
            "not_authorized" => OriginError::NotAuthorized,
            "not_found" => OriginError::NotFound,
            _ => OriginError::Unreachable(error),
        });
        self.take(now, Input::OriginEnded { request: request as u64, error });
    }

    /// A hash page came in. It is verified here; whether it was right is returned.
    pub fn page_arrived(&mut self, now: f64, file: u32, page: u32, bytes: &Uint8Array) -> bool {
        let bytes = taken(bytes);
        let right = self.keep_page(FileIndex(file), PageIndex(page), bytes.clone());
        self.take(now, Input::PageArrived { file: FileIndex(file), page: PageIndex(page), bytes });
        right
    }

    /// The origin could not give a hash page.
    pub fn page_failed(&mut self, now: f64, file: u32, page: u32) {
        self.take(now, Input::PageFailed { file: FileIndex(file), page: PageIndex(page) });
    }

    /// Where a reader is: the chunk needed now, and how many from it on are wanted.
    pub fn playhead(
        &mut self,
        now: f64,
        reader: u32,
        file: u32,
        chunk: u32,
        bytes_per_s: f64,
        ahead_chunks: u32,
    ) {
        let playhead = Playhead {
            file: FileIndex(file),
            chunk: chunk.into(),
            bytes_per_s: bytes_per_s as u64,
            ahead_chunks,
        };
        self.take(now, Input::Playhead { reader, playhead: Some(playhead) });
    }

    /// A reader went away or rests.
    pub fn playhead_gone(&mut self, now: f64, reader: u32) {
        self.take(now, Input::Playhead { reader, playhead: None });
    }

    /// How many peers are being connected to.
    pub fn peers_expected(&mut self, now: f64, count: u32) {
        self.take(now, Input::PeersExpected { count });
    }

    /// A device that sent wrong data in an earlier run.
    pub fn remember(&mut self, now: f64, thumbprint: &str) -> Result<(), JsError> {
        self.take(now, Input::Remember { thumbprint: thumbprint.parse().map_err(js)? });
        Ok(())
    }

    /// The server's keys were fetched anew.
    pub fn keys_changed(&mut self, now: f64, jwks: &str) -> Result<(), JsError> {
        let keys = KeySet::from_jwks(jwks.as_bytes()).map_err(js)?;
        self.take(now, Input::KeysChanged { keys });
        Ok(())
    }

    /// The answer to a `sign receipt`.
    pub fn receipt_signed(
        &mut self,
        now: f64,
        peer: &str,
        total_bytes: f64,
        at_ms: f64,
        signed: &[u8],
    ) -> Result<(), JsError> {
        self.take(
            now,
            Input::ReceiptSigned {
                peer: peer_id(peer)?,
                total_bytes: total_bytes as u64,
                at_ms: at_ms as u64,
                signature: signature(signed)?,
            },
        );
        Ok(())
    }

    /// Says goodbye to everybody.
    pub fn leave(&mut self, now: f64) {
        self.take(now, Input::Leave);
    }

    /// The time of `next_wakeup` has come.
    pub fn tick(&mut self, now: f64) {
        self.take(now, Input::Tick);
    }

    // What to do.

    /// The next thing to do as a plain object tagged by `kind`; undefined when there is nothing left.
    pub fn poll(&mut self) -> Result<JsValue, JsValue> {
        let Some(next) = self.swarm.poll_output() else {
            return Ok(JsValue::UNDEFINED);
        };
        if let Output::StorePage { file, page, bytes } = &next {
            self.keep_page(*file, *page, bytes.clone());
        }
        if let Output::ReceiptReceived { thumbprint, receipt, .. } = &next {
            let key = self.device_keys.get(thumbprint);
            return output::receipt(thumbprint, key, receipt);
        }
        output::object(&next)
    }

    /// When to call `tick`, in Unix milliseconds.
    pub fn next_wakeup(&self) -> Option<f64> {
        self.swarm.next_wakeup_ms().map(|at| at as f64)
    }

    /// Whether a chunk is held.
    pub fn holds(&self, file: u32, chunk: u32) -> bool {
        self.swarm.holds(ChunkAddress::new(file, chunk))
    }

    /// Figures; a few times a second, not per frame.
    pub fn stats(&self) -> Result<JsValue, JsValue> {
        output::stats(&self.swarm.stats())
    }
}

impl Engine {
    fn take(&mut self, now: f64, input: Input) {
        self.swarm.handle(now.max(0.0) as u64, input);
    }

    /// Receipts name devices by thumbprint and the server wants their keys: both are in a hello, which the engine judges.
    fn note_device_key(&mut self, frame: &Bytes) {
        if frame.first() != Some(&HELLO_KIND) || self.device_keys.len() >= DEVICE_KEYS_MAX {
            return;
        }
        if let Ok(Frame::Hello(hello)) = Frame::decode(frame.clone()) {
            self.device_keys.insert(hello.public.thumbprint(), hello.public);
        }
    }

    fn binding(&self, local: &[u8], remote: &[u8]) -> Result<ChannelBinding, JsError> {
        Ok(ChannelBinding { swarm: self.swarm_id, local: fingerprint(local)?, remote: fingerprint(remote)? })
    }

    /// Keeps a page for checking what the cache gives, if it is the one that the manifest names.
    fn keep_page(&mut self, file: FileIndex, page: PageIndex, bytes: Bytes) -> bool {
        let expected = self.manifest.file(file).and_then(|described| described.page_hash(page));
        let Some(Ok(verified)) = expected.map(|expected| HashPage::verify(bytes, expected)) else {
            return false;
        };
        self.pages.insert((file, page), verified);
        true
    }
}

/// Sets a field of a plain object.
pub(crate) fn set(object: &js_sys::Object, name: &str, value: impl Into<JsValue>) -> Result<(), JsValue> {
    Reflect::set(object, &JsValue::from_str(name), &value.into()).map(drop)
}
