//! `GET /v1/webhooks/{webhook}/deliveries`: every attempt to reach a webhook.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::cursor::{self, Paging};
use super::doc::Doc;
use super::integrator::Integrator;
use super::json::Path;
use super::problem::Problem;
use crate::app::App;
use crate::store::webhook::{Delivery, deliveries, owner};

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Every attempt to reach a webhook in the last 30 days, newest first")
        .paged(cursor::PAGE_ROWS_MAX)
        .object(200, |it| it.list::<Delivery>("deliveries").field::<Option<String>>("next"))
}

/// Answers.
pub async fn handle(
    State(app): State<App>,
    Integrator(session): Integrator,
    Path(webhook): Path<String>,
    Paging(asked): Paging,
) -> Result<Json<Value>, Problem> {
    let mut tx = app.store.read().await?;
    let owned_by = owner(&mut tx, &webhook).await?;
    owned_by.filter(|owner| *owner == session.account).ok_or_else(|| Problem::not_found("webhook"))?;
    let page = deliveries(&mut tx, &webhook, &asked).await?;
    Ok(Json(json!({ "deliveries": page.rows, "next": page.next.as_ref().map(cursor::write) })))
}
