//! Purchases: plans bought.

use matinee_protocol::api::{Money, PurchaseSummary};
use matinee_protocol::id::{AccountId, EntitlementId, PurchaseId};

use super::coupon::{self, Redeemed};
use super::entitlement::{self, Entitlement};
use super::ledger::{self, Holder, Journal};
use super::page::{Asked, Page, Position};
use super::payment::Renews;
use super::plan::Plan;
use super::{Error, Tx, id, outbox, unsigned};
use crate::license::plan::Scope;

/// Purchases that one lost payment takes back.
const PURCHASES_TAKEN_BACK_MAX: i64 = 10_000;

/// The tax inside a price, as it was on the day of the purchase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaxLine {
    /// Whose tax it is (ISO 3166-1 alpha-2).
    pub country: String,
    /// The rate, in basis points of the net price.
    pub rate_basis_points: u32,
    /// The price without it, in minor units.
    pub net_minor: i64,
    /// The tax, in minor units.
    pub tax_minor: i64,
}

/// A purchase that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purchase {
    /// Its id.
    pub id: PurchaseId,
    /// Whose it is.
    pub account_id: AccountId,
    /// The price's currency.
    pub currency: String,
    /// The journal that paid for it; none where it cost nothing.
    pub journal_id: Option<String>,
    /// How much of it was taken back.
    pub refunded_minor: i64,
    /// The period that it pays for; none is a purchase that somebody made.
    pub renews: Option<Renews>,
    /// When it was made.
    pub created_at_ms: i64,
}

/// A purchase with what it gives, not yet settled.
#[derive(Debug, Clone)]
pub struct Sale {
    /// The purchase.
    pub summary: PurchaseSummary,
    /// What it gives, one for each scope of the plan, in its order.
    pub entitlements: Vec<Entitlement>,
    /// The coupon that lowered the price.
    pub coupon: Option<String>,
    /// Whether it begins with the plan's trial.
    pub trial: bool,
    /// The tax inside what is paid.
    pub tax: Option<TaxLine>,
}

impl Sale {
    /// The first thing that it gives.
    pub fn entitlement(&self) -> &Entitlement {
        self.entitlements.first().expect("a sale gives something")
    }
}

/// How a sale went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// Everything is done.
    Yes,
    /// Nothing is: there is too little in the wallet.
    WalletTooLow,
    /// Nothing is: the coupon is used up, has run out, or was used by this account before.
    CouponRefused,
    /// Nothing is: the account has tried this plan before.
    TrialUsed,
}

/// What a purchase is made of, beside the plan.
#[derive(Debug, Clone, Default)]
pub struct Conditions {
    /// What is paid now, where it is not the plan's price.
    pub amount: Option<Money>,
    /// The coupon that made it so.
    pub coupon: Option<String>,
    /// Whether it begins with the plan's trial, for nothing.
    pub trial: bool,
    /// Whether somebody else paid for it: it is not renewed by itself then.
    pub gift: bool,
    /// The tax inside what is paid.
    pub tax: Option<TaxLine>,
    /// Where its payer pays tax, as declared: renewals are taxed there.
    pub country: Option<String>,
    /// Whether renewals are charged to a payment method that was saved with it.
    pub saved_method: bool,
}

/// What buying a plan would be. `fresh` makes the ids of its entitlements. None if the plan gives nothing, or for longer
/// than a calendar holds.
pub fn draft(
    account: AccountId,
    plan: &Plan,
    purchase: PurchaseId,
    mut fresh: impl FnMut() -> EntitlementId,
    conditions: Conditions,
    now_ms: i64,
) -> Option<Sale> {
    let Conditions { amount, coupon, trial, gift, tax, country, saved_method } = conditions;
    let nothing = Money { minor: 0, currency: plan.price.currency.clone() };
    let amount = if trial { nothing } else { amount.unwrap_or_else(|| plan.price.clone()) };
    let bought = |scope: &Scope| {
        let bought = Entitlement::bought(plan, *scope, (fresh(), account), trial, now_ms)?;
        let bought = if gift { bought.given() } else { bought };
        // Who pays once has nothing to be charged or taxed later.
        let renews = bought.billing.is_some();
        let (tax_country, saved_method) = (country.clone().filter(|_| renews), saved_method && renews);
        Some(Entitlement { purchase_id: Some(purchase), tax_country, saved_method, ..bought })
    };
    let entitlements: Vec<Entitlement> = plan.scopes.iter().map(bought).collect::<Option<_>>()?;
    if entitlements.is_empty() {
        return None;
    }
    let summary = PurchaseSummary { id: purchase, plan: plan.id, amount, created_at_ms: unsigned(now_ms) };
    Some(Sale { summary, entitlements, coupon, trial, tax: tax.filter(|_| !trial) })
}

/// Whose sales a plan's money is: those of the one title, or the plan's own where it is for several.
fn seller(plan: &Plan) -> Holder {
    match plan.scopes.as_slice() {
        [Scope::Title(title)] => Holder::Sales(*title),
        _ => Holder::PlanSales(plan.id),
    }
}

/// Takes the coupon and the trial, debits the wallet, credits the sales, and creates the purchase and its entitlements.
/// Unless it says yes, the transaction must be dropped; a sale without coupon and trial has changed nothing then.
pub async fn settle(tx: &mut Tx, plan: &Plan, sale: &Sale) -> Result<Settled, Error> {
    let account = sale.entitlement().account_id;
    let at_ms = sale.entitlement().created_at_ms;
    let reference = sale.summary.id.to_string();
    if sale.trial && !coupon::take_trial(tx, account, plan.id, at_ms).await? {
        return Ok(Settled::TrialUsed);
    }
    if let Some(code) = &sale.coupon {
        let asked = (account, sale.summary.id);
        if coupon::redeem(tx, code, asked, at_ms).await? != Redeemed::Yes {
            return Ok(Settled::CouponRefused);
        }
    }
    // The journal carries the purchase's own id: there is exactly one.
    let bill = Billed {
        id: sale.summary.id,
        account,
        plan,
        amount: &sale.summary.amount,
        tax: sale.tax.as_ref(),
        coupon: sale.coupon.as_deref(),
        renews: None,
        journal: Journal { id: &reference, kind: "purchase", reference: &reference, at_ms },
    };
    if !charge(tx, &bill).await? {
        return Ok(Settled::WalletTooLow);
    }
    for entitlement in &sale.entitlements {
        entitlement::insert(tx, entitlement).await?;
    }
    let data = serde_json::json!({
        "account": account,
        "purchase": sale.summary,
        "entitlements": sale.entitlements.iter().map(|given| given.id).collect::<Vec<_>>(),
    });
    outbox::post(tx, "purchase.completed", account, &data, at_ms).await?;
    Ok(Settled::Yes)
}

/// A purchase that is charged to the wallet.
#[derive(Debug)]
pub(super) struct Billed<'a> {
    /// Its id.
    pub id: PurchaseId,
    /// Whose wallet.
    pub account: AccountId,
    /// What is bought, or renewed.
    pub plan: &'a Plan,
    /// What is paid.
    pub amount: &'a Money,
    /// The tax inside it.
    pub tax: Option<&'a TaxLine>,
    /// The coupon that lowered it.
    pub coupon: Option<&'a str>,
    /// The period that it pays for.
    pub renews: Option<Renews>,
    /// Under which it is booked, if it costs something.
    pub journal: Journal<'a>,
}

/// Charges a purchase to the wallet, to the benefit of sales and of the tax office, and writes it with its tax line. False,
/// with nothing changed, if the wallet holds too little.
pub(super) async fn charge(tx: &mut Tx, bill: &Billed<'_>) -> Result<bool, Error> {
    let Billed { amount, journal, .. } = *bill;
    let (id, paid) = (bill.id.to_string(), amount.minor > 0);
    let tax = bill.tax.filter(|_| paid);
    if paid {
        let tax_minor = tax.map_or(0, |line| line.tax_minor);
        let mut entries = vec![
            (Holder::Wallet(bill.account), -amount.minor),
            (seller(bill.plan), amount.minor - tax_minor),
        ];
        entries.extend(tax.map(|line| (Holder::Tax(line.country.clone()), line.tax_minor)));
        if !ledger::post(tx, journal, entries, &amount.currency).await? {
            return Ok(false);
        }
    }
    later!(
        tx,
        "insert into purchases (id, account_id, plan_id, price_minor, currency, journal_id, created_at_ms, coupon, \
         entitlement_id, period_index) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        &id,
        bill.account.to_string(),
        bill.plan.id.to_string(),
        amount.minor,
        &amount.currency,
        paid.then_some(journal.id),
        journal.at_ms,
        bill.coupon,
        bill.renews.map(|renews| renews.entitlement.to_string()),
        bill.renews.map(|renews| i64::from(renews.period)),
    );
    if let Some(line) = tax {
        later!(
            tx,
            "insert into tax_lines (purchase_id, country, rate_basis_points, net_minor, tax_minor, currency) \
             values ($1, $2, $3, $4, $5, $6)",
            &id,
            &line.country,
            i64::from(line.rate_basis_points),
            line.net_minor,
            line.tax_minor,
            &amount.currency,
        );
    }
    Ok(true)
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    account_id: String,
    currency: String,
    journal_id: Option<String>,
    refunded_minor: i64,
    entitlement_id: Option<String>,
    period_index: Option<i64>,
    created_at_ms: i64,
}

impl TryFrom<Row> for Purchase {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(Self {
            id: id(&row.id)?,
            account_id: id(&row.account_id)?,
            currency: row.currency,
            journal_id: row.journal_id,
            refunded_minor: row.refunded_minor,
            renews: Renews::read(row.entitlement_id.as_deref(), row.period_index)?,
            created_at_ms: row.created_at_ms,
        })
    }
}

/// The purchase with this id.
pub async fn by_id(tx: &mut Tx, purchase: PurchaseId) -> Result<Option<Purchase>, Error> {
    let row: Option<Row> = on!(tx, |db| {
        sqlx::query_as(
            "select id, account_id, currency, journal_id, refunded_minor, entitlement_id, period_index, created_at_ms \
             from purchases where id = $1",
        )
        .bind(purchase.to_string())
        .fetch_optional(db)
        .await
    })?;
    row.map(Purchase::try_from).transpose()
}

/// A purchase as its account sees it.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Bill {
    /// Its id.
    pub id: String,
    /// The plan.
    pub plan_id: String,
    /// The plan's kind.
    pub kind: String,
    /// The plan's name, or that of what it is for.
    pub name: String,
    /// What was paid, in minor units.
    pub price_minor: i64,
    /// How much of it was taken back.
    pub refunded_minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// The coupon that lowered it.
    pub coupon: Option<String>,
    /// When.
    pub created_at_ms: i64,
    /// What it renewed; none is a purchase that somebody made.
    pub renews: Option<String>,
    /// Whose tax is in it.
    pub country: Option<String>,
    /// The rate, in basis points of the net price.
    pub rate_basis_points: Option<i64>,
    /// The price without tax.
    pub net_minor: Option<i64>,
    /// The tax.
    pub tax_minor: Option<i64>,
}

/// The columns of [`Bill`] with the tables they come from; the condition follows.
macro_rules! bills {
    ($rest:literal) => {
        concat!(
            "select p.id, p.plan_id, l.kind, coalesce(l.name, t.name, c.name, '') as name, p.price_minor, \
             p.refunded_minor, p.currency, p.coupon, p.created_at_ms, p.entitlement_id as renews, x.country, \
             x.rate_basis_points, x.net_minor, x.tax_minor from purchases p join plans l on l.id = p.plan_id \
             left join titles t on t.id = l.title_id left join collections c on c.id = l.collection_id \
             left join tax_lines x on x.purchase_id = p.id where p.account_id = $1 ",
            $rest
        )
    };
}

/// What an account bought, newest first.
pub async fn bills(tx: &mut Tx, account: AccountId, asked: &Asked) -> Result<Page<Bill>, Error> {
    let (at, after) = asked.after();
    let rows: Vec<Bill> = on!(tx, |db| sqlx::query_as(bills!(
        "and (p.created_at_ms, p.id) < ($3, $4) order by p.created_at_ms desc, p.id desc limit $2"
    ))
    .bind(account.to_string())
    .bind(asked.rows())
    .bind(at)
    .bind(after)
    .fetch_all(db)
    .await)?;
    Ok(asked.page(rows, |row| Position { at: row.created_at_ms, id: row.id.clone() }))
}

/// One of an account's purchases.
pub async fn bill(tx: &mut Tx, account: AccountId, purchase: PurchaseId) -> Result<Option<Bill>, Error> {
    Ok(on!(tx, |db| sqlx::query_as(bills!("and p.id = $2"))
        .bind(account.to_string())
        .bind(purchase.to_string())
        .fetch_optional(db)
        .await)?)
}

/// Purchases of an account out of the wallet since then of which not all was taken back, newest first, at most
/// [`PURCHASES_TAKEN_BACK_MAX`]. Those with a payment of their own are not among them.
pub async fn out_of_wallet_since(
    tx: &mut Tx,
    account: AccountId,
    currency: &str,
    since_ms: i64,
) -> Result<Vec<Purchase>, Error> {
    let rows: Vec<Row> = on!(tx, |db| {
        sqlx::query_as(
        "select id, account_id, currency, journal_id, refunded_minor, entitlement_id, period_index, created_at_ms \
         from purchases where account_id = $1 and currency = $2 and created_at_ms >= $3 and refunded_minor < price_minor \
         and not exists (select 1 from payments p where p.purchase_id = purchases.id) \
         order by created_at_ms desc, id desc limit $4"
    )
    .bind(account.to_string())
    .bind(currency)
    .bind(since_ms)
    .bind(PURCHASES_TAKEN_BACK_MAX)
    .fetch_all(db)
    .await
    })?;
    rows.into_iter().map(Purchase::try_from).collect()
}

/// Notes that an amount of a purchase is taken back. None, with nothing changed, if that is more than is left of
/// `paid_minor`; otherwise how much is taken back now in all.
pub async fn add_refunded(
    tx: &mut Tx,
    purchase: PurchaseId,
    minor: i64,
    paid_minor: i64,
) -> Result<Option<i64>, Error> {
    let row: Option<(i64,)> = on!(tx, |db| sqlx::query_as(
        "update purchases set refunded_minor = refunded_minor + $1 \
         where id = $2 and refunded_minor + $1 <= $3 returning refunded_minor"
    )
    .bind(minor)
    .bind(purchase.to_string())
    .bind(paid_minor)
    .fetch_optional(db)
    .await)?;
    Ok(row.map(|(refunded_minor,)| refunded_minor))
}
