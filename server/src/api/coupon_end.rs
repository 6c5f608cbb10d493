//! `DELETE /v1/coupons/{code}`: ends a coupon. What was bought with it stays.

use axum::extract::State;
use axum::http::StatusCode;
use serde_json::json;

use super::authority::Operator;
use super::doc::Doc;
use super::json::Path;
use super::problem::Problem;
use super::trail::note;
use crate::app::App;
use crate::store::coupon::{self, canonical};

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Ends a coupon").bare(204)
}

/// Answers 204, also if it was over.
pub async fn handle(
    State(app): State<App>,
    Operator(session): Operator,
    Path(code): Path<String>,
) -> Result<StatusCode, Problem> {
    let now_ms = app.clock.now_ms();
    let mut tx = app.store.write().await?;
    if !coupon::end(&mut tx, &code, now_ms).await? {
        return Err(Problem::not_found("coupon"));
    }
    note(&mut tx, &session, "coupon.end", &canonical(&code), json!({}), now_ms).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
