//! `DELETE /v1/groups/{group}/members/{account}`: removes an account from a group; its views of the group's titles end.

use axum::extract::State;
use axum::http::StatusCode;
use matinee_protocol::id::{AccountId, GroupId};
use serde_json::json;

use super::authority::Publisher;
use super::doc::Doc;
use super::group_member_add::own;
use super::json::Path;
use super::problem::Problem;
use super::trail::note;
use crate::app::App;
use crate::store::group;

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Removes an account from a group; its views of private titles end").bare(204)
}

/// Answers 204, also if it was no member.
pub async fn handle(
    State(app): State<App>,
    Publisher(session): Publisher,
    Path((group, account)): Path<(GroupId, AccountId)>,
) -> Result<StatusCode, Problem> {
    let mut tx = app.store.write().await?;
    own(&mut tx, group, session.account).await?;
    let now_ms = app.clock.now_ms();
    let ended = group::remove(&mut tx, group, account, now_ms).await?;
    if ended.is_some() {
        note(&mut tx, &session, "group.remove", &group, json!({ "account": account }), now_ms).await?;
    }
    tx.commit().await?;
    for view in ended.unwrap_or_default() {
        app.hub.revoke_view(view, "no longer a member");
    }
    Ok(StatusCode::NO_CONTENT)
}
