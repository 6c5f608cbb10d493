//! `GET /v1/purchases/{purchase}`: one of the account's purchases.

use axum::Json;
use axum::extract::State;
use matinee_protocol::id::PurchaseId;
use serde_json::{Value, json};

use super::authority::Session;
use super::doc::Doc;
use super::json::Path;
use super::problem::Problem;
use super::purchase_list::{fields, shown};
use crate::app::App;
use crate::store::purchase;

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("One of the account's purchases").object(200, |it| it.object("purchase", fields))
}

/// Answers; another account's purchase is not found.
pub async fn handle(
    State(app): State<App>,
    session: Session,
    Path(id): Path<PurchaseId>,
) -> Result<Json<Value>, Problem> {
    let found = purchase::bill(&mut app.store.read().await?, session.account, id).await?;
    let found = found.ok_or_else(|| Problem::not_found("purchase"))?;
    Ok(Json(json!({ "purchase": shown(&found) })))
}
