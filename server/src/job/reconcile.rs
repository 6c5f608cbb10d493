//! Payments, refunds and saved methods of which something is open: renewals that are to be charged, and what a crash
//! between two steps or a lost event left behind.

use futures_util::{StreamExt as _, stream};

use crate::api::{paying, purchase_refund};
use crate::app::App;
use crate::payment;
use crate::payment::cashier::Failure;
use crate::store::payment::Payment;
use crate::store::{self, entitlement, saved_method};

/// Payments that the provider is asked about at once.
const AT_ONCE: usize = 8;

/// Asks the provider what became of every payment and refund that is due, and books it; and to forget what it is to forget.
pub async fn run(app: &App) -> Result<(), store::Error> {
    payments(app).await?;
    refunds(app).await?;
    methods(app).await
}

async fn payments(app: &App) -> Result<(), store::Error> {
    let due = store::payment::due(&mut app.store.read().await?, app.clock.now_ms()).await?;
    let mut settled = stream::iter(due).map(|payment| take_up(app, payment)).buffer_unordered(AT_ONCE);
    while let Some(answered) = settled.next().await {
        if !answered? {
            // The others would wait for the same silence.
            return Ok(());
        }
    }
    Ok(())
}

/// False if the provider does not answer.
async fn take_up(app: &App, payment: Payment) -> Result<bool, store::Error> {
    let mut tx = app.store.write().await?;
    let ours = store::payment::take_up(&mut tx, &payment, app.cashier.due_again_ms(payment.checks)).await?;
    tx.commit().await?;
    match if ours { settle(app, &payment).await } else { Ok(()) } {
        Ok(()) => Ok(true),
        Err(Failure::Store(error)) => Err(error),
        Err(failure) => {
            tracing::warn!(payment = %payment.id, %failure, "a payment stays open");
            Ok(!matches!(failure, Failure::Provider(payment::Error::Unreachable(_))))
        }
    }
}

async fn settle(app: &App, payment: &Payment) -> Result<(), Failure> {
    let label = paying::label(app, payment).await?;
    let wanted = is_wanted(app, payment).await?;
    let standing = app.cashier.ask(payment, &label, wanted).await?;
    let mut tx = app.store.write().await?;
    app.cashier.book(&mut tx, payment, &standing).await?;
    tx.commit().await?;
    Ok(())
}

/// Whether a charge is still to be made: not for what was given up or ended since.
async fn is_wanted(app: &App, payment: &Payment) -> Result<bool, store::Error> {
    let Some(renews) = payment.renews else { return Ok(true) };
    let found = entitlement::by_id(&mut app.store.read().await?, renews.entitlement).await?;
    let found = found.filter(|found| found.status.is_open());
    Ok(found.and_then(|found| found.billing).is_some_and(|billing| billing.renews))
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

async fn methods(app: &App) -> Result<(), store::Error> {
    let provider = app.cashier.provider().name();
    let due = saved_method::due(&mut app.store.read().await?, provider, app.clock.now_ms()).await?;
    for method in due {
        let mut tx = app.store.write().await?;
        let ours = saved_method::take_up(&mut tx, &method, app.cashier.due_again_ms(method.checks)).await?;
        tx.commit().await?;
        if !ours {
            continue;
        }
        if let Err(error) = app.cashier.forget(&method).await {
            tracing::warn!(payment = %method.payment, %error, "a payment method is not forgotten yet");
            if matches!(error, payment::Error::Unreachable(_)) {
                return Ok(());
            }
            continue;
        }
        let mut tx = app.store.write().await?;
        saved_method::forgotten(&mut tx, method.payment).await?;
        tx.commit().await?;
    }
    Ok(())
}
