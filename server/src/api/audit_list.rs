//! `GET /v1/audit`: the audit trail.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use super::authority::Operator;
use super::cursor::{self, Paging, Query};
use super::doc::Doc;
use super::problem::Problem;
use crate::app::App;
use crate::store::audit::{self, AuditEntry};

/// What is asked for beside the page.
#[derive(Debug, Deserialize)]
pub struct Words {
    subject: Option<String>,
}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Who did what that needs a right of its own, newest first")
        .paged(cursor::PAGE_ROWS_MAX)
        .query("subject", "only what was done to the thing of this id", json!({ "type": "string" }))
        .object(200, |it| it.list::<AuditEntry>("audit").field::<Option<String>>("next"))
}

/// Answers.
pub async fn handle(
    State(app): State<App>,
    _: Operator,
    Paging(asked): Paging,
    Query(words): Query<Words>,
) -> Result<Json<Value>, Problem> {
    let mut tx = app.store.read().await?;
    let page = audit::listed(&mut tx, words.subject.as_deref(), &asked).await?;
    Ok(Json(json!({ "audit": page.rows, "next": page.next.as_ref().map(cursor::write) })))
}
