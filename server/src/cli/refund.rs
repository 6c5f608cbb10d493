//! `matinee refund`.

use matinee_protocol::api::Money;
use matinee_protocol::id::PurchaseId;
use serde_json::json;

use super::publish::terms;
use super::{Error, note, now_ms, open_store, print};
use crate::api::purchase_refund;
use crate::config::Config;
use crate::payment::back::{self, Wanted, Way};
use crate::store::{purchase, refund};

/// Gives money back and ends what it had bought. Through a payment provider it is sent by the running server, within
/// seconds.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The purchase.
    purchase: PurchaseId,
    /// How much, for example 0.25USD; all that is left if not given.
    #[arg(long, value_name = "AMOUNT", value_parser = terms::money)]
    amount: Option<Money>,
    /// Instead of an amount: what was not used, by the keys that were released.
    #[arg(long, conflicts_with_all = ["amount", "keep"])]
    prorated: bool,
    /// Let the viewer keep what was bought; only with a part of the price.
    #[arg(long, requires = "amount")]
    keep: bool,
    /// Where to; the way it was paid if not given.
    #[arg(long)]
    to: Option<Way>,
    /// Why, as the viewer is told.
    #[arg(long, default_value = "refunded by the operator")]
    reason: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &Args, config: &Config) -> Result<(), Error> {
    let store = open_store(config).await?;
    let mut tx = store.write().await?;
    let bought = purchase::by_id(&mut tx, args.purchase).await?;
    let Some(bought) = bought else {
        return Error::refused(format!("there is no purchase {}", args.purchase));
    };
    if args.amount.as_ref().is_some_and(|amount| amount.currency != bought.currency) {
        return Error::refused(format!("this purchase was paid in {}", bought.currency));
    }
    let wanted = Wanted {
        purchase: args.purchase,
        minor: args.amount.as_ref().map(|amount| amount.minor),
        prorated: args.prorated,
        keep: args.keep,
        way: args.to,
        reason: args.reason.clone(),
    };
    let now_ms = now_ms();
    let made = match back::refund(&mut tx, &wanted, now_ms).await {
        Ok(made) => made,
        Err(back::Error::Store(error)) => return Err(error.into()),
        Err(refused) => return Error::refused(refused.to_string()),
    };
    let detail = json!({ "refund": made.refund.id, "amount": made.refund.amount, "keep": wanted.keep });
    note(&mut tx, "purchase.refund", &wanted.purchase, detail, now_ms).await?;
    tx.commit().await?;
    store.close().await;
    let refund = made.refund;
    let mut data = purchase_refund::summary(&refund);
    data["views_ended"] = made.ended.len().into();
    let word = if refund.state == refund::State::Pending { "sending back" } else { "gave back" };
    let amount = format!("{} {}", terms::shown(&refund.amount), refund.amount.currency);
    print(args.json, &data, &format!("{word} {amount}, {} views ended", made.ended.len()))
}
