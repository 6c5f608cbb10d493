//! `GET /v1/devices`: the devices of the account.

use axum::Json;
use axum::extract::State;
use matinee_protocol::id::Thumbprint;
use serde_json::{Value, json};

use super::authority::Session;
use super::doc::Doc;
use super::problem::Problem;
use crate::app::App;
use crate::store::device;

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("The devices of the account").object(200, |it| {
        it.list_of("devices", |it| {
            it.field::<Thumbprint>("id")
                .field::<Option<String>>("name")
                .field::<i64>("first_seen_at_ms")
                .field::<i64>("last_seen_at_ms")
        })
    })
}

/// Answers.
pub async fn handle(State(app): State<App>, session: Session) -> Result<Json<Value>, Problem> {
    let mut tx = app.store.read().await?;
    let devices = device::by_account(&mut tx, session.account).await?;
    let devices = devices.into_iter().map(|device| {
        json!({
            "id": device.id, "name": device.name, "first_seen_at_ms": device.first_seen_at_ms,
            "last_seen_at_ms": device.last_seen_at_ms,
        })
    });
    Ok(Json(json!({ "devices": devices.collect::<Vec<_>>() })))
}
