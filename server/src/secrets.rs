//! Unsealed release secrets, kept in memory for a while, so that the vault is not asked for every license.

use std::sync::Arc;
use std::time::Duration;

use matinee_protocol::id::ReleaseId;
use matinee_protocol::seal::ReleaseSecret;

use crate::store::sealed::{Sealed, Shelf};
use crate::vault::{self, Vault};

/// Releases whose secrets are kept.
const SECRETS_KEPT_MAX: u64 = 1024;
/// How long one is kept after it was last used.
const SECRETS_KEPT_S: u64 = 600;

/// A bounded cache; what leaves it is zeroized.
#[derive(Clone)]
pub struct ReleaseSecrets(moka::sync::Cache<ReleaseId, Arc<ReleaseSecret>>);

impl std::fmt::Debug for ReleaseSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReleaseSecrets(hidden)")
    }
}

impl Default for ReleaseSecrets {
    fn default() -> Self {
        let idle = Duration::from_secs(SECRETS_KEPT_S);
        Self(moka::sync::Cache::builder().max_capacity(SECRETS_KEPT_MAX).time_to_idle(idle).build())
    }
}

impl ReleaseSecrets {
    /// The secret of a release, unsealed once.
    pub fn unseal(
        &self,
        vault: &Vault,
        release: ReleaseId,
        sealed: &Sealed,
    ) -> Result<Arc<ReleaseSecret>, vault::Error> {
        if let Some(kept) = self.0.get(&release) {
            return Ok(kept);
        }
        let plain = vault.open_secret(&Shelf::Releases.vault_name(&release.to_string()), sealed)?;
        let secret = Arc::new(ReleaseSecret::from_bytes(*plain));
        self.0.insert(release, Arc::clone(&secret));
        Ok(secret)
    }
}
