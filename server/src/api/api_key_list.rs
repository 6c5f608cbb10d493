//! `GET /v1/api-keys`: the account's API keys, without what they are.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::cursor::{self, Paging};
use super::doc::Doc;
use super::integrator::Integrator;
use super::problem::Problem;
use crate::app::App;
use crate::store::api_key::{self, ApiKey};

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("The account's API keys, newest first, without what they are")
        .paged(cursor::PAGE_ROWS_MAX)
        .object(200, |it| it.list::<ApiKey>("api_keys").field::<Option<String>>("next"))
}

/// Answers.
pub async fn handle(
    State(app): State<App>,
    Integrator(session): Integrator,
    Paging(asked): Paging,
) -> Result<Json<Value>, Problem> {
    let mut tx = app.store.read().await?;
    let page = api_key::by_account(&mut tx, session.account, &asked).await?;
    Ok(Json(json!({ "api_keys": page.rows, "next": page.next.as_ref().map(cursor::write) })))
}
