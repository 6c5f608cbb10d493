//! `GET /v1/refunds`: refunds and how they stand.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::authority::Session;
use super::cursor::{self, Paging};
use super::doc::Doc;
use super::problem::Problem;
use super::purchase_refund;
use crate::app::App;
use crate::store::account::Role;
use crate::store::refund;

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("The account's refunds, an operator's everybody's, newest first")
        .paged(cursor::PAGE_ROWS_MAX)
        .object(200, |it| it.list_of("refunds", purchase_refund::shown).field::<Option<String>>("next"))
}

/// Answers with the account's own; operators with everybody's.
pub async fn handle(
    State(app): State<App>,
    session: Session,
    Paging(asked): Paging,
) -> Result<Json<Value>, Problem> {
    let whose = if session.has(Role::Operator) { None } else { Some(session.account) };
    let page = refund::listed(&mut app.store.read().await?, whose, &asked).await?;
    let refunds: Vec<_> = page.rows.iter().map(purchase_refund::summary).collect();
    Ok(Json(json!({ "refunds": refunds, "next": page.next.as_ref().map(cursor::write) })))
}
