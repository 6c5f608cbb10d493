//! `matinee title`.

use matinee_protocol::id::TitleId;
use serde_json::json;

use super::{Error, account_named, every, note, now_ms, open_store, print};
use crate::api::title_create;
use crate::config::Config;
use crate::random;
use crate::store::title;

/// Titles.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Adds a title.
    Add {
        /// Its name.
        #[arg(long)]
        name: String,
        /// The publisher's account, by id or email address.
        #[arg(long)]
        publisher: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Lists titles, newest first.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(command: Command, config: &Config) -> Result<(), Error> {
    let store = open_store(config).await?;
    match command {
        Command::Add { name, publisher, json } => {
            let name = title_create::check_name(&name)
                .or_else(|problem| Error::refused(problem.detail.into_owned()))?;
            let now_ms = now_ms();
            let id = TitleId::from_bytes(random::id(now_ms));
            let mut tx = store.write().await?;
            let publisher = account_named(&mut tx, &publisher).await?;
            title::insert(&mut tx, id, publisher, name, now_ms).await?;
            note(&mut tx, "title.create", &id, json!({}), now_ms).await?;
            tx.commit().await?;
            print(json, &json!({ "title": id }), &format!("added {id}"))?;
        }
        Command::List { json } => {
            let mut tx = store.read().await?;
            let titles = every(async |asked| title::listed(&mut tx, None, asked).await).await?;
            drop(tx);
            let data: Vec<_> = titles
                .iter()
                .map(|title| json!({ "id": title.id, "name": title.name, "publisher": title.publisher_name }))
                .collect();
            let text: Vec<_> = titles.iter().map(|title| format!("{}  {}", title.id, title.name)).collect();
            print(json, &data, &text.join("\n"))?;
        }
    }
    store.close().await;
    Ok(())
}
