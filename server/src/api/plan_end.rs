//! `DELETE /v1/plans/{plan}`: takes a plan off sale. What was bought by it stays, and renews.

use axum::extract::State;
use axum::http::StatusCode;
use matinee_protocol::id::PlanId;
use serde_json::json;

use super::authority::Seller;
use super::doc::Doc;
use super::json::Path;
use super::problem::Problem;
use super::trail::note;
use crate::app::App;
use crate::store::account::Role;
use crate::store::plan;

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Takes a plan off sale; what was bought by it stays").bare(204)
}

/// Answers the publisher of what it is for, or an operator, with 204; also if it was ended before.
pub async fn handle(
    State(app): State<App>,
    Seller(session): Seller,
    Path(plan): Path<PlanId>,
) -> Result<StatusCode, Problem> {
    let now_ms = app.clock.now_ms();
    let mut tx = app.store.write().await?;
    let publisher = plan::publisher(&mut tx, plan).await?;
    let own = publisher.filter(|publisher| *publisher == session.account || session.has(Role::Operator));
    own.ok_or_else(|| Problem::not_found("plan"))?;
    if plan::end(&mut tx, plan, now_ms).await? {
        note(&mut tx, &session, "plan.end", &plan, json!({}), now_ms).await?;
    }
    tx.commit().await?;
    app.catalog.forget_offers();
    Ok(StatusCode::NO_CONTENT)
}
