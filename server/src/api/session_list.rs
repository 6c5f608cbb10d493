//! `GET /v1/sessions`: where the account is signed in.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::authority::Session;
use super::doc::Doc;
use super::problem::Problem;
use crate::app::App;
use crate::store::session;

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Where the account is signed in, newest first, at most 500").object(200, |it| {
        it.list_of("sessions", |it| {
            it.field::<String>("id")
                .field::<i64>("created_at_ms")
                .field::<i64>("expires_at_ms")
                .field::<Option<String>>("agent")
                .field::<bool>("current")
        })
    })
}

/// Answers. A session's id is no token: nothing opens with it.
pub async fn handle(State(app): State<App>, login: Session) -> Result<Json<Value>, Problem> {
    let mut tx = app.store.read().await?;
    let found = session::by_account(&mut tx, login.account, app.clock.now_ms()).await?;
    let sessions: Vec<_> = found
        .into_iter()
        .map(|one| {
            json!({
                "id": one.id(),
                "created_at_ms": one.created_at_ms,
                "expires_at_ms": one.expires_at_ms,
                "agent": one.agent,
                "current": one.token_hash == login.token_hash,
            })
        })
        .collect();
    Ok(Json(json!({ "sessions": sessions })))
}
