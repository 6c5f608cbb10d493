//! `GET /v1/plans/{plan}/quote`: what buying a plan would cost this account now, before anything is bought.

use axum::Json;
use axum::extract::State;
use matinee_protocol::api::{Money, PlanSummary};
use matinee_protocol::id::PlanId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::authority::Session;
use super::cursor::Query;
use super::doc::Doc;
use super::json::Path;
use super::problem::Problem;
use super::purchase_create::{NOT_GIVEN, check_country, coupon_refused, offered};
use crate::app::App;
use crate::store::coupon;

/// Characters of a coupon.
const COUPON_CHARS_MAX: usize = 64;

/// Query.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    coupon: Option<String>,
    country: Option<String>,
}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    let text = || json!({ "type": "string", "maxLength": COUPON_CHARS_MAX });
    Doc::new("What buying a plan would cost this account now")
        .query("coupon", "lowers the price of what is paid now", text())
        .query("country", "where the payer pays tax; the server's home country if not given", text())
        .object(200, |it| {
            it.field::<PlanSummary>("plan")
                .field::<Money>("amount")
                .field::<bool>("trial")
                .nullable::<Tax>("tax")
        })
        .problem(400, "query_invalid")
        .problem(403, "coupon_refused")
        .problems(403, NOT_GIVEN)
        .problem(409, "plan_not_sold")
        .problem(422, "country_invalid")
}

/// The tax inside an amount.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[schema(as = QuotedTax)]
pub struct Tax {
    /// Whose tax it is (ISO 3166-1 alpha-2).
    pub country: String,
    /// The rate, in basis points of the net price.
    pub rate_basis_points: u32,
    /// The amount without it, in minor units.
    pub net_minor: i64,
    /// The tax, in minor units.
    pub tax_minor: i64,
}

/// Answers: `amount` is what would be paid, `trial` whether this account may still try the plan for nothing. Nothing is
/// taken; by the time of the purchase a coupon may have been used up by others.
pub async fn handle(
    State(app): State<App>,
    session: Session,
    Path(plan): Path<PlanId>,
    Query(asked): Query<Asked>,
) -> Result<Json<Value>, Problem> {
    check_country(asked.country.as_deref())?;
    let now_ms = app.clock.now_ms();
    let offer = offered(&app, session.account, plan, now_ms).await?;
    let plan = &offer.plan;
    let mut tx = app.store.read().await?;
    let amount = match asked.coupon.as_deref() {
        None => plan.price.clone(),
        Some(code) => {
            let found = coupon::usable(&mut tx, code, session.account, now_ms).await?;
            let found = found.filter(|found| found.plan_id.is_none_or(|only| only == plan.id));
            found.and_then(|found| found.discount.applied(&plan.price)).ok_or_else(coupon_refused)?
        }
    };
    let offered = plan.terms.renewal().is_some_and(|renewal| renewal.trial_ms.is_some());
    let trial = offered && !coupon::tried(&mut tx, session.account, plan.id).await?;
    let tax = app.cashier.rates().line(&amount, asked.country.as_deref()).map(|line| Tax {
        country: line.country,
        rate_basis_points: line.rate_basis_points,
        net_minor: line.net_minor,
        tax_minor: line.tax_minor,
    });
    Ok(Json(json!({ "plan": plan.summary(), "amount": amount, "trial": trial, "tax": tax })))
}
