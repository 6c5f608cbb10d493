//! `POST /v1/titles/{title}/plans`: puts a title up for rent.

use axum::Json as JsonResponse;
use axum::extract::State;
use axum::http::StatusCode;
use matinee_protocol::api::Money;
use matinee_protocol::id::{PlanId, TitleId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::authority::Publisher;
use super::json::{Json, Path};
use super::problem::Problem;
use crate::app::App;
use crate::random;
use crate::store::plan::{self, Plan};
use crate::store::title;

/// The longest window.
pub const WINDOW_MS_MAX: u64 = 10 * 365 * 24 * 60 * 60 * 1000;
/// The highest price, in minor units.
pub const PRICE_MINOR_MAX: i64 = 100_000_000;
/// The most views that a plan counts; above it, sell the window alone.
pub const VIEWS_MAX: u32 = 1_000_000;

/// Body.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Body {
    kind: String,
    price: Money,
    start_within_ms: u64,
    play_within_ms: u64,
    views: Option<u32>,
}

/// Answers 201 with the plan; 422 for terms out of range. Whose title it is comes before what the body says.
pub async fn handle(
    State(app): State<App>,
    Publisher(session): Publisher,
    Path(title): Path<TitleId>,
    body: Result<Json<Body>, Problem>,
) -> Result<(StatusCode, JsonResponse<Value>), Problem> {
    let mut tx = app.store.read().await?;
    let found = title::by_id(&mut tx, title).await?.filter(|found| found.publisher_id == session.account);
    drop(tx);
    found.ok_or_else(|| Problem::not_found("title"))?;
    let Json { value: body, .. } = body?;
    if body.kind != Plan::RENTAL {
        return Err(refusal("plan_kind_unknown", "the kind of a plan is rental".to_owned()));
    }
    let now_ms = app.clock.now_ms();
    let added = Plan {
        id: PlanId::from_bytes(random::id(now_ms)),
        title_id: title,
        price: body.price,
        start_within_ms: body.start_within_ms,
        play_within_ms: body.play_within_ms,
        views: body.views,
        created_at_ms: now_ms,
    };
    check(&added, &app.config.payment.currency)?;
    let mut tx = app.store.write().await?;
    plan::insert(&mut tx, &added).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, JsonResponse(json!({ "plan": added.summary() }))))
}

/// Refuses terms out of range.
pub fn check(plan: &Plan, currency: &str) -> Result<(), Problem> {
    if plan.price.currency != currency {
        return Err(refusal("currency_unknown", format!("prices are in {currency}")));
    }
    if !(0..=PRICE_MINOR_MAX).contains(&plan.price.minor) {
        return Err(refusal(
            "price_out_of_range",
            format!("a price is of 0 to {PRICE_MINOR_MAX} minor units"),
        ));
    }
    for window_ms in [plan.start_within_ms, plan.play_within_ms] {
        if !(1..=WINDOW_MS_MAX).contains(&window_ms) {
            return Err(refusal("window_out_of_range", format!("a window is of 1 to {WINDOW_MS_MAX} ms")));
        }
    }
    if plan.views.is_some_and(|views| !(1..=VIEWS_MAX).contains(&views)) {
        return Err(refusal("views_out_of_range", format!("a plan has 1 to {VIEWS_MAX} views, or null")));
    }
    Ok(())
}

fn refusal(code: &'static str, detail: String) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
}
