//! Skipping work whose inputs have not changed.

use std::path::{Path, PathBuf};

use crate::house;
use crate::run::Failure;

/// Remembers, in `target/xtask/<name>.stamp`, which inputs the last good run had.
pub(crate) struct Stamp {
    path: PathBuf,
    now: String,
}

impl Stamp {
    /// Hashes the files below `inputs` (files or folders; what is missing counts as empty) and the `words`.
    pub(crate) fn of(name: &str, inputs: &[PathBuf], words: &[&str]) -> Result<Self, Failure> {
        let mut hasher = blake3::Hasher::new();
        for word in words {
            hasher.update(word.as_bytes()).update(b"\0");
        }
        for input in inputs {
            let files = if input.is_dir() { house::files(input)? } else { vec![input.clone()] };
            for file in files {
                hasher.update(house::shown(&file).as_bytes()).update(b"\0");
                let bytes = std::fs::read(&file).unwrap_or_default();
                hasher.update(blake3::hash(&bytes).as_bytes());
            }
        }
        let path = house::state().join(format!("{name}.stamp"));
        Ok(Self { path, now: hasher.finalize().to_hex().to_string() })
    }

    /// Whether the last good run had the same inputs and `output` is still there.
    pub(crate) fn is_fresh(&self, output: &Path) -> bool {
        output.exists() && std::fs::read_to_string(&self.path).is_ok_and(|kept| kept == self.now)
    }

    /// Remembers these inputs.
    pub(crate) fn keep(&self) -> Result<(), Failure> {
        std::fs::create_dir_all(house::state())?;
        Ok(std::fs::write(&self.path, &self.now)?)
    }
}
