//! `POST /v1/passkeys`: gives the account a passkey.

use axum::Json as JsonResponse;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;
use webauthn_rs::prelude::RegisterPublicKeyCredential;

use super::account_create::NAME_CHARS_MAX;
use super::authority::Session;
use super::ceremony::{end, over, passkeys, require_fresh};
use super::doc::{Doc, Fields};
use super::json::Json;
use super::ownership::hold;
use super::problem::Problem;
use crate::app::App;
use crate::random;
use crate::store::ceremony::Kind;
use crate::store::passkey::{self, PASSKEYS_MAX, Passkey};

/// Body.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    /// From `POST /v1/passkey-challenges/registration`.
    ceremony: String,
    /// The browser's answer, as its `toJSON` writes it.
    #[schema(value_type = Value)]
    credential: RegisterPublicKeyCredential,
    /// What the passkey is to be called.
    name: String,
}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Gives the account a passkey")
        .body::<Body>()
        .object(201, |it| it.object("passkey", fields))
        .problems(401, &["ceremony_over", "passkey_refused"])
        .problems(403, &["account_required", "login_too_old", "passkeys_off"])
        .problems(409, &["passkey_known", "passkeys_too_many"])
        .problems(422, &["name_invalid", "passkey_not_discoverable"])
}

/// A passkey, as its account sees it.
pub fn fields(it: Fields) -> Fields {
    it.field::<String>("id")
        .field::<String>("name")
        .field::<i64>("created_at_ms")
        .field::<Option<i64>>("last_used_at_ms")
}

/// The same as JSON.
pub fn shown(passkey: &Passkey) -> Value {
    json!({
        "id": passkey.id, "name": passkey.name, "created_at_ms": passkey.created_at_ms,
        "last_used_at_ms": passkey.last_used_at_ms,
    })
}

/// Answers 201 with the passkey.
pub async fn handle(
    State(app): State<App>,
    login: Session,
    Json { value: body, .. }: Json<Body>,
) -> Result<(StatusCode, JsonResponse<Value>), Problem> {
    let passkeys = passkeys(&app)?;
    require_fresh(&app, &login).await?;
    let name = checked_name(&body.name)?;
    let ceremony = end(&app, &body.ceremony, Kind::PasskeyRegistration).await?;
    if ceremony.account != Some(login.account) {
        return Err(over());
    }
    let credential = passkeys.take_new(&body.credential, &ceremony.state)?;
    let now_ms = app.clock.now_ms();
    let added = Passkey {
        id: Uuid::from_bytes(random::id(now_ms)),
        account: login.account,
        credential_id: credential.id,
        credential: credential.text,
        name,
        created_at_ms: now_ms,
        last_used_at_ms: None,
    };
    let mut tx = app.store.write().await?;
    hold(&app, &mut tx, &login).await?;
    if !passkey::insert(&mut tx, &added).await? {
        let full = passkey::by_account(&mut tx, login.account).await?.len() as i64 >= PASSKEYS_MAX;
        let detail = format!("an account has at most {PASSKEYS_MAX} passkeys; remove one first");
        return Err(if full { Problem::conflict("passkeys_too_many", detail) } else { known_already() });
    }
    tx.commit().await?;
    Ok((StatusCode::CREATED, JsonResponse(json!({ "passkey": shown(&added) }))))
}

/// 409: a credential has one account.
pub fn known_already() -> Problem {
    Problem::conflict("passkey_known", "this passkey is registered already")
}

/// A name as it is kept, or 422 `name_invalid`.
pub fn checked_name(name: &str) -> Result<String, Problem> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > NAME_CHARS_MAX || name.chars().any(char::is_control) {
        let detail = format!("write a name of 1 to {NAME_CHARS_MAX} characters");
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "name_invalid", detail));
    }
    Ok(name.to_owned())
}
