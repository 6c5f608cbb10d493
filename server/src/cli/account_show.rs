//! `matinee account show`: what an operator has to know of an account to help whoever has it.

use matinee_protocol::api::{AccountSummary, EntitlementSummary, Money};
use serde_json::{Value, json};

use super::publish::terms;
use super::{Error, account_named, every, now_ms, open_store, print};
use crate::api::purchase_list;
use crate::config::Config;
use crate::store::entitlement::{self, Entitlement};
use crate::store::payment::{self, Payment};
use crate::store::purchase::{self, Bill};
use crate::store::{account, ledger};

/// What there is of an account, newest first.
struct Found {
    account: AccountSummary,
    purchases: Vec<Bill>,
    entitlements: Vec<EntitlementSummary>,
    payments: Vec<Payment>,
}

pub(super) async fn run(named: &str, json: bool, config: &Config) -> Result<(), Error> {
    let store = open_store(config).await?;
    let mut tx = store.snapshot().await?;
    let id = account_named(&mut tx, named).await?;
    let Some((found, sign_in)) = account::with_sign_in(&mut tx, id).await? else {
        return Error::refused(format!("there is no account {named}"));
    };
    let wallet = ledger::wallet(&mut tx, id, &config.payment.currency).await?;
    let now_ms = now_ms();
    let entitlements = every(async |asked| entitlement::by_account(&mut tx, id, asked).await).await?;
    let found = Found {
        account: found.summary(sign_in, wallet),
        purchases: every(async |asked| purchase::bills(&mut tx, id, asked).await).await?,
        entitlements: entitlements.iter().map(|one: &Entitlement| one.summary(now_ms)).collect(),
        payments: every(async |asked| payment::by_account(&mut tx, id, asked).await).await?,
    };
    drop(tx);
    store.close().await;
    let data = json!({
        "account": found.account,
        "purchases": found.purchases.iter().map(purchase_list::shown).collect::<Vec<_>>(),
        "entitlements": found.entitlements,
        "payments": found.payments.iter().map(shown).collect::<Vec<_>>(),
    });
    print(json, &data, &text(&found))
}

fn shown(payment: &Payment) -> Value {
    json!({
        "id": payment.id, "provider": payment.provider, "state": payment.state.text(), "amount": payment.amount,
        "refunded_minor": payment.refunded_minor, "plan": payment.plan_id, "purchase": payment.purchase_id,
        "renews": payment.renews.map(|renews| renews.entitlement), "failure": payment.failure,
        "created_at_ms": payment.created_at_ms,
    })
}

fn money(minor: i64, currency: &str) -> String {
    let currency = currency.to_owned();
    let amount = Money { minor, currency };
    format!("{} {}", terms::shown(&amount), amount.currency)
}

/// An amount, and what of it went back.
fn amount(minor: i64, refunded_minor: i64, currency: &str) -> String {
    let paid = money(minor, currency);
    if refunded_minor == 0 { paid } else { format!("{paid}, {} refunded", money(refunded_minor, currency)) }
}

fn text(found: &Found) -> String {
    let Found { account, purchases, entitlements, payments } = found;
    let AccountSummary { id, email, name, roles, wallet, .. } = account;
    let confirmed = if account.email_verified { "" } else { " (not confirmed)" };
    let mut lines = vec![
        format!("{id}  {email}{confirmed}  {name}"),
        format!("roles: {}; wallet: {}", roles.join(", "), money(wallet.minor, &wallet.currency)),
    ];
    lines.push(format!("purchases: {}", purchases.len()));
    for Bill { id, kind, name, price_minor, refunded_minor, currency, .. } in purchases {
        lines.push(format!("  {id}  {kind}  {name}  {}", amount(*price_minor, *refunded_minor, currency)));
    }
    lines.push(format!("entitlements: {}", entitlements.len()));
    for one in entitlements {
        let of_title = one.title.map(|title| format!("title {title}"));
        let of_collection = one.collection.map(|collection| format!("collection {collection}"));
        let to = of_title.or(of_collection).unwrap_or_default();
        lines.push(format!("  {}  {}  {}  {to}", one.id, one.kind, one.status));
    }
    lines.push(format!("payments: {}", payments.len()));
    for one in payments {
        let amount = amount(one.amount.minor, one.refunded_minor, &one.amount.currency);
        let why = one.failure.as_ref().map_or_else(String::new, |why| format!("  {why}"));
        lines.push(format!("  {}  {}  {}  {amount}{why}", one.id, one.provider, one.state.text()));
    }
    lines.join("\n")
}
