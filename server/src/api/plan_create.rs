//! `POST /v1/titles/{title}/plans`: puts a title, or a bundle of titles, up for sale.

use axum::Json as JsonResponse;
use axum::extract::State;
use axum::http::StatusCode;
use matinee_protocol::api::PlanSummary;
use matinee_protocol::id::{PlanId, TitleId};
use serde_json::{Value, json};

use super::authority::Publisher;
use super::doc::Doc;
use super::json::{Json, Path};
use super::plan_terms::{self, PlanBody};
use super::problem::Problem;
use super::trail::note;
use crate::app::App;
use crate::license::plan::Scope;
use crate::random;
use crate::store::{plan, title};

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Sells a title, alone or in a bundle")
        .body::<PlanBody>()
        .object(201, |it| it.field::<PlanSummary>("plan"))
        .problems(422, plan_terms::PROBLEMS)
}

/// Answers 201 with the plan; 422 for terms out of range. Whose title it is comes before what the body says.
pub async fn handle(
    State(app): State<App>,
    Publisher(session): Publisher,
    Path(title): Path<TitleId>,
    body: Result<Json<PlanBody>, Problem>,
) -> Result<(StatusCode, JsonResponse<Value>), Problem> {
    let mut tx = app.store.read().await?;
    let own = |found: &title::Title| found.publisher_id == session.account;
    let found = title::by_id(&mut tx, title).await?.filter(own);
    found.ok_or_else(|| Problem::not_found("title"))?;
    let Json { value: body, .. } = body?;
    if body.tier.is_some() {
        return Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "plan_field_unexpected",
            "a tier is of a collection",
        ));
    }
    let now_ms = app.clock.now_ms();
    let id = PlanId::from_bytes(random::id(now_ms));
    let scopes = std::iter::once(title).chain(body.titles.iter().copied()).map(Scope::Title).collect();
    let added = body.plan(id, scopes, &app.config.payment.currency, now_ms)?;
    for bundled in added.scopes.iter().skip(1).filter_map(|scope| scope.title()) {
        let found = title::by_id(&mut tx, bundled).await?.filter(own);
        found.ok_or_else(|| Problem::not_found("title in the bundle"))?;
    }
    drop(tx);
    let mut tx = app.store.write().await?;
    plan::insert(&mut tx, &added).await?;
    let detail = json!({ "title": title, "price": added.price });
    note(&mut tx, &session, "plan.create", &added.id, detail, now_ms).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, JsonResponse(json!({ "plan": added.summary() }))))
}
