//! `matinee report`.

mod sales;

use super::{Error, open_store, print};
use crate::config::Config;
use crate::store::audit::{self, AuditEntry};
use crate::store::page::Asked;

/// Reports.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Who did what that needs a right of its own, newest first.
    Audit {
        /// Only what was done to the thing of this id.
        #[arg(long)]
        subject: Option<String>,
        /// How many acts.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Purchases, money and views by title.
    Sales(sales::Args),
}

pub(super) async fn run(command: Command, config: &Config) -> Result<(), Error> {
    let (subject, limit, json) = match command {
        Command::Audit { subject, limit, json } => (subject, limit, json),
        Command::Sales(args) => return sales::run(&args, config).await,
    };
    let store = open_store(config).await?;
    let mut tx = store.read().await?;
    let acts = audit::listed(&mut tx, subject.as_deref(), &Asked::first(limit)).await?.rows;
    drop(tx);
    store.close().await;
    let line = |act: &AuditEntry| {
        let AuditEntry { at_ms, actor_kind, actor, action, subject, detail, .. } = act;
        format!("{at_ms}  {action}  {subject}  {actor_kind} {actor}  {detail}")
    };
    print(json, &acts, &acts.iter().map(line).collect::<Vec<_>>().join("\n"))
}
