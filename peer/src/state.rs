//! The state folder: what a peer keeps between runs, readable by its owner only.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Mode of every file here that is not ciphertext.
const FILE_MODE: u32 = 0o600;
/// Mode of the folder.
const FOLDER_MODE: u32 = 0o700;
/// Largest state file that is read back (4 MiB).
const STATE_FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// File that names servers and sign-ins.
const SERVERS_FILE: &str = "servers.json";

/// Why the state folder could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither `--state-dir` nor a home folder says where state lives.
    #[error("no home folder is known; say where state lives with --state-dir")]
    NoHome,
    /// The folder or a file of it could not be read or written.
    #[error("cannot use {path}: {source}; check that the folder is yours and writable")]
    Io {
        /// What was touched.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is readable by others.
    #[error("{0} can be read by others; make it owner-only with chmod 600")]
    Exposed(PathBuf),
    /// A file does not hold what it should.
    #[error("{path} is damaged ({source}); move it away and sign in again")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        source: serde_json::Error,
    },
}

/// A folder with owner-only mode.
#[derive(Debug, Clone)]
pub struct StateDir {
    root: PathBuf,
}

/// Servers this peer knows and its sign-in at each.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Servers {
    /// The server that commands use when none is named.
    pub current: Option<String>,
    /// Sign-ins by server URL.
    pub servers: BTreeMap<String, SignIn>,
}

/// A sign-in at a server.
#[derive(Clone, Serialize, Deserialize)]
pub struct SignIn {
    /// The account's address.
    pub email: String,
    /// Bearer token of the account's session.
    pub session_token: String,
}

impl std::fmt::Debug for SignIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignIn").field("email", &self.email).finish_non_exhaustive()
    }
}

impl StateDir {
    /// Opens the folder, creating it with mode 0700; without a path `$XDG_DATA_HOME/matinee-peer` or
    /// `~/.local/share/matinee-peer`.
    ///
    /// # Errors
    /// No home folder, or the folder cannot be created.
    pub fn open(path: Option<PathBuf>) -> Result<Self, Error> {
        let root = match path {
            Some(path) => path,
            None => default_root().ok_or(Error::NoHome)?,
        };
        create_private_folder(&root)?;
        Ok(Self { root })
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of verified ciphertext.
    #[must_use]
    pub fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }

    /// Reads a JSON file of the folder; `None` when there is none.
    ///
    /// # Errors
    /// The file is readable by others, damaged or cannot be read.
    pub fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Error> {
        let path = self.root.join(name);
        let failed = |source| Error::Io { path: path.clone(), source };
        let about = match fs::metadata(&path) {
            Ok(about) => about,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        if exposed(&about) {
            return Err(Error::Exposed(path));
        }
        if about.len() > STATE_FILE_BYTES_MAX {
            return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, "over 4 MiB")));
        }
        let text = fs::read(&path).map_err(failed)?;
        serde_json::from_slice(&text).map(Some).map_err(|source| Error::Damaged { path, source })
    }

    /// Writes a JSON file whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<(), Error> {
        let path = self.root.join(name);
        let text = serde_json::to_vec_pretty(value)
            .map_err(|source| Error::Damaged { path: path.clone(), source })?;
        write_private(&path, &text).map_err(|source| Error::Io { path, source })
    }

    /// The names of the folder's files that begin so.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn names(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let failed = |source| Error::Io { path: self.root.clone(), source };
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.root).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            names.extend(name.into_string().ok().filter(|name| name.starts_with(prefix)));
        }
        Ok(names)
    }

    /// Removes a file of the folder, if it is there.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn remove(&self, name: &str) -> Result<(), Error> {
        let path = self.root.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::Io { path, source: error }),
            _ => Ok(()),
        }
    }

    /// Servers and sign-ins; empty when there was none yet.
    ///
    /// # Errors
    /// See [`StateDir::read`].
    pub fn servers(&self) -> Result<Servers, Error> {
        Ok(self.read(SERVERS_FILE)?.unwrap_or_default())
    }

    /// Keeps servers and sign-ins.
    ///
    /// # Errors
    /// See [`StateDir::write`].
    pub fn keep_servers(&self, servers: &Servers) -> Result<(), Error> {
        self.write(SERVERS_FILE, servers)
    }
}

fn default_root() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let data = set("XDG_DATA_HOME").or_else(|| set("HOME").map(|home| home.join(".local/share")))?;
    Some(data.join("matinee-peer"))
}

fn create_private_folder(root: &Path) -> Result<(), Error> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, FOLDER_MODE);
    builder.create(root).map_err(|source| Error::Io { path: root.to_owned(), source })
}

#[cfg(unix)]
fn exposed(about: &fs::Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&about.permissions()) & 0o077 != 0
}

#[cfg(not(unix))]
fn exposed(_: &fs::Metadata) -> bool {
    false
}

/// Writes beside the target with owner-only mode, then renames over it.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension(format!("new-{}", std::process::id()));
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, FILE_MODE);
    let mut file = options.open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn state_is_owner_only_and_exposed_state_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(Some(folder.path().join("deep/state"))).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(state.root()), 0o700);

        let mut servers = state.servers().unwrap();
        let sign_in = SignIn { email: "a@b.c".into(), session_token: "secret".into() };
        assert!(!format!("{sign_in:?}").contains("secret"));
        servers.servers.insert("http://x".into(), sign_in);
        state.keep_servers(&servers).unwrap();
        let file = state.root().join(SERVERS_FILE);
        assert_eq!(mode(&file), 0o600);
        assert_eq!(state.servers().unwrap().servers["http://x"].session_token, "secret");

        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(state.servers(), Err(Error::Exposed(_))));
    }
}
