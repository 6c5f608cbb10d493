//! Money back: refunds that the operator makes. Each ends what it had paid for; [`super::taken`] is what others take.
//!
//! The functions here run inside one transaction of the caller and ask nobody.

use matinee_protocol::api::Money;
use matinee_protocol::id::{PurchaseId, ViewId};

use super::unused::unused_minor;
use super::{Returned, taken};
use crate::random;
use crate::store::ledger::{self, Holder, Journal};
use crate::store::payment::{self, Payment};
use crate::store::purchase::{self, Purchase};
use crate::store::refund::{self, Refund, State};
use crate::store::{self, Tx, entitlement, view};

/// Where refunded money goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// Into the wallet.
    Wallet,
    /// Back through the provider of the payment that bought it.
    Payer,
}

/// A refund to make.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Of which purchase.
    pub purchase: PurchaseId,
    /// How much; none is all that is left.
    pub minor: Option<i64>,
    /// Instead: what was not used, by the keys that were released.
    pub prorated: bool,
    /// Whether the viewer keeps what was bought; only where not all is refunded.
    pub keep: bool,
    /// Where to; none is the way it was paid.
    pub way: Option<Way>,
    /// Why, as the viewer is told.
    pub reason: String,
}

/// A refund that was written, and the views that it ended.
#[derive(Debug)]
pub struct Made {
    /// The refund.
    pub refund: Refund,
    /// Views whose members are to be told.
    pub ended: Vec<ViewId>,
}

/// Why there is no refund.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// No such purchase.
    #[error("there is no such purchase")]
    Unknown,
    /// Too much, or nothing.
    #[error("{left_minor} minor units are left to refund")]
    Exceeds {
        /// What is left.
        left_minor: i64,
    },
    /// All of it, and keep it too.
    #[error("what is refunded whole is not kept: refund a part, or do not keep it")]
    KeepsAll,
    /// A part of the price for the part that was not used, and something else too.
    #[error("what was not used is given back and ends: name no amount, and do not keep it")]
    Ambiguous,
    /// Neither keys nor time say how much of it was used.
    #[error("how much of this was used is not known: name an amount")]
    NotByUse,
    /// It was paid out of the wallet.
    #[error("this purchase had no payment of its own: refund it to the wallet")]
    NotByPayer,
}

/// Writes a refund: takes the money back from sales and tax in proportion, ends the entitlement and its views. Into a
/// wallet it is done with that; through a provider it is pending, and due at once.
pub async fn refund(tx: &mut Tx, wanted: &Wanted, now_ms: i64) -> Result<Made, Error> {
    let own = hold(tx, wanted.purchase).await?;
    let bought = purchase::by_id(tx, wanted.purchase).await?.ok_or(Error::Unknown)?;
    let way = wanted.way.unwrap_or(if own.is_some() { Way::Payer } else { Way::Wallet });
    let own = match way {
        Way::Payer => Some(own.ok_or(Error::NotByPayer)?),
        Way::Wallet => None,
    };
    let id = uuid::Uuid::from_bytes(random::id(now_ms)).to_string();
    let to = match &own {
        Some(payment) => Holder::Returning(payment.provider.clone()),
        None => Holder::Wallet(bought.account_id),
    };
    let minor =
        if wanted.prorated { Some(not_used(tx, &bought, wanted, now_ms).await?) } else { wanted.minor };
    let (minor, left_minor) = take_back(tx, &bought, minor, &to, &id, now_ms).await?;
    if wanted.keep && left_minor == 0 {
        return Err(Error::KeepsAll);
    }
    if let Some(payment) = &own
        && !payment::add_refunded(tx, payment.id, minor, now_ms).await?
    {
        // What the payment has left is less than what the purchase has: some went another way.
        return Err(Error::Exceeds { left_minor: payment.amount.minor - payment.refunded_minor });
    }
    let refund = Refund {
        id,
        account_id: bought.account_id,
        purchase_id: Some(bought.id),
        payment_id: own.as_ref().map(|payment| payment.id),
        amount: Money { minor, currency: bought.currency.clone() },
        check_at_ms: own.as_ref().map(|_| now_ms),
        state: if own.is_some() { State::Pending } else { State::Succeeded },
        provider: own.map(|payment| payment.provider),
        provider_reference: None,
        reason: wanted.reason.clone(),
        created_at_ms: now_ms,
        checks: 0,
    };
    refund::insert(tx, &refund).await?;
    let ended = if wanted.keep { Vec::new() } else { end(tx, bought.id, &wanted.reason, now_ms).await? };
    Ok(Made { refund, ended })
}

/// Holds what a purchase gave, and the payment that paid for it, until the transaction ends, and gives the payment as it is
/// then. Everything that takes money back begins with it: entitlement, payment, purchase, ledger is the order in which
/// renewals lock them, so that PostgreSQL finds no cycle.
pub(super) async fn hold(tx: &mut Tx, purchase: PurchaseId) -> Result<Option<Payment>, store::Error> {
    for given in entitlement::by_purchase(tx, purchase).await? {
        entitlement::hold(tx, given).await?;
    }
    match payment::by_purchase(tx, purchase).await? {
        Some(found) => payment::hold(tx, found.id).await,
        None => Ok(None),
    }
}

/// What of a purchase was not used and not given back before.
async fn not_used(tx: &mut Tx, bought: &Purchase, wanted: &Wanted, now_ms: i64) -> Result<i64, Error> {
    if wanted.minor.is_some() || wanted.keep {
        return Err(Error::Ambiguous);
    }
    let credits = credits(tx, bought).await?;
    let paid_minor = credits.iter().map(|(_, minor)| minor).sum();
    let unused_minor = unused_minor(tx, bought, paid_minor, now_ms).await?;
    let minor = unused_minor - bought.refunded_minor;
    if minor <= 0 { Err(Error::Exceeds { left_minor: 0 }) } else { Ok(minor) }
}

/// Whom the price of a purchase went to.
pub(super) async fn credits(tx: &mut Tx, bought: &Purchase) -> Result<Vec<(String, i64)>, store::Error> {
    match &bought.journal_id {
        Some(journal) => ledger::credits(tx, journal).await,
        None => Ok(Vec::new()),
    }
}

/// Takes an amount of a purchase back under this journal. Gives how much, and how much is left after it.
pub(super) async fn take_back(
    tx: &mut Tx,
    bought: &Purchase,
    minor: Option<i64>,
    to: &Holder,
    id: &str,
    now_ms: i64,
) -> Result<(i64, i64), Error> {
    let credits = credits(tx, bought).await?;
    let paid_minor: i64 = credits.iter().map(|(_, minor)| minor).sum();
    let left_minor = paid_minor - bought.refunded_minor;
    let minor = minor.unwrap_or(left_minor);
    if minor <= 0 {
        return Err(Error::Exceeds { left_minor });
    }
    let after = purchase::add_refunded(tx, bought.id, minor, paid_minor).await?;
    let after = after.ok_or(Error::Exceeds { left_minor })?;
    let journal = Journal { id, kind: "refund", reference: &bought.id.to_string(), at_ms: now_ms };
    let span = (after - minor, after);
    if !ledger::take_back(tx, journal, &credits, span, to, &bought.currency).await? {
        return Err(store::Error::Corrupt("sales below what was sold").into());
    }
    Ok((minor, paid_minor - after))
}

/// Ends what a purchase gave, and names the views that ended with it.
pub(super) async fn end(
    tx: &mut Tx,
    purchase: PurchaseId,
    reason: &str,
    now_ms: i64,
) -> Result<Vec<ViewId>, store::Error> {
    let mut ended = Vec::new();
    for given in entitlement::by_purchase(tx, purchase).await? {
        entitlement::revoke(tx, given, reason, now_ms).await?;
        ended.extend(view::revoke_all(tx, given, reason, now_ms).await?);
    }
    Ok(ended)
}

/// Sends a payment back that pays for nothing, out of the wallet that it has just filled: pending, and due at once.
pub async fn send_back(
    tx: &mut Tx,
    payment: &Payment,
    reason: &str,
    now_ms: i64,
) -> Result<(), store::Error> {
    let id = uuid::Uuid::from_bytes(random::id(now_ms)).to_string();
    let reference = payment.id.to_string();
    let journal = Journal { id: &id, kind: "refund", reference: &reference, at_ms: now_ms };
    let (from, to) = (Holder::Wallet(payment.account_id), Holder::Returning(payment.provider.clone()));
    if !payment::add_refunded(tx, payment.id, payment.amount.minor, now_ms).await?
        || !ledger::transfer(tx, journal, &from, &to, &payment.amount).await?
    {
        return Err(store::Error::Corrupt("a payment that is gone already"));
    }
    let made = Refund {
        id,
        account_id: payment.account_id,
        purchase_id: None,
        payment_id: Some(payment.id),
        amount: payment.amount.clone(),
        provider: Some(payment.provider.clone()),
        provider_reference: None,
        state: State::Pending,
        reason: reason.to_owned(),
        created_at_ms: now_ms,
        check_at_ms: Some(now_ms),
        checks: 0,
    };
    refund::insert(tx, &made).await
}

/// Books what a provider said of a refund: sent, or into the wallet instead, that too after it was sent. Booked before, it
/// changes nothing.
pub async fn settle(
    tx: &mut Tx,
    made: &Refund,
    returned: &Returned,
    now_ms: i64,
) -> Result<(), store::Error> {
    let (Some(provider), Some(payment)) = (&made.provider, made.payment_id) else { return Ok(()) };
    let (state, reference) = match returned {
        Returned::Pending(reference) => return refund::name(tx, &made.id, reference).await,
        Returned::Succeeded(reference) => (State::Succeeded, Some(reference.as_str())),
        Returned::Failed(reference) => (State::Failed, reference.as_deref()),
    };
    let Some(before) = refund::finish(tx, made, state, reference, now_ms).await? else { return Ok(()) };
    if state == State::Failed {
        payment::take_refunded(tx, payment, made.amount.minor, now_ms).await?;
    }
    if before == State::Succeeded {
        let id = format!("{}-failed", made.id);
        let journal = Journal { id: &id, kind: "refund_failed", reference: &made.id, at_ms: now_ms };
        return taken::give_again(tx, (made.account_id, provider), &made.amount, journal).await;
    }
    let from = Holder::Returning(provider.clone());
    let (kind, to) = if state == State::Succeeded {
        ("refund_sent", Holder::Provider(provider.clone()))
    } else {
        ("refund_failed", Holder::Wallet(made.account_id))
    };
    let id = format!("{}-over", made.id);
    let journal = Journal { id: &id, kind, reference: &made.id, at_ms: now_ms };
    if ledger::transfer(tx, journal, &from, &to, &made.amount).await? {
        return Ok(());
    }
    Err(store::Error::Corrupt("a pending refund without its money"))
}
