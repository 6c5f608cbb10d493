//! `POST /v1/api-keys`: makes an API key.

use axum::Json as JsonResponse;
use axum::extract::State;
use axum::http::StatusCode;
use matinee_protocol::encoding::b64u;
use matinee_protocol::id::AccountId;
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::account_create::NAME_CHARS_MAX;
use super::doc::Doc;
use super::integrator::{Integrator, KEY_PREFIX};
use super::json::Json;
use super::problem::Problem;
use super::trail::note;
use crate::app::App;
use crate::random;
use crate::store::api_key::{self, ApiKey, Scope};

/// The longest that a key holds, in days.
pub const DAYS_MAX: u32 = 366;
/// A day.
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Body.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    /// What the key is called.
    name: String,
    /// What it may be used for.
    scopes: Vec<Scope>,
    /// How long it holds, in days.
    days: u32,
}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Makes an API key; it is shown this once")
        .body::<Body>()
        .object(201, |it| it.field::<ApiKey>("api_key").field::<String>("secret"))
        .problems(422, &["days_out_of_range", "name_invalid", "scopes_missing"])
}

/// Answers 201 with the key, which is shown this once.
pub async fn handle(
    State(app): State<App>,
    Integrator(session): Integrator,
    Json { value: body, .. }: Json<Body>,
) -> Result<(StatusCode, JsonResponse<Value>), Problem> {
    let now_ms = app.clock.now_ms();
    let (key, secret) = new_key(session.account, &body.name, body.scopes, body.days, now_ms)?;
    let mut tx = app.store.write().await?;
    api_key::insert(&mut tx, &key, &api_key::hash(&secret)).await?;
    let detail = json!({ "scopes": key.scopes, "expires_at_ms": key.expires_at_ms });
    note(&mut tx, &session, "api_key.create", &key.id, detail, now_ms).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, JsonResponse(json!({ "api_key": key, "secret": *secret }))))
}

/// A new key and what it is.
pub fn new_key(
    account: AccountId,
    name: &str,
    mut scopes: Vec<Scope>,
    days: u32,
    now_ms: i64,
) -> Result<(ApiKey, Zeroizing<String>), Problem> {
    let refuse = |code, detail: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail);
    let name = name.trim();
    if name.is_empty() || name.chars().count() > NAME_CHARS_MAX || name.chars().any(char::is_control) {
        return Err(refuse("name_invalid", format!("a name has 1 to {NAME_CHARS_MAX} characters")));
    }
    if !(1..=DAYS_MAX).contains(&days) {
        return Err(refuse("days_out_of_range", format!("a key holds for 1 to {DAYS_MAX} days")));
    }
    scopes.sort_unstable();
    scopes.dedup();
    if scopes.is_empty() {
        return Err(refuse("scopes_missing", "name at least one scope".to_owned()));
    }
    let prefix = format!("{KEY_PREFIX}{}", hex::encode(random::bytes::<4>()));
    let secret = Zeroizing::new(format!("{prefix}_{}", b64u(&random::bytes::<32>())));
    let key = ApiKey {
        id: uuid::Uuid::from_bytes(random::id(now_ms)).to_string(),
        account,
        name: name.to_owned(),
        prefix,
        scopes,
        created_at_ms: now_ms,
        expires_at_ms: now_ms.saturating_add(i64::from(days) * DAY_MS),
        revoked_at_ms: None,
    };
    Ok((key, secret))
}
