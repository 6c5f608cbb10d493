//! Published releases and plans, kept in memory for a moment: what every purchase, view and license asks for and what
//! never changes.

use std::sync::Arc;
use std::time::Duration;

use matinee_protocol::id::{FileIndex, PlanId, ReleaseId};

use crate::store::plan::{self, Plan};
use crate::store::release::{self, File, Release, State};
use crate::store::{self, Store};

/// Releases that are kept.
const RELEASES_KEPT_MAX: u64 = 1024;
/// How long either is kept: no longer than a rotation of the vault key, which re-wraps a release's secret, takes to be
/// noticed.
const KEPT_S: u64 = 10;

/// Plans that are kept.
const PLANS_KEPT_MAX: u64 = 4096;

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

/// A bounded cache of published releases and plans.
#[derive(Debug, Clone)]
pub struct Catalog {
    store: Store,
    kept: moka::sync::Cache<ReleaseId, Arc<Published>>,
    plans: moka::sync::Cache<PlanId, Arc<Plan>>,
}

impl Catalog {
    /// A catalog over this database.
    pub fn new(store: Store) -> Self {
        let lifetime = Duration::from_secs(KEPT_S);
        let kept =
            moka::sync::Cache::builder().max_capacity(RELEASES_KEPT_MAX).time_to_live(lifetime).build();
        let plans = moka::sync::Cache::builder().max_capacity(PLANS_KEPT_MAX).time_to_live(lifetime).build();
        Self { store, kept, plans }
    }

    /// The plan with this id. Takes a connection of its own, as [`Catalog::published`] does.
    pub async fn plan(&self, id: PlanId) -> Result<Option<Arc<Plan>>, store::Error> {
        if let Some(kept) = self.plans.get(&id) {
            return Ok(Some(kept));
        }
        let found = plan::by_id(&mut self.store.read().await?, id).await?.map(Arc::new);
        if let Some(plan) = &found {
            self.plans.insert(id, Arc::clone(plan));
        }
        Ok(found)
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
