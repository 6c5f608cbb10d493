//! `POST /v1/passkey-sessions`: signs in whoever holds the passkey.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use webauthn_rs::prelude::PublicKeyCredential;

use super::attempt::Address;
use super::authority::refuse_foreign_origin;
use super::ceremony::{end, passkeys};
use super::doc::Doc;
use super::json::Json;
use super::problem::Problem;
use super::session_create::{SignedIn, respond};
use crate::app::App;
use crate::passkey::Passkeys;
use crate::store::ceremony::Kind;
use crate::store::passkey;

/// Body.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    /// From `POST /v1/passkey-challenges`.
    ceremony: String,
    /// The browser's answer, as its `toJSON` writes it.
    #[schema(value_type = Value)]
    credential: PublicKeyCredential,
    /// Whether the session is wanted in the answer rather than in a cookie.
    #[serde(default)]
    bearer: bool,
}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Signs in with a passkey")
        .body::<Body>()
        .signs_in()
        .problems(401, &["ceremony_over", "passkey_refused"])
        .problems(403, &["origin_mismatch", "passkeys_off"])
        .problem(429, "sign_in_too_fast")
}

/// Answers as signing in does; 401 `passkey_refused` for an unknown passkey, another's, and one that proves nothing alike.
pub async fn handle(
    State(app): State<App>,
    address: Address,
    headers: HeaderMap,
    Json { value: body, .. }: Json<Body>,
) -> Result<Response, Problem> {
    refuse_foreign_origin(&headers, &app)?;
    let passkeys = passkeys(&app)?;
    let (account, credential) = Passkeys::claimed(&body.credential).ok_or_else(refused)?;
    app.sign_ins.attempt(&account.to_string(), address.0)?;
    let ceremony = end(&app, &body.ceremony, Kind::PasskeySignIn).await?;
    let mut tx = app.store.read().await?;
    let kept = passkey::by_credential(&mut tx, credential).await?;
    drop(tx);
    // The account's name in the answer is not signed: it must be the one that the key was registered for.
    let kept = kept.filter(|kept| kept.account == account).ok_or_else(refused)?;
    let credential = passkeys.take_any(&body.credential, &ceremony.state, &kept.credential)?;
    let mut tx = app.store.write().await?;
    if !passkey::used(&mut tx, &kept, &credential, app.clock.now_ms()).await? {
        return Err(refused());
    }
    let signed_in = SignedIn::new(account, body.bearer, &headers);
    respond(&app, tx, signed_in, StatusCode::CREATED).await
}

fn refused() -> Problem {
    let detail = "this passkey does not open an account here";
    Problem::new(StatusCode::UNAUTHORIZED, "passkey_refused", detail)
}
