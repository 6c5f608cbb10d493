//! Disputes: a payer's bank takes money back. One is open, then won or lost; it may be heard of in any order.

use matinee_protocol::api::Money;
use matinee_protocol::id::PaymentId;

use super::{Error, Tx};

/// Where a dispute stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The money is gone until it is decided.
    Open,
    /// The money is back.
    Won,
    /// The money stays gone.
    Lost,
}

impl State {
    /// As the database names it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Won => "won",
            Self::Lost => "lost",
        }
    }
}

/// A dispute, as a provider tells of it.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// The provider.
    pub provider: &'a str,
    /// Its own name for the dispute.
    pub reference: &'a str,
    /// Which payment.
    pub payment: PaymentId,
    /// How much.
    pub amount: &'a Money,
    /// How it stands.
    pub state: State,
}

/// Writes a dispute that was not heard of. False if it was.
pub async fn insert(tx: &mut Tx, told: Told<'_>, now_ms: i64) -> Result<bool, Error> {
    let inserted = on!(tx, |db| {
        sqlx::query(
        "insert into disputes (provider, provider_reference, payment_id, amount_minor, currency, state, opened_at_ms, \
         closed_at_ms) values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (provider, provider_reference) do nothing"
    )
    .bind(told.provider)
    .bind(told.reference)
    .bind(told.payment.to_string())
    .bind(told.amount.minor)
    .bind(&told.amount.currency)
    .bind(told.state.text())
    .bind(now_ms)
    .bind((told.state != State::Open).then_some(now_ms))
    .execute(db)
    .await?
    .rows_affected()
    });
    Ok(inserted == 1)
}

/// Closes a dispute: an open one either way, and a lost one that the bank came back on. False if there is nothing to
/// change.
pub async fn close(tx: &mut Tx, told: Told<'_>, now_ms: i64) -> Result<bool, Error> {
    let changed = on!(tx, |db| {
        sqlx::query(
        "update disputes set state = $1, closed_at_ms = $2 where provider = $3 and provider_reference = $4 \
         and (state = 'open' or (state = 'lost' and $1 = 'won'))"
    )
    .bind(told.state.text())
    .bind(now_ms)
    .bind(told.provider)
    .bind(told.reference)
    .execute(db)
    .await?
    .rows_affected()
    });
    Ok(changed == 1)
}
