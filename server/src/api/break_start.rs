//! `POST /v1/views/{view}/breaks`: a break begins to be shown.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use matinee_protocol::api::BreakStates;
use serde::Deserialize;
use serde_json::{Value, json};

use super::attempt::Place;
use super::authority::ViewAuthority;
use super::breaks;
use super::doc::{Doc, Fields};
use super::problem::Problem;
use super::view_renew::{active_view, hold};
use crate::app::App;
use crate::license::breaks::shown_from_ms;
use crate::store::{account, view_break};

/// Body: which one.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    /// Its number, the place in the list of breaks.
    #[serde(rename = "break")]
    number: u32,
}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Begins to show a break").body::<Body>().object(201, fields).object(200, fields).rules()
}

fn fields(it: Fields) -> Fields {
    it.field::<u32>("break").field::<i64>("shown_from_ms").field::<BreakStates>("breaks")
}

/// Answers 201 with when it may be completed, 200 if it was shown before. Whatever other break is under way on this device
/// is no longer: breaks are shown one after the other. 404 for a break that there is not.
pub async fn handle(
    State(app): State<App>,
    Place(place): Place,
    authority: ViewAuthority,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let body: Body = authority.proof.json()?;
    let now_ms = app.clock.now_ms();
    let mut tx = app.store.write().await?;
    authority.proof.spend(&mut tx, now_ms).await?;
    let view = active_view(&app, &mut tx, authority.view, place).await?;
    // Before the view's own: breaks that start in two views of one device wait for each other.
    account::hold(&mut tx, view.account_id).await?;
    hold(&app, &mut tx, &view, place).await?;
    let wanted = view.breaks.as_ref().and_then(|breaks| breaks.list.get(body.number as usize));
    let wanted = *wanted.ok_or_else(|| Problem::not_found("break"))?;
    let states = breaks::of_view(&mut tx, &view).await?;
    let (status, from_ms) = if breaks::shown(states.as_ref()).contains(&body.number) {
        (StatusCode::OK, now_ms)
    } else {
        view_break::start(&mut tx, (view.account_id, view.device), view.id, body.number, now_ms).await?;
        (StatusCode::CREATED, shown_from_ms(&wanted, now_ms))
    };
    tx.commit().await?;
    let answer = json!({ "break": body.number, "shown_from_ms": from_ms, "breaks": states });
    Ok((status, Json(answer)))
}
