//! What taking and renewing a lease have in common: every key of a release, on record and sealed to the device.

use matinee_protocol::api::{LeaseAnswer, LeaseSummary};
use matinee_protocol::id::{EpochIndex, LicenseId};
use matinee_protocol::license::EpochRange;
use matinee_protocol::limit::LICENSE_KEYS_MAX;

use super::problem::Problem;
use super::token;
use crate::app::App;
use crate::catalog::Published;
use crate::license::epochs::epochs_of;
use crate::license::issue::Terms;
use crate::license::lease::Lease;
use crate::random;
use crate::store::{Tx, key_release};

/// Every epoch of a release.
pub fn everything(published: &Published) -> Result<Vec<EpochRange>, Problem> {
    if !published.release.sealed {
        return Ok(Vec::new());
    }
    let whole = published.files.iter().map(|file| EpochRange {
        file: file.file,
        first: EpochIndex(0),
        count: epochs_of(file.size_bytes, file.epoch_chunks),
    });
    let ranges: Vec<EpochRange> = whole.filter(|range| range.count > 0).collect();
    let keys: usize = ranges.iter().map(|range| range.count as usize).sum();
    if keys > LICENSE_KEYS_MAX {
        let detail = format!("a lease holds at most {LICENSE_KEYS_MAX} keys, and this release has {keys}");
        return Err(Problem::conflict("release_too_large", detail));
    }
    Ok(ranges)
}

/// Writes the keys of a lease into the usage ledger, and seals them.
pub async fn answer(
    app: &App,
    tx: &mut Tx,
    published: &Published,
    lease: &Lease,
    agreement_key: [u8; 32],
    now_ms: i64,
) -> Result<LeaseAnswer, Problem> {
    let terms = Terms {
        license: LicenseId::from_bytes(random::id(now_ms)),
        view: lease.view_id,
        release: lease.release_id,
        device: lease.device,
        agreement_key,
        play_until_ms: lease.expires_at_ms,
        epochs: everything(published)?,
    };
    key_release::insert(tx, terms.license, terms.view, &terms.epochs, now_ms).await?;
    Ok(LeaseAnswer { lease: summary(lease, now_ms), license: token::license(app, published, &terms)? })
}

/// A lease as the interface shows it.
pub fn summary(lease: &Lease, now_ms: i64) -> LeaseSummary {
    let time = |at_ms: i64| u64::try_from(at_ms).unwrap_or(0);
    LeaseSummary {
        id: lease.id,
        entitlement: lease.entitlement_id,
        title: lease.title_id,
        release: lease.release_id,
        device: lease.device,
        state: lease.state(now_ms).to_owned(),
        issued_at_ms: time(lease.issued_at_ms),
        expires_at_ms: time(lease.expires_at_ms),
    }
}
