//! `POST /v1/viewers`: makes a viewer of an integrator's, or finds the one of that name.

use axum::Json as JsonResponse;
use axum::extract::State;
use axum::http::StatusCode;
use matinee_protocol::id::AccountId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::doc::Doc;
use super::integrator::Caller;
use super::json::Json;
use super::problem::Problem;
use super::trail::note;
use crate::app::App;
use crate::random;
use crate::store::account::{self, Account, Role};
use crate::store::api_key::Scope;
use crate::store::viewer;

/// Characters of an integrator's name for a viewer.
pub const REFERENCE_CHARS_MAX: usize = 128;

/// Body.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    /// What the integrator calls the viewer: an id of its own, no address.
    #[schema(min_length = 1, max_length = 128)]
    reference: String,
}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Makes a viewer, or finds the one of that name")
        .body::<Body>()
        .object(201, |it| it.object("viewer", |it| it.field::<AccountId>("id").field::<String>("reference")))
        .object(200, |it| it.object("viewer", |it| it.field::<AccountId>("id").field::<String>("reference")))
        .problem(422, "reference_invalid")
}

/// Answers 201, or 200 where the viewer is there already: asking twice makes one.
pub async fn handle(
    State(app): State<App>,
    caller: Caller,
    Json { value: body, .. }: Json<Body>,
) -> Result<(StatusCode, JsonResponse<Value>), Problem> {
    caller.require(Scope::Viewers)?;
    let reference = body.reference;
    if !(1..=REFERENCE_CHARS_MAX).contains(&reference.chars().count())
        || reference.chars().any(char::is_control)
    {
        let detail = format!("a reference has 1 to {REFERENCE_CHARS_MAX} characters");
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "reference_invalid", detail));
    }
    let now_ms = app.clock.now_ms();
    let id = AccountId::from_bytes(random::id(now_ms));
    // Nobody signs in to it: it has no password, and no mail goes to a name under .invalid (RFC 2606).
    let made = Account {
        id,
        email: format!("{id}@viewers.invalid"),
        name: "viewer".to_owned(),
        roles: vec![Role::Viewer],
        created_at_ms: now_ms,
    };
    let mut tx = app.store.write().await?;
    if let Some(found) = viewer::by_reference(&mut tx, caller.account, &reference).await? {
        return Ok((StatusCode::OK, answer(found, &reference)));
    }
    account::insert(&mut tx, &made, "!").await?;
    if !viewer::insert(&mut tx, caller.account, &reference, id, now_ms).await? {
        // Somebody else was faster: the account made here is rolled back.
        drop(tx);
        let mut tx = app.store.read().await?;
        let found = viewer::by_reference(&mut tx, caller.account, &reference).await?;
        return Ok((StatusCode::OK, answer(found.ok_or_else(|| Problem::not_found("viewer"))?, &reference)));
    }
    note(&mut tx, &caller, "viewer.create", &id, json!({}), now_ms).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, answer(id, &reference)))
}

fn answer(id: AccountId, reference: &str) -> JsonResponse<Value> {
    JsonResponse(json!({ "viewer": { "id": id, "reference": reference } }))
}
