//! `POST /v1/purchases`: buys a plan out of the wallet.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use matinee_protocol::api::{Money, PurchaseAnswer};
use matinee_protocol::id::{AccountId, EntitlementId, PlanId, PurchaseId};
use serde::Deserialize;

use super::authority::Session;
use super::doc::Doc;
use super::idempotent::{self, Begin, Key, Once};
use super::json::Json;
use super::ownership::require_account_for;
use super::problem::Problem;
use crate::app::App;
use crate::catalog::Offer;
use crate::payment::cashier;
use crate::payment::tax;
use crate::random;
use crate::store::coupon::{self, canonical};
use crate::store::idempotency::Kept;
use crate::store::plan::Plan;
use crate::store::purchase::{self, Conditions, Sale, Settled};
use crate::store::{Tx, right};

/// Body.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    plan: PlanId,
    /// Lowers the price of what is paid now.
    coupon: Option<String>,
    /// Begins with the plan's trial, for nothing; the first period is charged when it ends.
    #[serde(default)]
    trial: bool,
    /// Where the payer pays tax (ISO 3166-1 alpha-2); the server's home country if not given.
    country: Option<String>,
}

/// The rules that forbid buying a title.
pub const NOT_GIVEN: &[&str] = &["group_required", "no_longer_available"];

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Buys a plan out of the wallet")
        .once()
        .body::<Body>()
        .answer::<PurchaseAnswer>(201)
        .problem(402, "wallet_too_low")
        .problems(403, &["account_required", "coupon_refused", "trial_used"])
        .problems(403, NOT_GIVEN)
        .problem(404, "not_found")
        .problem(409, "plan_not_sold")
        .problems(422, &["coupon_not_needed", "trial_not_offered", "country_invalid"])
}

/// Answers 201 with the purchase and what it gave; 402 `wallet_too_low`, 403 `coupon_refused`, `trial_used`, or the rule by
/// which a title is not given. Debit,
/// credit, entitlements and the kept answer are one transaction.
pub async fn handle(
    State(app): State<App>,
    session: Session,
    key: Key,
    Json { value: body, bytes }: Json<Body>,
) -> Result<Response, Problem> {
    check_country(body.country.as_deref())?;
    let now_ms = app.clock.now_ms();
    // What is on offer hardly ever changes: it is read outside the transaction, of which SQLite runs one at a time.
    let drafted = draft(&app, &session, &body, now_ms).await;
    let foreseen = drafted.as_ref().ok().map(|(_, _, _, kept)| kept);
    let sell = async |tx| {
        let named = (session.account, "purchase", key.clone());
        let mut once = match Once::begin(tx, named, &[&bytes], foreseen.cloned(), now_ms).await? {
            Begin::Do(once) => once,
            Begin::Replay(response) => return Ok(response),
        };
        // What is wrong with it is told only now: the key may have had an answer, or another body.
        let (offer, sale, answer, _) = drafted.as_ref().map_err(Problem::clone)?;
        settled(purchase::settle(&mut once.tx, &offer.plan, sale).await?)?;
        cashier::receipt(&mut once.tx, &app.letters, &offer.plan, sale).await?;
        once.answer(StatusCode::CREATED, answer).await
    };
    app.store.presuming(drafted.is_ok(), sell).await
}

/// Refuses a sale that did not go through.
pub fn settled(settled: Settled) -> Result<(), Problem> {
    match settled {
        Settled::Yes => Ok(()),
        Settled::WalletTooLow => Err(Problem::new(
            StatusCode::PAYMENT_REQUIRED,
            "wallet_too_low",
            "there is too little in the wallet; top it up first",
        )),
        Settled::CouponRefused => Err(coupon_refused()),
        Settled::TrialUsed => Err(Problem::forbidden(
            "trial_used",
            "this account has tried this plan before; buy it without trial",
        )),
    }
}

/// Refuses what is no country code.
pub fn check_country(country: Option<&str>) -> Result<(), Problem> {
    if country.is_none_or(tax::is_country) {
        return Ok(());
    }
    let detail = "a country is two capital letters (ISO 3166-1), for example DE";
    Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "country_invalid", detail))
}

/// Refuses a coupon, without saying which of the reasons it is.
pub fn coupon_refused() -> Problem {
    let detail =
        "this coupon is unknown, used up, over, not for this plan, or was used by this account before";
    Problem::forbidden("coupon_refused", detail)
}

/// What the purchase would be, and its answer.
async fn draft(
    app: &App,
    session: &Session,
    body: &Body,
    now_ms: i64,
) -> Result<(Arc<Offer>, Sale, PurchaseAnswer, Kept), Problem> {
    let offer = offered(app, session.account, body.plan, now_ms).await?;
    let plan = &offer.plan;
    require_account_for(session, plan)?;
    if body.trial && plan.terms.renewal().is_none_or(|renewal| renewal.trial_ms.is_none()) {
        return Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "trial_not_offered",
            "this plan has no trial",
        ));
    }
    if body.trial && body.coupon.is_some() {
        let detail = "a trial costs nothing: use the coupon for a purchase without trial";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "coupon_not_needed", detail));
    }
    let amount = match &body.coupon {
        Some(code) => Some(lowered(&mut app.store.read().await?, plan, code).await?),
        None => None,
    };
    let tax = app.cashier.rates().line(amount.as_ref().unwrap_or(&plan.price), body.country.as_deref());
    let coupon = body.coupon.as_deref().map(canonical);
    let country = body.country.clone();
    let conditions = Conditions { amount, coupon, trial: body.trial, tax, country, ..Conditions::default() };
    let (sale, answer) = sale(session.account, plan, conditions, now_ms)?;
    let kept = idempotent::kept(StatusCode::CREATED, &answer)?;
    Ok((offer, sale, answer, kept))
}

/// A plan that this account may buy now; 409 `plan_not_sold`, 403 with the rule of a title that forbids it.
pub async fn offered(
    app: &App,
    account: AccountId,
    plan: PlanId,
    now_ms: i64,
) -> Result<Arc<Offer>, Problem> {
    let offer = app.catalog.offer(plan).await?.ok_or_else(|| Problem::not_found("plan"))?;
    if offer.plan.ended_at_ms.is_some() {
        return Err(Problem::conflict("plan_not_sold", "this plan is no longer sold; choose another"));
    }
    if !offer.limited.is_empty() {
        let refused = right::refused(&mut app.store.read().await?, &offer.limited, account, now_ms).await?;
        refused.map_or(Ok(()), Err)?;
    }
    Ok(offer)
}

/// The sale of a plan, and how it is answered.
pub fn sale(
    account: AccountId,
    plan: &Plan,
    conditions: Conditions,
    now_ms: i64,
) -> Result<(Sale, PurchaseAnswer), Problem> {
    let purchase = PurchaseId::from_bytes(random::id(now_ms));
    let fresh = || EntitlementId::from_bytes(random::id(now_ms));
    let sale = purchase::draft(account, plan, purchase, fresh, conditions, now_ms);
    let sale = sale.ok_or_else(|| Problem::conflict("plan_not_sold", "this plan cannot be sold now"))?;
    let given = || sale.entitlements.iter().map(|entitlement| entitlement.summary(now_ms));
    let answer = PurchaseAnswer {
        purchase: sale.summary.clone(),
        entitlement: sale.entitlement().summary(now_ms),
        entitlements: if sale.entitlements.len() > 1 { given().collect() } else { Vec::new() },
    };
    Ok((sale, answer))
}

/// The price with a coupon, if it is for this plan. Whether it can still be used is the store's to say.
async fn lowered(tx: &mut Tx, plan: &Plan, code: &str) -> Result<Money, Problem> {
    let found = coupon::by_code(tx, code).await?;
    let found = found.filter(|found| found.plan_id.is_none_or(|only| only == plan.id));
    found.and_then(|found| found.discount.applied(&plan.price)).ok_or_else(coupon_refused)
}
