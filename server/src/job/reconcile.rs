//! Payments and refunds of which nothing was heard: after a crash between two steps, or when an event was lost.

use crate::api::{paying, purchase_refund};
use crate::app::App;
use crate::payment;
use crate::payment::cashier::Failure;
use crate::store;

/// Asks the provider what became of every payment and refund that is due, and books it.
pub async fn run(app: &App) -> Result<(), store::Error> {
    payments(app).await?;
    refunds(app).await
}

async fn payments(app: &App) -> Result<(), store::Error> {
    let due = store::payment::due(&mut app.store.read().await?, app.clock.now_ms()).await?;
    for payment in due {
        let mut tx = app.store.write().await?;
        let ours =
            store::payment::take_up(&mut tx, &payment, app.cashier.due_again_ms(payment.checks)).await?;
        tx.commit().await?;
        if !ours {
            continue;
        }
        match settle(app, &payment).await {
            Ok(()) => {}
            Err(Failure::Store(error)) => return Err(error),
            Err(failure) => {
                tracing::warn!(payment = %payment.id, %failure, "a payment stays open");
                if matches!(failure, Failure::Provider(payment::Error::Unreachable(_))) {
                    // The others would wait for the same silence.
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

async fn settle(app: &App, payment: &store::payment::Payment) -> Result<(), Failure> {
    let label = paying::label(app, payment).await?;
    let standing = app.cashier.ask(payment, &label).await?;
    let mut tx = app.store.write().await?;
    app.cashier.book(&mut tx, payment, &standing).await?;
    tx.commit().await?;
    Ok(())
}

async fn refunds(app: &App) -> Result<(), store::Error> {
    let due = store::refund::due(&mut app.store.read().await?, app.clock.now_ms()).await?;
    for refund in due {
        let mut tx = app.store.write().await?;
        let again_at_ms = app.cashier.due_again_ms(refund.checks);
        let ours = store::refund::take_up(&mut tx, &refund, again_at_ms).await?;
        tx.commit().await?;
        if !ours {
            continue;
        }
        match purchase_refund::send(app, &refund).await {
            Ok(()) => {}
            Err(Failure::Store(error)) => return Err(error),
            Err(failure) => {
                tracing::warn!(refund = %refund.id, %failure, "a refund stays open");
                if matches!(failure, Failure::Provider(payment::Error::Unreachable(_))) {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}
