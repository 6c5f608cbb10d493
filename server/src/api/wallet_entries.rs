//! `GET /v1/wallet/entries`: what moved the money in the account's wallet.

use axum::Json;
use axum::extract::State;
use matinee_protocol::api::Money;
use serde_json::{Value, json};

use super::authority::Session;
use super::cursor::{self, Paging};
use super::doc::Doc;
use super::problem::Problem;
use crate::app::App;
use crate::store::entry;
use crate::store::ledger::Holder;

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("What moved the money in the account's wallet, newest first")
        .paged(cursor::PAGE_ROWS_MAX)
        .object(200, |it| {
            it.list_of("entries", |it| {
                it.field::<String>("kind")
                    .field::<String>("reference")
                    .field::<Money>("amount")
                    .field::<i64>("at_ms")
            })
            .field::<Option<String>>("next")
        })
}

/// Answers: what came in is above zero, what went out below. `reference` is the payment, the purchase, the entitlement
/// that was renewed, the refund or the dispute.
pub async fn handle(
    State(app): State<App>,
    session: Session,
    Paging(asked): Paging,
) -> Result<Json<Value>, Problem> {
    let mut tx = app.store.read().await?;
    let wallet = Holder::Wallet(session.account);
    let page = entry::of_holder(&mut tx, &wallet, &app.config.payment.currency, &asked).await?;
    let entries = page.rows.iter().map(|entry| {
        json!({
            "kind": entry.kind, "reference": entry.reference, "at_ms": entry.at_ms,
            "amount": Money { minor: entry.amount_minor, currency: entry.currency.clone() },
        })
    });
    let entries: Vec<_> = entries.collect();
    Ok(Json(json!({ "entries": entries, "next": page.next.as_ref().map(cursor::write) })))
}
