//! `matinee ledger`.

use super::{Error, open_store, print};
use crate::config::Config;
use crate::store::ledger;

/// The ledger.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Checks that every journal and everything sums to zero, and every balance to its entries.
    Check {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(command: Command, config: &Config) -> Result<(), Error> {
    let Command::Check { json } = command;
    let store = open_store(config).await?;
    // A write transaction, so that nothing moves between the statements.
    let mut tx = store.write().await?;
    let check = ledger::check(&mut tx).await?;
    let balances = ledger::balances(&mut tx).await?;
    drop(tx);
    store.close().await;
    let accounts: Vec<_> = balances
        .iter()
        .map(|(name, minor, currency)| serde_json::json!({ "name": name, "minor": minor, "currency": currency }))
        .collect();
    let data = serde_json::json!({
        "sound": check.is_sound(),
        "journals": check.journals,
        "sum_minor": check.sum_minor,
        "unbalanced_journals": check.unbalanced_journals,
        "wrong_balances": check.wrong_balances,
        "overdrawn": check.overdrawn,
        "accounts": accounts,
    });
    let text =
        format!("{} journals in {} accounts sum to {}", check.journals, accounts.len(), check.sum_minor);
    print(json, &data, &text)?;
    if check.is_sound() {
        Ok(())
    } else {
        Error::refused("the ledger is not sound: restore a backup or correct it")
    }
}
