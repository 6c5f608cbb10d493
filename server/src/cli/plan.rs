//! `matinee plan`.

use matinee_protocol::api::Money;
use matinee_protocol::id::{PlanId, TitleId};
use serde_json::json;

use super::publish::terms;
use super::{Error, note, now_ms, open_store, print};
use crate::api::plan_terms;
use crate::config::Config;
use crate::license::plan::Terms;
use crate::random;
use crate::store::plan::{self, Plan};
use crate::store::title;

/// Plans.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Puts a title up for rent.
    Add {
        /// The title.
        #[arg(long)]
        title: TitleId,
        /// The price, for example 0.50USD.
        #[arg(long, value_name = "PRICE", value_parser = terms::money)]
        rental: Money,
        /// Views in one rental; as many as fit the window if not given.
        #[arg(long)]
        views: Option<u32>,
        /// How long after the purchase it can be started.
        #[arg(long, value_name = "TIME", default_value = "30d", value_parser = terms::time_ms)]
        start_within: u64,
        /// How long a rental plays once it was started.
        #[arg(long, value_name = "TIME", default_value = "48h", value_parser = terms::time_ms)]
        play_within: u64,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(command: Command, config: &Config) -> Result<(), Error> {
    let Command::Add { title, rental, views, start_within, play_within, json } = command;
    let now_ms = now_ms();
    let terms = Terms::Rental { start_within_ms: start_within, play_within_ms: play_within, views };
    let id = PlanId::from_bytes(random::id(now_ms));
    let added = Plan::of_title(id, title, rental, terms, now_ms);
    plan_terms::check(&added, &config.payment.currency)
        .or_else(|problem| Error::refused(problem.detail.into_owned()))?;
    let store = open_store(config).await?;
    let mut tx = store.write().await?;
    if title::by_id(&mut tx, title).await?.is_none() {
        return Error::refused(format!("there is no title {title}"));
    }
    plan::insert(&mut tx, &added).await?;
    let detail = json!({ "title": title, "price": added.price });
    note(&mut tx, "plan.create", &added.id, detail, now_ms).await?;
    tx.commit().await?;
    store.close().await;
    print(json, &json!({ "plan": added.id }), &format!("added {}", added.id))
}
