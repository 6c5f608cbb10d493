//! Notes privileged acts in the audit trail, with the request that asked for them.

use serde_json::Value;

use super::authority::Session;
use super::integrator::Caller;
use super::problem::request_id;
use crate::store::audit::{Actor, By};
use crate::store::{Error, Tx};

impl From<&Session> for Actor {
    fn from(session: &Session) -> Self {
        Self::Account(session.account)
    }
}

impl From<&Caller> for Actor {
    fn from(caller: &Caller) -> Self {
        caller.key.clone().map_or(Self::Account(caller.account), Self::ApiKey)
    }
}

/// Who asks, by the request that is being answered.
pub fn by(who: impl Into<Actor>) -> By {
    By { actor: who.into(), request_id: request_id().map(|id| id.to_string()) }
}

/// Writes what was done, in the transaction that does it.
pub async fn note(
    tx: &mut Tx,
    who: impl Into<Actor>,
    action: &'static str,
    subject: &impl ToString,
    detail: Value,
    now_ms: i64,
) -> Result<(), Error> {
    by(who).note(tx, action, subject, detail, now_ms).await
}
