//! `GET /v1/viewers`: the viewers of an integrator's.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::cursor::{self, Paging};
use super::doc::Doc;
use super::integrator::Caller;
use super::problem::Problem;
use crate::app::App;
use crate::store::api_key::Scope;
use crate::store::viewer::{self, Viewer};

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("The integrator's own viewers, newest first")
        .paged(cursor::PAGE_ROWS_MAX)
        .object(200, |it| it.list::<Viewer>("viewers").field::<Option<String>>("next"))
}

/// Answers.
pub async fn handle(
    State(app): State<App>,
    caller: Caller,
    Paging(asked): Paging,
) -> Result<Json<Value>, Problem> {
    caller.require(Scope::Viewers)?;
    let mut tx = app.store.read().await?;
    let page = viewer::listed(&mut tx, caller.account, &asked).await?;
    Ok(Json(json!({ "viewers": page.rows, "next": page.next.as_ref().map(cursor::write) })))
}
