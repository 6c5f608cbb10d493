//! The part of a price that was not used: by the keys that were released for it, or by the time of the period that it paid
//! for.

use super::back::Error;
use crate::license::epochs::epochs_of;
use crate::license::prorate::refund_minor;
use crate::royalty::usage::usage;
use crate::store::purchase::Purchase;
use crate::store::{self, Tx, entitlement, key_release, release};

/// How many epochs of how many: of everything that a purchase gave.
///
/// Of each title the release counts of which the greatest part was used, or the newest if none was.
async fn used_of_all(tx: &mut Tx, bought: &Purchase) -> Result<(u64, u64), Error> {
    let (mut used, mut all) = (0, 0);
    for given in entitlement::by_purchase(tx, bought.id).await? {
        let found = entitlement::by_id(tx, given).await?;
        let found = found.ok_or(store::Error::Corrupt("a purchase without what it gave"))?;
        let title = found.scope.title().ok_or(Error::NotByUse)?;
        let mut most = (0, 0);
        for (played, keys) in key_release::of_entitlement(tx, given).await? {
            let part = (usage(keys, i64::MIN).epochs, epochs(tx, played).await?);
            // a/b < c/d, without fractions.
            if u128::from(most.0) * u128::from(part.1) <= u128::from(part.0) * u128::from(most.1.max(1)) {
                most = part;
            }
        }
        if most.1 == 0
            && let Some(newest) = release::latest_published(tx, title).await?
        {
            most = (0, epochs(tx, newest.id).await?);
        }
        used += most.0;
        all += most.1;
    }
    Ok((used, all))
}

async fn epochs(tx: &mut Tx, of: matinee_protocol::id::ReleaseId) -> Result<u64, Error> {
    let files = release::files(tx, of).await?;
    Ok(files.iter().map(|file| u64::from(epochs_of(file.size_bytes, file.epoch_chunks))).sum())
}

/// How many milliseconds of how many: of the period that a purchase paid for. None if it was for no period.
async fn used_of_period(
    tx: &mut Tx,
    bought: &Purchase,
    now_ms: i64,
) -> Result<Option<(u64, u64)>, store::Error> {
    for given in entitlement::by_purchase(tx, bought.id).await? {
        let Some(billing) = entitlement::by_id(tx, given).await?.and_then(|found| found.billing) else {
            continue;
        };
        let (from_ms, until_ms) = billing
            .span_ms(bought.renews.map_or(1, |renewed| renewed.period))
            .ok_or(store::Error::Corrupt("period"))?;
        let length = |until_ms: i64| u64::try_from(until_ms.saturating_sub(from_ms)).unwrap_or(0);
        return Ok(Some((length(now_ms), length(until_ms))));
    }
    Ok(None)
}

/// The unused part of what was paid, rounded in the viewer's favor.
pub async fn unused_minor(
    tx: &mut Tx,
    bought: &Purchase,
    paid_minor: i64,
    now_ms: i64,
) -> Result<i64, Error> {
    let (used, all) = match used_of_period(tx, bought, now_ms).await? {
        Some(period) => period,
        None => used_of_all(tx, bought).await?,
    };
    Ok(refund_minor(paid_minor, used, all))
}
