//! `POST /v1/receipts`: upload credit. The uploader hands in what its downloaders signed.
//!
//! A receipt is the receipt frame of the data channel (kind, total, time, signature) followed by the downloader's public
//! key. The uploader is the device that proves itself here and the swarm is its token's, so a receipt serves nobody
//! else. Only a downloader that had a view or a carry of the release counts, only what grows, and never more than the
//! release holds.

use axum::Json;
use axum::extract::State;
use bytes::Bytes;
use matinee_protocol::device::DevicePublicKey;
use matinee_protocol::encoding::from_b64u;
use matinee_protocol::frame::Frame;
use matinee_protocol::id::{ReleaseId, Thumbprint};
use matinee_protocol::limit::{CHUNK_BYTES, TAG_BYTES};
use matinee_protocol::receipt::{Parties, Receipt};
use serde::{Deserialize, Serialize};

use super::authority::SwarmAuthority;
use super::doc::Doc;
use super::problem::Problem;
use crate::app::App;
use crate::store::{Tx, carry, receipt, release};

/// Receipts in one request.
const RECEIPTS_MAX: usize = 256;
/// Bytes of a receipt frame: kind, total, time, signature.
const FRAME_BYTES: usize = 1 + 8 + 8 + 64;
/// Bytes of a public key.
const KEY_BYTES: usize = 32;

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Body {
    receipts: Vec<String>,
}

/// What was credited.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Answer {
    credited_bytes: u64,
}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Hands in receipts for what was uploaded")
        .body::<Body>()
        .answer::<Answer>(200)
        .problem(401, "view_over")
}

/// Checks every receipt before any counts.
pub async fn handle(State(app): State<App>, member: SwarmAuthority) -> Result<Json<Answer>, Problem> {
    let body: Body = super::json::parse(&member.body)?;
    if body.receipts.len() > RECEIPTS_MAX {
        return Err(Problem::malformed(format!("hand in at most {RECEIPTS_MAX} receipts at once")));
    }
    let mut checked = Vec::with_capacity(body.receipts.len());
    for text in &body.receipts {
        let (receipt, key) = read(text)?;
        let downloader = key.thumbprint();
        let parties = Parties { swarm: member.claims.swm, uploader: member.device, downloader };
        if downloader == member.device || receipt.verify(&parties, &key).is_err() {
            let detail = "a receipt must be signed by another device, for this one and this swarm";
            return Err(Problem::malformed(detail));
        }
        checked.push((receipt, downloader));
    }
    let mut tx = app.store.write().await?;
    let found = carry::active_release(&mut tx, member.claims.sub).await?;
    let found = found.ok_or_else(|| Problem::token("view_over", "the view is over, open another"))?;
    let bytes_max = ciphertext_bytes(&mut tx, found).await?;
    let mut credited_bytes = 0;
    for (receipt, downloader) in checked {
        credited_bytes += credit(&mut tx, found, member.device, downloader, receipt, bytes_max, &app).await?;
    }
    tx.commit().await?;
    Ok(Json(Answer { credited_bytes }))
}

async fn credit(
    tx: &mut Tx,
    release: ReleaseId,
    uploader: Thumbprint,
    downloader: Thumbprint,
    signed: Receipt,
    bytes_max: u64,
    app: &App,
) -> Result<u64, Problem> {
    if !carry::was_member(tx, release, downloader).await? {
        return Ok(0);
    }
    let now_ms = app.clock.now_ms();
    Ok(receipt::credit(tx, release, uploader, downloader, signed.total_bytes, bytes_max, now_ms).await?)
}

fn read(text: &str) -> Result<(Receipt, DevicePublicKey), Problem> {
    let wrong =
        || Problem::malformed("a receipt is a receipt frame and the downloader's public key, base64url");
    let bytes = from_b64u(text).map_err(|_| wrong())?;
    if bytes.len() != FRAME_BYTES + KEY_BYTES {
        return Err(wrong());
    }
    let (frame, key) = bytes.split_at(FRAME_BYTES);
    let key = DevicePublicKey(key.try_into().map_err(|_| wrong())?);
    match Frame::decode(Bytes::copy_from_slice(frame)) {
        Ok(Frame::Receipt(receipt)) => Ok((receipt, key)),
        _ => Err(wrong()),
    }
}

/// Bytes of ciphertext in a release: the most that one device can have had of it.
async fn ciphertext_bytes(tx: &mut Tx, release: ReleaseId) -> Result<u64, Problem> {
    let sealed = release::by_id(tx, release).await?.is_some_and(|found| found.sealed);
    let tag_bytes = if sealed { u64::from(TAG_BYTES) } else { 0 };
    let files = release::files(tx, release).await?;
    let of_file = |size: u64| size + size.div_ceil(u64::from(CHUNK_BYTES)) * tag_bytes;
    Ok(files.iter().map(|file| of_file(file.size_bytes)).sum())
}
