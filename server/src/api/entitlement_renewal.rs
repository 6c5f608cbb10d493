//! `PUT /v1/entitlements/{entitlement}/renewal`: whether the next period of a subscription is charged. Given up, it
//! holds until what is paid for ends.

use axum::Json as JsonResponse;
use axum::extract::State;
use matinee_protocol::id::EntitlementId;
use serde::Deserialize;
use serde_json::Value;

use super::authority::Session;
use super::doc::Doc;
use super::entitlement_return::own;
use super::entitlement_status::{document, fields};
use super::json::{Json, Path};
use super::problem::Problem;
use crate::app::App;
use crate::store::{entitlement, renewal};

/// Body.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    renews: bool,
}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Says whether the next period of a subscription is charged")
        .body::<Body>()
        .object(200, fields)
        .problem(409, "not_renewable")
}

/// Answers with the status document; 409 `not_renewable`.
pub async fn handle(
    State(app): State<App>,
    session: Session,
    Path(id): Path<EntitlementId>,
    Json { value: body, .. }: Json<Body>,
) -> Result<JsonResponse<Value>, Problem> {
    let now_ms = app.clock.now_ms();
    let mut tx = app.store.write().await?;
    entitlement::hold(&mut tx, id).await?;
    let found = own(&mut tx, id, session.account).await?;
    let changes = found.billing.is_some_and(|billing| billing.renews != body.renews);
    if found.billing.is_none() || (changes && !renewal::set(&mut tx, id, body.renews, now_ms).await?) {
        let detail = "only a subscription that has not ended is renewed or given up";
        return Err(Problem::conflict("not_renewable", detail));
    }
    let found = own(&mut tx, id, session.account).await?;
    let answer = document(&mut tx, &found, now_ms).await?;
    tx.commit().await?;
    Ok(JsonResponse(answer))
}
