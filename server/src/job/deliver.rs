//! Delivers what is due in the outbox.

use futures_util::future::join_all;

use crate::app::App;
use crate::store::outbox::Message;
use crate::store::{self, outbox};

/// Takes what is due, sends it, and writes down how that went, until nothing is. Gives how many attempts there were.
///
/// A message is taken for a minute: a server that dies with it leaves it to the next. So it may come twice, under one id.
pub async fn run(app: &App) -> Result<usize, store::Error> {
    let mut attempts = 0;
    loop {
        let mut tx = app.store.read().await?;
        let due = outbox::is_due(&mut tx, app.clock.now_ms()).await?;
        drop(tx);
        if !due {
            return Ok(attempts);
        }
        let mut tx = app.store.write().await?;
        let taken = outbox::take(&mut tx, app.clock.now_ms()).await?;
        tx.commit().await?;
        attempts += taken.len();
        // Each is written down when it is done: one that is slow leaves no other to be sent again.
        for done in join_all(taken.iter().map(|message| attempt(app, message))).await {
            done?;
        }
    }
}

async fn attempt(app: &App, message: &Message) -> Result<(), store::Error> {
    let outcome = app.outbox.send(message, app.clock.now_ms()).await;
    if let Some(error) = &outcome.error {
        tracing::warn!(message = message.id, attempt = message.attempts, error, "not delivered");
    }
    let mut tx = app.store.write().await?;
    outbox::finish(&mut tx, message, &outcome, app.clock.now_ms()).await?;
    tx.commit().await
}
