//! `POST /v1/wallet/top-ups`: puts money into the wallet.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use matinee_protocol::api::Money;
use serde::Deserialize;

use super::authority::Session;
use super::doc::Doc;
use super::idempotent::{Key, Once};
use super::json::Json;
use super::ownership::require_account;
use super::paying;
use super::problem::Problem;
use crate::app::App;
use crate::payment::cashier::Purpose;

/// Body.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    amount: Money,
}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    paying::doc(Doc::new("Puts money into the wallet").once().body::<Body>(), 201)
        .problem(403, "account_required")
        .problems(422, &["amount_out_of_range", "currency_unknown"])
}

/// Answers 201 with the payment, pending with where the payer goes on or succeeded, and the wallet; 403
/// `account_required`, 422 `amount_out_of_range`, 402 `payment_declined`.
pub async fn handle(
    State(app): State<App>,
    session: Session,
    key: Key,
    Json { value: Body { amount }, bytes }: Json<Body>,
) -> Result<Response, Problem> {
    require_account(&session, "a wallet is not for guests: open an account first")?;
    check(&app, &amount)?;
    let tx = app.store.write().await?;
    let now_ms = app.clock.now_ms();
    let begun = Once::begin_outside(tx, (session.account, "top_up", key), &[&bytes], now_ms).await?;
    let purpose =
        Purpose { account: session.account, plan: None, amount, country: None, saves_method: false };
    paying::pay(&app, begun, purpose).await
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
