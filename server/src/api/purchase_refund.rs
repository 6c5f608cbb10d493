//! `POST /v1/purchases/{purchase}/refund`: gives money back and ends what it had bought.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use matinee_protocol::api::Money;
use matinee_protocol::id::{AccountId, PaymentId, PurchaseId};
use matinee_protocol::limit::REASON_BYTES_MAX;
use serde::Deserialize;
use serde_json::{Value, json};

use super::authority::Operator;
use super::doc::{Doc, Fields};
use super::idempotent::{Key, Once, Outside, Parked};
use super::json::{Json, Path};
use super::problem::Problem;
use super::trail::note;
use crate::app::App;
use crate::payment::back::{self, Wanted, Way};
use crate::payment::cashier::Failure;
use crate::store::refund::{self, Refund, State as Stand};
use crate::store::{self, payment};

/// Body.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    reason: String,
    /// In minor units; all that is left if not given.
    amount_minor: Option<i64>,
    /// Instead of an amount: what was not used, by the keys that were released.
    #[serde(default)]
    prorated: bool,
    #[serde(default)]
    keep: bool,
    /// `wallet` or `payer`; the way it was paid if not given.
    #[schema(value_type = Option<String>)]
    to: Option<Way>,
}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Gives money back and ends what it had bought")
        .once()
        .body::<Body>()
        .object(201, |it| it.object("refund", shown))
        .problems(
            422,
            &[
                "reason_too_long",
                "refund_out_of_range",
                "refund_keeps_all",
                "refund_not_by_payer",
                "refund_not_prorated",
            ],
        )
}

/// The fields of a refund.
pub fn shown(it: Fields) -> Fields {
    it.field::<String>("id")
        .field::<AccountId>("account")
        .nullable::<PurchaseId>("purchase")
        .nullable::<PaymentId>("payment")
        .field::<Money>("amount")
        .field::<String>("to")
        .field::<String>("state")
        .field::<String>("reason")
        .field::<i64>("created_at_ms")
}

/// Answers 201 with the refund: succeeded, pending while the provider has still to say, or failed, which means that it
/// could only be given into the wallet. 422 `refund_out_of_range`, `refund_keeps_all`, `refund_not_by_payer`.
pub async fn handle(
    State(app): State<App>,
    Operator(session): Operator,
    Path(purchase): Path<PurchaseId>,
    key: Key,
    Json { value: body, bytes }: Json<Body>,
) -> Result<Response, Problem> {
    let reason = body.reason.trim();
    if reason.len() > REASON_BYTES_MAX {
        let detail = format!("a reason has at most {REASON_BYTES_MAX} bytes");
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "reason_too_long", detail));
    }
    let now_ms = app.clock.now_ms();
    let tx = app.store.write().await?;
    let named = (session.account, "refund", key);
    match Once::begin_outside(tx, named, &[purchase.as_bytes(), &bytes], now_ms).await? {
        Outside::Replay(response) => Ok(response),
        Outside::GoOn(parked, id) => go_on(&app, parked, &id).await,
        Outside::Fresh(mut once) => {
            let reason = reason.to_owned();
            let wanted = Wanted {
                purchase,
                minor: body.amount_minor,
                prorated: body.prorated,
                keep: body.keep,
                way: body.to,
                reason,
            };
            let made = back::refund(&mut once.tx, &wanted, now_ms).await?;
            let detail =
                json!({ "refund": made.refund.id, "amount": made.refund.amount, "keep": wanted.keep });
            note(&mut once.tx, &session, "purchase.refund", &purchase, detail, now_ms).await?;
            let parked = once.park(&made.refund.id).await?;
            for view in &made.ended {
                app.hub.revoke_view(*view, &wanted.reason);
            }
            go_on(&app, parked, &made.refund.id).await
        }
    }
}

async fn go_on(app: &App, parked: Parked, id: &str) -> Result<Response, Problem> {
    let found = refund::by_id(&mut app.store.read().await?, id).await?;
    let found = found.ok_or_else(|| Problem::not_found("refund"))?;
    if found.state == Stand::Pending
        && let Err(failure) = send(app, &found).await
    {
        // It is written and it is due: reconciliation goes on with it.
        tracing::warn!(refund = %found.id, %failure, "a refund stays open");
    }
    let mut tx = app.store.write().await?;
    let found = refund::by_id(&mut tx, id).await?.ok_or_else(|| Problem::not_found("refund"))?;
    parked.answer(tx, StatusCode::CREATED, &json!({ "refund": summary(&found) })).await
}

/// Asks the provider to send a pending refund back, and books what it says.
pub async fn send(app: &App, pending: &Refund) -> Result<(), Failure> {
    let Some(through) = pending.payment_id else { return Ok(()) };
    let through = payment::by_id(&mut app.store.read().await?, through).await?;
    let through = through.ok_or(store::Error::Corrupt("a refund without its payment"))?;
    let returned = app.cashier.send_back(pending, &through).await?;
    let mut tx = app.store.write().await?;
    back::settle(&mut tx, pending, &returned, app.clock.now_ms()).await?;
    tx.commit().await?;
    Ok(())
}

/// A refund as the interface shows it.
pub fn summary(refund: &Refund) -> Value {
    // A provider that could not send it back has left it in the wallet.
    let to = if refund.provider.is_some() && refund.state != Stand::Failed { "payer" } else { "wallet" };
    json!({
        "id": refund.id,
        "account": refund.account_id,
        "purchase": refund.purchase_id,
        "payment": refund.payment_id,
        "amount": refund.amount,
        "to": to,
        "state": refund.state.text(),
        "reason": refund.reason,
        "created_at_ms": refund.created_at_ms,
    })
}

impl From<back::Error> for Problem {
    fn from(error: back::Error) -> Self {
        let text = error.to_string();
        let code = match error {
            back::Error::Store(error) => return error.into(),
            back::Error::Unknown => return Self::not_found("purchase"),
            back::Error::Exceeds { .. } => "refund_out_of_range",
            back::Error::KeepsAll => "refund_keeps_all",
            back::Error::Ambiguous | back::Error::NotByUse => "refund_not_prorated",
            back::Error::NotByPayer => "refund_not_by_payer",
        };
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, text)
    }
}
