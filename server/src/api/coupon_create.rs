//! `POST /v1/coupons`: makes a coupon.

use axum::Json as JsonResponse;
use axum::extract::State;
use axum::http::StatusCode;
use matinee_protocol::api::Money;
use matinee_protocol::id::PlanId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::authority::Operator;
use super::doc::Doc;
use super::json::Json;
use super::problem::Problem;
use super::trail::note;
use crate::app::App;
use crate::store::coupon::{self, Coupon, Discount, canonical};
use crate::store::plan;

/// Characters of a coupon's code.
pub const CODE_CHARS_MAX: usize = 40;

/// Body.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    /// What is typed in; letters, digits and dashes, of either case.
    code: String,
    /// The one plan that it is for.
    plan: Option<PlanId>,
    /// So much of a hundred.
    percent_off: Option<u32>,
    /// Or an amount.
    amount_off: Option<Money>,
    /// How often it may be used, by one account each.
    uses_max: Option<u32>,
    /// Until when.
    expires_at_ms: Option<i64>,
}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Makes a coupon")
        .body::<Body>()
        .object(201, |it| it.object("coupon", |it| it.field::<String>("code")))
        .problem(404, "not_found")
        .problem(409, "coupon_exists")
        .problems(422, &["coupon_invalid", "currency_unknown"])
}

/// Answers 201 with the coupon; 409 `coupon_exists`.
pub async fn handle(
    State(app): State<App>,
    Operator(session): Operator,
    Json { value: body, .. }: Json<Body>,
) -> Result<(StatusCode, JsonResponse<Value>), Problem> {
    let discount = match (body.percent_off, body.amount_off) {
        (Some(percent), None) => Discount::Percent(percent),
        (None, Some(amount)) => Discount::Amount(amount),
        _ => return Err(refusal("coupon_invalid", "a coupon takes off a percentage or an amount")),
    };
    let made = Coupon {
        code: canonical(&body.code),
        plan_id: body.plan,
        discount,
        uses: 0,
        uses_max: body.uses_max,
        expires_at_ms: body.expires_at_ms,
        created_at_ms: app.clock.now_ms(),
    };
    check(&made, &app.config.payment.currency)?;
    let mut tx = app.store.write().await?;
    if let Some(plan) = made.plan_id {
        plan::by_id(&mut tx, plan).await?.ok_or_else(|| Problem::not_found("plan"))?;
    }
    if !coupon::insert(&mut tx, &made).await? {
        return Err(Problem::conflict("coupon_exists", "there is a coupon with this code; choose another"));
    }
    let detail = json!({ "plan": made.plan_id, "uses_max": made.uses_max });
    note(&mut tx, &session, "coupon.create", &made.code, detail, made.created_at_ms).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, JsonResponse(json!({ "coupon": { "code": made.code } }))))
}

/// Refuses coupons out of range.
pub fn check(coupon: &Coupon, currency: &str) -> Result<(), Problem> {
    let letters = coupon.code.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if !letters || !(1..=CODE_CHARS_MAX).contains(&coupon.code.len()) {
        let detail = format!("a code has 1 to {CODE_CHARS_MAX} letters, digits and dashes");
        return Err(refusal("coupon_invalid", detail));
    }
    match &coupon.discount {
        Discount::Percent(percent) if !(1..=100).contains(percent) => {
            Err(refusal("coupon_invalid", "a percentage is of 1 to 100"))
        }
        Discount::Amount(amount) if amount.minor <= 0 => {
            Err(refusal("coupon_invalid", "an amount is of at least one minor unit"))
        }
        Discount::Amount(amount) if amount.currency != currency => {
            Err(refusal("currency_unknown", format!("prices are in {currency}")))
        }
        _ if coupon.uses_max == Some(0) => Err(refusal("coupon_invalid", "a coupon is used at least once")),
        _ => Ok(()),
    }
}

fn refusal(code: &'static str, detail: impl Into<std::borrow::Cow<'static, str>>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
}
