//! `GET /v1/identities`: who the account is at other providers.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::authority::Session;
use super::doc::Doc;
use super::problem::Problem;
use crate::app::App;
use crate::store::identity;

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Who the account is at other providers, newest first, at most 50").object(200, |it| {
        it.list_of("identities", |it| {
            it.field::<String>("id")
                .field::<Option<String>>("provider")
                .field::<String>("label")
                .field::<i64>("created_at_ms")
                .field::<Option<i64>>("last_used_at_ms")
        })
    })
}

/// Answers. A provider that the operator took away has no name any more, and its issuer for a label.
pub async fn handle(State(app): State<App>, login: Session) -> Result<Json<Value>, Problem> {
    let mut tx = app.store.read().await?;
    let identities = identity::by_account(&mut tx, login.account).await?.into_iter().map(|one| {
        let (provider, label) = app.providers.of_issuer(&one.issuer).unzip();
        json!({
            "id": one.id, "provider": provider, "label": label.unwrap_or(&one.issuer),
            "created_at_ms": one.created_at_ms, "last_used_at_ms": one.last_used_at_ms,
        })
    });
    Ok(Json(json!({ "identities": identities.collect::<Vec<_>>() })))
}
