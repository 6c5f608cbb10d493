//! `POST /v1/views/{view}/licenses`: the keys of the epoch asked for and the next ones.

use axum::Json;
use axum::extract::State;
use matinee_protocol::api::{LicenseAnswer, LicenseRequest};
use matinee_protocol::id::FileIndex;

use super::attempt::Place;
use super::authority::ViewAuthority;
use super::breaks;
use super::doc::Doc;
use super::problem::Problem;
use super::token::{self, Licensee};
use super::view_renew::{active_view, hold};
use crate::app::App;
use crate::store::{self, Tx};

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("The keys of the epoch asked for and the next ones")
        .body::<LicenseRequest>()
        .answer::<LicenseAnswer>(200)
        .rules()
        .problems(422, &["epoch_out_of_range", "agreement_key_invalid"])
        .problem(429, "keys_too_fast")
}

/// Answers with a license; 403 with the rule that forbids it, 429 `keys_too_fast`.
pub async fn handle(
    State(app): State<App>,
    Place(place): Place,
    authority: ViewAuthority,
) -> Result<Json<LicenseAnswer>, Problem> {
    let body: LicenseRequest = authority.proof.json()?;
    let mut tx = app.store.read().await?;
    let view = active_view(&app, &mut tx, authority.view, place).await?;
    let breaks = breaks::of_view(&mut tx, &view).await?;
    drop(tx);
    let shown = breaks::shown(breaks.as_ref());
    let published = app.catalog.published(view.release_id).await?;
    let published =
        published.ok_or_else(|| Problem::internal(&store::Error::Corrupt("view without a release")))?;
    let licensee = Licensee {
        view: view.id,
        device: view.device,
        agreement_key: view.agreement_key,
        play_until_ms: view.until_ms(),
        open: view.open(&shown),
        first: false,
    };
    let terms = token::terms(&app, &published, licensee, FileIndex(body.file), body.epoch)?;
    let release = async |mut tx: Tx| {
        authority.proof.spend(&mut tx, app.clock.now_ms()).await?;
        hold(&app, &mut tx, &view, place).await?;
        token::record(&app, &mut tx, &terms, false).await?;
        // What is released is on the record before it leaves.
        tx.commit().await.map_err(Problem::from)
    };
    app.store.presuming(true, release).await?;
    Ok(Json(LicenseAnswer { license: token::license(&app, &published, &terms)?, breaks }))
}
