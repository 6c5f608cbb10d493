//! `GET /v1/passkeys`: the passkeys of the account.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::authority::Session;
use super::doc::Doc;
use super::passkey_add::{fields, shown};
use super::problem::Problem;
use crate::app::App;
use crate::store::passkey;

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("The passkeys of the account, newest first").object(200, |it| it.list_of("passkeys", fields))
}

/// Answers.
pub async fn handle(State(app): State<App>, login: Session) -> Result<Json<Value>, Problem> {
    let mut tx = app.store.read().await?;
    let passkeys = passkey::by_account(&mut tx, login.account).await?;
    Ok(Json(json!({ "passkeys": passkeys.iter().map(shown).collect::<Vec<_>>() })))
}
