//! `POST /v1/views`: opens a view on this device, or goes on with the one it has.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use matinee_protocol::api::{OpenViewRequest, Opening};
use matinee_protocol::encoding::array_from_b64u;
use matinee_protocol::id::{FileIndex, ReleaseId, Thumbprint, ViewId};
use matinee_protocol::token::Role;

use super::authority::{Proof, Session};
use super::idempotent::{self, Begin, Key, Once};
use super::problem::Problem;
use super::token::{self, Licensee};
use crate::app::App;
use crate::catalog::Published;
use crate::license::issue::Terms;
use crate::license::{self, NO_LIMIT_MS, Refusal};
use crate::random;
use crate::store::entitlement::Entitlement;
use crate::store::idempotency::Kept;
use crate::store::view::{NewView, State as ViewState};
use crate::store::{self, Tx, device, entitlement, release, view};

/// Answers 201 with an opening, 200 if this device's view goes on; 403 with the rule that forbids it.
///
/// What can be read, decided, signed and sealed beforehand is, so that the transaction, of which SQLite runs one at a
/// time, is short. It decides alone: what it finds otherwise than foreseen is done again within it.
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
    let foreseen = foresee(&app, &session, &body, (proof.device, agreement_key), now_ms).await;

    let mut tx = app.store.write().await?;
    proof.spend(&mut tx, now_ms).await?;
    // The device is part of what is asked: another device with the same key does not get this one's opening.
    let asked: [&[u8]; 2] = [proof.device.as_bytes(), &proof.body];
    let kept =
        foreseen.as_ref().ok().and_then(|foreseen| foreseen.start.as_ref()).map(|start| start.kept.clone());
    let mut once = match Once::begin(tx, (session.account, "view", key), &asked, kept, now_ms).await? {
        Begin::Do(once) => once,
        Begin::Replay(response) => return Ok(response),
    };
    // What could not be looked up is told only now: the key may have had an answer, or another body.
    let Foreseen { found, newest, wanted, start } = foreseen?;
    let started = start_or_resume(&app, &mut once.tx, &found, &wanted, now_ms).await?;
    let (terms, opening) = match start {
        Some(start) if start.started == started => start.prepared,
        _ => {
            let playing = playing(&mut once.tx, &newest, started.release).await?;
            prepare(&app, &playing, &wanted, started)?
        }
    };
    token::record(&app, &mut once.tx, &terms, started.new).await?;
    if started.new {
        device::seen(&mut once.tx, session.account, proof.device, now_ms).await?;
    }
    once.answer(if started.new { StatusCode::CREATED } else { StatusCode::OK }, &opening).await
}

/// What opening looks like before the transaction.
struct Foreseen {
    found: Entitlement,
    newest: Arc<Published>,
    wanted: NewView,
    /// A new view; none where the rules allow no other, though the device may have one that goes on.
    start: Option<ForeseenStart>,
}

struct ForeseenStart {
    started: Started,
    prepared: (Terms, Opening),
    kept: Kept,
}

async fn foresee(
    app: &App,
    session: &Session,
    body: &OpenViewRequest,
    (device, agreement_key): (Thumbprint, [u8; 32]),
    now_ms: i64,
) -> Result<Foreseen, Problem> {
    let (found, newest) = look_up(app, session, body).await?;
    let wanted = NewView {
        id: ViewId::from_bytes(random::id(now_ms)),
        entitlement_id: found.id,
        account_id: session.account,
        release_id: newest.release.id,
        device,
        agreement_key,
    };
    let start = match license::may_start(&found, now_ms) {
        Ok(start) => {
            let play_until_ms = start.play_until_ms;
            let started = Started { view: wanted.id, release: wanted.release_id, play_until_ms, new: true };
            let prepared = prepare(app, &newest, &wanted, started)?;
            let kept = idempotent::kept(StatusCode::CREATED, &prepared.1)?;
            Some(ForeseenStart { started, prepared, kept })
        }
        Err(_) => None,
    };
    Ok(Foreseen { found, newest, wanted, start })
}

/// The entitlement, if it is the account's, and what it would play.
async fn look_up(
    app: &App,
    session: &Session,
    body: &OpenViewRequest,
) -> Result<(Entitlement, Arc<Published>), Problem> {
    let mut tx = app.store.read().await?;
    let found = entitlement::by_id(&mut tx, body.entitlement).await?;
    let found = found
        .filter(|found| found.account_id == session.account)
        .ok_or_else(|| Problem::not_found("entitlement"))?;
    let newest = release::latest_published_id(&mut tx, found.title_id).await?;
    drop(tx);
    let newest = match newest {
        Some(id) => app.catalog.published(id).await?,
        None => None,
    };
    let newest = newest.ok_or_else(|| {
        Problem::conflict("title_not_published", "this title has no published release yet; come back later")
    })?;
    Ok((found, newest))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Started {
    view: ViewId,
    release: ReleaseId,
    play_until_ms: i64,
    new: bool,
}

/// Signs the token and seals the first license.
fn prepare(
    app: &App,
    published: &Published,
    wanted: &NewView,
    started: Started,
) -> Result<(Terms, Opening), Problem> {
    let licensee = Licensee {
        view: started.view,
        device: wanted.device,
        agreement_key: wanted.agreement_key,
        play_until_ms: started.play_until_ms,
    };
    let terms = token::terms(app, published, licensee, FileIndex(0), 0)?;
    let license = token::license(app, published, &terms)?;
    let named = (started.view, published.release.id);
    let opening =
        token::opening(app, named, wanted.device, Role::Viewer, started.play_until_ms, Some(license))?;
    Ok((terms, opening))
}

/// The release of a view that goes on; the title may have a newer one since. Read by the transaction's own connection.
async fn playing(tx: &mut Tx, newest: &Arc<Published>, id: ReleaseId) -> Result<Arc<Published>, Problem> {
    if id == newest.release.id {
        return Ok(Arc::clone(newest));
    }
    let found = release::by_id(tx, id).await?;
    let release = found.ok_or_else(|| Problem::internal(&store::Error::Corrupt("view without a release")))?;
    Ok(Arc::new(Published { release, files: release::files(tx, id).await? }))
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
    let mut opened = view::open(tx, wanted, now_ms).await?;
    if !opened {
        let open = view::active_on(tx, found.id, wanted.device).await?.ok_or(Refusal::ViewEnded)?;
        match license::may_continue(&open, now_ms, idle_ms_max) {
            Ok(()) => {
                if !view::resume(tx, open.id, &wanted.agreement_key, now_ms).await? {
                    return Err(Refusal::ViewEnded.into());
                }
                let play_until_ms = open.play_until_ms.unwrap_or(NO_LIMIT_MS);
                return Ok(Started { view: open.id, release: open.release_id, play_until_ms, new: false });
            }
            // It was idle for too long: it is over, and this is the next.
            Err(Refusal::ViewExpired) => {
                view::end(tx, open.id, ViewState::Expired, "idle", now_ms).await?;
                opened = view::open(tx, wanted, now_ms).await?;
            }
            Err(refusal) => return Err(refusal.into()),
        }
    }
    if !opened {
        return Err(Refusal::ViewEnded.into());
    }
    let counted = entitlement::count_view(tx, found.id, now_ms).await?;
    let Some(counted) = counted else { return Err(refusal(tx, found, now_ms).await?) };
    let play_until_ms = counted.play_until_ms.unwrap_or(NO_LIMIT_MS);
    Ok(Started { view: wanted.id, release: wanted.release_id, play_until_ms, new: true })
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
