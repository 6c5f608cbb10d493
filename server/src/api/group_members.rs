//! `GET /v1/groups/{group}/members`: who is in a group.

use axum::Json;
use axum::extract::State;
use matinee_protocol::id::GroupId;
use serde_json::{Value, json};

use super::authority::Publisher;
use super::cursor::{self, Paging};
use super::doc::Doc;
use super::group_member_add::own;
use super::json::Path;
use super::problem::Problem;
use crate::app::App;
use crate::store::group::{self, Member};

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Who is in a group, the one added last in front")
        .paged(cursor::PAGE_ROWS_MAX)
        .object(200, |it| it.list::<Member>("members").field::<Option<String>>("next"))
}

/// Answers the group's publisher.
pub async fn handle(
    State(app): State<App>,
    Publisher(session): Publisher,
    Path(group): Path<GroupId>,
    Paging(asked): Paging,
) -> Result<Json<Value>, Problem> {
    let mut tx = app.store.read().await?;
    own(&mut tx, group, session.account).await?;
    let page = group::members(&mut tx, group, &asked).await?;
    Ok(Json(json!({ "members": page.rows, "next": page.next.as_ref().map(cursor::write) })))
}
