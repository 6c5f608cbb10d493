//! Money back: refunds that the operator makes, and money that a payer's bank takes. Each ends what it had paid for.
//!
//! The functions here run inside one transaction of the caller and ask nobody.

use matinee_protocol::api::Money;
use matinee_protocol::id::{PurchaseId, ViewId};

use super::Returned;
use super::unused::unused_minor;
use crate::random;
use crate::store::dispute::{self, Told};
use crate::store::ledger::{self, Holder, Journal};
use crate::store::payment::{self, Payment};
use crate::store::purchase::{self, Purchase};
use crate::store::refund::{self, Refund, State};
use crate::store::{self, Tx, entitlement, view};

/// What the viewer is told when the bank took the money back.
pub const DISPUTED: &str = "the payment was taken back by the bank";

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
    let bought = purchase::by_id(tx, wanted.purchase).await?.ok_or(Error::Unknown)?;
    let own = payment::by_purchase(tx, bought.id).await?;
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
async fn credits(tx: &mut Tx, bought: &Purchase) -> Result<Vec<(String, i64)>, store::Error> {
    match &bought.journal_id {
        Some(journal) => ledger::credits(tx, journal).await,
        None => Ok(Vec::new()),
    }
}

/// Takes an amount of a purchase back under this journal. Gives how much, and how much is left after it.
async fn take_back(
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
async fn end(
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

/// Books what a provider said of a pending refund: sent, or into the wallet instead. Booked before, it changes nothing.
pub async fn settle(
    tx: &mut Tx,
    pending: &Refund,
    returned: &Returned,
    now_ms: i64,
) -> Result<(), store::Error> {
    let (Some(provider), Some(payment)) = (&pending.provider, pending.payment_id) else { return Ok(()) };
    let (state, reference) = match returned {
        Returned::Pending(reference) => return refund::name(tx, &pending.id, reference).await,
        Returned::Succeeded(reference) => (State::Succeeded, Some(reference.as_str())),
        Returned::Failed(reference) => (State::Failed, reference.as_deref()),
    };
    if !refund::finish(tx, &pending.id, state, reference, now_ms).await? {
        return Ok(());
    }
    let from = Holder::Returning(provider.clone());
    let (kind, to) = if state == State::Succeeded {
        ("refund_sent", Holder::Provider(provider.clone()))
    } else {
        payment::take_refunded(tx, payment, pending.amount.minor, now_ms).await?;
        ("refund_failed", Holder::Wallet(pending.account_id))
    };
    let id = format!("{}-over", pending.id);
    let journal = Journal { id: &id, kind, reference: &pending.id, at_ms: now_ms };
    if ledger::transfer(tx, journal, &from, &to, &pending.amount).await? {
        return Ok(());
    }
    Err(store::Error::Corrupt("a pending refund without its money"))
}

/// Books a refund that was made by hand at the provider.
pub async fn refunded_by_hand(
    tx: &mut Tx,
    payment: &Payment,
    reference: &str,
    amount: &Money,
    now_ms: i64,
) -> Result<Vec<ViewId>, store::Error> {
    if refund::by_reference(tx, &payment.provider, reference).await?.is_some()
        || !payment::add_refunded(tx, payment.id, amount.minor, now_ms).await?
    {
        return Ok(Vec::new());
    }
    let id = uuid::Uuid::from_bytes(random::id(now_ms)).to_string();
    let made = Refund {
        id: id.clone(),
        account_id: payment.account_id,
        purchase_id: payment.purchase_id,
        payment_id: Some(payment.id),
        amount: amount.clone(),
        provider: Some(payment.provider.clone()),
        provider_reference: Some(reference.to_owned()),
        state: State::Succeeded,
        reason: "refunded at the payment provider".to_owned(),
        created_at_ms: now_ms,
        check_at_ms: None,
        checks: 0,
    };
    refund::insert(tx, &made).await?;
    // A part is what somebody chose to give back; the viewer keeps the rest. The whole ends it.
    let whole = payment.refunded_minor + amount.minor >= payment.amount.minor;
    let ends = if whole { Ends::All } else { Ends::Nothing };
    let journal = Journal { id: &id, kind: "refund_sent", reference: &id, at_ms: now_ms };
    recover(tx, payment, amount, journal, ends, &made.reason).await
}

/// Books what a dispute came to; heard of twice or in another order, it changes nothing twice.
pub async fn disputed(
    tx: &mut Tx,
    payment: &Payment,
    told: Told<'_>,
    now_ms: i64,
) -> Result<Vec<ViewId>, store::Error> {
    let new = dispute::insert(tx, told, now_ms).await?;
    let id = format!("dispute-{}-{}", told.provider, told.reference);
    if new && told.state != dispute::State::Won {
        payment::dispute(tx, payment.id, true, now_ms).await?;
        let journal = Journal { id: &id, kind: "dispute", reference: &id, at_ms: now_ms };
        return recover(tx, payment, told.amount, journal, Ends::All, DISPUTED).await;
    }
    if !new && told.state != dispute::State::Open && dispute::close(tx, told, now_ms).await? {
        if told.state == dispute::State::Won {
            payment::dispute(tx, payment.id, false, now_ms).await?;
            give_again(tx, payment, told.amount, &id, now_ms).await?;
        }
        return Ok(Vec::new());
    }
    Ok(Vec::new())
}

/// What recovering money ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    All,
    Nothing,
}

/// Books money that left through the provider: out of what it had paid for, the purchase of its own first, else the
/// wallet, else what was bought out of the wallet since, newest first; the account owes the rest.
async fn recover(
    tx: &mut Tx,
    payment: &Payment,
    amount: &Money,
    journal: Journal<'_>,
    ends: Ends,
    reason: &str,
) -> Result<Vec<ViewId>, store::Error> {
    let (account, now_ms) = (payment.account_id, journal.at_ms);
    let currency = amount.currency.as_str();
    // Before the wallet, as a payment that comes in locks them.
    ledger::hold(tx, &Holder::Provider(payment.provider.clone()), currency).await?;
    let mut ended = Vec::new();
    let mut missing = async |tx: &mut Tx, bought: &Purchase, wanted: i64| {
        let back = Back { ends, reason, now_ms };
        back.of(tx, bought, wanted, &mut ended).await
    };
    if let Some(purchase) = payment.purchase_id {
        if let Some(bought) = purchase::by_id(tx, purchase).await? {
            missing(tx, &bought, amount.minor).await?;
        }
    } else {
        let mut held = ledger::wallet(tx, account, currency).await?.minor;
        if held < amount.minor && ends == Ends::All {
            let since = purchase::out_of_wallet_since(tx, account, currency, payment.created_at_ms).await?;
            for bought in since {
                if held >= amount.minor {
                    break;
                }
                held += missing(tx, &bought, i64::MAX).await?;
            }
        }
    }
    let held = ledger::wallet(tx, account, currency).await?.minor;
    let from_wallet = held.min(amount.minor);
    let entries = vec![
        (Holder::Wallet(account), -from_wallet),
        (Holder::Debt(account), from_wallet - amount.minor),
        (Holder::Provider(payment.provider.clone()), amount.minor),
    ];
    if ledger::post(tx, journal, entries, currency).await? {
        return Ok(ended);
    }
    // The wallet was spent from in between: the caller's transaction fails, and the event comes again.
    Err(store::Error::Corrupt("a wallet that changed meanwhile"))
}

struct Back<'a> {
    ends: Ends,
    reason: &'a str,
    now_ms: i64,
}

impl Back<'_> {
    /// Takes up to so much of a purchase back into the wallet, ends it, and tells how much came.
    async fn of(
        &self,
        tx: &mut Tx,
        bought: &Purchase,
        minor_max: i64,
        ended: &mut Vec<ViewId>,
    ) -> Result<i64, store::Error> {
        let paid: i64 = credits(tx, bought).await?.iter().map(|(_, minor)| minor).sum();
        let minor = (paid - bought.refunded_minor).min(minor_max);
        if minor > 0 {
            let id = uuid::Uuid::from_bytes(random::id(self.now_ms)).to_string();
            let to = Holder::Wallet(bought.account_id);
            match take_back(tx, bought, Some(minor), &to, &id, self.now_ms).await {
                Ok(_) => {}
                Err(Error::Store(error)) => return Err(error),
                Err(_) => return Err(store::Error::Corrupt("a purchase that changed meanwhile")),
            }
            let made = Refund {
                id,
                account_id: bought.account_id,
                purchase_id: Some(bought.id),
                payment_id: None,
                amount: Money { minor, currency: bought.currency.clone() },
                provider: None,
                provider_reference: None,
                state: State::Succeeded,
                reason: self.reason.to_owned(),
                created_at_ms: self.now_ms,
                check_at_ms: None,
                checks: 0,
            };
            refund::insert(tx, &made).await?;
        }
        if self.ends == Ends::All {
            ended.extend(end(tx, bought.id, self.reason, self.now_ms).await?);
        }
        Ok(minor.max(0))
    }
}

/// Money that a bank gives again: what the account owes first, the rest into the wallet. What it had paid for stays
/// ended; it can be bought again.
async fn give_again(
    tx: &mut Tx,
    payment: &Payment,
    amount: &Money,
    dispute: &str,
    now_ms: i64,
) -> Result<(), store::Error> {
    let account = payment.account_id;
    let owed = ledger::debt(tx, account, &amount.currency).await?.min(amount.minor);
    let id = format!("{dispute}-won");
    let journal = Journal { id: &id, kind: "dispute_won", reference: dispute, at_ms: now_ms };
    let entries = vec![
        (Holder::Provider(payment.provider.clone()), -amount.minor),
        (Holder::Debt(account), owed),
        (Holder::Wallet(account), amount.minor - owed),
    ];
    ledger::post(tx, journal, entries, &amount.currency).await.map(drop)
}
