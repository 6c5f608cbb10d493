//! The two transactions of a request that takes money in, with the provider between them.

use axum::http::StatusCode;
use axum::response::Response;
use matinee_protocol::api::Money;
use matinee_protocol::id::{EntitlementId, PaymentId, PlanId, PurchaseId};
use serde_json::{Value, json};

use super::doc::{Doc, Fields};
use super::idempotent::{Outside, Parked};
use super::problem::Problem;
use crate::app::App;
use crate::payment::cashier::{self, Purpose};
use crate::store::payment::{self, Payment, State};
use crate::store::{self, ledger, plan};

/// What the interface's document tells of a request that takes money in.
pub fn doc(doc: Doc, status: u16) -> Doc {
    doc.object(status, |it| it.field::<Money>("wallet").object("payment", shown))
        .problem(402, "payment_declined")
        .problem(502, "provider_refused")
        .problem(503, "provider_unreachable")
}

/// The fields of a payment.
pub fn shown(it: Fields) -> Fields {
    it.field::<PaymentId>("id")
        .field::<String>("provider")
        .field::<String>("state")
        .field::<Money>("amount")
        .field::<i64>("created_at_ms")
        .optional::<String>("note")
        .optional::<PlanId>("plan")
        .optional::<PurchaseId>("purchase")
        .optional::<EntitlementId>("renews")
        .optional::<String>("failure")
        .optional::<i64>("refunded_minor")
        .optional::<String>("checkout_url")
}

/// Writes the payment under the request's key, asks the provider, books what it says, and answers 201 with payment and
/// wallet. A request that was cut off between goes on where it was.
pub async fn pay(app: &App, begun: Outside, purpose: Purpose) -> Result<Response, Problem> {
    match begun {
        Outside::Replay(response) => Ok(response),
        Outside::Fresh(mut once) => {
            let payment = app.cashier.begin(&mut once.tx, purpose).await?;
            let parked = once.park(&payment.id.to_string()).await?;
            go_on(app, parked, payment).await
        }
        Outside::GoOn(parked, reference) => {
            let id: PaymentId =
                reference.parse().map_err(|_| Problem::internal(&"a key without a payment"))?;
            let payment = payment::by_id(&mut app.store.read().await?, id).await?;
            go_on(app, parked, payment.ok_or_else(|| Problem::not_found("payment"))?).await
        }
    }
}

async fn go_on(app: &App, parked: Parked, payment: Payment) -> Result<Response, Problem> {
    let standing = if matches!(payment.state, State::Created | State::Pending) {
        let label = label(app, &payment).await?;
        Some(app.cashier.ask(&payment, &label, true).await?)
    } else {
        None
    };
    let mut tx = app.store.write().await?;
    if let Some(standing) = &standing {
        app.cashier.book(&mut tx, &payment, standing).await?;
    }
    let payment = payment::by_id(&mut tx, payment.id).await?.ok_or_else(|| Problem::not_found("payment"))?;
    if payment.state == State::Failed {
        // The key stays with the failed payment: the same request again fails the same way.
        tx.commit().await?;
        let reason = payment.failure.unwrap_or_default();
        let detail = format!("the payment failed: {reason}; try again under a new Idempotency-Key");
        return Err(Problem::new(StatusCode::PAYMENT_REQUIRED, "payment_declined", detail));
    }
    let wallet = ledger::wallet(&mut tx, payment.account_id, &payment.amount.currency).await?;
    let answer = json!({ "payment": summary(app, &payment), "wallet": wallet });
    parked.answer(tx, StatusCode::CREATED, &answer).await
}

/// What the payer is shown that a payment is for.
pub async fn label(app: &App, payment: &Payment) -> Result<String, store::Error> {
    let mut tx = app.store.read().await?;
    let plan = match payment.plan_id {
        Some(plan) => plan::by_id(&mut tx, plan).await?,
        None => None,
    };
    cashier::label(&mut tx, plan.as_ref()).await
}

/// A payment as the interface shows it.
pub fn summary(app: &App, payment: &Payment) -> Value {
    let mut shown = json!({
        "id": payment.id,
        "provider": payment.provider,
        "state": payment.state.text(),
        "amount": payment.amount,
        "created_at_ms": payment.created_at_ms,
    });
    let provider = app.cashier.provider();
    let optional = [
        ("note", provider.note().filter(|_| payment.provider == provider.name()).map(Value::from)),
        ("plan", payment.plan_id.map(|plan| json!(plan))),
        ("purchase", payment.purchase_id.map(|purchase| json!(purchase))),
        ("renews", payment.renews.map(|renews| json!(renews.entitlement))),
        ("failure", payment.failure.as_deref().map(Value::from)),
        ("refunded_minor", Some(payment.refunded_minor).filter(|minor| *minor > 0).map(Value::from)),
        // Nobody goes on to pay what is paid.
        (
            "checkout_url",
            payment.checkout_url.as_deref().filter(|_| payment.state == State::Pending).map(Value::from),
        ),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            shown[name] = value;
        }
    }
    shown
}
