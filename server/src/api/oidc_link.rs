//! `POST /v1/oidc/{provider}/links`: begins to link the account with an identity at a provider.

use axum::Json as JsonResponse;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::authority::Session;
use super::ceremony::require_fresh;
use super::doc::Doc;
use super::json::Path;
use super::oidc_start::begin_trip;
use super::problem::Problem;
use crate::app::App;

/// The page that shows what is linked.
const ACCOUNT_PAGE: &str = "/account";

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Begins to link the account with an identity at a provider: the browser goes to `url`")
        .object(201, |it| it.field::<String>("url"))
        .problems(403, &["account_required", "login_too_old"])
        .problem(429, "sign_in_too_fast")
        .problem(502, "provider_unreachable")
}

/// Answers 201. A POST, so that no other site begins it: what comes back opens the account from then on.
pub async fn handle(
    State(app): State<App>,
    login: Session,
    Path(provider): Path<String>,
) -> Result<Response, Problem> {
    require_fresh(&app, &login).await?;
    let begun = begin_trip(&app, &provider, Some(login.account), ACCOUNT_PAGE.to_owned()).await?;
    Ok((StatusCode::CREATED, begun.cookie, JsonResponse(json!({ "url": begun.url }))).into_response())
}
