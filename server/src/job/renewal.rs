//! Renewals: charges the next period of every subscription and quota that is due, and tells owners of what ends.
//!
//! Nobody outside is asked here: what is charged to a saved payment method becomes a payment, and [`super::reconcile`] asks
//! for that.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use matinee_protocol::id::PurchaseId;

use crate::app::App;
use crate::payment::renewing::item;
use crate::random;
use crate::store::ending::{self, ENDINGS_LISTED_MAX};
use crate::store::renewal::{self, Due, Plans, RENEWALS_LISTED_MAX};
use crate::store::{self, Tx, outbox};

/// Milliseconds of a day.
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Renews everything that is due. Each in a transaction of its own: one that fails takes no other with it, and of two
/// servers one charges.
pub async fn run(app: &App) -> Result<(), store::Error> {
    let now_ms = app.clock.now_ms();
    let plans = Arc::new(Plans::default());
    loop {
        let mut tx = app.store.read().await?;
        let due = renewal::due(&mut tx, now_ms).await?;
        drop(tx);
        let count = due.len();
        let renewed = stream::iter(due).map(|due| renew(app.clone(), due, Arc::clone(&plans), now_ms));
        let renewed: Vec<Result<(), store::Error>> =
            renewed.buffer_unordered(app.store.writes_at_once()).collect().await;
        // What failed is still due: it is tried again at the next turn, when all others had theirs.
        renewed.into_iter().collect::<Result<(), _>>()?;
        if i64::try_from(count).is_ok_and(|count| count < RENEWALS_LISTED_MAX) {
            return Ok(());
        }
    }
}

async fn renew(app: App, due: Due, plans: Arc<Plans>, now_ms: i64) -> Result<(), store::Error> {
    let desk = app.cashier.desk();
    let likely = !due.entitlement.saved_method;
    let purchase = PurchaseId::from_bytes(random::id(now_ms));
    let charge = async |mut tx: Tx| {
        let renewed = renewal::renew_as_found(&mut tx, &due, purchase, &desk.rules(&plans), now_ms).await?;
        desk.write_to(&mut tx, (due.entitlement.id, purchase), renewed, now_ms).await?;
        tx.commit().await
    };
    app.store.presuming(likely, charge).await
}

/// Tells the owners of what ends soon, each once.
pub async fn tell_endings(app: &App) -> Result<(), store::Error> {
    let notice_ms = i64::from(app.config.outbox.ending_notice_days) * DAY_MS;
    if notice_ms == 0 {
        return Ok(());
    }
    let now_ms = app.clock.now_ms();
    loop {
        let mut tx = app.store.read().await?;
        let endings = ending::soon(&mut tx, notice_ms, now_ms).await?;
        drop(tx);
        for one in &endings {
            let mut tx = app.store.write().await?;
            if let Some(found) = ending::tell(&mut tx, one, now_ms).await? {
                let item = item(&mut tx, &found).await?;
                let letter = app.letters.ending(&item, one.ends_at_ms);
                outbox::mail(&mut tx, found.account_id, letter.as_ref(), now_ms).await?;
            }
            tx.commit().await?;
        }
        if i64::try_from(endings.len()).is_ok_and(|count| count < ENDINGS_LISTED_MAX) {
            return Ok(());
        }
    }
}
