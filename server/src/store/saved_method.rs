//! Saved payment methods: what a payer let the provider keep with a first payment, so that renewals are charged to it.
//!
//! A method is named by the payment that it was saved with and known to nobody but the provider. It is forgotten as soon as
//! nothing is to be charged to it any more: noted in the transaction that makes it so, then asked of the provider until it
//! has.

use matinee_protocol::id::PaymentId;

use super::{Error, Tx, id};

/// Methods that are forgotten at a time.
pub const FORGOTTEN_AT_ONCE_MAX: i64 = 100;

/// A method that the provider is to forget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forgetting {
    /// The payment that it was saved with.
    pub payment: PaymentId,
    /// The provider's name of that payment's money.
    pub charge: String,
    /// How often the provider was asked.
    pub checks: i64,
}

/// Nothing more is charged to the method that was saved with a purchase: the provider is to forget it.
pub async fn forget(tx: &mut Tx, purchase: &str, now_ms: i64) -> Result<(), Error> {
    later!(
        tx,
        "update payments set forget_at_ms = $1, checks = 0 \
         where purchase_id = $2 and saves_method and forget_at_ms is null",
        now_ms,
        purchase,
    );
    Ok(())
}

/// The same of a payment with which nothing could be bought.
pub async fn forget_of(tx: &mut Tx, payment: PaymentId, now_ms: i64) -> Result<(), Error> {
    on!(tx, |db| {
        sqlx::query(
        "update payments set forget_at_ms = $1, checks = 0 where id = $2 and saves_method and forget_at_ms is null"
    )
    .bind(now_ms)
    .bind(payment.to_string())
    .execute(db)
    .await
    .map(drop)
    })?;
    Ok(())
}

/// What a provider is to forget by now, longest waiting first, at most [`FORGOTTEN_AT_ONCE_MAX`].
pub async fn due(tx: &mut Tx, provider: &str, now_ms: i64) -> Result<Vec<Forgetting>, Error> {
    let rows: Vec<(String, String, i64)> = on!(tx, |db| sqlx::query_as(
        "select id, charge_reference, checks from payments where forget_at_ms <= $1 and provider = $2 \
         and charge_reference is not null order by forget_at_ms limit $3"
    )
    .bind(now_ms)
    .bind(provider)
    .bind(FORGOTTEN_AT_ONCE_MAX)
    .fetch_all(db)
    .await)?;
    let read = |(payment, charge, checks): (String, String, i64)| {
        Ok(Forgetting { payment: id(&payment)?, charge, checks })
    };
    rows.into_iter().map(read).collect()
}

/// Takes one up, and sets when it is due again. False if another server has.
pub async fn take_up(tx: &mut Tx, one: &Forgetting, again_at_ms: i64) -> Result<bool, Error> {
    let changed = on!(tx, |db| sqlx::query(
        "update payments set forget_at_ms = $1, checks = checks + 1 \
         where id = $2 and checks = $3 and forget_at_ms is not null"
    )
    .bind(again_at_ms)
    .bind(one.payment.to_string())
    .bind(one.checks)
    .execute(db)
    .await?
    .rows_affected());
    Ok(changed == 1)
}

/// The provider has forgotten it.
pub async fn forgotten(tx: &mut Tx, payment: PaymentId) -> Result<(), Error> {
    on!(tx, |db| sqlx::query("update payments set forget_at_ms = null, saves_method = false where id = $1")
        .bind(payment.to_string())
        .execute(db)
        .await
        .map(drop))?;
    Ok(())
}
