//! Notes privileged acts in the audit trail, with the request that asked for them.

use serde_json::Value;

use super::authority::Session;
use super::integrator::Caller;
use super::problem::request_id;
use crate::store::audit::{self, Act, Actor};
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

/// Writes what was done, in the transaction that does it.
pub async fn note(
    tx: &mut Tx,
    by: impl Into<Actor>,
    action: &'static str,
    subject: &impl ToString,
    detail: Value,
    now_ms: i64,
) -> Result<(), Error> {
    let request_id = request_id();
    let act = Act {
        actor: by.into(),
        action,
        subject: subject.to_string(),
        detail,
        request_id: request_id.as_deref(),
    };
    audit::record(tx, &act, now_ms).await
}
