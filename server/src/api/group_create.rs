//! `POST /v1/groups`: makes a group of viewers that private titles are for.

use axum::Json as JsonResponse;
use axum::extract::State;
use axum::http::StatusCode;
use matinee_protocol::id::GroupId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::authority::Publisher;
use super::collection_create::name;
use super::doc::Doc;
use super::json::Json;
use super::problem::Problem;
use super::trail::note;
use crate::app::App;
use crate::random;
use crate::store::group::{self, Group};

/// Body.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    name: String,
}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Makes a group of viewers that private titles are for")
        .body::<Body>()
        .object(201, |it| it.object("group", |it| it.field::<GroupId>("id").field::<String>("name")))
        .problem(422, "name_invalid")
}

/// Answers 201 with the group.
pub async fn handle(
    State(app): State<App>,
    Publisher(session): Publisher,
    Json { value: body, .. }: Json<Body>,
) -> Result<(StatusCode, JsonResponse<Value>), Problem> {
    let now_ms = app.clock.now_ms();
    let made = Group {
        id: GroupId::from_bytes(random::id(now_ms)),
        publisher_id: session.account,
        name: name(&body.name)?,
        created_at_ms: now_ms,
    };
    let mut tx = app.store.write().await?;
    group::insert(&mut tx, &made).await?;
    note(&mut tx, &session, "group.create", &made.id, json!({}), now_ms).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, JsonResponse(json!({ "group": { "id": made.id, "name": made.name } }))))
}
