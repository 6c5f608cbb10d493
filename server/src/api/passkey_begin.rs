//! `POST /v1/passkey-challenges/registration`: begins to give the account a passkey.

use axum::Json as JsonResponse;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::authority::Session;
use super::ceremony::{begin, passkeys, require_fresh};
use super::doc::Doc;
use super::problem::Problem;
use crate::app::App;
use crate::passkey::Person;
use crate::store::ceremony::{Ceremony, Kind};
use crate::store::{account, passkey};

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Begins to give the account a passkey; `options` is what `navigator.credentials.create` takes")
        .object(201, |it| it.field::<String>("ceremony").field::<Value>("options"))
        .problems(403, &["account_required", "login_too_old", "passkeys_off"])
        .problem(429, "sign_in_too_fast")
}

/// Answers 201.
pub async fn handle(
    State(app): State<App>,
    login: Session,
) -> Result<(StatusCode, JsonResponse<Value>), Problem> {
    let passkeys = passkeys(&app)?;
    require_fresh(&app, &login).await?;
    let mut tx = app.store.read().await?;
    let owner = account::by_id(&mut tx, login.account).await?.ok_or_else(Problem::unauthenticated)?;
    let known = passkey::by_account(&mut tx, login.account).await?;
    drop(tx);
    let known = known.into_iter().map(|passkey| passkey.credential_id).collect();
    let person = Person { account: owner.id, email: &owner.email, name: &owner.name };
    let asked = passkeys.ask_new(person, known)?;
    let ceremony =
        Ceremony { kind: Kind::PasskeyRegistration, account: Some(login.account), state: asked.state };
    let token = begin(&app, ceremony).await?;
    Ok((StatusCode::CREATED, JsonResponse(json!({ "ceremony": *token, "options": asked.options }))))
}
