//! `POST /v1/releases/{release}/carries`: membership in a swarm without a license.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use matinee_protocol::api::Opening;
use matinee_protocol::id::{ReleaseId, TitleId, ViewId};
use matinee_protocol::token::Role as TokenRole;

use super::authority::{Proof, Session};
use super::doc::Doc;
use super::json::Path;
use super::problem::Problem;
use super::token;
use crate::app::App;
use crate::license::{NO_LIMIT_MS, decide};
use crate::random;
use crate::store::account::Role;
use crate::store::{Tx, carry, entitlement, lease, release, right};

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Membership in a swarm without a license")
        .empty_body()
        .answer::<Opening>(201)
        .answer::<Opening>(200)
        .problem(403, "role_required")
}

/// Answers 201 with an opening, 200 if this device carries the release already. For the release's publisher, carriers
/// and operators, and for viewers who may play it now or from its premiere on: what a view will begin with can be there
/// before it is opened and counted.
pub async fn handle(
    State(app): State<App>,
    session: Session,
    Path(release): Path<ReleaseId>,
    proof: Proof,
) -> Result<(StatusCode, Json<Opening>), Problem> {
    if !proof.body.is_empty() {
        proof.json::<serde_json::Map<String, serde_json::Value>>()?;
    }
    let now_ms = app.clock.now_ms();
    let mut tx = app.store.write().await?;
    proof.spend(&mut tx, now_ms).await?;
    let found = release::by_id(&mut tx, release).await?;
    let found = found
        .filter(|found| found.state == release::State::Published)
        .ok_or_else(|| Problem::not_found("release"))?;
    let own = session.has(Role::Publisher) && found.publisher_id == session.account;
    // Who leased it here fetches it here, to play when no server is there.
    let trusted = own
        || session.has(Role::Carrier)
        || session.has(Role::Operator)
        || lease::holds(&mut tx, session.account, proof.device, release, now_ms).await?;
    if !trusted && !may_play(&mut tx, &session, found.title_id, now_ms).await? {
        return Err(Problem::forbidden("role_required", "this needs the role carrier"));
    }
    let id = ViewId::from_bytes(random::id(now_ms));
    let (carry, new) = carry::open(&mut tx, id, session.account, release, proof.device, now_ms).await?;
    tx.commit().await?;
    let opening =
        token::opening(&app, (carry, release), proof.device, TokenRole::Carrier, NO_LIMIT_MS, None, None)?;
    Ok((if new { StatusCode::CREATED } else { StatusCode::OK }, Json(opening)))
}

/// Whether one of the account's entitlements is to the title and has something left, be it only from its premiere on.
async fn may_play(tx: &mut Tx, session: &Session, title: TitleId, now_ms: i64) -> Result<bool, Problem> {
    for held in entitlement::to_title(tx, session.account, title).await? {
        let Some(title) = right::title(tx, title, session.account, Some(held.id)).await? else { break };
        let over = title.rights.available_until_ms.is_some_and(|until| until <= now_ms);
        if !over && decide::windows(&held, now_ms).is_ok() && decide::belongs(&held, &title).is_ok() {
            return Ok(true);
        }
    }
    Ok(false)
}
