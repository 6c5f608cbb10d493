//! `PUT /v1/devices/{device}`: names a device.

use axum::extract::State;
use axum::http::StatusCode;
use matinee_protocol::id::Thumbprint;
use serde::Deserialize;

use super::account_create::NAME_CHARS_MAX;
use super::authority::Session;
use super::doc::Doc;
use super::json::{Json, Path};
use super::problem::Problem;
use crate::app::App;
use crate::store::device;

/// Body.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    name: String,
}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Names a device").body::<Body>().bare(204).problem(422, "name_invalid")
}

/// Answers 204.
pub async fn handle(
    State(app): State<App>,
    session: Session,
    Path(device): Path<Thumbprint>,
    Json { value: body, .. }: Json<Body>,
) -> Result<StatusCode, Problem> {
    let name = body.name.trim();
    if name.is_empty() || name.chars().count() > NAME_CHARS_MAX || name.chars().any(char::is_control) {
        let detail = format!("write a name of 1 to {NAME_CHARS_MAX} characters");
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "name_invalid", detail));
    }
    let mut tx = app.store.write().await?;
    if !device::rename(&mut tx, session.account, device, name).await? {
        return Err(Problem::not_found("device"));
    }
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
