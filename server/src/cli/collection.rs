//! `matinee collection`.

use matinee_protocol::api::CollectionSummary;
use matinee_protocol::id::{CollectionId, TitleId};
use serde_json::json;

use super::{Error, account_named, every, note, now_ms, open_store, print};
use crate::api::collection_create;
use crate::api::plan_terms::TIER_MAX;
use crate::config::Config;
use crate::random;
use crate::store::collection::{self, Collection};
use crate::store::{Store, title};

/// Collections: titles that are sold together.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Makes a collection.
    Add {
        /// The publisher whose it is, by id or email address.
        #[arg(long)]
        publisher: String,
        /// Its name.
        #[arg(long)]
        name: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Puts titles into a collection, or moves them to another tier.
    Put {
        /// The collection.
        #[arg(long)]
        collection: CollectionId,
        /// The tier from which a plan opens them.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(TIER_MAX)))]
        tier: u32,
        /// The titles.
        #[arg(required = true)]
        titles: Vec<TitleId>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Lists collections, those that no plan sells too, newest first.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(command: Command, config: &Config) -> Result<(), Error> {
    let store = open_store(config).await?;
    let now_ms = now_ms();
    if let Command::List { json } = command {
        list(&store, json).await?;
        store.close().await;
        return Ok(());
    }
    let mut tx = store.write().await?;
    match command {
        Command::List { .. } => {}
        Command::Add { publisher, name, json } => {
            let made = Collection {
                id: CollectionId::from_bytes(random::id(now_ms)),
                publisher_id: account_named(&mut tx, &publisher).await?,
                name: collection_create::name(&name)
                    .or_else(|problem| Error::refused(problem.detail.into_owned()))?,
                created_at_ms: now_ms,
            };
            collection::insert(&mut tx, &made).await?;
            note(&mut tx, "collection.create", &made.id, json!({}), now_ms).await?;
            tx.commit().await?;
            print(json, &json!({ "collection": made.id }), &format!("added {}", made.id))?;
        }
        Command::Put { collection, tier, titles, json } => {
            if collection::by_id(&mut tx, collection).await?.is_none() {
                return Error::refused(format!("there is no collection {collection}"));
            }
            for title in &titles {
                if title::by_id(&mut tx, *title).await?.is_none() {
                    return Error::refused(format!("there is no title {title}"));
                }
                collection::put_title(&mut tx, collection, *title, tier, now_ms).await?;
                let detail = json!({ "title": title, "tier": tier });
                note(&mut tx, "collection.put", &collection, detail, now_ms).await?;
            }
            tx.commit().await?;
            let data = json!({ "collection": collection, "titles": titles.len(), "tier": tier });
            print(json, &data, &format!("{} titles are in {collection}, tier {tier}", titles.len()))?;
        }
    }
    store.close().await;
    Ok(())
}

async fn list(store: &Store, json: bool) -> Result<(), Error> {
    let mut tx = store.read().await?;
    let found = every(async |asked| collection::listed(&mut tx, false, asked).await).await?;
    let line = |one: &CollectionSummary| format!("{}  {}  {}", one.id, one.name, one.publisher);
    print(json, &found, &found.iter().map(line).collect::<Vec<_>>().join("\n"))
}
