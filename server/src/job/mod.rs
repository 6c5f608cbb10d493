//! What happens without a request: forgetting what has run out, telling peers what another process revoked, and
//! reading keys that another process rotated, reading a changed database of countries, asking what became of payments,
//! charging the next period of subscriptions, and sending webhooks and email.

pub mod deliver;
pub mod reconcile;
pub mod renewal;

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::store::{self, ceremony, event, idempotency, outbox, proof, session, sign_in_link, view, viewer};

/// How often revocations by other processes are looked for.
const REVOCATIONS_EVERY: Duration = Duration::from_secs(2);
/// How often signing keys are read again.
const KEYS_EVERY: Duration = Duration::from_secs(15);
/// How often the outbox is looked into.
const OUTBOX_EVERY: Duration = Duration::from_secs(1);
/// How many deliver at once: one that waits for a place that does not answer holds up no other.
const DELIVERERS: usize = 3;
/// How often what ends soon is looked for.
const ENDINGS_EVERY: Duration = Duration::from_secs(60 * 60);
/// How often payments that are due are looked for.
const PAYMENTS_EVERY: Duration = Duration::from_secs(1);
/// How often subscriptions that are due are looked for.
const RENEWALS_EVERY: Duration = Duration::from_secs(10);
/// How often the database of countries is looked at.
const ATLAS_EVERY: Duration = Duration::from_secs(60);
/// How often what has run out is forgotten.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// How far back revocations are looked for: clocks of several servers differ.
const REVOCATIONS_BACK_MS: i64 = 60_000;

/// Runs every job until `stop`.
pub async fn run(app: App, stop: CancellationToken) {
    let jobs = async {
        tokio::join!(
            every(REVOCATIONS_EVERY, || tell_revocations(&app)),
            every(KEYS_EVERY, || reload_keys(&app)),
            every(PAYMENTS_EVERY, || reconcile::run(&app)),
            every(RENEWALS_EVERY, || renewal::run(&app)),
            every(ENDINGS_EVERY, || renewal::tell_endings(&app)),
            join_all(
                (0..DELIVERERS).map(|_| every(OUTBOX_EVERY, || async { deliver::run(&app).await.map(drop) }))
            ),
            every(ATLAS_EVERY, || refresh_atlas(&app, false)),
            every(SWEEP_EVERY, || sweep(&app)),
        )
    };
    tokio::select! {
        _ = jobs => {}
        () = stop.cancelled() => {}
    }
}

/// A failure is logged and tried again at the next turn.
async fn every<W, E>(period: Duration, mut work: impl FnMut() -> W)
where
    W: Future<Output = Result<(), E>>,
    E: std::fmt::Display,
{
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = work().await {
            tracing::error!(%error, "job failed");
        }
    }
}

/// Ends the memberships of views that were revoked. Telling twice does no harm.
pub async fn tell_revocations(app: &App) -> Result<(), store::Error> {
    let since_ms = app.clock.now_ms() - REVOCATIONS_BACK_MS;
    let mut tx = app.store.read().await?;
    for (view, reason) in view::revoked_since(&mut tx, since_ms).await? {
        app.hub.revoke_view(view, &reason);
    }
    Ok(())
}

async fn reload_keys(app: &App) -> Result<(), crate::keyring::Error> {
    app.keyring.reload(&app.store, &app.vault, &*app.clock).await
}

/// Reads the database of countries again if it changed, or in any case. What cannot be read leaves what there was.
pub async fn refresh_atlas(app: &App, in_any_case: bool) -> Result<(), crate::atlas::Error> {
    let held = app.clone();
    let read = tokio::task::spawn_blocking(move || held.atlas.refresh(in_any_case)).await;
    if read.unwrap_or(Ok(false))? {
        tracing::info!("the database of countries was read again");
    }
    Ok(())
}

/// Forgets what has run out. Each table in a transaction of its own, so that requests come in between.
pub async fn sweep(app: &App) -> Result<(), store::Error> {
    let now_ms = app.clock.now_ms();
    let idle_since_ms = now_ms - i64::from(app.config.license.view_idle_s_max) * 1000;
    app.sign_ins.forget_idle();
    app.request_limits.forget_idle();
    let mut tx = app.store.write().await?;
    proof::delete_expired(&mut tx, now_ms).await?;
    tx.commit().await?;
    let mut tx = app.store.write().await?;
    idempotency::delete_expired(&mut tx, now_ms).await?;
    tx.commit().await?;
    let mut tx = app.store.write().await?;
    event::delete_expired(&mut tx, now_ms).await?;
    tx.commit().await?;
    let mut tx = app.store.write().await?;
    session::delete_expired(&mut tx, now_ms).await?;
    viewer::delete_expired_tokens(&mut tx, now_ms).await?;
    outbox::delete_old(&mut tx, now_ms).await?;
    ceremony::delete_expired(&mut tx, now_ms).await?;
    sign_in_link::delete_old(&mut tx, now_ms).await?;
    tx.commit().await?;
    let mut tx = app.store.write().await?;
    view::expire_idle(&mut tx, idle_since_ms, now_ms).await?;
    tx.commit().await
}
