//! Published releases and what is on offer, kept in memory for a moment: what every purchase, view and license asks for and
//! what hardly ever changes.

use std::sync::Arc;
use std::time::Duration;

use matinee_protocol::id::{FileIndex, PlanId, ReleaseId, TitleId};

use crate::store::plan::{self, Plan};
use crate::store::release::{self, File, Release, State};
use crate::store::{self, Store};

/// Releases that are kept.
const RELEASES_KEPT_MAX: u64 = 1024;
/// How long either is kept: no longer than a rotation of the vault key, which re-wraps a release's secret, takes to be
/// noticed.
const KEPT_S: u64 = 10;

/// Offers that are kept.
const OFFERS_KEPT_MAX: u64 = 4096;

/// A published release and its files.
#[derive(Debug)]
pub struct Published {
    /// The release.
    pub release: Release,
    /// Its files, by position.
    pub files: Vec<File>,
}

impl Published {
    /// The file at a position.
    pub fn file(&self, file: FileIndex) -> Option<&File> {
        self.files.get(usize::try_from(file.get()).ok()?)
    }
}

/// A plan, with what its titles say about who may have them.
#[derive(Debug)]
pub struct Offer {
    /// The plan.
    pub plan: Plan,
    /// Those of its titles that are for a group, or end some day: they are asked again by whoever buys.
    pub limited: Vec<TitleId>,
}

/// A bounded cache of published releases and of what is on offer.
#[derive(Debug, Clone)]
pub struct Catalog {
    store: Store,
    kept: moka::sync::Cache<ReleaseId, Arc<Published>>,
    offers: moka::sync::Cache<PlanId, Arc<Offer>>,
}

impl Catalog {
    /// A catalog over this database.
    pub fn new(store: Store) -> Self {
        let lifetime = Duration::from_secs(KEPT_S);
        let kept =
            moka::sync::Cache::builder().max_capacity(RELEASES_KEPT_MAX).time_to_live(lifetime).build();
        let offers =
            moka::sync::Cache::builder().max_capacity(OFFERS_KEPT_MAX).time_to_live(lifetime).build();
        Self { store, kept, offers }
    }

    /// The plan with this id, whether it is still sold or not. Takes a connection of its own, as [`Catalog::published`] does.
    pub async fn offer(&self, id: PlanId) -> Result<Option<Arc<Offer>>, store::Error> {
        if let Some(kept) = self.offers.get(&id) {
            return Ok(Some(kept));
        }
        let mut tx = self.store.read().await?;
        let Some(plan) = plan::by_id(&mut tx, id).await? else { return Ok(None) };
        let limited = plan::limited_titles(&mut tx, id).await?;
        let offer = Arc::new(Offer { plan, limited });
        self.offers.insert(id, Arc::clone(&offer));
        Ok(Some(offer))
    }

    /// Forgets what is on offer: a plan was ended, or a title's rights were set. Other servers do within [`KEPT_S`].
    pub fn forget_offers(&self) {
        self.offers.invalidate_all();
    }

    /// The published release with this id. Takes a connection of its own: a caller that holds one already could wait
    /// for itself.
    pub async fn published(&self, id: ReleaseId) -> Result<Option<Arc<Published>>, store::Error> {
        if let Some(kept) = self.kept.get(&id) {
            return Ok(Some(kept));
        }
        let mut tx = self.store.read().await?;
        let found = release::by_id(&mut tx, id).await?.filter(|found| found.state == State::Published);
        let Some(release) = found else { return Ok(None) };
        let files = release::files(&mut tx, id).await?;
        let published = Arc::new(Published { release, files });
        self.kept.insert(id, Arc::clone(&published));
        Ok(Some(published))
    }
}
