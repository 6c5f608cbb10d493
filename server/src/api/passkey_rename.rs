//! `PUT /v1/passkeys/{passkey}`: names a passkey.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use uuid::Uuid;

use super::authority::Session;
use super::doc::Doc;
use super::json::{Json, Path};
use super::passkey_add::checked_name;
use super::problem::Problem;
use crate::app::App;
use crate::store::passkey;

/// Body.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    name: String,
}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Names a passkey").body::<Body>().bare(204).problem(422, "name_invalid")
}

/// Answers 204.
pub async fn handle(
    State(app): State<App>,
    login: Session,
    Path(named): Path<Uuid>,
    Json { value: body, .. }: Json<Body>,
) -> Result<StatusCode, Problem> {
    let name = checked_name(&body.name)?;
    let mut tx = app.store.write().await?;
    if !passkey::rename(&mut tx, login.account, named, &name).await? {
        return Err(Problem::not_found("passkey"));
    }
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
