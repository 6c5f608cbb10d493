//! `POST /v1/views`: opens a view on this device, or goes on with the one it has.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use matinee_protocol::api::OpenViewRequest;
use matinee_protocol::encoding::array_from_b64u;
use matinee_protocol::id::{FileIndex, ReleaseId, ViewId};
use matinee_protocol::token::Role;

use super::authority::{Proof, Session};
use super::idempotent::{Begin, Key, Once};
use super::problem::Problem;
use super::token::{self, Licensee};
use crate::app::App;
use crate::license::{self, NO_LIMIT_MS, Refusal};
use crate::random;
use crate::store::entitlement::Entitlement;
use crate::store::view::NewView;
use crate::store::{self, Tx, device, entitlement, release, view};

/// Answers 201 with an opening, 200 if this device's view goes on; 403 with the rule that forbids it.
pub async fn handle(
    State(app): State<App>,
    session: Session,
    key: Key,
    proof: Proof,
) -> Result<Response, Problem> {
    let body: OpenViewRequest = proof.json()?;
    let agreement_key = array_from_b64u::<32>(&body.agreement_key)
        .map_err(|_| Problem::malformed("agreement_key must be 32 bytes in base64url"))?;
    let now_ms = app.clock.now_ms();
    let mut tx = app.store.write().await?;
    proof.spend(&mut tx, now_ms).await?;
    // The device is part of what is asked: another device with the same key does not get this one's opening.
    let asked: [&[u8]; 2] = [proof.device.as_bytes(), &proof.body];
    let mut once = match Once::begin(tx, session.account, "view", key, &asked, now_ms).await? {
        Begin::Do(once) => once,
        Begin::Replay(response) => return Ok(response),
    };
    let tx = &mut once.tx;
    let found = entitlement::by_id(tx, body.entitlement).await?;
    let found = found
        .filter(|found| found.account_id == session.account)
        .ok_or_else(|| Problem::not_found("entitlement"))?;
    device::seen(tx, session.account, proof.device, now_ms).await?;
    let newest = release::latest_published(tx, found.title_id).await?.ok_or_else(|| {
        Problem::conflict("title_not_published", "this title has no published release yet; come back later")
    })?;
    let wanted = NewView {
        id: ViewId::from_bytes(random::id(now_ms)),
        entitlement_id: found.id,
        account_id: session.account,
        release_id: newest.id,
        device: proof.device,
        agreement_key,
    };
    let started = start_or_resume(&app, tx, &found, &wanted, now_ms).await?;
    let playing = if started.release == newest.id {
        newest
    } else {
        let other = release::by_id(tx, started.release).await?;
        other.ok_or_else(|| Problem::internal(&store::Error::Corrupt("view without a release")))?
    };
    let licensee = Licensee {
        view: started.view,
        device: proof.device,
        agreement_key,
        play_until_ms: started.play_until_ms,
    };
    let terms = token::terms(&app, tx, &playing, licensee, FileIndex(0), 0).await?;
    let license = token::license(&app, &playing, &terms)?;
    let opening = token::opening(
        &app,
        (started.view, playing.id),
        proof.device,
        Role::Viewer,
        started.play_until_ms,
        Some(license),
    )?;
    once.answer(if started.new { StatusCode::CREATED } else { StatusCode::OK }, &opening).await
}

struct Started {
    view: ViewId,
    release: ReleaseId,
    play_until_ms: i64,
    new: bool,
}

/// Opens a view and counts it, or finds the one that this device has open, which counts nothing.
///
/// The insert comes first: of two starts on one device the second waits for it and then finds the first's view.
async fn start_or_resume(
    app: &App,
    tx: &mut Tx,
    found: &Entitlement,
    wanted: &NewView,
    now_ms: i64,
) -> Result<Started, Problem> {
    let idle_ms_max = i64::from(app.config.license.view_idle_s_max) * 1000;
    view::expire_stale(tx, found.id, wanted.device, now_ms - idle_ms_max, now_ms).await?;
    if view::open(tx, wanted, now_ms).await? {
        let counted = entitlement::count_view(tx, found.id, now_ms).await?;
        let Some(counted) = counted else { return Err(refusal(tx, found, now_ms).await?) };
        let play_until_ms = counted.play_until_ms.unwrap_or(NO_LIMIT_MS);
        return Ok(Started { view: wanted.id, release: wanted.release_id, play_until_ms, new: true });
    }
    let open = view::active_on(tx, found.id, wanted.device).await?.ok_or(Refusal::ViewEnded)?;
    license::may_continue(&open, now_ms, idle_ms_max)?;
    if !view::resume(tx, open.id, &wanted.agreement_key, now_ms).await? {
        return Err(Refusal::ViewEnded.into());
    }
    let play_until_ms = open.play_until_ms.unwrap_or(NO_LIMIT_MS);
    Ok(Started { view: open.id, release: open.release_id, play_until_ms, new: false })
}

/// Why the store counted no view, as the entitlement stands now.
async fn refusal(tx: &mut Tx, found: &Entitlement, now_ms: i64) -> Result<Problem, Problem> {
    let now = entitlement::by_id(tx, found.id).await?;
    let now = now.ok_or_else(|| Problem::not_found("entitlement"))?;
    Ok(match license::may_start(&now, now_ms) {
        Err(refusal) => refusal.into(),
        // The guard and the rule say the same; if ever they do not, nothing is opened.
        Ok(_) => Problem::internal(&"the store refused a view that the rules allow"),
    })
}
