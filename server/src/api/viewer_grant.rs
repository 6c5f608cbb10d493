//! `POST /v1/viewers/{account}/entitlements`: gives a viewer of an integrator's the right to a title.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use matinee_protocol::api::EntitlementSummary;
use matinee_protocol::id::{AccountId, EntitlementId, TitleId};
use serde::Deserialize;
use serde_json::json;

use super::doc::Doc;
use super::idempotent::{Begin, Key, Once};
use super::integrator::Caller;
use super::json::{Json, Path};
use super::plan_terms::{VIEWS_MAX, WINDOW_MS_MAX};
use super::problem::Problem;
use super::trail::note;
use crate::app::App;
use crate::license::plan::Scope as Over;
use crate::random;
use crate::store::api_key::Scope;
use crate::store::entitlement::{self, Entitlement};
use crate::store::{outbox, title};

/// Body.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    /// The title.
    title: TitleId,
    /// Views; none is no limit.
    #[schema(minimum = 1, maximum = 1_000_000)]
    views: Option<u32>,
    /// How long from now it can be started; none is no limit.
    start_within_ms: Option<u64>,
    /// How long it plays once it was started; none is no limit.
    play_within_ms: Option<u64>,
}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Gives a viewer the right to a title, without a purchase")
        .once()
        .body::<Body>()
        .object(201, |it| it.field::<EntitlementSummary>("entitlement"))
        .problems(422, &["views_out_of_range", "window_out_of_range"])
}

/// Answers 201 with the entitlement.
pub async fn handle(
    State(app): State<App>,
    caller: Caller,
    Path(account): Path<AccountId>,
    key: Key,
    Json { value: body, bytes }: Json<Body>,
) -> Result<Response, Problem> {
    caller.require(Scope::Entitlements)?;
    check(&body)?;
    let now_ms = app.clock.now_ms();
    let mut tx = app.store.write().await?;
    caller.require_own(&mut tx, account).await?;
    if title::by_id(&mut tx, body.title).await?.is_none() {
        return Err(Problem::not_found("title"));
    }
    let asked: [&[u8]; 2] = [account.as_bytes(), &bytes];
    let mut once = match Once::begin(tx, (caller.account, "grant", key), &asked, None, now_ms).await? {
        Begin::Do(once) => once,
        Begin::Replay(response) => return Ok(response),
    };
    let span_ms = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    let id = EntitlementId::from_bytes(random::id(now_ms));
    let granted = Entitlement {
        start_by_ms: body.start_within_ms.map(|within| now_ms.saturating_add(span_ms(within))),
        play_within_ms: body.play_within_ms.map(span_ms),
        views_left: body.views,
        ..Entitlement::granted(id, account, Over::Title(body.title), now_ms)
    };
    entitlement::insert(&mut once.tx, &granted).await?;
    let detail = json!({ "account": account, "title": body.title, "views": body.views });
    note(&mut once.tx, &caller, "entitlement.grant", &granted.id, detail, now_ms).await?;
    outbox::post(
        &mut once.tx,
        "entitlement.granted",
        account,
        &json!({ "account": account, "entitlement": granted.summary(now_ms) }),
        now_ms,
    )
    .await?;
    let answer = json!({ "entitlement": granted.summary(now_ms) });
    once.answer(StatusCode::CREATED, &answer).await
}

fn check(body: &Body) -> Result<(), Problem> {
    let refuse = |code, detail: String| Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail));
    if body.views.is_some_and(|views| !(1..=VIEWS_MAX).contains(&views)) {
        return refuse("views_out_of_range", format!("there are 1 to {VIEWS_MAX} views, or null"));
    }
    for window_ms in [body.start_within_ms, body.play_within_ms].into_iter().flatten() {
        if !(1..=WINDOW_MS_MAX).contains(&window_ms) {
            return refuse("window_out_of_range", format!("a window is of 1 to {WINDOW_MS_MAX} ms, or null"));
        }
    }
    Ok(())
}
