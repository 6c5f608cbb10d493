//! `POST /v1/titles`: adds a title.

use axum::Json as JsonResponse;
use axum::extract::State;
use axum::http::StatusCode;
use matinee_protocol::api::TitleSummary;
use matinee_protocol::id::TitleId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::authority::Publisher;
use super::doc::Doc;
use super::json::Json;
use super::problem::Problem;
use super::title_show::summary;
use super::trail::note;
use crate::app::App;
use crate::random;
use crate::store::title;

/// Characters of a title's name.
pub const TITLE_CHARS_MAX: usize = 200;

/// Body.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    name: String,
}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Adds a title")
        .body::<Body>()
        .object(201, |it| it.field::<TitleSummary>("title"))
        .problem(422, "name_invalid")
}

/// Answers 201 with the title; 422 `name_invalid`.
pub async fn handle(
    State(app): State<App>,
    Publisher(session): Publisher,
    Json { value: body, .. }: Json<Body>,
) -> Result<(StatusCode, JsonResponse<Value>), Problem> {
    let name = check_name(&body.name)?;
    let now_ms = app.clock.now_ms();
    let id = TitleId::from_bytes(random::id(now_ms));
    let mut tx = app.store.write().await?;
    title::insert(&mut tx, id, session.account, name, now_ms).await?;
    note(&mut tx, &session, "title.create", &id, json!({}), now_ms).await?;
    let added = title::by_id(&mut tx, id).await?.ok_or_else(|| Problem::not_found("title"))?;
    let added = summary(&mut tx, added).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, JsonResponse(json!({ "title": added }))))
}

/// A title's name without the space around it.
pub fn check_name(name: &str) -> Result<&str, Problem> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > TITLE_CHARS_MAX || name.chars().any(char::is_control) {
        let detail = format!("a title's name has 1 to {TITLE_CHARS_MAX} characters");
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "name_invalid", detail));
    }
    Ok(name)
}
