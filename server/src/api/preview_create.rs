//! `POST /v1/titles/{title}/previews`: the free beginning of a title, as an entitlement.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use matinee_protocol::api::EntitlementSummary;
use matinee_protocol::id::{EntitlementId, TitleId};
use serde_json::{Value, json};

use super::authority::Session;
use super::doc::{Doc, Fields};
use super::json::Path;
use super::problem::Problem;
use crate::app::App;
use crate::license::decide;
use crate::license::entitlement::Entitlement;
use crate::license::plan::{Kind, Scope};
use crate::random;
use crate::store::{account, entitlement, group, right};

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Gives the free beginning of a title")
        .empty_body()
        .object(201, given)
        .object(200, given)
        .problems(403, &["entitlement_revoked", "entitlement_cancelled"])
}

fn given(it: Fields) -> Fields {
    it.field::<EntitlementSummary>("entitlement").field::<u64>("preview_ms")
}

/// Answers 201 with the entitlement, 200 with the one that the account has; 404 `not_found` where nothing is free,
/// 403 where it was taken back.
pub async fn handle(
    State(app): State<App>,
    session: Session,
    Path(title): Path<TitleId>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let now_ms = app.clock.now_ms();
    let mut tx = app.store.write().await?;
    if !group::may_see(&mut tx, title, Some(session.account)).await? {
        return Err(Problem::not_found("title"));
    }
    let preview_ms = right::preview_ms(&mut tx, title).await?;
    let preview_ms = preview_ms.ok_or_else(|| Problem::not_found("preview of this title"))?;
    // Two requests at once make one.
    account::hold(&mut tx, session.account).await?;
    let kept = entitlement::of_kind(&mut tx, session.account, title, Kind::Preview).await?;
    let (status, given) = if let Some(kept) = kept {
        // What the operator took back is not given again.
        decide::windows(&kept, now_ms)?;
        (StatusCode::OK, kept)
    } else {
        let id = EntitlementId::from_bytes(random::id(now_ms));
        let granted = Entitlement::granted(id, session.account, Scope::Title(title), now_ms);
        let given = Entitlement { kind: Kind::Preview, ..granted };
        entitlement::insert(&mut tx, &given).await?;
        (StatusCode::CREATED, given)
    };
    tx.commit().await?;
    Ok((status, Json(json!({ "entitlement": given.summary(now_ms), "preview_ms": preview_ms }))))
}
