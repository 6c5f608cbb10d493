//! Money that others take back: refunds that are made by hand at the provider, and what a payer's bank takes. Each ends
//! what it had paid for.
//!
//! The functions here run inside one transaction of the caller and ask nobody.

use matinee_protocol::api::Money;
use matinee_protocol::id::{AccountId, ViewId};

use super::back::{Error, credits, end, hold, take_back};
use crate::random;
use crate::store::dispute::{self, Told};
use crate::store::ledger::{self, Holder, Journal};
use crate::store::payment::{self, Payment};
use crate::store::purchase::{self, Purchase};
use crate::store::refund::{self, Refund, State};
use crate::store::{self, Tx};

/// What the viewer is told when the bank took the money back.
pub const DISPUTED: &str = "the payment was taken back by the bank";

/// Books a refund that was made by hand at the provider.
pub async fn refunded_by_hand(
    tx: &mut Tx,
    payment: &Payment,
    reference: &str,
    amount: &Money,
    now_ms: i64,
) -> Result<Vec<ViewId>, store::Error> {
    let payment = &hold_payment(tx, payment).await?;
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

/// Holds a payment, and before it what it had bought.
async fn hold_payment(tx: &mut Tx, payment: &Payment) -> Result<Payment, store::Error> {
    let held = match payment.purchase_id {
        Some(purchase) => hold(tx, purchase).await?,
        None => payment::hold(tx, payment.id).await?,
    };
    held.ok_or(store::Error::Corrupt("a payment that is gone"))
}

/// Books what a dispute came to; heard of twice or in another order, it changes nothing twice.
pub async fn disputed(
    tx: &mut Tx,
    payment: &Payment,
    told: Told<'_>,
    now_ms: i64,
) -> Result<Vec<ViewId>, store::Error> {
    let payment = &hold_payment(tx, payment).await?;
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
            let won = format!("{id}-won");
            let journal = Journal { id: &won, kind: "dispute_won", reference: &id, at_ms: now_ms };
            give_again(tx, (payment.account_id, &payment.provider), told.amount, journal).await?;
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
        let held = ledger::wallet(tx, account, currency).await?.minor;
        if held < amount.minor && ends == Ends::All {
            for bought in enough(tx, payment, amount.minor - held).await? {
                missing(tx, &bought, i64::MAX).await?;
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

/// Purchases out of the wallet since a payment, newest first, as many as together have so much left to give back. What
/// they gave is held, all of it before anything is taken back.
async fn enough(tx: &mut Tx, payment: &Payment, minor: i64) -> Result<Vec<Purchase>, store::Error> {
    let (account, currency) = (payment.account_id, payment.amount.currency.as_str());
    let mut found = purchase::out_of_wallet_since(tx, account, currency, payment.created_at_ms).await?;
    let (mut sum, mut count) = (0, 0);
    for bought in &found {
        if sum >= minor {
            break;
        }
        hold(tx, bought.id).await?;
        sum += left(tx, bought).await?;
        count += 1;
    }
    found.truncate(count);
    Ok(found)
}

/// What of a purchase was not taken back before.
async fn left(tx: &mut Tx, bought: &Purchase) -> Result<i64, store::Error> {
    let paid: i64 = credits(tx, bought).await?.iter().map(|(_, minor)| minor).sum();
    Ok((paid - bought.refunded_minor).max(0))
}

struct Back<'a> {
    ends: Ends,
    reason: &'a str,
    now_ms: i64,
}

impl Back<'_> {
    /// Takes up to so much of a purchase back into the wallet, and ends it.
    async fn of(
        &self,
        tx: &mut Tx,
        bought: &Purchase,
        minor_max: i64,
        ended: &mut Vec<ViewId>,
    ) -> Result<(), store::Error> {
        let minor = left(tx, bought).await?.min(minor_max);
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
        Ok(())
    }
}

/// Money that had left and that a bank gives again: what the account owes first, the rest into the wallet. What it had
/// paid for stays ended; it can be bought again.
pub(super) async fn give_again(
    tx: &mut Tx,
    (account, provider): (AccountId, &str),
    amount: &Money,
    journal: Journal<'_>,
) -> Result<(), store::Error> {
    let owed = ledger::debt(tx, account, &amount.currency).await?.min(amount.minor);
    let entries = vec![
        (Holder::Provider(provider.to_owned()), -amount.minor),
        (Holder::Debt(account), owed),
        (Holder::Wallet(account), amount.minor - owed),
    ];
    ledger::post(tx, journal, entries, &amount.currency).await.map(drop)
}
