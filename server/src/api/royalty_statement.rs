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

/// A month in UTC, `2026-10`.
///
/// # Errors
/// What is wrong with it.
pub fn month(text: &str) -> Result<Span, String> {
    let wrong = || "a month is written as year and month, for example 2026-10".to_owned();
    let (year, month) = text.split_once('-').filter(|_| text.len() == 7).ok_or_else(wrong)?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(year) || !digits(month) {
        return Err(wrong());
    }
    let (year, month) = (year.parse().map_err(|_| wrong())?, month.parse().map_err(|_| wrong())?);
    let first = jiff::civil::Date::new(year, month, 1).map_err(|_| wrong())?;
    let next = first.checked_add(jiff::Span::new().months(1)).map_err(|_| wrong())?;
    let ms = |date: jiff::civil::Date| {
        date.to_zoned(jiff::tz::TimeZone::UTC).map(|at| at.timestamp().as_millisecond()).map_err(|_| wrong())
    };
    Ok(Span { from_ms: ms(first)?, until_ms: ms(next)? })
}

/// Computes the statement of a span.
pub async fn compute(tx: &mut Tx, currency: &str, span: Span) -> Result<Statement, store::Error> {
    Ok(statement(&royalty::month(tx, currency, span).await?))
}

/// Answers; a month that is not over yet gives what there is so far, `final: false`.
pub async fn handle(
    State(app): State<App>,
    _: Operator,
    Path(text): Path<String>,
) -> Result<Json<Value>, Problem> {
    let span =
        month(&text).map_err(|detail| Problem::new(StatusCode::BAD_REQUEST, "month_invalid", detail))?;
    let mut tx = app.store.read().await?;
    let statement = compute(&mut tx, &app.config.payment.currency, span).await?;
    let over = span.until_ms <= app.clock.now_ms();
    Ok(Json(json!({ "month": text, "final": over, "statement": statement })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months() {
        let october = month("2026-10").unwrap();
        assert_eq!((october.from_ms, october.until_ms), (1_790_812_800_000, 1_793_491_200_000));
        let leap = month("2028-02").unwrap();
        assert_eq!((leap.until_ms - leap.from_ms) / 86_400_000, 29);
        assert_eq!(month("2026-12").unwrap().until_ms, month("2027-01").unwrap().from_ms);
        for wrong in ["", "2026", "2026-13", "2026-00", "2026-1", "2026-10-01", "-026-10", "2026-+1", "x"] {
            assert!(month(wrong).is_err(), "{wrong}");
        }
    }
}
