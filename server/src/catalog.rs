//! Published releases, kept in memory for a moment: what every view and license asks for and what never changes.

use std::sync::Arc;
use std::time::Duration;

use matinee_protocol::id::{FileIndex, ReleaseId};

use crate::store::release::{self, File, Release, State};
use crate::store::{self, Store};

/// Releases that are kept.
const RELEASES_KEPT_MAX: u64 = 1024;
/// How long one is kept: no longer than a rotation of the vault key, which re-wraps its secret, takes to be noticed.
const RELEASES_KEPT_S: u64 = 10;

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

/// A bounded cache of published releases.
#[derive(Debug, Clone)]
pub struct Catalog {
    store: Store,
    kept: moka::sync::Cache<ReleaseId, Arc<Published>>,
}

impl Catalog {
    /// A catalog over this database.
    pub fn new(store: Store) -> Self {
        let lifetime = Duration::from_secs(RELEASES_KEPT_S);
        let kept =
            moka::sync::Cache::builder().max_capacity(RELEASES_KEPT_MAX).time_to_live(lifetime).build();
        Self { store, kept }
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
