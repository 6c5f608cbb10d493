//! Refunds: money moved back, into a wallet or through the provider of the payment.
//!
//! A refund into a wallet is done as soon as it is written. One through a provider is `pending` until the provider has
//! said; the money waits in the ledger meanwhile, and goes to the wallet if the provider cannot send it back, or a bank
//! returns what was sent.

use matinee_protocol::api::Money;
use matinee_protocol::id::{AccountId, PaymentId, PurchaseId};
use serde_json::json;

use super::page::{Asked, Page, Position};
use super::{Error, Tx, id, outbox};

/// Refunds that reconciliation takes up at a time.
pub const REFUNDS_DUE_MAX: i64 = 100;

/// Where a refund stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The provider has still to say.
    Pending,
    /// The money is back.
    Succeeded,
    /// The provider could not send it back: it is in the wallet.
    Failed,
}

impl State {
    /// As the database and the interface name it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }

    fn parse(text: &str) -> Result<Self, Error> {
        [Self::Pending, Self::Succeeded, Self::Failed]
            .into_iter()
            .find(|state| state.text() == text)
            .ok_or(Error::Corrupt("refund state"))
    }
}

/// A refund.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// Its id; also the journal's.
    pub id: String,
    /// To whom.
    pub account_id: AccountId,
    /// What it takes back, unless it is a top-up.
    pub purchase_id: Option<PurchaseId>,
    /// The payment it goes back through; none is into the wallet.
    pub payment_id: Option<PaymentId>,
    /// How much.
    pub amount: Money,
    /// Who sends it back; none is into the wallet.
    pub provider: Option<String>,
    /// The provider's own name for it.
    pub provider_reference: Option<String>,
    /// Where it stands.
    pub state: State,
    /// Why, as the operator put it.
    pub reason: String,
    /// When it was made.
    pub created_at_ms: i64,
    /// When reconciliation asks its provider again.
    pub check_at_ms: Option<i64>,
    /// How often reconciliation has asked.
    pub checks: i64,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    account_id: String,
    purchase_id: Option<String>,
    payment_id: Option<String>,
    amount_minor: i64,
    currency: String,
    provider: Option<String>,
    provider_reference: Option<String>,
    state: String,
    reason: String,
    created_at_ms: i64,
    check_at_ms: Option<i64>,
    checks: i64,
}

impl TryFrom<Row> for Refund {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(Self {
            id: row.id,
            account_id: id(&row.account_id)?,
            purchase_id: row.purchase_id.as_deref().map(id).transpose()?,
            payment_id: row.payment_id.as_deref().map(id).transpose()?,
            amount: Money { minor: row.amount_minor, currency: row.currency },
            provider: row.provider,
            provider_reference: row.provider_reference,
            state: State::parse(&row.state)?,
            reason: row.reason,
            created_at_ms: row.created_at_ms,
            check_at_ms: row.check_at_ms,
            checks: row.checks,
        })
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select id, account_id, purchase_id, payment_id, amount_minor, currency, provider, ",
            "provider_reference, state, reason, created_at_ms, check_at_ms, checks from refunds ",
            $rest
        )
    };
}

/// Writes a refund.
pub async fn insert(tx: &mut Tx, refund: &Refund) -> Result<(), Error> {
    on!(tx, |db| sqlx::query(
        "insert into refunds (id, account_id, purchase_id, payment_id, amount_minor, currency, provider, \
         provider_reference, state, reason, created_at_ms, changed_at_ms, check_at_ms, checks) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11, $12, 0)"
    )
    .bind(&refund.id)
    .bind(refund.account_id.to_string())
    .bind(refund.purchase_id.map(|purchase| purchase.to_string()))
    .bind(refund.payment_id.map(|payment| payment.to_string()))
    .bind(refund.amount.minor)
    .bind(&refund.amount.currency)
    .bind(&refund.provider)
    .bind(&refund.provider_reference)
    .bind(refund.state.text())
    .bind(&refund.reason)
    .bind(refund.created_at_ms)
    .bind(refund.check_at_ms)
    .execute(db)
    .await
    .map(drop))?;
    tell(tx, "refund.created", refund, refund.state, refund.created_at_ms).await
}

async fn tell(
    tx: &mut Tx,
    topic: &'static str,
    refund: &Refund,
    state: State,
    now_ms: i64,
) -> Result<(), Error> {
    let data = json!({
        "account": refund.account_id, "refund": refund.id, "purchase": refund.purchase_id,
        "payment": refund.payment_id, "amount": refund.amount, "reason": refund.reason, "state": state.text(),
    });
    outbox::post(tx, topic, refund.account_id, &data, now_ms).await
}

/// Refunds, newest first: an account's, or everybody's.
pub async fn listed(tx: &mut Tx, account: Option<AccountId>, asked: &Asked) -> Result<Page<Refund>, Error> {
    let (at, after) = asked.after();
    let rows: Vec<Row> = match account {
        Some(account) => on!(tx, |db| sqlx::query_as(select!(
            "where account_id = $4 and (created_at_ms, id) < ($1, $2) \
             order by created_at_ms desc, id desc limit $3"
        ))
        .bind(at)
        .bind(after)
        .bind(asked.rows())
        .bind(account.to_string())
        .fetch_all(db)
        .await)?,
        None => on!(tx, |db| sqlx::query_as(select!(
            "where (created_at_ms, id) < ($1, $2) order by created_at_ms desc, id desc limit $3"
        ))
        .bind(at)
        .bind(after)
        .bind(asked.rows())
        .fetch_all(db)
        .await)?,
    };
    let rows = rows.into_iter().map(Refund::try_from).collect::<Result<Vec<_>, _>>()?;
    Ok(asked.page(rows, |row| Position { at: row.created_at_ms, id: row.id.clone() }))
}

/// The refund with this id.
pub async fn by_id(tx: &mut Tx, refund: &str) -> Result<Option<Refund>, Error> {
    let row: Option<Row> =
        on!(tx, |db| sqlx::query_as(select!("where id = $1")).bind(refund).fetch_optional(db).await)?;
    row.map(Refund::try_from).transpose()
}

/// The refund that a provider names so.
pub async fn by_reference(tx: &mut Tx, provider: &str, reference: &str) -> Result<Option<Refund>, Error> {
    let row: Option<Row> =
        on!(tx, |db| sqlx::query_as(select!("where provider = $1 and provider_reference = $2"))
            .bind(provider)
            .bind(reference)
            .fetch_optional(db)
            .await)?;
    row.map(Refund::try_from).transpose()
}

/// Pending refunds whose provider is to be asked by now, at most [`REFUNDS_DUE_MAX`].
pub async fn due(tx: &mut Tx, now_ms: i64) -> Result<Vec<Refund>, Error> {
    let rows: Vec<Row> = on!(tx, |db| sqlx::query_as(select!(
        "where state = 'pending' and check_at_ms <= $1 order by check_at_ms limit $2"
    ))
    .bind(now_ms)
    .bind(REFUNDS_DUE_MAX)
    .fetch_all(db)
    .await)?;
    rows.into_iter().map(Refund::try_from).collect()
}

/// Takes a due refund up, and sets when it is due again. False if another server has.
pub async fn take_up(tx: &mut Tx, refund: &Refund, again_at_ms: i64) -> Result<bool, Error> {
    let changed = on!(tx, |db| {
        sqlx::query(
        "update refunds set check_at_ms = $1, checks = checks + 1 where id = $2 and checks = $3 and state = 'pending'"
    )
    .bind(again_at_ms)
    .bind(&refund.id)
    .bind(refund.checks)
    .execute(db)
    .await?
    .rows_affected()
    });
    Ok(changed == 1)
}

/// Notes what the provider calls a pending refund.
pub async fn name(tx: &mut Tx, refund: &str, reference: &str) -> Result<(), Error> {
    on!(tx, |db| sqlx::query(
        "update refunds set provider_reference = $1 where id = $2 and state = 'pending'"
    )
    .bind(reference)
    .bind(refund)
    .execute(db)
    .await
    .map(drop))?;
    Ok(())
}

/// A refund is over; where it stood until then is given. None, with nothing changed, if that was known: what was sent can
/// still fail, for the payer's bank may return it weeks later, and what failed has failed for good. It is told.
pub async fn finish(
    tx: &mut Tx,
    refund: &Refund,
    state: State,
    reference: Option<&str>,
    now_ms: i64,
) -> Result<Option<State>, Error> {
    let open: &[State] =
        if state == State::Failed { &[State::Pending, State::Succeeded] } else { &[State::Pending] };
    for before in open {
        let changed = on!(tx, |db| sqlx::query(
            "update refunds set state = $1, provider_reference = coalesce($2, provider_reference), \
             changed_at_ms = $3, check_at_ms = null where id = $4 and state = $5"
        )
        .bind(state.text())
        .bind(reference)
        .bind(now_ms)
        .bind(&refund.id)
        .bind(before.text())
        .execute(db)
        .await?
        .rows_affected());
        if changed == 1 {
            let topic = if state == State::Failed { "refund.failed" } else { "refund.succeeded" };
            tell(tx, topic, refund, state, now_ms).await?;
            return Ok(Some(*before));
        }
    }
    Ok(None)
}
