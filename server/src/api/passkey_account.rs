//! `POST /v1/passkey-accounts`: opens an account with a passkey and signs it in.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use uuid::Uuid;
use webauthn_rs::prelude::RegisterPublicKeyCredential;

use super::attempt::Address;
use super::authority::refuse_foreign_origin;
use super::ceremony::{end, passkeys};
use super::doc::Doc;
use super::json::Json;
use super::passkey_add::{checked_name, known_already};
use super::passkey_sign_up::{Planned, email_taken};
use super::problem::Problem;
use super::session_create::{SignedIn, respond};
use crate::app::App;
use crate::random;
use crate::store::account::{self, Account, NO_PASSWORD, Role};
use crate::store::ceremony::Kind;
use crate::store::passkey::{self, Passkey};

/// Body.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    /// From `POST /v1/passkey-challenges/account`.
    ceremony: String,
    /// The browser's answer, as its `toJSON` writes it.
    #[schema(value_type = Value)]
    credential: RegisterPublicKeyCredential,
    /// What the passkey is to be called.
    passkey_name: String,
    /// Whether the session is wanted in the answer rather than in a cookie.
    #[serde(default)]
    bearer: bool,
}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Opens an account with a passkey and no password, and signs it in")
        .body::<Body>()
        .signs_in()
        .problems(401, &["ceremony_over", "passkey_refused"])
        .problems(403, &["origin_mismatch", "passkeys_off"])
        .problems(409, &["email_taken", "passkey_known"])
        .problems(422, &["name_invalid", "passkey_not_discoverable"])
        .problem(429, "sign_in_too_fast")
}

/// Answers 201 with the account.
pub async fn handle(
    State(app): State<App>,
    address: Address,
    headers: HeaderMap,
    Json { value: body, .. }: Json<Body>,
) -> Result<Response, Problem> {
    refuse_foreign_origin(&headers, &app)?;
    let passkeys = passkeys(&app)?;
    app.sign_ins.begin(address.0)?;
    let name = checked_name(&body.passkey_name)?;
    let ceremony = end(&app, &body.ceremony, Kind::PasskeySignUp).await?;
    let planned: Planned =
        serde_json::from_str(&ceremony.state).map_err(|error| Problem::internal(&error))?;
    let credential = passkeys.take_new(&body.credential, &planned.passkey)?;
    let now_ms = app.clock.now_ms();
    let opened = Account {
        id: planned.account,
        email: planned.email,
        name: planned.name,
        roles: vec![Role::Viewer],
        created_at_ms: now_ms,
    };
    let mut tx = app.store.write().await?;
    if !account::insert(&mut tx, &opened, NO_PASSWORD).await? {
        return Err(email_taken());
    }
    let first = Passkey {
        id: Uuid::from_bytes(random::id(now_ms)),
        account: opened.id,
        credential_id: credential.id,
        credential: credential.text,
        name,
        created_at_ms: now_ms,
        last_used_at_ms: None,
    };
    if !passkey::insert(&mut tx, &first).await? {
        return Err(known_already());
    }
    let signed_in = SignedIn::new(opened.id, body.bearer, &headers);
    respond(&app, tx, signed_in, StatusCode::CREATED).await
}
