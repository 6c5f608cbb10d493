//! `GET /v1/purchases`: what the account bought, with the tax inside.

use axum::Json;
use axum::extract::State;
use matinee_protocol::api::Money;
use matinee_protocol::id::{EntitlementId, PlanId, PurchaseId};
use serde_json::{Value, json};

use super::authority::Session;
use super::cursor::{self, Paging};
use super::doc::{Doc, Fields};
use super::plan_quote::Tax;
use super::problem::Problem;
use crate::app::App;
use crate::store::purchase::{self, Bill};

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("What the account bought, newest first")
        .paged(cursor::PAGE_ROWS_MAX)
        .object(200, |it| it.list_of("purchases", fields).field::<Option<String>>("next"))
}

/// What is told of a purchase.
pub fn fields(it: Fields) -> Fields {
    it.field::<PurchaseId>("id")
        .field::<PlanId>("plan")
        .field::<String>("kind")
        .field::<String>("name")
        .field::<Money>("amount")
        .field::<Option<String>>("coupon")
        .nullable::<Tax>("tax")
        .field::<i64>("refunded_minor")
        .nullable::<EntitlementId>("renews")
        .field::<i64>("created_at_ms")
}

/// Answers.
pub async fn handle(
    State(app): State<App>,
    session: Session,
    Paging(asked): Paging,
) -> Result<Json<Value>, Problem> {
    let mut tx = app.store.read().await?;
    let page = purchase::bills(&mut tx, session.account, &asked).await?;
    let purchases: Vec<_> = page.rows.iter().map(shown).collect();
    Ok(Json(json!({ "purchases": purchases, "next": page.next.as_ref().map(cursor::write) })))
}

/// A purchase as its account sees it.
pub fn shown(bill: &Bill) -> Value {
    let tax = bill.country.as_ref().map(|country| Tax {
        country: country.clone(),
        rate_basis_points: bill.rate_basis_points.and_then(|rate| u32::try_from(rate).ok()).unwrap_or(0),
        net_minor: bill.net_minor.unwrap_or(bill.price_minor),
        tax_minor: bill.tax_minor.unwrap_or(0),
    });
    json!({
        "id": bill.id, "plan": bill.plan_id, "kind": bill.kind, "name": bill.name,
        "amount": Money { minor: bill.price_minor, currency: bill.currency.clone() },
        "coupon": bill.coupon, "tax": tax, "refunded_minor": bill.refunded_minor,
        "renews": bill.renews, "created_at_ms": bill.created_at_ms,
    })
}
