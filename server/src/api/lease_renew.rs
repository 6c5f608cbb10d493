//! `POST /v1/leases/{lease}/renewals`: a lease goes on for its time from now.

use axum::Json;
use axum::extract::State;
use matinee_protocol::api::{LeaseAnswer, LeaseRenewalRequest};
use matinee_protocol::encoding::array_from_b64u;
use matinee_protocol::id::LeaseId;

use super::attempt::Place;
use super::authority::{Proof, Session};
use super::doc::Doc;
use super::json::Path;
use super::problem::Problem;
use super::{leasing, view_open};
use crate::app::App;
use crate::license::decide::Devices;
use crate::license::lease::{self as rule, Lease};
use crate::license::{Facts, Refusal};
use crate::store::{self, account, device, lease};

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Renews a lease, on its device")
        .body::<LeaseRenewalRequest>()
        .answer::<LeaseAnswer>(200)
        .rules()
        .problem(409, "release_too_large")
        .problems(422, &["agreement_key_invalid", "title_required"])
}

/// Answers with the lease and a license that ends with it; 403 with the rule that forbids it, `lease_over` once it has
/// ended. Only the device that took it may.
pub async fn handle(
    State(app): State<App>,
    session: Session,
    Path(named): Path<LeaseId>,
    Place(place): Place,
    proof: Proof,
) -> Result<Json<LeaseAnswer>, Problem> {
    let body: LeaseRenewalRequest = proof.json()?;
    let agreement_key = array_from_b64u::<32>(&body.agreement_key)
        .map_err(|_| Problem::malformed("agreement_key must be 32 bytes in base64url"))?;
    let now_ms = app.clock.now_ms();
    let mut tx = app.store.write().await?;
    proof.spend(&mut tx, now_ms).await?;
    account::hold(&mut tx, session.account).await?;
    let kept = own(&mut tx, named, &session, &proof).await?;
    let wanted = (kept.entitlement_id, Some(kept.title_id));
    let (found, title, _) = view_open::look_up(&mut tx, &session, wanted).await?;
    let devices = view_open::devices(&app, &mut tx, &found, proof.device, now_ms).await?;
    let devices = Devices { others_playing: 0, ..devices };
    let facts = Facts { entitlement: &found, title: &title, place, devices, policy: app.policy(), now_ms };
    let expires_at_ms = rule::may_renew(&facts, &kept)?;
    if found.quota.is_some() {
        view_open::count_title(&mut tx, found.id, title.id, now_ms).await?;
    }
    if !lease::renew(&mut tx, kept.id, expires_at_ms, now_ms).await? {
        return Err(Refusal::LeaseOver.into());
    }
    device::seen(&mut tx, session.account, proof.device, now_ms).await?;
    let renewed = Lease { expires_at_ms, ..kept };
    let published = app.catalog.published(renewed.release_id).await?;
    let published =
        published.ok_or_else(|| Problem::internal(&store::Error::Corrupt("lease without a release")))?;
    let answer = leasing::answer(&app, &mut tx, &published, &renewed, agreement_key, now_ms).await?;
    tx.commit().await?;
    Ok(Json(answer))
}

/// A lease, if it is the account's and this device's.
pub async fn own(
    tx: &mut store::Tx,
    named: LeaseId,
    session: &Session,
    proof: &Proof,
) -> Result<Lease, Problem> {
    let found = lease::by_id(tx, named).await?;
    let found = found.filter(|found| found.account_id == session.account && found.device == proof.device);
    found.ok_or_else(|| Problem::not_found("lease on this device"))
}
