//! The key vault: seals release secrets and signing keys at rest.
//!
//! The key file holds one or more keys by id and names the current one. New secrets are sealed under the current key; old
//! rows open under the key their row names, until `matinee key rotate` has re-wrapped them. XChaCha20-Poly1305 with
//! a random nonce; the row's own name is the associated data, so a secret copied to another row does not open there.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use matinee_protocol::encoding::{array_from_b64u, b64u};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::random;
use crate::store::sealed::Sealed;

/// Bytes of a nonce of XChaCha20-Poly1305.
const NONCE_BYTES: usize = 24;
/// Vault keys a file may hold.
const VAULT_KEYS_MAX: usize = 64;

/// Why the vault did not open or a secret stays sealed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The key file cannot be read or written.
    #[error("key file {path}: {source}")]
    File {
        /// Where it is looked for.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Others than the owner can read the key file.
    #[error("key file {0} can be read by others: run chmod 600 on it")]
    Readable(PathBuf),
    /// The key file is no key file.
    #[error("key file {0} is damaged: restore it from its backup")]
    Damaged(PathBuf),
    /// A row names a vault key that the file does not hold.
    #[error("vault key {0} is not in the key file: add it back")]
    UnknownKey(String),
    /// The row is damaged, or was copied from another row.
    #[error("a sealed secret does not open")]
    Unsealable,
}

/// The key file's form.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    current: String,
    keys: BTreeMap<String, String>,
}

impl Drop for File {
    fn drop(&mut self) {
        self.keys.values_mut().for_each(Zeroize::zeroize);
    }
}

struct Keys {
    current: String,
    by_id: BTreeMap<String, Zeroizing<[u8; 32]>>,
}

/// Vault keys in memory. Cloning shares them.
#[derive(Clone)]
pub struct Vault {
    keys: Arc<RwLock<Keys>>,
    path: Option<PathBuf>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Vault {
    /// Reads a key file that only its owner can read.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let keys = read(path)?;
        Ok(Self { keys: Arc::new(RwLock::new(keys)), path: Some(path.to_owned()) })
    }

    /// Writes a new key file with one key, readable by its owner only. Fails if the file is there.
    pub fn create(path: &Path) -> Result<Self, Error> {
        let keys = Keys::generate();
        write(path, &keys, true)?;
        Ok(Self { keys: Arc::new(RwLock::new(keys)), path: Some(path.to_owned()) })
    }

    /// A vault without a file, for tests.
    pub fn ephemeral() -> Self {
        Self { keys: Arc::new(RwLock::new(Keys::generate())), path: None }
    }

    /// The id of the key that seals new secrets.
    pub fn current_key_id(&self) -> String {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).current.clone()
    }

    /// Seals `plain` for the row called `name`, under the key that is current now: the file is read again, so that a
    /// running server does not go on with a key that the command has replaced.
    pub fn seal(&self, name: &str, plain: &[u8]) -> Sealed {
        if let Err(error) = self.reload() {
            tracing::warn!(%error, "sealing under the key in memory");
        }
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let key = keys.by_id.get(&keys.current).expect("the current key is among the keys");
        let nonce: [u8; NONCE_BYTES] = random::bytes();
        let mut bytes = nonce.to_vec();
        let sealed = XChaCha20Poly1305::new((&**key).into())
            .encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: name.as_bytes() })
            .expect("a short secret seals");
        bytes.extend_from_slice(&sealed);
        Sealed { key_id: keys.current.clone(), bytes }
    }

    /// Opens what was sealed for the row called `name`.
    ///
    /// A key id that is not known yet makes the key file be read again: the key may have been rotated by the command
    /// while the server runs.
    pub fn open_sealed(&self, name: &str, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, Error> {
        if !self.holds(&sealed.key_id) {
            self.reload()?;
        }
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let key = keys.by_id.get(&sealed.key_id).ok_or_else(|| Error::UnknownKey(sealed.key_id.clone()))?;
        let (nonce, ciphertext) = sealed.bytes.split_first_chunk::<NONCE_BYTES>().ok_or(Error::Unsealable)?;
        XChaCha20Poly1305::new((&**key).into())
            .decrypt(&XNonce::from(*nonce), Payload { msg: ciphertext, aad: name.as_bytes() })
            .map(Zeroizing::new)
            .map_err(|_| Error::Unsealable)
    }

    /// Opens a secret of 32 bytes.
    pub fn open_secret(&self, name: &str, sealed: &Sealed) -> Result<Zeroizing<[u8; 32]>, Error> {
        let plain = self.open_sealed(name, sealed)?;
        let bytes: &[u8; 32] = plain.as_slice().try_into().map_err(|_| Error::Unsealable)?;
        Ok(Zeroizing::new(*bytes))
    }

    /// Adds a new key to the file and makes it the current one. Rows are re-wrapped by the caller.
    pub fn add_key(&self) -> Result<String, Error> {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        let fresh = Keys::generate();
        keys.current.clone_from(&fresh.current);
        keys.by_id.extend(fresh.by_id);
        if let Some(path) = &self.path {
            write(path, &keys, false)?;
        }
        Ok(keys.current.clone())
    }

    /// Forgets every key but the current one. Only safe once no row names another.
    pub fn forget_old_keys(&self) -> Result<usize, Error> {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        let current = keys.current.clone();
        let before = keys.by_id.len();
        keys.by_id.retain(|id, _| *id == current);
        if let Some(path) = &self.path {
            write(path, &keys, false)?;
        }
        Ok(before - keys.by_id.len())
    }

    fn reload(&self) -> Result<(), Error> {
        if let Some(path) = &self.path {
            let fresh = read(path)?;
            *self.keys.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        }
        Ok(())
    }

    fn holds(&self, key_id: &str) -> bool {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).by_id.contains_key(key_id)
    }
}

impl Keys {
    fn generate() -> Self {
        let id = format!("vault-{}", hex::encode(random::bytes::<6>()));
        let by_id = BTreeMap::from([(id.clone(), Zeroizing::new(random::bytes::<32>()))]);
        Self { current: id, by_id }
    }
}

fn read(path: &Path) -> Result<Keys, Error> {
    let failed = |source| Error::File { path: path.to_owned(), source };
    refuse_readable(path)?;
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(failed)?);
    let damaged = || Error::Damaged(path.to_owned());
    let file: File = serde_json::from_str(&text).map_err(|_| damaged())?;
    if file.keys.len() > VAULT_KEYS_MAX || !file.keys.contains_key(&file.current) {
        return Err(damaged());
    }
    let mut by_id = BTreeMap::new();
    for (id, key) in &file.keys {
        by_id.insert(id.clone(), Zeroizing::new(array_from_b64u::<32>(key).map_err(|_| damaged())?));
    }
    Ok(Keys { current: file.current.clone(), by_id })
}

/// Writes beside the file and renames over it, so that a cut leaves the old file whole.
fn write(path: &Path, keys: &Keys, new: bool) -> Result<(), Error> {
    use std::io::Write as _;
    let failed = |source| Error::File { path: path.to_owned(), source };
    if new && path.exists() {
        return Err(failed(std::io::ErrorKind::AlreadyExists.into()));
    }
    let file = File {
        current: keys.current.clone(),
        keys: keys.by_id.iter().map(|(id, key)| (id.clone(), b64u(&key[..]))).collect(),
    };
    let text =
        Zeroizing::new(serde_json::to_string_pretty(&file).map_err(|_| Error::Damaged(path.to_owned()))?);
    let beside = path.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut out = options.open(&beside).map_err(failed)?;
    out.write_all(text.as_bytes()).and_then(|()| out.sync_all()).map_err(failed)?;
    std::fs::rename(&beside, path).map_err(failed)
}

#[cfg(unix)]
fn refuse_readable(path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = std::fs::metadata(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(Error::Readable(path.to_owned()));
    }
    Ok(())
}

#[cfg(not(unix))]
fn refuse_readable(_path: &Path) -> Result<(), Error> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seals_for_one_row_only_and_survives_rotation() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vault.json");
        let vault = Vault::create(&path).unwrap();
        let sealed = vault.seal("release/a", b"secret");
        assert_eq!(&**vault.open_sealed("release/a", &sealed).unwrap(), b"secret");
        assert!(matches!(vault.open_sealed("release/b", &sealed), Err(Error::Unsealable)));

        let running = Vault::open(&path).unwrap();
        vault.add_key().unwrap();
        let renewed = vault.seal("release/a", b"secret");
        assert_ne!(sealed.key_id, renewed.key_id);
        assert_eq!(&**running.open_sealed("release/a", &renewed).unwrap(), b"secret", "reads the file again");
        assert_eq!(&**running.open_sealed("release/a", &sealed).unwrap(), b"secret", "old rows still open");
        let other = Vault::open(&path).unwrap();
        vault.add_key().unwrap();
        assert_eq!(other.seal("release/b", b"s").key_id, vault.current_key_id(), "a running server follows");
        assert_eq!(vault.forget_old_keys().unwrap(), 2);
        assert!(matches!(vault.open_sealed("release/a", &sealed), Err(Error::UnknownKey(_))));
    }

    #[cfg(unix)]
    #[test]
    fn refuses_a_key_file_that_others_can_read() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vault.json");
        Vault::create(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(Vault::open(&path), Err(Error::Readable(_))));
    }

    #[test]
    fn hides_its_keys() {
        assert_eq!(format!("{:?}", Vault::ephemeral()), "Vault { path: None, .. }");
    }
}
