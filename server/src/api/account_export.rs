//! `GET /v1/account/export`: everything that is kept about the account.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::authority::Session;
use super::doc::Doc;
use super::problem::Problem;
use crate::app::App;
use crate::store::whole;

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Everything that is kept about the account, table by table, without secrets")
        .object(200, |it| it.field::<i64>("exported_at_ms").field::<Value>("tables"))
}

/// Answers.
pub async fn handle(State(app): State<App>, login: Session) -> Result<Json<Value>, Problem> {
    let mut tx = app.store.read().await?;
    let tables = whole::export(&mut tx, login.account).await?;
    Ok(Json(json!({ "exported_at_ms": app.clock.now_ms(), "tables": tables })))
}
