//! `GET /v1/payments`: the account's payments and how they stand.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::authority::Session;
use super::cursor::{self, Paging};
use super::doc::Doc;
use super::paying;
use super::problem::Problem;
use crate::app::App;
use crate::store::payment;

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("The account's payments, newest first")
        .paged(cursor::PAGE_ROWS_MAX)
        .object(200, |it| it.list_of("payments", paying::shown).field::<Option<String>>("next"))
}

/// Answers.
pub async fn handle(
    State(app): State<App>,
    session: Session,
    Paging(asked): Paging,
) -> Result<Json<Value>, Problem> {
    let mut tx = app.store.read().await?;
    let page = payment::by_account(&mut tx, session.account, &asked).await?;
    let payments: Vec<_> = page.rows.iter().map(|found| paying::summary(&app, found)).collect();
    Ok(Json(json!({ "payments": payments, "next": page.next.as_ref().map(cursor::write) })))
}
