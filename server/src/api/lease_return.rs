//! `DELETE /v1/leases/{lease}`: its device gives a lease back early.

use axum::extract::State;
use axum::http::StatusCode;
use matinee_protocol::id::LeaseId;

use super::authority::{Proof, Session};
use super::doc::Doc;
use super::json::Path;
use super::lease_renew::own;
use super::problem::Problem;
use crate::app::App;
use crate::store::lease;

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Gives a lease back, on its device").bare(204)
}

/// Answers 204, also if it was given back before. Only the device that took it may: who could give back what another device
/// still plays would have as many as they like.
pub async fn handle(
    State(app): State<App>,
    session: Session,
    Path(named): Path<LeaseId>,
    proof: Proof,
) -> Result<StatusCode, Problem> {
    let now_ms = app.clock.now_ms();
    let mut tx = app.store.write().await?;
    proof.spend(&mut tx, now_ms).await?;
    let kept = own(&mut tx, named, &session, &proof).await?;
    lease::give_back(&mut tx, kept.id, now_ms).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
