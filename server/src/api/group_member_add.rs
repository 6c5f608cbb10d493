//! `POST /v1/groups/{group}/members`: adds an account to a group.

use axum::Json as JsonResponse;
use axum::extract::State;
use axum::http::StatusCode;
use matinee_protocol::id::{AccountId, GroupId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::authority::Publisher;
use super::doc::{Doc, Fields};
use super::json::{Json, Path};
use super::problem::Problem;
use super::trail::note;
use crate::app::App;
use crate::store::{Tx, account, group};

/// Body.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    email: String,
}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Adds an account to a group").body::<Body>().object(201, member).object(200, member)
}

fn member(it: Fields) -> Fields {
    it.object("member", |it| it.field::<AccountId>("account"))
}

/// Answers 201 with the account, 200 if it was a member.
pub async fn handle(
    State(app): State<App>,
    Publisher(session): Publisher,
    Path(group): Path<GroupId>,
    body: Result<Json<Body>, Problem>,
) -> Result<(StatusCode, JsonResponse<Value>), Problem> {
    let mut tx = app.store.write().await?;
    own(&mut tx, group, session.account).await?;
    let found = account::by_email(&mut tx, &body?.value.email).await?;
    let found = found.ok_or_else(|| Problem::not_found("account"))?;
    let now_ms = app.clock.now_ms();
    let new = group::add(&mut tx, group, found.id, now_ms).await?;
    if new {
        note(&mut tx, &session, "group.add", &group, json!({ "account": found.id }), now_ms).await?;
    }
    tx.commit().await?;
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, JsonResponse(json!({ "member": { "account": found.id } }))))
}

/// Refuses groups of others.
pub async fn own(tx: &mut Tx, group: GroupId, account: AccountId) -> Result<(), Problem> {
    let found = group::by_id(tx, group).await?.filter(|found| found.publisher_id == account);
    found.map(drop).ok_or_else(|| Problem::not_found("group"))
}
