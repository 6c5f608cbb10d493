//! `POST /v1/wallet/top-ups`: puts money into the wallet.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use matinee_protocol::api::Money;
use matinee_protocol::id::PaymentId;
use serde::Deserialize;
use serde_json::json;

use super::authority::Session;
use super::idempotent::{Begin, Key, Once};
use super::json::Json;
use super::problem::Problem;
use crate::app::App;
use crate::payment::Charge;
use crate::random;
use crate::store::ledger;
use crate::store::payment::{self, Payment};

/// Body.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Body {
    amount: Money,
}

/// Answers 201 with the payment and the wallet; 422 `amount_out_of_range`.
pub async fn handle(
    State(app): State<App>,
    session: Session,
    key: Key,
    Json { value: Body { amount }, bytes }: Json<Body>,
) -> Result<Response, Problem> {
    check(&app, &amount)?;
    let now_ms = app.clock.now_ms();
    let tx = app.store.write().await?;
    let mut once = match Once::begin(tx, (session.account, "top_up", key), &[&bytes], None, now_ms).await? {
        Begin::Do(once) => once,
        Begin::Replay(response) => return Ok(response),
    };
    let charge =
        Charge { payment: PaymentId::from_bytes(random::id(now_ms)), account: session.account, amount };
    // The simulated provider answers at once. One that asks a network must not be asked inside the transaction.
    let receipt = app.payment.charge(&charge).await?;
    let settled = Payment {
        id: charge.payment,
        account_id: session.account,
        provider: app.payment.name(),
        provider_reference: receipt.reference,
        amount: charge.amount,
        created_at_ms: now_ms,
    };
    payment::settle(&mut once.tx, &settled, &settled.id.to_string()).await?;
    let wallet = ledger::wallet(&mut once.tx, session.account, &settled.amount.currency).await?;
    let answer = json!({
        "payment": {
            "id": settled.id,
            "provider": settled.provider,
            "state": "settled",
            "note": receipt.note,
            "amount": settled.amount,
            "created_at_ms": now_ms,
        },
        "wallet": wallet,
    });
    once.answer(StatusCode::CREATED, &answer).await
}

fn check(app: &App, amount: &Money) -> Result<(), Problem> {
    let payment = &app.config.payment;
    let refuse = |code, detail: String| Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail));
    if amount.currency != payment.currency {
        return refuse("currency_unknown", format!("wallets are in {}", payment.currency));
    }
    if !(1..=payment.top_up_minor_max).contains(&amount.minor) {
        return refuse(
            "amount_out_of_range",
            format!("a top-up is of 1 to {} minor units", payment.top_up_minor_max),
        );
    }
    Ok(())
}
