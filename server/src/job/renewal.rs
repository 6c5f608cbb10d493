//! Renewals: charges the next period of every subscription and quota that is due.

use crate::app::App;
use crate::store;
use crate::store::renewal::{self, RENEWALS_LISTED_MAX};

/// Renews everything that is due. Each in a transaction of its own: one that fails takes no other with it, and of two
/// servers one charges.
pub async fn run(app: &App) -> Result<(), store::Error> {
    let now_ms = app.clock.now_ms();
    loop {
        let mut tx = app.store.read().await?;
        let due = renewal::due(&mut tx, now_ms).await?;
        drop(tx);
        for entitlement in &due {
            let mut tx = app.store.write().await?;
            renewal::renew(&mut tx, *entitlement, now_ms).await?;
            tx.commit().await?;
        }
        if i64::try_from(due.len()).is_ok_and(|count| count < RENEWALS_LISTED_MAX) {
            return Ok(());
        }
    }
}
