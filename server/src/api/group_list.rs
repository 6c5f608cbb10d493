//! `GET /v1/groups`: the publisher's groups.

use axum::Json;
use axum::extract::State;
use matinee_protocol::id::GroupId;
use serde_json::{Value, json};

use super::authority::Publisher;
use super::cursor::{self, Paging};
use super::doc::Doc;
use super::problem::Problem;
use crate::app::App;
use crate::store::group;

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("The publisher's groups, newest first").paged(cursor::PAGE_ROWS_MAX).object(200, |it| {
        it.list_of("groups", |it| {
            it.field::<GroupId>("id").field::<String>("name").field::<i64>("created_at_ms")
        })
        .field::<Option<String>>("next")
    })
}

/// Answers.
pub async fn handle(
    State(app): State<App>,
    Publisher(session): Publisher,
    Paging(asked): Paging,
) -> Result<Json<Value>, Problem> {
    let mut tx = app.store.read().await?;
    let page = group::by_publisher(&mut tx, session.account, &asked).await?;
    let groups = page
        .rows
        .iter()
        .map(|group| json!({ "id": group.id, "name": group.name, "created_at_ms": group.created_at_ms }));
    let groups: Vec<_> = groups.collect();
    Ok(Json(json!({ "groups": groups, "next": page.next.as_ref().map(cursor::write) })))
}
