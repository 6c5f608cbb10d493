//! `DELETE /v1/identities/{identity}`: the account no longer opens with it.

use axum::extract::State;
use axum::http::StatusCode;
use uuid::Uuid;

use super::authority::Session;
use super::ceremony::{require_fresh, require_way_in};
use super::doc::Doc;
use super::json::Path;
use super::ownership::hold;
use super::problem::Problem;
use crate::app::App;
use crate::store::identity;

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Unlinks an identity; logins made with it stay")
        .bare(204)
        .problems(403, &["account_required", "login_too_old"])
        .problem(409, "last_way_in")
}

/// Answers 204; 409 where nothing else opens the account.
pub async fn handle(
    State(app): State<App>,
    login: Session,
    Path(named): Path<Uuid>,
) -> Result<StatusCode, Problem> {
    require_fresh(&app, &login).await?;
    let mut tx = app.store.write().await?;
    hold(&app, &mut tx, &login).await?;
    if !identity::delete(&mut tx, login.account, named).await? {
        return Err(Problem::not_found("identity"));
    }
    require_way_in(&app, &mut tx, login.account).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
