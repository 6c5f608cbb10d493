//! `POST /v1/passkey-challenges`: begins a sign-in with a passkey, without a name.

use axum::Json as JsonResponse;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::attempt::Address;
use super::authority::refuse_foreign_origin;
use super::ceremony::{begin, passkeys};
use super::doc::Doc;
use super::json::Json;
use super::problem::Problem;
use crate::app::App;
use crate::store::ceremony::{Ceremony, Kind};

/// Body.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Begins a sign-in with a passkey; `options` is what `navigator.credentials.get` takes (WebAuthn level 3)")
        .body::<Body>()
        .object(201, |it| it.field::<String>("ceremony").field::<Value>("options"))
        .problems(403, &["origin_mismatch", "passkeys_off"])
        .problem(429, "sign_in_too_fast")
}

/// Answers 201.
pub async fn handle(
    State(app): State<App>,
    address: Address,
    headers: HeaderMap,
    Json { value: Body {}, .. }: Json<Body>,
) -> Result<(StatusCode, JsonResponse<Value>), Problem> {
    refuse_foreign_origin(&headers, &app)?;
    let passkeys = passkeys(&app)?;
    app.sign_ins.begin(address.0)?;
    let asked = passkeys.ask_any()?;
    let ceremony = Ceremony { kind: Kind::PasskeySignIn, account: None, state: asked.state };
    let token = begin(&app, ceremony).await?;
    Ok((StatusCode::CREATED, JsonResponse(json!({ "ceremony": *token, "options": asked.options }))))
}
