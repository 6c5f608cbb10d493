//! `GET /v1/titles/{title}/entitlements`: by what the account may play a title, its own and those to its collections.

use axum::Json;
use axum::extract::State;
use matinee_protocol::api::EntitlementSummary;
use matinee_protocol::id::TitleId;
use serde_json::{Value, json};

use super::attempt::Place;
use super::authority::Session;
use super::doc::Doc;
use super::json::Path;
use super::problem::Problem;
use super::view_open::idle_ms_max;
use crate::app::App;
use crate::license;
use crate::license::decide::{self, Devices, Facts, Refusal};
use crate::license::plan::Kind;
use crate::store::{entitlement, group, right, view};

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("By what the account may play a title, the best first").object(200, |it| {
        it.list_of("entitlements", |it| {
            it.field::<EntitlementSummary>("entitlement")
                .field::<Option<String>>("code")
                .field::<Option<String>>("message")
        })
    })
}

/// Answers with what is open and to the title. `code` and `message` say why no view opens by it now, nor goes on; what the
/// account's other devices leave room for is asked when a view is opened.
pub async fn handle(
    State(app): State<App>,
    session: Session,
    Path(id): Path<TitleId>,
    Place(place): Place,
) -> Result<Json<Value>, Problem> {
    let now_ms = app.clock.now_ms();
    let mut tx = app.store.read().await?;
    if !group::may_see(&mut tx, id, Some(session.account)).await? {
        return Err(Problem::not_found("title"));
    }
    let seen_since_ms = now_ms - idle_ms_max(&app);
    let open = view::open_on_title(&mut tx, session.account, id, seen_since_ms).await?;
    let mut found = Vec::new();
    for held in entitlement::to_title(&mut tx, session.account, id).await? {
        let title = right::title(&mut tx, id, session.account, Some(held.id)).await?;
        let title = title.ok_or_else(|| Problem::not_found("title"))?;
        if decide::belongs(&held, &title).is_err() {
            continue;
        }
        let devices = Devices { registered: true, ..Devices::default() };
        let facts = Facts { entitlement: &held, title: &title, place, devices, policy: app.policy(), now_ms };
        // The last view may still be open, and is gone on with.
        let goes_on = |refusal: &Refusal| *refusal == Refusal::NoViewsLeft && open.contains(&held.id);
        let refusal = license::decide(&facts).err().filter(|refusal| !goes_on(refusal));
        found.push((rank(held.kind, refusal.is_some()), held, refusal));
    }
    found.sort_by_key(|(rank, held, _)| (*rank, held.created_at_ms));
    let entitlements = found.iter().map(|(_, held, refusal)| {
        json!({
            "entitlement": held.summary(now_ms),
            "code": refusal.map(Refusal::code),
            "message": refusal.map(|refusal| refusal.to_string()),
        })
    });
    let entitlements: Vec<_> = entitlements.collect();
    Ok(Json(json!({ "entitlements": entitlements })))
}

/// What costs nothing to use comes before what is counted, a whole title before its beginning, and what opens before
/// what does not.
fn rank(kind: Kind, refused: bool) -> (bool, u8) {
    let kind = match kind {
        Kind::Purchase | Kind::Free => 0,
        Kind::Subscription => 1,
        Kind::Rental => 2,
        Kind::Quota => 3,
        Kind::AdSupported => 4,
        Kind::Preview => 5,
    };
    (refused, kind)
}
