//! The Python programs that tests use, out of the environment that `cargo xtask setup` makes of
//! `tests/python/requirements.txt`.

use std::path::{Path, PathBuf};

/// A program of the environment.
///
/// # Panics
/// Where the environment was not made.
pub fn program(name: &str) -> PathBuf {
    let mut folder = std::env::current_exe().expect("a test knows its own path");
    while folder.pop() {
        let candidate = folder.join("xtask/python/bin").join(name);
        if candidate.is_file() {
            return candidate;
        }
    }
    let requirements = Path::new("tests/python/requirements.txt").display();
    panic!("{name} of {requirements} is not there; run `cargo xtask setup` first")
}
