//! `GET /v1/sign-in`: the ways there are to sign in here, for whoever draws the page.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::doc::Doc;
use crate::app::App;

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("The ways there are to sign in here").object(200, |it| {
        it.field::<bool>("accounts_open")
            .field::<bool>("passkeys")
            .field::<bool>("mail")
            .list_of("providers", |it| it.field::<String>("name").field::<String>("label"))
    })
}

/// Answers.
pub async fn handle(State(app): State<App>) -> Json<Value> {
    let providers = app.providers.labels().map(|(name, label)| json!({ "name": name, "label": label }));
    Json(json!({
        "providers": providers.collect::<Vec<_>>(),
        "accounts_open": app.config.account.open,
        "passkeys": app.passkeys.is_some(),
        "mail": !app.letters.is_silent(),
    }))
}
