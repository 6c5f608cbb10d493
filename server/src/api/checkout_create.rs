//! `POST /v1/checkouts`: buys a plan with a payment of its own, past the wallet.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use matinee_protocol::id::PlanId;
use serde::Deserialize;

use super::authority::Session;
use super::doc::Doc;
use super::idempotent::{Key, Once, Outside};
use super::json::Json;
use super::ownership::require_account_for;
use super::paying;
use super::problem::Problem;
use super::purchase_create::{NOT_GIVEN, check_country, offered};
use crate::app::App;
use crate::payment::cashier::Purpose;
use crate::store::plan;

/// Body.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    plan: PlanId,
    /// Where the payer pays tax (ISO 3166-1 alpha-2); the server's home country if not given.
    country: Option<String>,
}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    paying::doc(Doc::new("Buys a plan with a payment of its own, past the wallet").once().body::<Body>(), 201)
        .problem(403, "account_required")
        .problems(403, NOT_GIVEN)
        .problem(404, "not_found")
        .problem(409, "plan_not_sold")
        .problems(422, &["plan_is_free", "country_invalid"])
}

/// Answers 201 with the payment: pending, with where the payer goes on, or succeeded, with the purchase; 403
/// `account_required`, 422 `plan_is_free`. What is paid for by the period saves the payment method, which renewals are charged to. A plan that
/// cannot be bought any more when the money comes leaves it in the wallet.
pub async fn handle(
    State(app): State<App>,
    session: Session,
    key: Key,
    Json { value: body, bytes }: Json<Body>,
) -> Result<Response, Problem> {
    check_country(body.country.as_deref())?;
    let plan = plan::by_id(&mut app.store.read().await?, body.plan).await?;
    let now_ms = app.clock.now_ms();
    let offered = offered(&app, session.account, body.plan, now_ms).await;
    let tx = app.store.write().await?;
    let begun = Once::begin_outside(tx, (session.account, "checkout", key), &[&bytes], now_ms).await?;
    let plan = plan.ok_or_else(|| Problem::not_found("plan"))?;
    require_account_for(&session, &plan)?;
    // What was begun while it was sold is gone on with.
    if matches!(begun, Outside::Fresh(_)) {
        offered?;
    }
    if plan.price.minor == 0 {
        let detail = "this plan is free: buy it with POST /v1/purchases";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "plan_is_free", detail));
    }
    let purpose = Purpose {
        account: session.account,
        plan: Some(plan.id),
        saves_method: plan.terms.renewal().is_some(),
        amount: plan.price,
        country: body.country,
    };
    paying::pay(&app, begun, purpose).await
}
