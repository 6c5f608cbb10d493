//! `matinee revoke`.

use matinee_protocol::id::EntitlementId;
use serde_json::json;

use super::{Error, note, now_ms, open_store, print};
use crate::config::Config;
use crate::store::{entitlement, view};

/// Takes an entitlement back and ends its views; a running server tells their peers within seconds.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The entitlement.
    entitlement: EntitlementId,
    /// Why, as the viewer is told.
    #[arg(long, default_value = "revoked by the operator")]
    reason: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &Args, config: &Config) -> Result<(), Error> {
    let store = open_store(config).await?;
    let now_ms = now_ms();
    let mut tx = store.write().await?;
    let taken = entitlement::revoke(&mut tx, args.entitlement, &args.reason, now_ms).await?;
    let Some(found) = entitlement::by_id(&mut tx, args.entitlement).await? else {
        return Error::refused(format!("there is no entitlement {}", args.entitlement));
    };
    let status = found.status.text();
    if !taken {
        return Error::refused(format!("{} is {status} already; nothing was changed", args.entitlement));
    }
    let ended = view::revoke_all(&mut tx, args.entitlement, &args.reason, now_ms).await?;
    let detail = json!({ "views_ended": ended.len() });
    note(&mut tx, "entitlement.revoke", &args.entitlement, detail, now_ms).await?;
    tx.commit().await?;
    store.close().await;
    let data = json!({ "entitlement": args.entitlement, "status": status, "views_ended": ended.len() });
    print(args.json, &data, &format!("{} is {status}, {} views ended", args.entitlement, ended.len()))
}
