//! Outputs of the engine as plain JavaScript objects tagged by `kind`.

use js_sys::{Array, Object, Uint8Array};
use matinee_engine::{Output, Stats};
use matinee_protocol::device::DevicePublicKey;
use matinee_protocol::encoding::b64u;
use matinee_protocol::frame::Frame;
use matinee_protocol::id::{ChunkAddress, PeerId, Thumbprint};
use matinee_protocol::manifest::Manifest;
use matinee_protocol::receipt::Receipt;
use wasm_bindgen::prelude::JsValue;

use crate::engine::set;

fn tagged(kind: &str) -> Result<Object, JsValue> {
    let object = Object::new();
    set(&object, "kind", kind)?;
    Ok(object)
}

fn with_peer(kind: &str, peer: PeerId) -> Result<Object, JsValue> {
    let object = tagged(kind)?;
    set(&object, "peer", peer.to_string())?;
    Ok(object)
}

fn set_address(object: &Object, at: ChunkAddress) -> Result<(), JsValue> {
    set(object, "file", at.file.0)?;
    set(object, "chunk", at.chunk.0)
}

/// The one copy on the way out.
fn bytes(from: &[u8]) -> Uint8Array {
    Uint8Array::from(from)
}

/// Numbers up to 2^53 survive as they are, and nothing counted here comes near.
fn number(value: u64) -> f64 {
    value as f64
}

/// One output.
pub(crate) fn object(output: &Output) -> Result<JsValue, JsValue> {
    let object = match output {
        Output::Send { peer, frame } => {
            let object = with_peer("send", *peer)?;
            set(&object, "frame", bytes(frame))?;
            object
        }
        Output::Close { peer, reason } => {
            let object = with_peer("close", *peer)?;
            set(&object, "reason", reason.code())?;
            object
        }
        Output::PeerReady { peer, claims } => {
            let object = with_peer("peer ready", *peer)?;
            set(&object, "thumbprint", claims.cnf.jkt.to_string())?;
            object
        }
        Output::Store { at, bytes: chunk } => {
            let object = tagged("store")?;
            set_address(&object, *at)?;
            set(&object, "bytes", bytes(chunk))?;
            object
        }
        // The binding keeps pages itself; a restarted worker asks for them again.
        Output::StorePage { .. } => tagged("page kept")?,
        Output::Read { peer, at } => {
            let object = with_peer("read", *peer)?;
            set_address(&object, *at)?;
            object
        }
        Output::FetchOrigin { request, file, first, count } => {
            let object = tagged("fetch origin")?;
            set(&object, "request", number(*request))?;
            set(&object, "file", file.0)?;
            set(&object, "first", first.0)?;
            set(&object, "count", *count)?;
            object
        }
        Output::CancelOrigin { request } => {
            let object = tagged("cancel origin")?;
            set(&object, "request", number(*request))?;
            object
        }
        Output::FetchPage { file, page } => {
            let object = tagged("fetch page")?;
            set(&object, "file", file.0)?;
            set(&object, "page", page.0)?;
            object
        }
        Output::SignReceipt { peer, total_bytes, at_ms, signed_bytes, .. } => {
            let object = with_peer("sign receipt", *peer)?;
            set(&object, "total_bytes", number(*total_bytes))?;
            set(&object, "at_ms", number(*at_ms))?;
            set(&object, "signed_bytes", bytes(signed_bytes))?;
            object
        }
        Output::ReceiptReceived { thumbprint, receipt: received, .. } => {
            return receipt(thumbprint, None, received);
        }
        Output::Remembered { thumbprint, fault } => {
            let object = tagged("remembered")?;
            set(&object, "thumbprint", thumbprint.to_string())?;
            set(&object, "fault", fault.to_string())?;
            object
        }
        Output::Report { peer, fault } => {
            let object = with_peer("report", *peer)?;
            set(&object, "fault", fault.to_string())?;
            object
        }
    };
    Ok(object.into())
}

/// A receipt as the server takes it: the receipt frame and the downloader's signing key; without the key there is
/// nothing to hand in.
pub(crate) fn receipt(
    downloader: &Thumbprint,
    key: Option<&DevicePublicKey>,
    receipt: &Receipt,
) -> Result<JsValue, JsValue> {
    let object = tagged("receipt received")?;
    set(&object, "downloader", downloader.to_string())?;
    set(&object, "total_bytes", number(receipt.total_bytes))?;
    let text = key.map(|key| b64u(&[Frame::Receipt(*receipt).encode().as_ref(), &key.0].concat()));
    set(&object, "receipt", text.unwrap_or_default())?;
    Ok(object.into())
}

/// What a player wants to know of a manifest.
pub(crate) fn facts(manifest: &Manifest) -> Result<JsValue, JsValue> {
    let files = Array::new();
    for file in &manifest.files {
        let object = Object::new();
        set(&object, "name", file.name.as_str())?;
        set(&object, "media_type", file.media_type.as_str())?;
        set(&object, "size_bytes", number(file.size_bytes))?;
        set(&object, "duration_ms", file.duration_ms.map_or(JsValue::NULL, |ms| number(ms).into()))?;
        set(&object, "chunks", file.chunks())?;
        set(&object, "epoch_chunks", file.epoch_chunks)?;
        files.push(&object);
    }
    let object = Object::new();
    set(&object, "title", manifest.title.as_str())?;
    set(&object, "publisher", manifest.publisher.as_str())?;
    set(&object, "sealed", manifest.sealed)?;
    set(&object, "files", files)?;
    Ok(object.into())
}

/// Figures of the engine.
pub(crate) fn stats(stats: &Stats) -> Result<JsValue, JsValue> {
    let object = Object::new();
    let ready = stats.peers.iter().filter(|peer| peer.thumbprint.is_some()).count();
    let numbers = [
        ("peer_bytes", stats.peer_bytes),
        ("origin_bytes", stats.origin_bytes),
        ("uploaded_bytes", stats.uploaded_bytes),
        ("wasted_bytes", stats.wasted_bytes),
        ("chunks_held", stats.chunks_held),
        ("chunks_total", stats.chunks_total),
        ("chunks_in_flight", stats.chunks_in_flight),
        ("chunks_missing", stats.chunks_missing),
        ("buffered_ms", stats.buffered_ms),
        ("origin_corrupt_chunks", stats.origin_corrupt_chunks),
        ("origin_failures", stats.origin_failures),
        ("devices_refused", stats.devices_refused),
        ("peers", ready as u64),
    ];
    for (name, value) in numbers {
        set(&object, name, number(value))?;
    }
    Ok(object.into())
}
