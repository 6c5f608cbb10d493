//! `POST /v1/webhooks`: adds a place that is told what happens.

use axum::Json as JsonResponse;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::doc::Doc;
use super::integrator::Integrator;
use super::json::Json;
use super::problem::Problem;
use super::trail::note;
use crate::app::App;
use crate::outbox::webhook;
use crate::random;
use crate::store::account;
use crate::store::outbox::TOPICS;
use crate::store::webhook::{Webhook, by_account, insert};

/// Webhooks of one account.
const WEBHOOKS_MAX: usize = 20;
/// Everything there is to tell of.
const EVERYTHING: &str = "*";

/// Body.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    /// Where messages go: an `https://` URL.
    url: String,
    /// What it is told: topics, or `*` alone.
    topics: Vec<String>,
}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Adds a place that is told what happens, by signed messages (Standard Webhooks)")
        .body::<Body>()
        .object(201, |it| it.field::<Webhook>("webhook").field::<String>("secret"))
        .problem(409, "webhooks_too_many")
        .problems(422, &["topic_unknown", "url_invalid"])
}

/// Answers 201 with the webhook and the secret that its messages are signed with, which is shown this once.
pub async fn handle(
    State(app): State<App>,
    Integrator(session): Integrator,
    Json { value: body, .. }: Json<Body>,
) -> Result<(StatusCode, JsonResponse<Value>), Problem> {
    let refuse = |code, detail: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail);
    let Body { url, mut topics } = body;
    webhook::target(&url, app.outbox.private()).map_err(|error| refuse("url_invalid", error.to_string()))?;
    topics.sort_unstable();
    topics.dedup();
    let everything = topics.len() == 1 && topics[0] == EVERYTHING;
    let known = !topics.is_empty() && topics.iter().all(|topic| TOPICS.contains(&topic.as_str()));
    if !everything && !known {
        return Err(refuse("topic_unknown", format!("topics are {}, or * alone", TOPICS.join(", "))));
    }
    let now_ms = app.clock.now_ms();
    let id = uuid::Uuid::from_bytes(random::id(now_ms)).to_string();
    let added = Webhook { id, url, topics, created_at_ms: now_ms };
    let mut tx = app.store.write().await?;
    account::hold(&mut tx, session.account).await?;
    if by_account(&mut tx, session.account).await?.len() >= WEBHOOKS_MAX {
        let detail = format!("an account has at most {WEBHOOKS_MAX} webhooks; remove one first");
        return Err(Problem::conflict("webhooks_too_many", detail));
    }
    insert(&mut tx, session.account, &added).await?;
    note(&mut tx, &session, "webhook.create", &added.id, json!({ "topics": added.topics }), now_ms).await?;
    tx.commit().await?;
    let secret = app.outbox.webhook_secret(&added.id);
    Ok((StatusCode::CREATED, JsonResponse(json!({ "webhook": added, "secret": *secret }))))
}
