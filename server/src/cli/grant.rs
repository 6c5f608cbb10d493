//! `matinee grant`.

use matinee_protocol::id::{EntitlementId, TitleId};
use serde_json::json;

use super::publish::terms;
use super::{Error, account_named, note, now_ms, open_store, print};
use crate::config::Config;
use crate::license::plan::Scope;
use crate::random;
use crate::store::entitlement::{self, Entitlement};
use crate::store::{outbox, title};

/// Gives an account the right to a title, without a purchase.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The account, by id or email address.
    #[arg(long)]
    account: String,
    /// The title.
    #[arg(long)]
    title: TitleId,
    /// Views; no limit if not given.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    views: Option<u32>,
    /// How long from now it can be started; no limit if not given.
    #[arg(long, value_name = "TIME", value_parser = terms::time_ms)]
    start_within: Option<u64>,
    /// How long it plays once it was started; no limit if not given.
    #[arg(long, value_name = "TIME", value_parser = terms::time_ms)]
    play_within: Option<u64>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &Args, config: &Config) -> Result<(), Error> {
    let store = open_store(config).await?;
    let now_ms = now_ms();
    let span_ms = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    let mut tx = store.write().await?;
    let account = account_named(&mut tx, &args.account).await?;
    if title::by_id(&mut tx, args.title).await?.is_none() {
        return Error::refused(format!("there is no title {}", args.title));
    }
    let id = EntitlementId::from_bytes(random::id(now_ms));
    let granted = Entitlement {
        start_by_ms: args.start_within.map(|within| now_ms.saturating_add(span_ms(within))),
        play_within_ms: args.play_within.map(span_ms),
        views_left: args.views,
        ..Entitlement::granted(id, account, Scope::Title(args.title), now_ms)
    };
    entitlement::insert(&mut tx, &granted).await?;
    let detail = json!({ "account": account, "title": args.title, "views": args.views });
    note(&mut tx, "entitlement.grant", &granted.id, detail, now_ms).await?;
    let data = json!({ "account": account, "entitlement": granted.summary(now_ms) });
    outbox::post(&mut tx, "entitlement.granted", account, &data, now_ms).await?;
    tx.commit().await?;
    store.close().await;
    print(args.json, &json!({ "entitlement": granted.id }), &format!("granted {}", granted.id))
}
