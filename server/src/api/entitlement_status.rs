//! `GET /v1/entitlements/{entitlement}/status`: the status document of an entitlement, in the manner of Readium LCP's
//! License Status Document: where it stands, until when, what may be done with it, and what happened to it.

use axum::Json;
use axum::extract::State;
use matinee_protocol::api::EntitlementSummary;
use matinee_protocol::id::EntitlementId;
use serde_json::{Value, json};

use super::authority::Session;
use super::doc::{Doc, Fields};
use super::json::Path;
use super::problem::Problem;
use crate::app::App;
use crate::license::decide;
use crate::license::entitlement::Entitlement;
use crate::license::status::{Event, Status, next};
use crate::store::account::Role;
use crate::store::{Tx, entitlement};

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Where an entitlement stands, and what happened to it").object(200, fields)
}

/// What a status document holds.
pub fn fields(it: Fields) -> Fields {
    it.field::<EntitlementId>("id")
        .field::<String>("status")
        .field::<String>("message")
        .field::<Option<String>>("code")
        .field::<i64>("updated_at_ms")
        .field::<EntitlementSummary>("entitlement")
        .optional::<String>("renewed_by")
        .object("potential_rights", |it| it.field::<i64>("end_ms"))
        .list_of("links", |it| {
            it.field::<String>("rel")
                .field::<String>("method")
                .field::<String>("href")
                .field::<String>("type")
        })
        .list_of("events", |it| {
            it.field::<String>("type").field::<Option<String>>("note").field::<i64>("at_ms")
        })
}

/// Answers. The viewer whose it is may ask, and the operator.
pub async fn handle(
    State(app): State<App>,
    session: Session,
    Path(id): Path<EntitlementId>,
) -> Result<Json<Value>, Problem> {
    let mut tx = app.store.read().await?;
    let found = entitlement::by_id(&mut tx, id).await?;
    let found = found.filter(|found| found.account_id == session.account || session.has(Role::Operator));
    let found = found.ok_or_else(|| Problem::not_found("entitlement"))?;
    Ok(Json(document(&mut tx, &found, app.clock.now_ms()).await?))
}

/// The document.
pub async fn document(tx: &mut Tx, found: &Entitlement, now_ms: i64) -> Result<Value, Problem> {
    let events = entitlement::events(tx, found.id).await?;
    let status = found.status_at(now_ms);
    let updated_ms = events.first().map_or(found.created_at_ms, |event| event.at_ms);
    let link = |rel: &str, method: &str, path: &str| {
        let href = format!("/v1/entitlements/{}/{path}", found.id);
        json!({ "rel": rel, "method": method, "href": href, "type": "application/json" })
    };
    let mut links = vec![link("self", "GET", "status")];
    if found.billing.is_some() && status.is_open() {
        links.push(link("renewal", "PUT", "renewal"));
    }
    if next(status, Event::Return).is_some() {
        links.push(link("return", "POST", "return"));
    }
    let refused = decide::windows(found, now_ms).err();
    let happened =
        events.iter().map(|event| json!({ "type": event.event, "note": event.note, "at_ms": event.at_ms }));
    let mut document = json!({
        "id": found.id,
        "status": status.text(),
        "message": refused.map_or_else(|| message(status).to_owned(), |refusal| refusal.to_string()),
        "code": refused.map(decide::Refusal::code),
        "updated_at_ms": updated_ms,
        "entitlement": found.summary(now_ms),
        "potential_rights": { "end_ms": found.play_until_at(now_ms) },
        "links": links,
        "events": happened.collect::<Vec<_>>(),
    });
    if found.billing.is_some_and(|billing| billing.renews) {
        document["renewed_by"] = json!(if found.saved_method { "saved_method" } else { "wallet" });
    }
    Ok(document)
}

fn message(status: Status) -> &'static str {
    match status {
        Status::Ready => "it can be played",
        Status::Active => "it is in use, and can be played",
        Status::Expired | Status::Cancelled | Status::Revoked | Status::Returned => "it is over",
    }
}
