//! `matinee key`.

use std::time::Duration;

use matinee_protocol::jws::KeyUse;
use serde_json::json;

use super::{Error, note, now_ms, open_store, print};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::keyring;
use crate::store::Store;
use crate::store::sealed::{self, Shelf};
use crate::vault::Vault;

/// Rows re-wrapped in one transaction, so that requests come in between.
const REWRAP_ROWS_MAX: i64 = 200;

/// How long a running server may take between sealing a secret and writing it down.
const SEALING_MAX: Duration = Duration::from_secs(2);

/// Signing keys and vault keys.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Puts the next key to use. A running server follows within seconds.
    Rotate {
        /// Which.
        #[arg(value_enum, default_value_t = Which::View)]
        which: Which,
        /// Vault only: forget the old vault keys once every row is under the new one. Old backups need the old file.
        #[arg(long)]
        forget_old: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// What is rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Which {
    /// The key that signs view tokens.
    View,
    /// The key that signs manifests.
    Release,
    /// The key that seals every other key at rest.
    Vault,
}

pub(super) async fn run(command: Command, config: &Config) -> Result<(), Error> {
    let Command::Rotate { which, forget_old, json } = command;
    let store = open_store(config).await?;
    let vault = Vault::open(&config.key_file())?;
    let key_use = match which {
        Which::View => KeyUse::View,
        Which::Release => KeyUse::Release,
        Which::Vault => {
            let key_id = vault.add_key()?;
            let mut tx = store.write().await?;
            note(&mut tx, "vault_key.rotate", &key_id, json!({ "forget_old": forget_old }), now_ms()).await?;
            tx.commit().await?;
            let mut rows = rewrap(&store, &vault).await?;
            let mut forgotten = 0;
            if forget_old {
                // What a running server sealed just before it read the new key is in the database by now.
                tokio::time::sleep(SEALING_MAX).await;
                rows += rewrap(&store, &vault).await?;
                forgotten = vault.forget_old_keys()?;
            }
            store.close().await;
            let data = json!({ "vault_key": key_id, "rewrapped": rows, "forgotten": forgotten });
            return print(
                json,
                &data,
                &format!("{rows} secrets are under {key_id}, {forgotten} keys forgotten"),
            );
        }
    };
    let kid = keyring::rotate(&store, &vault, &SystemClock, key_use).await?;
    store.close().await;
    print(json, &json!({ "kid": kid }), &format!("{kid} signs"))
}

/// Puts every secret under the current vault key. Gives how many it moved.
async fn rewrap(store: &Store, vault: &Vault) -> Result<u64, Error> {
    let current = vault.current_key_id();
    let mut moved = 0;
    for shelf in Shelf::ALL {
        loop {
            let mut tx = store.write().await?;
            let rows = sealed::under_other_keys(&mut tx, shelf, &current, REWRAP_ROWS_MAX).await?;
            if rows.is_empty() {
                break;
            }
            for (row, old) in rows {
                let name = shelf.vault_name(&row);
                let new = vault.seal(&name, &vault.open_sealed(&name, &old)?);
                if sealed::rewrap(&mut tx, shelf, &row, &old, &new).await? {
                    moved += 1;
                }
            }
            tx.commit().await?;
        }
    }
    Ok(moved)
}
