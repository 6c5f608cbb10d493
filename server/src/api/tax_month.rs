//! `GET /v1/taxes/{month}`: the tax that was charged and given back in a month.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::authority::Operator;
use super::doc::{Doc, Fields};
use super::json::Path;
use super::problem::Problem;
use super::royalty_statement::month;
use crate::app::App;
use crate::store::tax;

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("The tax of a month, by country and rate")
        .object(200, |it| it.field::<String>("month").field::<bool>("final").list_of("lines", line))
        .problem(400, "month_invalid")
}

fn line(it: Fields) -> Fields {
    it.field::<String>("country")
        .field::<u32>("rate_basis_points")
        .field::<i64>("net_minor")
        .field::<i64>("tax_minor")
        .field::<i64>("refunded_net_minor")
        .field::<i64>("refunded_tax_minor")
        .field::<i64>("owed_minor")
        .field::<String>("currency")
}

/// Answers; a month that is not final yet gives what there is so far.
pub async fn handle(
    State(app): State<App>,
    _: Operator,
    Path(text): Path<String>,
) -> Result<Json<Value>, Problem> {
    let span = month(&text)?;
    let lines = tax::by_country(&mut app.store.read().await?, span).await?;
    let is_final = span.is_final(app.clock.now_ms());
    Ok(Json(json!({ "month": text, "final": is_final, "lines": lines })))
}
