//! `POST /v1/views`: opens a view on this device, or goes on with the one it has.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use matinee_protocol::api::{BreakStates, OpenViewRequest, Opening};
use matinee_protocol::encoding::array_from_b64u;
use matinee_protocol::id::{EntitlementId, FileIndex, ReleaseId, Thumbprint, TitleId, ViewId};
use matinee_protocol::token::Role;

use super::attempt::Place;
use super::authority::{Proof, Session};
use super::breaks;
use super::doc::Doc;
use super::idempotent::{self, Begin, Key, Once};
use super::problem::Problem;
use super::token::{self, Licensee};
use crate::app::App;
use crate::catalog::Published;
use crate::license::decide::{self, AtLimit, Devices};
use crate::license::issue::Terms;
use crate::license::place::Country;
use crate::license::title::Title;
use crate::license::{self, Facts, Refusal};
use crate::random;
use crate::store::entitlement::Entitlement;
use crate::store::idempotency::Kept;
use crate::store::view::{NewView, State as ViewState};
use crate::store::{self, Tx, account, device, entitlement, release, right, view};

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Opens a view on this device, or goes on with the one it has")
        .once()
        .body::<OpenViewRequest>()
        .answer::<Opening>(201)
        .answer::<Opening>(200)
        .rules()
        .problem(404, "not_found")
        .problem(409, "title_not_published")
        .problems(422, &["agreement_key_invalid", "title_required"])
        .problem(429, "keys_too_fast")
}

/// Answers 201 with an opening, 200 if this device's view goes on; 403 with the rule that forbids it.
///
/// What can be read, decided, signed and sealed beforehand is, so that the transaction, of which SQLite runs one at a
/// time, is short. It decides alone: what it finds otherwise than foreseen is done again within it.
pub async fn handle(
    State(app): State<App>,
    session: Session,
    key: Key,
    Place(place): Place,
    proof: Proof,
) -> Result<Response, Problem> {
    let body: OpenViewRequest = proof.json()?;
    let agreement_key = array_from_b64u::<32>(&body.agreement_key)
        .map_err(|_| Problem::malformed("agreement_key must be 32 bytes in base64url"))?;
    let now_ms = app.clock.now_ms();
    let foreseen = foresee(&app, &session, &body, (proof.device, agreement_key, place), now_ms).await;

    let start = foreseen.as_ref().ok().and_then(|foreseen| foreseen.start.as_ref());
    let kept = start.map(|start| &start.kept);
    let open = async |mut tx: Tx| {
        proof.spend(&mut tx, now_ms).await?;
        // The device is part of what is asked: another device with the same key does not get this one's opening.
        let asked: [&[u8]; 2] = [proof.device.as_bytes(), &proof.body];
        let named = (session.account, "view", key.clone());
        match Once::begin(tx, named, &asked, kept.cloned(), now_ms).await? {
            // What could not be looked up is told only now: the key may have had an answer, or another body.
            Begin::Do(once) => answer(&app, once, foreseen.as_ref().map_err(Problem::clone)?, now_ms).await,
            Begin::Replay(response) => Ok((response, Vec::new())),
        }
    };
    let (response, stopped) = app.store.presuming(start.is_some(), open).await?;
    for view in stopped {
        app.hub.revoke_view(view, "another device plays now");
    }
    Ok(response)
}

/// Opens or goes on, and keeps the answer. Names the views of other devices that it stopped.
async fn answer(
    app: &App,
    mut once: Once,
    foreseen: &Foreseen,
    now_ms: i64,
) -> Result<(Response, Vec<ViewId>), Problem> {
    let Foreseen { asked, wanted, start } = foreseen;
    let (started, stopped) = start_or_resume(app, &mut once.tx, asked, wanted, now_ms).await?;
    let otherwise;
    let (terms, opening) = match start {
        Some(start) if start.started == started => &start.prepared,
        _ => {
            let playing = playing(&mut once.tx, &asked.newest, started.release).await?;
            let breaks = match &asked.found.breaks {
                Some(_) => open_breaks(&mut once.tx, started).await?,
                None => None,
            };
            otherwise = prepare(app, &playing, asked, wanted, started, breaks)?;
            &otherwise
        }
    };
    token::record(app, &mut once.tx, terms, started.new).await?;
    if started.new {
        device::seen(&mut once.tx, wanted.account_id, wanted.device, now_ms).await?;
    }
    let status = if started.new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((once.answer(status, opening).await?, stopped))
}

/// What was asked for: a right, a title as the rules see it, and what of it would play.
struct Asked {
    found: Entitlement,
    title: Title,
    newest: Arc<Published>,
    place: Option<Country>,
}

impl Asked {
    fn facts<'a>(&'a self, app: &App, devices: Devices, now_ms: i64) -> Facts<'a> {
        let Self { found, title, place, .. } = self;
        Facts { entitlement: found, title, place: *place, devices, policy: app.policy(), now_ms }
    }
}

/// What opening looks like before the transaction.
struct Foreseen {
    asked: Asked,
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
    (device, agreement_key, place): (Thumbprint, [u8; 32], Option<Country>),
    now_ms: i64,
) -> Result<Foreseen, Problem> {
    let mut tx = app.store.read().await?;
    let (found, title, newest) = look_up(&mut tx, session, (body.entitlement, body.title)).await?;
    let devices = devices(app, &mut tx, &found, device, now_ms).await?;
    let breaks = breaks::fresh(&mut tx, found.breaks.as_ref(), title.id).await?;
    drop(tx);
    let newest = match newest {
        Some(id) => app.catalog.published(id).await?,
        None => None,
    };
    let newest = newest.ok_or_else(|| {
        Problem::conflict("title_not_published", "this title has no published release yet; come back later")
    })?;
    let asked = Asked { found, title, newest, place };
    let wanted = NewView {
        id: ViewId::from_bytes(random::id(now_ms)),
        entitlement_id: asked.found.id,
        account_id: session.account,
        title_id: asked.title.id,
        release_id: asked.newest.release.id,
        device,
        agreement_key,
    };
    let start = match license::decide(&asked.facts(app, devices, now_ms)) {
        Ok(allowed) => {
            let play_until_ms = allowed.play_until_ms;
            let started = Started { view: wanted.id, release: wanted.release_id, play_until_ms, new: true };
            let prepared = prepare(app, &asked.newest, &asked, &wanted, started, breaks)?;
            let kept = idempotent::kept(StatusCode::CREATED, &prepared.1)?;
            Some(ForeseenStart { started, prepared, kept })
        }
        Err(_) => None,
    };
    Ok(Foreseen { asked, wanted, start })
}

/// The entitlement, if it is the account's, the title, and the newest release of it.
pub(super) async fn look_up(
    tx: &mut Tx,
    session: &Session,
    (named, title): (EntitlementId, Option<TitleId>),
) -> Result<(Entitlement, Title, Option<ReleaseId>), Problem> {
    let found = entitlement::by_id(tx, named).await?;
    let found = found
        .filter(|found| found.account_id == session.account)
        .ok_or_else(|| Problem::not_found("entitlement"))?;
    let wanted: TitleId = title.or(found.scope.title()).ok_or_else(|| {
        let detail = "this entitlement is to a collection: say which title";
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "title_required", detail)
    })?;
    let title = right::title_and_newest(tx, wanted, session.account, Some(found.id)).await?;
    let (title, newest) = title.ok_or_else(|| Problem::not_found("title"))?;
    // A title that the right is not to says nothing else about itself.
    decide::belongs(&found, &title)?;
    Ok((found, title, newest))
}

/// The account's devices, as far as a limit asks for them.
pub(super) async fn devices(
    app: &App,
    tx: &mut Tx,
    found: &Entitlement,
    device: Thumbprint,
    now_ms: i64,
) -> Result<Devices, Problem> {
    let policy = app.policy();
    let mut devices = Devices { registered: true, ..Devices::default() };
    if policy.devices_max.is_some() {
        (devices.registered, devices.others) = device::among(tx, found.account_id, device).await?;
    }
    if decide::concurrent_views_max(found, &policy).is_some() {
        let seen_since_ms = now_ms - idle_ms_max(app);
        devices.others_playing = view::devices_playing(tx, found.account_id, device, seen_since_ms).await?;
    }
    Ok(devices)
}

/// How long a view may ask for nothing.
pub(super) fn idle_ms_max(app: &App) -> i64 {
    i64::from(app.config.license.view_idle_s_max) * 1000
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
    Asked { found, title, .. }: &Asked,
    wanted: &NewView,
    started: Started,
    breaks: Option<BreakStates>,
) -> Result<(Terms, Opening), Problem> {
    let shown = breaks::shown(breaks.as_ref());
    let licensee = Licensee {
        view: started.view,
        device: wanted.device,
        agreement_key: wanted.agreement_key,
        play_until_ms: started.play_until_ms,
        open: license::view::open(found.preview_ms(title), found.breaks.as_ref(), &shown),
        first: true,
    };
    let terms = token::terms(app, published, licensee, FileIndex(0), 0)?;
    let license = token::license(app, published, &terms)?;
    let named = (started.view, published.release.id);
    let opening = token::opening(
        app,
        named,
        wanted.device,
        Role::Viewer,
        started.play_until_ms,
        Some(license),
        breaks,
    )?;
    Ok((terms, opening))
}

/// The breaks of a view within its opening.
async fn open_breaks(tx: &mut Tx, started: Started) -> Result<Option<BreakStates>, Problem> {
    let view = view::by_id(tx, started.view).await?;
    let view = view.ok_or_else(|| Problem::internal(&store::Error::Corrupt("view that was opened")))?;
    breaks::of_view(tx, &view).await
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

/// Opens a view and counts it, or finds the one that this device has open, which counts no other. Names the views of
/// other devices that it stopped.
///
/// The insert comes first: of two starts on one device the second waits for it and then finds the first's view. Where
/// devices are limited, the account's row comes before it, so that starts on different devices wait for each other.
async fn start_or_resume(
    app: &App,
    tx: &mut Tx,
    asked: &Asked,
    wanted: &NewView,
    now_ms: i64,
) -> Result<(Started, Vec<ViewId>), Problem> {
    let policy = app.policy();
    let limited =
        policy.devices_max.is_some() || decide::concurrent_views_max(&asked.found, &policy).is_some();
    if limited {
        account::hold(tx, wanted.account_id).await?;
    }
    if !view::open(tx, wanted, now_ms).await? {
        if let Some(resumed) = resume(app, tx, asked, wanted, now_ms).await? {
            return Ok((resumed, Vec::new()));
        }
        if !view::open(tx, wanted, now_ms).await? {
            return Err(Refusal::ViewEnded.into());
        }
    }
    start(app, tx, asked, wanted, now_ms).await
}

/// Goes on with the view that this device has open. None if that is over, or was idle for too long, which ends it.
async fn resume(
    app: &App,
    tx: &mut Tx,
    asked: &Asked,
    wanted: &NewView,
    now_ms: i64,
) -> Result<Option<Started>, Problem> {
    // The entitlement's row comes before the view's, as for whoever takes the entitlement back.
    entitlement::hold(tx, asked.found.id).await?;
    let open = view::active_on(tx, asked.found.id, wanted.device, wanted.title_id).await?;
    let Some(open) = open else { return Ok(None) };
    match license::may_continue(&open, (asked.place, &app.policy()), now_ms, idle_ms_max(app)) {
        Ok(()) => {}
        Err(Refusal::ViewExpired) => {
            view::end(tx, open.id, ViewState::Expired, "idle", now_ms).await?;
            return Ok(None);
        }
        Err(refusal) => return Err(refusal.into()),
    }
    decide::may_have(&asked.facts(app, Devices::default(), now_ms))?;
    if open.counts_title() {
        count_title(tx, asked.found.id, asked.title.id, now_ms).await?;
    }
    if !view::resume(tx, open.id, &wanted.agreement_key, now_ms).await? {
        return Err(Refusal::ViewEnded.into());
    }
    let play_until_ms = open.until_ms();
    Ok(Some(Started { view: open.id, release: open.release_id, play_until_ms, new: false }))
}

/// Counts a view that was opened a moment ago, in everything that limits it.
async fn start(
    app: &App,
    tx: &mut Tx,
    asked: &Asked,
    wanted: &NewView,
    now_ms: i64,
) -> Result<(Started, Vec<ViewId>), Problem> {
    let found = &asked.found;
    let devices = devices(app, tx, found, wanted.device, now_ms).await?;
    let facts = asked.facts(app, devices, now_ms);
    let counted = count(tx, &facts).await?;
    let stops = decide::room(&facts)?;
    let mut stopped = Vec::new();
    if stops > 0 {
        let newest = app.policy().at_limit == AtLimit::StopNewest;
        let which = (stops, newest, now_ms - idle_ms_max(app));
        stopped = view::stop_others(tx, wanted.account_id, wanted.device, which, now_ms).await?;
    }
    let play_until_ms = decide::until_ms(&counted, &asked.title, now_ms);
    let started = Started { view: wanted.id, release: wanted.release_id, play_until_ms, new: true };
    Ok((started, stopped))
}

/// Counts a use: a view of the entitlement and, where titles are counted, the title.
pub(super) async fn count(tx: &mut Tx, facts: &Facts<'_>) -> Result<Entitlement, Problem> {
    let Facts { entitlement: found, title, now_ms, .. } = *facts;
    decide::may_have(facts)?;
    let Some(counted) = entitlement::count_view_as_found(tx, found, now_ms).await? else {
        return Err(refusal(tx, facts).await?);
    };
    if counted.quota.is_some() {
        count_title(tx, found.id, title.id, now_ms).await?;
    }
    Ok(counted)
}

/// Counts a title in the current period of a quota, once.
pub(super) async fn count_title(
    tx: &mut Tx,
    entitlement: EntitlementId,
    title: TitleId,
    now_ms: i64,
) -> Result<(), Problem> {
    match entitlement::count_title(tx, entitlement, title, now_ms).await? {
        true => Ok(()),
        false => Err(Refusal::QuotaUsedUp.into()),
    }
}

/// Why the store counted no view, as the entitlement stands now.
async fn refusal(tx: &mut Tx, facts: &Facts<'_>) -> Result<Problem, Problem> {
    let now = entitlement::by_id(tx, facts.entitlement.id).await?;
    let now = now.ok_or_else(|| Problem::not_found("entitlement"))?;
    Ok(match license::decide(&Facts { entitlement: &now, ..*facts }) {
        Err(refusal) => refusal.into(),
        // The guard and the rule say the same; if ever they do not, nothing is opened.
        Ok(_) => Problem::internal(&"the store refused a view that the rules allow"),
    })
}
