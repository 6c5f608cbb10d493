//! `POST /v1/guests`: an account without a name, for whoever plays what is free for guests.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use matinee_protocol::id::AccountId;
use serde::Deserialize;

use super::attempt::Address;
use super::authority::refuse_foreign_origin;
use super::doc::Doc;
use super::json::Json;
use super::problem::Problem;
use super::session_create::{SignedIn, respond};
use crate::app::App;
use crate::random;
use crate::store::account::{self, Account, NO_PASSWORD, Role};

/// The domain of a guest's address, to which nothing can be sent (RFC 2606).
const NO_MAIL_DOMAIN: &str = "guest.invalid";
/// The stretch of time over which guests are counted.
const COUNTED_MS: i64 = 60 * 60 * 1000;

/// Body.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    #[serde(default)]
    bearer: bool,
}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Lets a guest in, who plays what is free without an account")
        .body::<Body>()
        .signs_in()
        .problems(403, &["guests_closed", "origin_mismatch"])
        .problems(429, &["guests_too_many", "sign_in_too_fast"])
}

/// Answers 201 with the account, signed in; 403 `guests_closed`, 429 `guests_too_many`.
pub async fn handle(
    State(app): State<App>,
    address: Address,
    headers: HeaderMap,
    Json { value: body, .. }: Json<Body>,
) -> Result<Response, Problem> {
    refuse_foreign_origin(&headers, &app)?;
    let max = app.config.account.guests_per_hour_max;
    if max == 0 {
        return Err(Problem::forbidden("guests_closed", "open an account first"));
    }
    app.sign_ins.attempt(NO_MAIL_DOMAIN, address.0)?;
    let now_ms = app.clock.now_ms();
    let id = AccountId::from_bytes(random::id(now_ms));
    let guest = Account {
        id,
        email: format!("{id}@{NO_MAIL_DOMAIN}"),
        name: "Guest".to_owned(),
        roles: vec![Role::Guest],
        created_at_ms: now_ms,
    };
    let mut tx = app.store.write().await?;
    if account::guests_since(&mut tx, now_ms - COUNTED_MS).await? >= i64::from(max) {
        let detail = "there are too many guests this hour; open an account";
        return Err(Problem::too_many("guests_too_many", detail, 600));
    }
    account::insert(&mut tx, &guest, NO_PASSWORD).await?;
    let signed_in = SignedIn::new(id, body.bearer, &headers);
    respond(&app, tx, signed_in, StatusCode::CREATED).await
}
