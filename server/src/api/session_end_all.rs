//! `DELETE /v1/sessions`: signs the account out everywhere, here too.

use axum::extract::State;
use axum::response::Response;

use super::authority::Session;
use super::doc::Doc;
use super::problem::Problem;
use super::session_end::signed_out;
use crate::app::App;
use crate::store::session;

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Signs the account out everywhere, here too").bare(204)
}

/// Answers 204 and takes the cookie back.
pub async fn handle(State(app): State<App>, login: Session) -> Result<Response, Problem> {
    let mut tx = app.store.write().await?;
    session::delete_all(&mut tx, login.account).await?;
    tx.commit().await?;
    signed_out(&app)
}
