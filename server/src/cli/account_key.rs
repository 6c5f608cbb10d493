//! `matinee account key`.

use serde_json::json;

use super::{Error, account_named, note, now_ms, open_store, print};
use crate::api::api_key_create::new_key;
use crate::config::Config;
use crate::store::account::{self, Role};
use crate::store::api_key::{self, Scope};
use crate::store::page::Asked;

/// Keys in one listing.
const KEYS_LISTED: u32 = 500;

/// API keys of an integrator.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Makes a key; it is shown this once.
    Add {
        /// The integrator's account, by id or email address.
        account: String,
        /// What the key is called.
        #[arg(long)]
        name: String,
        /// viewers, entitlements or embed; may be given more than once.
        #[arg(long = "scope", required = true)]
        scopes: Vec<Scope>,
        /// How long it holds, in days.
        #[arg(long, default_value_t = 90)]
        days: u32,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Lists an account's keys, newest first, without what they are.
    List {
        /// The account, by id or email address.
        account: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Revokes a key: from then on it opens nothing.
    Revoke {
        /// The account, by id or email address.
        account: String,
        /// The key's id.
        key: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(command: Command, config: &Config) -> Result<(), Error> {
    let store = open_store(config).await?;
    let now_ms = now_ms();
    match command {
        Command::Add { account, name, scopes, days, json } => {
            let mut tx = store.write().await?;
            let owner = account_named(&mut tx, &account).await?;
            let found = account::by_id(&mut tx, owner).await?;
            let may = |role: &Role| matches!(role, Role::Integrator | Role::Operator);
            if !found.is_some_and(|found| found.roles.iter().any(may)) {
                return Error::refused(format!(
                    "{account} is no integrator: matinee account roles gives the role"
                ));
            }
            let made = new_key(owner, &name, scopes, days, now_ms);
            let (key, secret) = made.or_else(|problem| Error::refused(problem.detail.into_owned()))?;
            api_key::insert(&mut tx, &key, &api_key::hash(&secret)).await?;
            let detail = json!({ "scopes": key.scopes, "expires_at_ms": key.expires_at_ms });
            note(&mut tx, "api_key.create", &key.id, detail, now_ms).await?;
            tx.commit().await?;
            let data = json!({ "api_key": key, "secret": *secret });
            print(json, &data, &format!("{}\n{}", key.id, *secret))?;
        }
        Command::List { account, json } => {
            let mut tx = store.read().await?;
            let owner = account_named(&mut tx, &account).await?;
            let keys = api_key::by_account(&mut tx, owner, &Asked::first(KEYS_LISTED)).await?.rows;
            drop(tx);
            let holds = |key: &api_key::ApiKey| key.revoked_at_ms.is_none() && key.expires_at_ms > now_ms;
            let line = |key: &api_key::ApiKey| {
                let scopes: Vec<_> = key.scopes.iter().map(|scope| scope.text()).collect();
                let state = if holds(key) { "holds" } else { "over" };
                format!("{}  {}  {state}  {}  {}", key.id, key.prefix, scopes.join(","), key.name)
            };
            print(json, &keys, &keys.iter().map(line).collect::<Vec<_>>().join("\n"))?;
        }
        Command::Revoke { account, key, json } => {
            let mut tx = store.write().await?;
            let owner = account_named(&mut tx, &account).await?;
            if !api_key::revoke(&mut tx, owner, &key, now_ms).await? {
                return Error::refused(format!("{account} has no key {key} that holds"));
            }
            note(&mut tx, "api_key.revoke", &key, json!({}), now_ms).await?;
            tx.commit().await?;
            print(json, &json!({ "api_key": key }), &format!("revoked {key}"))?;
        }
    }
    store.close().await;
    Ok(())
}
