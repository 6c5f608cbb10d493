//! Payments: money that came in from a provider.

use matinee_protocol::api::Money;
use matinee_protocol::id::{AccountId, PaymentId};

use super::ledger::{self, Holder, Journal};
use super::{Error, Tx};

/// Money that a provider took in for an account.
#[derive(Debug, Clone)]
pub struct Payment {
    /// Its id.
    pub id: PaymentId,
    /// For whom.
    pub account_id: AccountId,
    /// Who took it in.
    pub provider: &'static str,
    /// The provider's own name for it; one is credited once.
    pub provider_reference: String,
    /// How much.
    pub amount: Money,
    /// When.
    pub created_at_ms: i64,
}

/// Credits the wallet and keeps the payment.
pub async fn settle(tx: &mut Tx, payment: &Payment, journal_id: &str) -> Result<(), Error> {
    let reference = payment.id.to_string();
    let journal =
        Journal { id: journal_id, kind: "top_up", reference: &reference, at_ms: payment.created_at_ms };
    let from = Holder::Provider(payment.provider.to_owned());
    ledger::transfer(tx, journal, &from, &Holder::Wallet(payment.account_id), &payment.amount).await?;
    on!(tx, |db| sqlx::query(
        "insert into payments (id, account_id, provider, provider_reference, amount_minor, currency, state, \
         journal_id, created_at_ms) values ($1, $2, $3, $4, $5, $6, 'settled', $7, $8)"
    )
    .bind(&reference)
    .bind(payment.account_id.to_string())
    .bind(payment.provider)
    .bind(&payment.provider_reference)
    .bind(payment.amount.minor)
    .bind(&payment.amount.currency)
    .bind(journal_id)
    .bind(payment.created_at_ms)
    .execute(db)
    .await
    .map(drop))?;
    Ok(())
}
