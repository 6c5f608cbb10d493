//! Payments: money that a provider is asked for, and that came in.
//!
//! A payment is in exactly one [`State`]; the functions here are the transitions, each with its guard inside the
//! statement:
//!
//! | from | to | when |
//! | --- | --- | --- |
//! | created | pending | the provider waits for the payer |
//! | created, pending, failed | succeeded | the money is in, however late; it is booked in the same transaction |
//! | created, pending | failed | no money will come |
//! | succeeded | refunded | all of it was sent back, or is set aside for it |
//! | refunded | succeeded | what was set aside could not be sent |
//! | succeeded | disputed | the payer's bank took it back |
//! | disputed | succeeded | the bank gave it again |

use matinee_protocol::api::Money;
use matinee_protocol::encoding::sha256;
use matinee_protocol::id::{AccountId, EntitlementId, PaymentId, PlanId, PurchaseId};
use serde_json::json;

use super::ledger::{self, Holder, Journal};
use super::page::{Asked, Page, Position};
use super::{Error, Tx, id, index, outbox};

/// Payments that reconciliation takes up at a time.
pub const PAYMENTS_DUE_MAX: i64 = 100;

/// Where a payment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Written; whether the provider was asked is not known.
    Created,
    /// The provider waits for the payer.
    Pending,
    /// The money is in and booked.
    Succeeded,
    /// No money came.
    Failed,
    /// All of it was sent back.
    Refunded,
    /// The payer's bank took it back.
    Disputed,
}

impl State {
    const ALL: [Self; 6] =
        [Self::Created, Self::Pending, Self::Succeeded, Self::Failed, Self::Refunded, Self::Disputed];

    /// As the database and the interface name it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Pending => "pending",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Refunded => "refunded",
            Self::Disputed => "disputed",
        }
    }

    fn parse(text: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|state| state.text() == text).ok_or(Error::Corrupt("payment state"))
    }
}

/// What a payment or a purchase renews.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renews {
    /// The subscription or quota.
    pub entitlement: EntitlementId,
    /// The number of the period that it pays for.
    pub period: u32,
}

impl Renews {
    /// As the database keeps it: both or neither.
    pub(super) fn read(entitlement: Option<&str>, period: Option<i64>) -> Result<Option<Self>, Error> {
        let both = entitlement.zip(period);
        both.map(|(entitlement, period)| Ok(Self { entitlement: id(entitlement)?, period: index(period)? }))
            .transpose()
    }

    /// The id of the charge that is tried for the `attempt`th time. It says all that a charge is for: whoever forgets that
    /// it was made makes the same one again, which a provider does not.
    pub fn payment(&self, attempt: u32) -> PaymentId {
        let text = format!("renewal/{}/{}/{attempt}", self.entitlement, self.period);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&sha256(text.as_bytes())[..16]);
        PaymentId::from_bytes(bytes)
    }
}

/// A payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// Its id.
    pub id: PaymentId,
    /// Whose wallet it fills.
    pub account_id: AccountId,
    /// What is bought or renewed as soon as the money is in; none is a top-up.
    pub plan_id: Option<PlanId>,
    /// The period that it pays for; none is a first payment or a top-up.
    pub renews: Option<Renews>,
    /// Whether its payment method is saved with it, to be charged for renewals.
    pub saves_method: bool,
    /// The provider's name of the money with which the method was saved that it is charged to; none is asked of the payer.
    pub method_reference: Option<String>,
    /// What was bought with it.
    pub purchase_id: Option<PurchaseId>,
    /// Who takes the money in.
    pub provider: String,
    /// The provider's own name for it.
    pub provider_reference: Option<String>,
    /// The provider's name of the money itself.
    pub charge_reference: Option<String>,
    /// Where the payer goes on.
    pub checkout_url: Option<String>,
    /// How much.
    pub amount: Money,
    /// How much of it was sent back.
    pub refunded_minor: i64,
    /// Where the payer pays tax, as declared (ISO 3166).
    pub country: Option<String>,
    /// Where it stands.
    pub state: State,
    /// Why it failed.
    pub failure: Option<String>,
    /// When it was made.
    pub created_at_ms: i64,
    /// When its state last changed.
    pub changed_at_ms: i64,
    /// When reconciliation asks its provider again.
    pub check_at_ms: Option<i64>,
    /// How often reconciliation has asked.
    pub checks: i64,
}

impl Payment {
    /// A top-up of which its provider was not asked yet.
    pub fn new(id: PaymentId, account: AccountId, provider: &str, amount: Money, now_ms: i64) -> Self {
        Self {
            id,
            account_id: account,
            plan_id: None,
            renews: None,
            saves_method: false,
            method_reference: None,
            purchase_id: None,
            provider: provider.to_owned(),
            provider_reference: None,
            charge_reference: None,
            checkout_url: None,
            amount,
            refunded_minor: 0,
            country: None,
            state: State::Created,
            failure: None,
            created_at_ms: now_ms,
            changed_at_ms: now_ms,
            check_at_ms: None,
            checks: 0,
        }
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    account_id: String,
    plan_id: Option<String>,
    entitlement_id: Option<String>,
    period_index: Option<i64>,
    saves_method: bool,
    method_reference: Option<String>,
    purchase_id: Option<String>,
    provider: String,
    provider_reference: Option<String>,
    charge_reference: Option<String>,
    checkout_url: Option<String>,
    amount_minor: i64,
    refunded_minor: i64,
    currency: String,
    country: Option<String>,
    state: String,
    failure: Option<String>,
    created_at_ms: i64,
    changed_at_ms: i64,
    check_at_ms: Option<i64>,
    checks: i64,
}

impl TryFrom<Row> for Payment {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let renews = Renews::read(row.entitlement_id.as_deref(), row.period_index)?;
        Ok(Self {
            id: id(&row.id)?,
            account_id: id(&row.account_id)?,
            plan_id: row.plan_id.as_deref().map(id).transpose()?,
            renews,
            saves_method: row.saves_method,
            method_reference: row.method_reference,
            purchase_id: row.purchase_id.as_deref().map(id).transpose()?,
            provider: row.provider,
            provider_reference: row.provider_reference,
            charge_reference: row.charge_reference,
            checkout_url: row.checkout_url,
            amount: Money { minor: row.amount_minor, currency: row.currency },
            refunded_minor: row.refunded_minor,
            country: row.country,
            state: State::parse(&row.state)?,
            failure: row.failure,
            created_at_ms: row.created_at_ms,
            changed_at_ms: row.changed_at_ms,
            check_at_ms: row.check_at_ms,
            checks: row.checks,
        })
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select id, account_id, plan_id, entitlement_id, period_index, saves_method, method_reference, ",
            "purchase_id, provider, provider_reference, charge_reference, ",
            "checkout_url, amount_minor, refunded_minor, currency, country, state, failure, created_at_ms, ",
            "changed_at_ms, check_at_ms, checks from payments ",
            $rest
        )
    };
}

/// Writes a payment that its provider has not been asked for.
pub async fn insert(tx: &mut Tx, payment: &Payment) -> Result<(), Error> {
    on!(tx, |db| {
        sqlx::query(
        "insert into payments (id, account_id, plan_id, provider, amount_minor, refunded_minor, currency, country, \
         state, created_at_ms, changed_at_ms, check_at_ms, checks, entitlement_id, period_index, saves_method, \
         method_reference) values ($1, $2, $3, $4, $5, 0, $6, $7, 'created', $8, $8, $9, 0, $10, $11, $12, $13)"
    )
    .bind(payment.id.to_string())
    .bind(payment.account_id.to_string())
    .bind(payment.plan_id.map(|plan| plan.to_string()))
    .bind(&payment.provider)
    .bind(payment.amount.minor)
    .bind(&payment.amount.currency)
    .bind(&payment.country)
    .bind(payment.created_at_ms)
    .bind(payment.check_at_ms)
    .bind(payment.renews.map(|renews| renews.entitlement.to_string()))
    .bind(payment.renews.map(|renews| i64::from(renews.period)))
    .bind(payment.saves_method)
    .bind(&payment.method_reference)
    .execute(db)
    .await
    .map(drop)
    })?;
    Ok(())
}

/// The payment with this id.
pub async fn by_id(tx: &mut Tx, payment: PaymentId) -> Result<Option<Payment>, Error> {
    let row: Option<Row> = on!(tx, |db| sqlx::query_as(select!("where id = $1"))
        .bind(payment.to_string())
        .fetch_optional(db)
        .await)?;
    row.map(Payment::try_from).transpose()
}

/// Holds a payment's row until the transaction ends, and gives it as it is then.
pub async fn hold(tx: &mut Tx, payment: PaymentId) -> Result<Option<Payment>, Error> {
    let row: Option<Row> =
        on!(tx, |db| sqlx::query_as("update payments set state = state where id = $1 returning *")
            .bind(payment.to_string())
            .fetch_optional(db)
            .await)?;
    row.map(Payment::try_from).transpose()
}

/// An account's payments, newest first.
pub async fn by_account(tx: &mut Tx, account: AccountId, asked: &Asked) -> Result<Page<Payment>, Error> {
    let (at, after) = asked.after();
    let rows: Vec<Row> = on!(tx, |db| {
        sqlx::query_as(select!(
        "where account_id = $1 and (created_at_ms, id) < ($3, $4) order by created_at_ms desc, id desc limit $2"
    ))
    .bind(account.to_string())
    .bind(asked.rows())
    .bind(at)
    .bind(after)
    .fetch_all(db)
    .await
    })?;
    let rows = rows.into_iter().map(Payment::try_from).collect::<Result<Vec<_>, _>>()?;
    Ok(asked.page(rows, |row| Position { at: row.created_at_ms, id: row.id.to_string() }))
}

/// The payment whose money a provider names so.
pub async fn by_charge(tx: &mut Tx, provider: &str, charge: &str) -> Result<Option<Payment>, Error> {
    let row: Option<Row> =
        on!(tx, |db| sqlx::query_as(select!("where provider = $1 and charge_reference = $2"))
            .bind(provider)
            .bind(charge)
            .fetch_optional(db)
            .await)?;
    row.map(Payment::try_from).transpose()
}

/// The payment that bought a purchase.
pub async fn by_purchase(tx: &mut Tx, purchase: PurchaseId) -> Result<Option<Payment>, Error> {
    let row: Option<Row> = on!(tx, |db| sqlx::query_as(select!("where purchase_id = $1"))
        .bind(purchase.to_string())
        .fetch_optional(db)
        .await)?;
    row.map(Payment::try_from).transpose()
}

/// Whether a charge for a renewal is under way.
pub async fn is_renewing(tx: &mut Tx, entitlement: EntitlementId) -> Result<bool, Error> {
    let row: Option<(String,)> = on!(tx, |db| sqlx::query_as(
        "select id from payments where entitlement_id = $1 and state in ('created', 'pending')"
    )
    .bind(entitlement.to_string())
    .fetch_optional(db)
    .await)?;
    Ok(row.is_some())
}

/// How often it was tried to charge a period.
pub async fn attempts(tx: &mut Tx, renews: Renews) -> Result<u32, Error> {
    let (count,): (i64,) = on!(tx, |db| sqlx::query_as(
        "select count(*) from payments where entitlement_id = $1 and period_index = $2"
    )
    .bind(renews.entitlement.to_string())
    .bind(i64::from(renews.period))
    .fetch_one(db)
    .await)?;
    index(count)
}

/// Open payments whose provider is to be asked by now, longest waiting first, at most [`PAYMENTS_DUE_MAX`].
pub async fn due(tx: &mut Tx, now_ms: i64) -> Result<Vec<Payment>, Error> {
    let rows: Vec<Row> = on!(tx, |db| sqlx::query_as(select!(
        "where state in ('created', 'pending') and check_at_ms <= $1 order by check_at_ms limit $2"
    ))
    .bind(now_ms)
    .bind(PAYMENTS_DUE_MAX)
    .fetch_all(db)
    .await)?;
    rows.into_iter().map(Payment::try_from).collect()
}

/// Takes a due payment up, and sets when it is due again. False if another server has.
pub async fn take_up(tx: &mut Tx, payment: &Payment, again_at_ms: i64) -> Result<bool, Error> {
    let changed = on!(tx, |db| sqlx::query(
        "update payments set check_at_ms = $1, checks = checks + 1 \
         where id = $2 and checks = $3 and state in ('created', 'pending')"
    )
    .bind(again_at_ms)
    .bind(payment.id.to_string())
    .bind(payment.checks)
    .execute(db)
    .await?
    .rows_affected());
    Ok(changed == 1)
}

/// The provider waits for the payer. False if the payment is past that.
pub async fn wait(
    tx: &mut Tx,
    payment: PaymentId,
    reference: &str,
    checkout_url: Option<&str>,
    now_ms: i64,
) -> Result<bool, Error> {
    let changed = on!(tx, |db| {
        sqlx::query(
        "update payments set state = 'pending', provider_reference = $1, checkout_url = coalesce($2, checkout_url), \
         changed_at_ms = case when state = 'created' then $3 else changed_at_ms end \
         where id = $4 and state in ('created', 'pending')"
    )
    .bind(reference)
    .bind(checkout_url)
    .bind(now_ms)
    .bind(payment.to_string())
    .execute(db)
    .await?
    .rows_affected()
    });
    Ok(changed == 1)
}

/// The money is in: books it from the provider to the wallet. False, with nothing changed, if that was done before.
pub async fn succeed(
    tx: &mut Tx,
    payment: &Payment,
    reference: &str,
    charge: &str,
    now_ms: i64,
) -> Result<bool, Error> {
    let name = payment.id.to_string();
    // The row is taken first: of two that settle at once, one waits here and then finds it done.
    let changed = on!(tx, |db| {
        sqlx::query(
        "update payments set state = 'succeeded', provider_reference = $1, charge_reference = $2, failure = null, \
         changed_at_ms = $3, check_at_ms = null where id = $4 and state in ('created', 'pending', 'failed')"
    )
    .bind(reference)
    .bind(charge)
    .bind(now_ms)
    .bind(&name)
    .execute(db)
    .await?
    .rows_affected()
    });
    if changed != 1 {
        return Ok(false);
    }
    // The journal carries the payment's own id: there is exactly one.
    let journal = Journal { id: &name, kind: "top_up", reference: &name, at_ms: now_ms };
    let from = Holder::Provider(payment.provider.clone());
    ledger::transfer(tx, journal, &from, &Holder::Wallet(payment.account_id), &payment.amount).await?;
    on!(tx, |db| sqlx::query("update payments set journal_id = $1 where id = $1")
        .bind(&name)
        .execute(db)
        .await
        .map(drop))?;
    let data = json!({ "account": payment.account_id, "payment": payment.id, "amount": payment.amount });
    outbox::post(tx, "payment.succeeded", payment.account_id, &data, now_ms).await?;
    Ok(true)
}

/// No money will come. False if the payment is past that.
pub async fn fail(
    tx: &mut Tx,
    payment: PaymentId,
    reference: Option<&str>,
    reason: &str,
    now_ms: i64,
) -> Result<bool, Error> {
    let owner: Option<(String,)> = on!(tx, |db| sqlx::query_as(
        "update payments set state = 'failed', failure = $1, \
         provider_reference = coalesce(provider_reference, $2), changed_at_ms = $3, check_at_ms = null \
         where id = $4 and state in ('created', 'pending') returning account_id"
    )
    .bind(reason)
    .bind(reference)
    .bind(now_ms)
    .bind(payment.to_string())
    .fetch_optional(db)
    .await)?;
    let Some((owner,)) = owner else { return Ok(false) };
    let data = json!({ "account": owner, "payment": payment, "reason": reason });
    outbox::post(tx, "payment.failed", id(&owner)?, &data, now_ms).await?;
    Ok(true)
}

/// Notes what was bought with a payment.
pub async fn note_purchase(tx: &mut Tx, payment: PaymentId, purchase: PurchaseId) -> Result<(), Error> {
    on!(tx, |db| sqlx::query("update payments set purchase_id = $1 where id = $2")
        .bind(purchase.to_string())
        .bind(payment.to_string())
        .execute(db)
        .await
        .map(drop))?;
    Ok(())
}

/// Sets an amount aside as sent back, before anybody is asked to send it. False if less than that is left.
pub async fn add_refunded(tx: &mut Tx, payment: PaymentId, minor: i64, now_ms: i64) -> Result<bool, Error> {
    let changed = on!(tx, |db| {
        sqlx::query(
        "update payments set refunded_minor = refunded_minor + $1, changed_at_ms = $2, \
         state = case when refunded_minor + $1 = amount_minor and state = 'succeeded' then 'refunded' else state end \
         where id = $3 and state in ('succeeded', 'disputed') and refunded_minor + $1 <= amount_minor"
    )
    .bind(minor)
    .bind(now_ms)
    .bind(payment.to_string())
    .execute(db)
    .await?
    .rows_affected()
    });
    Ok(changed == 1)
}

/// An amount set aside could not be sent back.
pub async fn take_refunded(tx: &mut Tx, payment: PaymentId, minor: i64, now_ms: i64) -> Result<(), Error> {
    on!(tx, |db| sqlx::query(
        "update payments set refunded_minor = refunded_minor - $1, changed_at_ms = $2, \
         state = case when state = 'refunded' then 'succeeded' else state end \
         where id = $3 and refunded_minor >= $1"
    )
    .bind(minor)
    .bind(now_ms)
    .bind(payment.to_string())
    .execute(db)
    .await
    .map(drop))?;
    Ok(())
}

/// The payer's bank takes the money back (`true`), or gives it again.
pub async fn dispute(tx: &mut Tx, payment: PaymentId, disputed: bool, now_ms: i64) -> Result<(), Error> {
    let (from, to) =
        if disputed { (State::Succeeded, State::Disputed) } else { (State::Disputed, State::Succeeded) };
    let owner: Option<(String,)> = on!(tx, |db| {
        sqlx::query_as(
        "update payments set state = $1, changed_at_ms = $2 where id = $3 and state = $4 returning account_id"
    )
    .bind(to.text())
    .bind(now_ms)
    .bind(payment.to_string())
    .bind(from.text())
    .fetch_optional(db)
    .await
    })?;
    if let Some((owner,)) = owner.filter(|_| disputed) {
        let data = json!({ "account": owner, "payment": payment });
        outbox::post(tx, "payment.disputed", id(&owner)?, &data, now_ms).await?;
    }
    Ok(())
}
