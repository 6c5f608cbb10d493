//! Programs of integrators: an API key with the scope that a route asks for, or an integrator who is signed in.

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use matinee_protocol::id::AccountId;

use super::authority::Session;
use super::problem::Problem;
use crate::app::App;
use crate::store::Tx;
use crate::store::account::Role;
use crate::store::api_key::{self, Scope};
use crate::store::viewer;

/// How every API key begins.
pub const KEY_PREFIX: &str = "mtn_";

/// Who asks, for whose viewers.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The integrator.
    pub account: AccountId,
    /// The id of the key; none for one who is signed in.
    pub key: Option<String>,
    scopes: Vec<Scope>,
}

impl Caller {
    /// Refuses keys without this scope.
    pub fn require(&self, scope: Scope) -> Result<(), Problem> {
        if self.scopes.contains(&scope) {
            return Ok(());
        }
        Err(Problem::forbidden("scope_required", format!("this needs a key with the scope {}", scope.text())))
    }

    /// Refuses viewers that are not this integrator's: whoever has a key reaches nobody else's account.
    pub async fn require_own(&self, tx: &mut Tx, account: AccountId) -> Result<String, Problem> {
        let found = viewer::reference_of(tx, self.account, account).await?;
        found.ok_or_else(|| Problem::not_found("viewer"))
    }
}

/// Whether these roles may have keys.
fn may_integrate(roles: &[Role]) -> bool {
    roles.contains(&Role::Integrator) || roles.contains(&Role::Operator)
}

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let value = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let key =
            value.and_then(|value| value.strip_prefix("Bearer ")).filter(|key| key.starts_with(KEY_PREFIX));
        let Some(key) = key else {
            let Integrator(session) = Integrator::from_request_parts(parts, app).await?;
            return Ok(Self { account: session.account, key: None, scopes: Scope::ALL.to_vec() });
        };
        let mut tx = app.store.read().await?;
        let hash = api_key::hash(key);
        let found = api_key::by_hash(&mut tx, &hash, app.clock.now_ms()).await?;
        let (found, roles) = found.ok_or_else(Problem::unauthenticated)?;
        if !may_integrate(&roles) {
            return Err(Problem::forbidden("role_required", "the key's owner is no integrator any more"));
        }
        app.request_limits.found(hash);
        Ok(Self { account: found.account, key: Some(found.id), scopes: found.scopes })
    }
}

/// A signed-in integrator or operator. Keys do not make keys.
#[derive(Debug, Clone)]
pub struct Integrator(pub Session);

impl FromRequestParts<App> for Integrator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let session = <Session as FromRequestParts<App>>::from_request_parts(parts, app).await?;
        if may_integrate(&session.roles) {
            return Ok(Self(session));
        }
        Err(Problem::forbidden("role_required", "this needs the role integrator"))
    }
}
