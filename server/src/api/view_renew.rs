//! `POST /v1/views/{view}/renewals`: the next view token, for as long as the view is active.

use axum::Json;
use axum::extract::State;
use matinee_protocol::api::Renewal;
use matinee_protocol::id::ViewId;
use matinee_protocol::token::Role;

use super::attempt::Place;
use super::authority::RenewalAuthority;
use super::doc::Doc;
use super::problem::Problem;
use super::token;
use super::view_open::{count_title, idle_ms_max};
use crate::app::App;
use crate::license::{self, place::Country};
use crate::store::Tx;
use crate::store::view::{self, View};

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("The next view token, for as long as the view is active")
        .empty_body()
        .answer::<Renewal>(200)
        .rules()
}

/// Answers with a token; 403 with the rule that forbids it.
pub async fn handle(
    State(app): State<App>,
    Place(place): Place,
    RenewalAuthority(authority): RenewalAuthority,
) -> Result<Json<Renewal>, Problem> {
    // Read outside of the transaction, of which SQLite runs one at a time. Holding it says whether it still goes on.
    let found = active_view(&app, &mut app.store.read().await?, authority.view, place).await;
    let go_on = async |mut tx: Tx| {
        authority.proof.spend(&mut tx, app.clock.now_ms()).await?;
        let view = found.as_ref().map_err(Problem::clone)?;
        hold(&app, &mut tx, view, place).await?;
        tx.commit().await?;
        Ok::<_, Problem>(view)
    };
    let view = app.store.presuming(found.is_ok(), go_on).await?;
    let named = (view.id, view.release_id);
    let (view_token, expires_at_ms) =
        token::view_token(&app, named, view.device, Role::Viewer, view.until_ms())?;
    Ok(Json(Renewal { view_token, expires_at_ms }))
}

/// A view that may go on, asked for at this place.
pub async fn active_view(
    app: &App,
    tx: &mut Tx,
    id: ViewId,
    place: Option<Country>,
) -> Result<View, Problem> {
    let found = view::by_id(tx, id).await?.ok_or_else(|| Problem::not_found("view"))?;
    license::may_continue(&found, (place, &app.policy()), app.clock.now_ms(), idle_ms_max(app))?;
    Ok(found)
}

/// Notes that a view asked for something and holds its row until the transaction ends; 403 if it has ended or was
/// revoked since it was read. A view that goes on into another period of a quota counts its title there.
pub async fn hold(app: &App, tx: &mut Tx, found: &View, place: Option<Country>) -> Result<(), Problem> {
    let now_ms = app.clock.now_ms();
    if found.counts_title() {
        // The entitlement's row comes before the view's, as for whoever takes the entitlement back.
        count_title(tx, found.entitlement_id, found.title_id, now_ms).await?;
    }
    if view::touch(tx, found.id, now_ms).await? {
        return Ok(());
    }
    active_view(app, tx, found.id, place).await?;
    Err(license::Refusal::ViewEnded.into())
}
