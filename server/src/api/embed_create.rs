//! `POST /v1/viewers/{account}/embed-tokens`: a token that brings a viewer to the player's page, once.

use axum::Json as JsonResponse;
use axum::extract::State;
use axum::http::StatusCode;
use matinee_protocol::encoding::b64u;
use matinee_protocol::id::{AccountId, TitleId};
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::doc::Doc;
use super::integrator::Caller;
use super::json::{Json, Path};
use super::problem::Problem;
use super::trail::note;
use crate::app::App;
use crate::random;
use crate::store::api_key::Scope;
use crate::store::{title, viewer};

/// How long a viewer may take from the integrator's page to the player's.
const EMBED_TOKEN_MS: i64 = 5 * 60 * 1000;

/// Body.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    /// What the page shows.
    title: TitleId,
}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("A token that brings a viewer to the player's page, once, within five minutes")
        .body::<Body>()
        .object(201, |it| {
            it.field::<String>("embed_token").field::<String>("url").field::<i64>("expires_at_ms")
        })
}

/// Answers 201. The token stands behind the `#` of the page's address, which browsers send to no server.
pub async fn handle(
    State(app): State<App>,
    caller: Caller,
    Path(account): Path<AccountId>,
    Json { value: body, .. }: Json<Body>,
) -> Result<(StatusCode, JsonResponse<Value>), Problem> {
    caller.require(Scope::Embed)?;
    let token = Zeroizing::new(b64u(&random::bytes::<32>()));
    let now_ms = app.clock.now_ms();
    let expires_at_ms = now_ms + EMBED_TOKEN_MS;
    let mut tx = app.store.write().await?;
    caller.require_own(&mut tx, account).await?;
    if title::by_id(&mut tx, body.title).await?.is_none() {
        return Err(Problem::not_found("title"));
    }
    let hash = viewer::token_hash(&token);
    viewer::insert_token(&mut tx, &hash, account, body.title, (now_ms, expires_at_ms)).await?;
    note(&mut tx, &caller, "embed_token.create", &account, json!({ "title": body.title }), now_ms).await?;
    tx.commit().await?;
    let url = format!("{}/embed/{}#{}", app.public_url, body.title, *token);
    Ok((
        StatusCode::CREATED,
        JsonResponse(json!({ "embed_token": *token, "url": url, "expires_at_ms": expires_at_ms })),
    ))
}
