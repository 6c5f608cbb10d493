//! `GET /v1/royalties/{month}`: the royalty statement of a month.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use matinee_protocol::id::TitleId;
use serde_json::{Value, json};

use super::authority::Operator;
use super::doc::{Doc, Fields};
use super::json::Path;
use super::problem::Problem;
use crate::app::App;
use crate::royalty::{Statement, statement};
use crate::store::royalty::{self, Span};
use crate::store::{self, Tx};

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("The royalty statement of a month")
        .object(200, |it| {
            it.field::<String>("month").field::<bool>("final").object("statement", |it| {
                it.field::<String>("currency")
                    .field::<i64>("revenue_minor")
                    .field::<i64>("house_minor")
                    .list_of("lines", line)
            })
        })
        .problem(400, "month_invalid")
}

fn line(it: Fields) -> Fields {
    it.field::<TitleId>("title")
        .field::<String>("holder")
        .field::<u64>("plays")
        .field::<i64>("revenue_minor")
        .field::<u32>("share_basis_points")
        .field::<i64>("share_minor")
        .field::<i64>("minimum_minor")
        .field::<i64>("amount_minor")
}

/// The month that a request names; 400 `month_invalid`.
pub fn month(text: &str) -> Result<Span, Problem> {
    Span::month(text).map_err(|detail| Problem::new(StatusCode::BAD_REQUEST, "month_invalid", detail))
}

/// Computes the statement of a span.
pub async fn compute(tx: &mut Tx, currency: &str, span: Span) -> Result<Statement, store::Error> {
    Ok(statement(&royalty::month(tx, currency, span).await?))
}

/// Answers. `final: true`: it stays as it is. A month that is not over, or has been for less than
/// [`FINAL_AFTER_MS`](crate::royalty::span::FINAL_AFTER_MS), gives what there is so far.
pub async fn handle(
    State(app): State<App>,
    _: Operator,
    Path(text): Path<String>,
) -> Result<Json<Value>, Problem> {
    let span = month(&text)?;
    let mut tx = app.store.read().await?;
    let statement = compute(&mut tx, &app.config.payment.currency, span).await?;
    Ok(Json(json!({ "month": text, "final": span.is_final(app.clock.now_ms()), "statement": statement })))
}
