//! Where things are in the repository, and walking its files.

use std::path::{Path, PathBuf};

use crate::run::Failure;

/// Folders that hold nothing written by hand.
const MADE: [&str; 7] = ["target", "node_modules", "dist", "pkg", ".git", ".demo", "artifacts"];

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    // Set by `cargo run`; the fallback serves a binary that is started directly.
    let here = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    here.parent().map_or_else(|| here.clone(), Path::to_path_buf)
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |folder| root().join(folder))
}

/// Where the tasks keep their stamps and logs.
pub(crate) fn state() -> PathBuf {
    target().join("xtask")
}

/// Every file below `folder` that was written by hand, in a stable order.
pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder)
            .map_err(|cause| Failure::new(format!("{} cannot be read: {cause}", folder.display())))?;
        for entry in entries {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() && !MADE.iter().any(|made| entry.file_name() == *made) {
                folders.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// A path as it is written in messages: from the root, with forward slashes.
pub(crate) fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).to_string_lossy().replace('\\', "/")
}
