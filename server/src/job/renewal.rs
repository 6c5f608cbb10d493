//! Renewals: charges the next period of every subscription and quota that is due.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use matinee_protocol::id::EntitlementId;

use crate::app::App;
use crate::store;
use crate::store::renewal::{self, Plans, RENEWALS_LISTED_MAX};

/// Renewals under way at once: on SQLite they share commits, on PostgreSQL they wait for each other's answers.
const AT_ONCE: usize = 8;

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
        let renewed =
            stream::iter(due).map(|entitlement| renew(app.clone(), entitlement, Arc::clone(&plans), now_ms));
        let renewed: Vec<Result<(), store::Error>> = renewed.buffer_unordered(AT_ONCE).collect().await;
        // What failed is still due: it is tried again at the next turn, when all others had theirs.
        renewed.into_iter().collect::<Result<(), _>>()?;
        if i64::try_from(count).is_ok_and(|count| count < RENEWALS_LISTED_MAX) {
            return Ok(());
        }
    }
}

async fn renew(
    app: App,
    entitlement: EntitlementId,
    plans: Arc<Plans>,
    now_ms: i64,
) -> Result<(), store::Error> {
    let mut tx = app.store.write().await?;
    renewal::renew(&mut tx, entitlement, &plans, now_ms).await?;
    tx.commit().await
}
