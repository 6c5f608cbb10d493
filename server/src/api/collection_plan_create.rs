//! `POST /v1/collections/{collection}/plans`: puts a collection up for sale.

use axum::Json as JsonResponse;
use axum::extract::State;
use axum::http::StatusCode;
use matinee_protocol::api::PlanSummary;
use matinee_protocol::id::{CollectionId, PlanId};
use serde_json::{Value, json};

use super::authority::Publisher;
use super::collection_title_put::own;
use super::doc::Doc;
use super::json::{Json, Path};
use super::plan_terms::{self, PlanBody};
use super::problem::Problem;
use super::trail::note;
use crate::app::App;
use crate::license::plan::Scope;
use crate::random;
use crate::store::plan;

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Sells a collection")
        .body::<PlanBody>()
        .object(201, |it| it.field::<PlanSummary>("plan"))
        .problems(422, plan_terms::PROBLEMS)
}

/// Answers 201 with the plan; 422 for terms out of range.
pub async fn handle(
    State(app): State<App>,
    Publisher(session): Publisher,
    Path(collection): Path<CollectionId>,
    body: Result<Json<PlanBody>, Problem>,
) -> Result<(StatusCode, JsonResponse<Value>), Problem> {
    let mut tx = app.store.write().await?;
    own(&mut tx, collection, session.account).await?;
    let Json { value: body, .. } = body?;
    if !body.titles.is_empty() {
        return Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "plan_field_unexpected",
            "a plan over a collection names no titles",
        ));
    }
    let now_ms = app.clock.now_ms();
    let scope = Scope::Collection { collection, tier: body.tier.unwrap_or(1) };
    let id = PlanId::from_bytes(random::id(now_ms));
    let added = body.plan(id, vec![scope], &app.config.payment.currency, now_ms)?;
    plan::insert(&mut tx, &added).await?;
    let detail = json!({ "collection": collection, "price": added.price });
    note(&mut tx, &session, "plan.create", &added.id, detail, now_ms).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, JsonResponse(json!({ "plan": added.summary() }))))
}
