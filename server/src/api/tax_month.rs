//! `GET /v1/taxes/{month}`: the tax that was charged and given back in a month.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
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

/// Answers; a month that is not over yet gives what there is so far, `final: false`.
pub async fn handle(
    State(app): State<App>,
    _: Operator,
    Path(text): Path<String>,
) -> Result<Json<Value>, Problem> {
    let span =
        month(&text).map_err(|detail| Problem::new(StatusCode::BAD_REQUEST, "month_invalid", detail))?;
    let lines = tax::by_country(&mut app.store.read().await?, span).await?;
    let over = span.until_ms <= app.clock.now_ms();
    Ok(Json(json!({ "month": text, "final": over, "lines": lines })))
}
