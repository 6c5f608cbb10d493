//! `POST /v1/collections`: makes a collection.

use axum::Json as JsonResponse;
use axum::extract::State;
use axum::http::StatusCode;
use matinee_protocol::id::CollectionId;
use matinee_protocol::limit::NAME_BYTES_MAX;
use serde::Deserialize;
use serde_json::{Value, json};

use super::authority::Publisher;
use super::doc::Doc;
use super::json::Json;
use super::problem::Problem;
use super::trail::note;
use crate::app::App;
use crate::random;
use crate::store::collection::{self, Collection};

/// Body.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    name: String,
}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Makes a collection of titles that are sold together")
        .body::<Body>()
        .object(201, |it| {
            it.object("collection", |it| it.field::<CollectionId>("id").field::<String>("name"))
        })
        .problem(422, "name_invalid")
}

/// Answers 201 with the collection.
pub async fn handle(
    State(app): State<App>,
    Publisher(session): Publisher,
    Json { value: body, .. }: Json<Body>,
) -> Result<(StatusCode, JsonResponse<Value>), Problem> {
    let now_ms = app.clock.now_ms();
    let made = Collection {
        id: CollectionId::from_bytes(random::id(now_ms)),
        publisher_id: session.account,
        name: name(&body.name)?,
        created_at_ms: now_ms,
    };
    let mut tx = app.store.write().await?;
    collection::insert(&mut tx, &made).await?;
    note(&mut tx, &session, "collection.create", &made.id, json!({}), now_ms).await?;
    tx.commit().await?;
    let answer = json!({ "collection": { "id": made.id, "name": made.name } });
    Ok((StatusCode::CREATED, JsonResponse(answer)))
}

/// A name of a collection or a group.
pub fn name(text: &str) -> Result<String, Problem> {
    let name = text.trim();
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        let detail = format!("write a name of 1 to {NAME_BYTES_MAX} bytes");
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "name_invalid", detail));
    }
    Ok(name.to_owned())
}
