//! Renewals: charges the next period of every subscription and quota that is due, and tells owners of what ends.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use matinee_protocol::id::EntitlementId;

use crate::app::App;
use crate::letter::Receipt;
use crate::license::entitlement::Entitlement;
use crate::store::renewal::{self, ENDINGS_LISTED_MAX, Plans, RENEWALS_LISTED_MAX, Renewed};
use crate::store::{self, Tx, entitlement, outbox, plan, title};

/// Renewals under way at once: on SQLite they share commits, on PostgreSQL they wait for each other's answers.
const AT_ONCE: usize = 8;
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
    let renewed = renewal::renew(&mut tx, entitlement, &plans, now_ms).await?;
    write_to(&app, &mut tx, entitlement, renewed, now_ms).await?;
    tx.commit().await
}

/// Writes to the owner what came of a renewal, where there is something to say.
async fn write_to(
    app: &App,
    tx: &mut Tx,
    renewed: EntitlementId,
    outcome: Renewed,
    now_ms: i64,
) -> Result<(), store::Error> {
    if app.letters.is_silent() || !matches!(outcome, Renewed::Yes | Renewed::Failed) {
        return Ok(());
    }
    let Some(found) = entitlement::by_id(tx, renewed).await? else { return Ok(()) };
    let (Some(plan_id), Some(billing)) = (found.plan_id, found.billing) else { return Ok(()) };
    let Some(plan) = plan::by_id(tx, plan_id).await? else { return Ok(()) };
    let item = item(tx, &found).await?;
    let letter = match outcome {
        Renewed::Yes if plan.price.minor > 0 => {
            let id = renewal::journal(found.id, billing.index);
            let paid = &plan.price;
            app.letters.receipt(&Receipt { id: &id, item: &item, paid, tax: None, at_ms: now_ms })
        }
        Renewed::Failed => app.letters.renewal_failed(&item, &plan.price, billing.valid_until_ms()),
        _ => None,
    };
    outbox::mail(tx, found.account_id, letter.as_ref(), now_ms).await
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
        let endings = renewal::ending(&mut tx, notice_ms, now_ms).await?;
        drop(tx);
        for ending in &endings {
            let mut tx = app.store.write().await?;
            if let Some(found) = renewal::tell_ending(&mut tx, ending, now_ms).await? {
                let item = item(&mut tx, &found).await?;
                let letter = app.letters.ending(&item, ending.ends_at_ms);
                outbox::mail(&mut tx, found.account_id, letter.as_ref(), now_ms).await?;
            }
            tx.commit().await?;
        }
        if i64::try_from(endings.len()).is_ok_and(|count| count < ENDINGS_LISTED_MAX) {
            return Ok(());
        }
    }
}

/// What a right is to, as its owner knows it: the plan's name, or the title's.
async fn item(tx: &mut Tx, found: &Entitlement) -> Result<String, store::Error> {
    let plan = match found.plan_id {
        Some(plan_id) => plan::by_id(tx, plan_id).await?,
        None => None,
    };
    if let Some(name) = plan.and_then(|plan| plan.name) {
        return Ok(name);
    }
    let title = match found.scope.title() {
        Some(title_id) => title::by_id(tx, title_id).await?,
        None => None,
    };
    Ok(title.map_or_else(|| "your subscription".to_owned(), |title| title.name))
}
