//! `POST /v1/views/{view}/breaks/{break}/completion`: a break was shown.

use axum::Json;
use axum::extract::State;
use matinee_protocol::api::BreakStates;
use serde_json::{Value, json};

use super::attempt::Place;
use super::authority::ViewAuthority;
use super::breaks;
use super::doc::Doc;
use super::json::Path;
use super::problem::Problem;
use super::view_renew::{active_view, hold};
use crate::app::App;
use crate::license::Refusal;
use crate::license::breaks::may_complete;
use crate::store::view_break;

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Says that a break was shown")
        .empty_body()
        .object(200, |it| it.field::<BreakStates>("breaks"))
        .rules()
}

/// Answers with the breaks; again for one that was shown before. 403 `break_not_over` before its time has passed since it
/// was started, by the server's clock.
pub async fn handle(
    State(app): State<App>,
    Place(place): Place,
    Path((_, number)): Path<(String, u32)>,
    authority: ViewAuthority,
) -> Result<Json<Value>, Problem> {
    let now_ms = app.clock.now_ms();
    let mut tx = app.store.write().await?;
    authority.proof.spend(&mut tx, now_ms).await?;
    let view = active_view(&app, &mut tx, authority.view, place).await?;
    hold(&app, &mut tx, &view, place).await?;
    let wanted = view.breaks.as_ref().and_then(|breaks| breaks.list.get(number as usize));
    let wanted = *wanted.ok_or_else(|| Problem::not_found("break"))?;
    let started = view_break::of_view(&mut tx, view.id).await?;
    let started = started.iter().find(|one| one.number == number);
    if started.is_none_or(|one| one.shown_at_ms.is_none()) {
        may_complete(&wanted, started.map(|one| one.started_at_ms), now_ms)?;
        if !view_break::complete(&mut tx, view.id, number, now_ms).await? {
            return Err(Refusal::BreakNotStarted.into());
        }
    }
    let states = breaks::of_view(&mut tx, &view).await?;
    tx.commit().await?;
    Ok(Json(json!({ "breaks": states })))
}
