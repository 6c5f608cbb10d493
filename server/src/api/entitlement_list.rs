//! `GET /v1/entitlements`: what the account may play.

use axum::Json;
use axum::extract::State;
use matinee_protocol::api::EntitlementSummary;
use matinee_protocol::id::{CollectionId, TitleId};
use serde_json::{Value, json};

use super::authority::Session;
use super::cursor::{self, Paging};
use super::doc::Doc;
use super::problem::Problem;
use crate::app::App;
use crate::store::entitlement;

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("What the account may play, newest first").paged(cursor::PAGE_ROWS_MAX).object(200, |it| {
        it.list::<EntitlementSummary>("entitlements")
            .list_of("titles", |it| it.field::<TitleId>("id").field::<String>("name"))
            .list_of("collections", |it| it.field::<CollectionId>("id").field::<String>("name"))
            .field::<Option<String>>("next")
    })
}

/// Answers; `titles` and `collections` name what the page's entitlements are to.
pub async fn handle(
    State(app): State<App>,
    session: Session,
    Paging(asked): Paging,
) -> Result<Json<Value>, Problem> {
    let mut tx = app.store.read().await?;
    let now_ms = app.clock.now_ms();
    let found = entitlement::by_account(&mut tx, session.account, &asked).await?;
    let entitlements: Vec<_> = found.rows.iter().map(|found| found.summary(now_ms)).collect();
    let (titles, collections) = entitlement::names(&mut tx, session.account, &asked).await?;
    Ok(Json(json!({
        "entitlements": entitlements, "titles": titles, "collections": collections,
        "next": found.next.as_ref().map(cursor::write),
    })))
}
