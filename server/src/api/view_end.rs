//! `DELETE /v1/views/{view}`: ends a view.

use axum::extract::State;
use axum::http::StatusCode;

use super::authority::ViewAuthority;
use super::doc::Doc;
use super::problem::Problem;
use crate::app::App;
use crate::store::view;

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Ends a view").bare(204)
}

/// Answers 204, also if the view was over already.
pub async fn handle(State(app): State<App>, authority: ViewAuthority) -> Result<StatusCode, Problem> {
    let now_ms = app.clock.now_ms();
    let mut tx = app.store.write().await?;
    authority.proof.spend(&mut tx, now_ms).await?;
    let ended = view::end(&mut tx, authority.view, view::State::Ended, "ended by the viewer", now_ms).await?;
    tx.commit().await?;
    if ended {
        app.hub.revoke_view(authority.view, "the view has ended");
    }
    Ok(StatusCode::NO_CONTENT)
}
