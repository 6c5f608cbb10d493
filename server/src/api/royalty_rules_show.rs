//! `GET /v1/titles/{title}/royalty-rules`: who earns what of a title in a month.

use axum::Json;
use axum::extract::State;
use matinee_protocol::id::TitleId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::authority::Operator;
use super::cursor::Query;
use super::doc::Doc;
use super::json::Path;
use super::problem::Problem;
use super::royalty_rules::{fields, shown};
use super::royalty_statement;
use crate::app::App;
use crate::store::{royalty_rule, title};

/// Query.
#[derive(Deserialize)]
pub struct When {
    month: Option<String>,
}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    let month = json!({ "type": "string" });
    Doc::new("Who earns what of a title in a month")
        .query("month", "the month, for example 2026-10; this one if not given", month)
        .object(200, fields)
        .problems(400, &["month_invalid", "query_invalid"])
}

/// Answers with the rules and the month from which on they count: null where they always did, or there are none.
pub async fn handle(
    State(app): State<App>,
    _: Operator,
    Path(title): Path<TitleId>,
    Query(when): Query<When>,
) -> Result<Json<Value>, Problem> {
    let month = when.month.as_deref().map(royalty_statement::month).transpose()?;
    let at_ms = month.map_or_else(|| app.clock.now_ms(), |month| month.from_ms);
    let currency = &app.config.payment.currency;
    let mut tx = app.store.read().await?;
    title::by_id(&mut tx, title).await?.ok_or_else(|| Problem::not_found("title"))?;
    let held = royalty_rule::of_title(&mut tx, title, currency, at_ms).await?;
    Ok(Json(shown(title, currency, &held)))
}
