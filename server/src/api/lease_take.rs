//! `POST /v1/entitlements/{entitlement}/leases`: every key of the release for a time, on this device.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use matinee_protocol::api::{LeaseAnswer, LeaseRequest};
use matinee_protocol::encoding::array_from_b64u;
use matinee_protocol::id::{EntitlementId, LeaseId, ViewId};

use super::attempt::Place;
use super::authority::{Proof, Session};
use super::doc::Doc;
use super::idempotent::{Begin, Key, Once};
use super::json::Path;
use super::problem::Problem;
use super::{leasing, view_open};
use crate::app::App;
use crate::license::Facts;
use crate::license::decide::Devices;
use crate::license::lease::{self as rule, Lease};
use crate::random;
use crate::store::view::{self, NewView};
use crate::store::{account, device, lease};

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Takes a lease: every key of the release for a time, on this device")
        .once()
        .body::<LeaseRequest>()
        .answer::<LeaseAnswer>(201)
        .answer::<LeaseAnswer>(200)
        .rules()
        .problems(409, &["title_not_published", "release_too_large"])
        .problems(422, &["agreement_key_invalid", "title_required"])
}

/// Answers 201 with the lease and its license, 200 with the one that this device has out, renewed; 403 with the rule that
/// forbids it. It counts as a view does.
pub async fn handle(
    State(app): State<App>,
    session: Session,
    Path(named): Path<EntitlementId>,
    key: Key,
    Place(place): Place,
    proof: Proof,
) -> Result<Response, Problem> {
    let body: LeaseRequest = proof.json()?;
    let agreement_key = array_from_b64u::<32>(&body.agreement_key)
        .map_err(|_| Problem::malformed("agreement_key must be 32 bytes in base64url"))?;
    let now_ms = app.clock.now_ms();
    let mut tx = app.store.read().await?;
    let (_, _, newest) = view_open::look_up(&mut tx, &session, (named, body.title)).await?;
    drop(tx);
    let newest = match newest {
        Some(id) => app.catalog.published(id).await?,
        None => None,
    };
    let mut tx = app.store.write().await?;
    proof.spend(&mut tx, now_ms).await?;
    let asked: [&[u8]; 3] = [named.as_bytes(), proof.device.as_bytes(), &proof.body];
    let mut once = match Once::begin(tx, (session.account, "lease", key), &asked, None, now_ms).await? {
        Begin::Do(once) => once,
        Begin::Replay(response) => return Ok(response),
    };
    let newest = newest.ok_or_else(|| {
        Problem::conflict("title_not_published", "this title has no published release yet; come back later")
    })?;
    let tx = &mut once.tx;
    // Leases of one account are counted one after the other, by what is found now.
    account::hold(tx, session.account).await?;
    let (found, title, _) = view_open::look_up(tx, &session, (named, body.title)).await?;
    let devices = view_open::devices(&app, tx, &found, proof.device, now_ms).await?;
    let devices = Devices { others_playing: 0, ..devices };
    let facts = Facts { entitlement: &found, title: &title, place, devices, policy: app.policy(), now_ms };
    let release = newest.release.id;
    let kept = lease::out_on(tx, found.id, proof.device, (title.id, release), now_ms).await?;
    let (status, taken) = if let Some(kept) = kept {
        let expires_at_ms = rule::may_renew(&facts, &kept)?;
        if found.quota.is_some() {
            view_open::count_title(tx, found.id, title.id, now_ms).await?;
        }
        lease::renew(tx, kept.id, expires_at_ms, now_ms).await?;
        (StatusCode::OK, Lease { expires_at_ms, ..kept })
    } else {
        let others = lease::out(tx, found.id, session.account, now_ms).await?;
        let leased = rule::may_take(&facts, others)?;
        leasing::everything(&newest)?;
        view_open::count(tx, &facts).await?;
        let wanted = NewView {
            id: ViewId::from_bytes(random::id(now_ms)),
            entitlement_id: found.id,
            account_id: session.account,
            title_id: title.id,
            release_id: release,
            device: proof.device,
            agreement_key,
        };
        view::insert_leased(tx, &wanted, now_ms).await?;
        let taken = Lease {
            id: LeaseId::from_bytes(random::id(now_ms)),
            entitlement_id: found.id,
            account_id: session.account,
            title_id: title.id,
            release_id: release,
            view_id: wanted.id,
            device: proof.device,
            returned: false,
            issued_at_ms: now_ms,
            expires_at_ms: leased.expires_at_ms,
        };
        lease::insert(tx, &taken).await?;
        (StatusCode::CREATED, taken)
    };
    device::seen(tx, session.account, proof.device, now_ms).await?;
    let answer = leasing::answer(&app, tx, &newest, &taken, agreement_key, now_ms).await?;
    once.answer(status, &answer).await
}
