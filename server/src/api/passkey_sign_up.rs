//! `POST /v1/passkey-challenges/account`: begins to open an account that has a passkey and no password.

use axum::Json as JsonResponse;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use matinee_protocol::id::AccountId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::account_create::check_own;
use super::attempt::Address;
use super::authority::refuse_foreign_origin;
use super::ceremony::{begin, passkeys};
use super::doc::Doc;
use super::json::Json;
use super::problem::Problem;
use crate::app::App;
use crate::passkey::Person;
use crate::random;
use crate::store::account::{self, canonical_email};
use crate::store::ceremony::{Ceremony, Kind};

/// Body.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    email: String,
    name: String,
}

/// What is remembered of an account that is not open yet.
#[derive(Serialize, Deserialize)]
pub struct Planned {
    /// Its id, which the authenticator is told.
    pub account: AccountId,
    /// Its sign-in name.
    pub email: String,
    /// Its name.
    pub name: String,
    /// What the passkey's answer is held against.
    pub passkey: String,
}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new(
        "Begins to open an account with a passkey; `options` is what `navigator.credentials.create` takes",
    )
    .body::<Body>()
    .object(201, |it| it.field::<String>("ceremony").field::<Value>("options"))
    .problems(403, &["origin_mismatch", "accounts_closed", "passkeys_off"])
    .problem(409, "email_taken")
    .problems(422, &["email_invalid", "name_invalid"])
    .problem(429, "sign_in_too_fast")
}

/// Answers 201; nothing is opened yet.
pub async fn handle(
    State(app): State<App>,
    address: Address,
    headers: HeaderMap,
    Json { value: body, .. }: Json<Body>,
) -> Result<(StatusCode, JsonResponse<Value>), Problem> {
    refuse_foreign_origin(&headers, &app)?;
    let passkeys = passkeys(&app)?;
    if !app.config.account.open {
        return Err(Problem::forbidden("accounts_closed", "ask the operator for an account"));
    }
    let email = canonical_email(&body.email);
    app.sign_ins.attempt(&email, address.0)?;
    check_own(&body.email, &body.name)?;
    let name = body.name.trim().to_owned();
    let mut tx = app.store.read().await?;
    if account::by_email(&mut tx, &email).await?.is_some() {
        return Err(email_taken());
    }
    drop(tx);
    let account = AccountId::from_bytes(random::id(app.clock.now_ms()));
    let asked = passkeys.ask_new(Person { account, email: &email, name: &name }, Vec::new())?;
    let planned = Planned { account, email, name, passkey: asked.state };
    let state = serde_json::to_string(&planned).map_err(|error| Problem::internal(&error))?;
    let token = begin(&app, Ceremony { kind: Kind::PasskeySignUp, account: None, state }).await?;
    Ok((StatusCode::CREATED, JsonResponse(json!({ "ceremony": *token, "options": asked.options }))))
}

/// 409.
pub fn email_taken() -> Problem {
    Problem::conflict("email_taken", "there is an account with this email; sign in instead")
}
