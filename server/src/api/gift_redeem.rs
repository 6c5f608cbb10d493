//! `POST /v1/gift-codes/redemptions`: takes a gift code and gives its plan.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use matinee_protocol::api::Money;
use matinee_protocol::api::PurchaseAnswer;
use serde::Deserialize;

use super::authority::Session;
use super::doc::Doc;
use super::idempotent::{Begin, Key, Once};
use super::json::Json;
use super::ownership::require_account_for;
use super::problem::Problem;
use super::purchase_create::{sale, settled};
use crate::app::App;
use crate::store::purchase::{self, Conditions};
use crate::store::{coupon, plan};

/// Body.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    code: String,
}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Takes a gift code and gives its plan")
        .once()
        .body::<Body>()
        .answer::<PurchaseAnswer>(201)
        .problems(403, &["account_required", "gift_code_refused"])
        .problem(409, "plan_not_sold")
}

/// Answers 201 as a purchase does, of which nothing was paid; 403 `gift_code_refused`, `account_required`.
pub async fn handle(
    State(app): State<App>,
    session: Session,
    key: Key,
    Json { value: body, bytes }: Json<Body>,
) -> Result<Response, Problem> {
    let now_ms = app.clock.now_ms();
    let tx = app.store.write().await?;
    let named = (session.account, "gift", key);
    let mut once = match Once::begin(tx, named, &[&bytes], None, now_ms).await? {
        Begin::Do(once) => once,
        Begin::Replay(response) => return Ok(response),
    };
    let plan = match coupon::redeem_gift(&mut once.tx, &body.code, session.account, now_ms).await? {
        Some(plan) => plan::by_id(&mut once.tx, plan).await?,
        None => None,
    };
    let plan = plan.ok_or_else(|| {
        Problem::forbidden("gift_code_refused", "this code is unknown, was redeemed, or is over")
    })?;
    // The code is not used up by it.
    require_account_for(&session, &plan)?;
    let nothing = Money { minor: 0, currency: plan.price.currency.clone() };
    let conditions = Conditions { amount: Some(nothing), gift: true, ..Conditions::default() };
    let (sale, answer) = sale(session.account, &plan, conditions, now_ms)?;
    settled(purchase::settle(&mut once.tx, &plan, &sale).await?)?;
    once.answer(StatusCode::CREATED, &answer).await
}
