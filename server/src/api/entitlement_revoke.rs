//! `POST /v1/entitlements/{entitlement}/revocation`: takes an entitlement back; its views end and their peers are told.

use axum::Json as JsonResponse;
use axum::extract::State;
use axum::http::StatusCode;
use matinee_protocol::api::EntitlementSummary;
use matinee_protocol::id::EntitlementId;
use matinee_protocol::limit::REASON_BYTES_MAX;
use serde::Deserialize;
use serde_json::{Value, json};

use super::authority::Operator;
use super::doc::Doc;
use super::json::{Json, Path};
use super::problem::Problem;
use super::trail::note;
use crate::app::App;
use crate::store::{entitlement, view};

/// Body.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    reason: String,
}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Takes an entitlement back; its views end")
        .body::<Body>()
        .object(200, |it| it.field::<EntitlementSummary>("entitlement").field::<u64>("views_ended"))
        .problem(422, "reason_too_long")
}

/// Answers with the entitlement and how many views ended. What was taken or given back before stays as it is, and nobody
/// did anything then.
pub async fn handle(
    State(app): State<App>,
    Operator(session): Operator,
    Path(entitlement): Path<EntitlementId>,
    Json { value: body, .. }: Json<Body>,
) -> Result<JsonResponse<Value>, Problem> {
    let reason = body.reason.trim();
    if reason.len() > REASON_BYTES_MAX {
        let detail = format!("a reason has at most {REASON_BYTES_MAX} bytes");
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "reason_too_long", detail));
    }
    let now_ms = app.clock.now_ms();
    let mut tx = app.store.write().await?;
    let taken = entitlement::revoke(&mut tx, entitlement, reason, now_ms).await?;
    let found = entitlement::by_id(&mut tx, entitlement).await?;
    let found = found.ok_or_else(|| Problem::not_found("entitlement"))?;
    let ended = view::revoke_all(&mut tx, entitlement, reason, now_ms).await?;
    if taken || !ended.is_empty() {
        let detail = json!({ "views_ended": ended.len() });
        note(&mut tx, &session, "entitlement.revoke", &entitlement, detail, now_ms).await?;
    }
    tx.commit().await?;
    for view in &ended {
        app.hub.revoke_view(*view, reason);
    }
    Ok(JsonResponse(json!({
        "entitlement": found.summary(now_ms),
        "views_ended": ended.len(),
    })))
}
