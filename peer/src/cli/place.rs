//! Where downloaded files go.
//!
//! File names come from a publisher, so nothing of them but a plain name counts: no folders, nothing hidden, nothing
//! that a terminal would obey.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::failure::Failure;

/// Bytes of a file name that every file system takes.
const NAME_BYTES_MAX: usize = 200;

/// A plain file name made of what a publisher wrote.
pub(super) fn plain_name(name: &str, file: u32) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let clean: String =
        last.chars().map(|c| if c.is_control() || "<>:\"|?*".contains(c) { '_' } else { c }).collect();
    let mut clean = clean.trim().trim_end_matches('.').to_owned();
    if clean.starts_with('.') {
        clean.replace_range(..1, "_");
    }
    while clean.len() > NAME_BYTES_MAX {
        clean.pop();
    }
    if clean.is_empty() { format!("file-{file}") } else { clean }
}

/// Where each of `files`, by number and name, goes. `output` is a file name if one file is got, else a folder.
pub(super) fn targets(title: &str, files: &[(u32, String)], output: Option<&Path>) -> Vec<PathBuf> {
    let single = files.len() == 1;
    let mut taken = HashSet::new();
    let mut targets = Vec::new();
    for (file, name) in files {
        let mut name = plain_name(name, *file);
        if !taken.insert(name.to_lowercase()) {
            name = format!("{file}-{name}");
            taken.insert(name.to_lowercase());
        }
        targets.push(match output {
            Some(path) if single && !path.is_dir() && !ends_with_separator(path) => path.to_owned(),
            Some(folder) => folder.join(name),
            None if single => PathBuf::from(name),
            None => Path::new(&plain_name(title, 0)).join(name),
        });
    }
    targets
}

/// Refuses to write over what exists.
pub(super) fn refuse_existing(target: &Path) -> Result<(), Failure> {
    if !target.exists() {
        return Ok(());
    }
    let detail = format!("{} exists; choose another --output, or --force", target.display());
    Err(Failure::other("output_exists", &detail))
}

fn ends_with_separator(path: &Path) -> bool {
    path.to_string_lossy().ends_with(std::path::MAIN_SEPARATOR)
}

/// A file that appears at its place whole, or not at all.
#[derive(Debug)]
pub(super) struct Arriving {
    file: File,
    beside: PathBuf,
    target: PathBuf,
}

impl Arriving {
    /// Begins `target` under a hidden name beside it. What an earlier run left under that name is overwritten:
    /// its chunks come from the cache again, verified.
    pub(super) fn begin(target: &Path, overwrite: bool) -> Result<Self, Failure> {
        let failed = |error: io::Error| {
            Failure::other("output_io", &format!("cannot write {}: {error}", target.display()))
        };
        if !overwrite {
            refuse_existing(target)?;
        }
        let folder =
            target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(failed)?;
        let name = target.file_name().and_then(|name| name.to_str()).unwrap_or("file");
        let beside = folder.join(format!(".{name}.matinee-part"));
        let file = File::create(&beside).map_err(failed)?;
        Ok(Self { file, beside, target: target.to_owned() })
    }

    /// Appends.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Puts the file in its place.
    pub(super) fn finish(self) -> io::Result<PathBuf> {
        self.file.sync_all()?;
        fs::rename(&self.beside, &self.target)?;
        Ok(self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publishers_name_cannot_leave_the_folder_or_hide() {
        for (name, expected) in [
            ("film.mp4", "film.mp4"),
            ("../../etc/passwd", "passwd"),
            ("..\\..\\boot.ini", "boot.ini"),
            ("/", "file-3"),
            ("..", "file-3"),
            (".bashrc", "_bashrc"),
            ("a\u{1b}[2Jb\n", "a_[2Jb_"),
            ("  ", "file-3"),
        ] {
            assert_eq!(plain_name(name, 3), expected, "{name:?}");
        }
        assert!(plain_name(&"é".repeat(500), 0).len() <= NAME_BYTES_MAX);
    }

    #[test]
    fn files_of_one_name_get_places_of_their_own() {
        let files = |names: &[&str]| -> Vec<(u32, String)> {
            (0..).zip(names.iter().map(|name| (*name).to_owned())).collect()
        };
        let paths =
            |names: &[&str], output: Option<&str>| targets("The Film", &files(names), output.map(Path::new));
        assert_eq!(paths(&["a.mp4"], None), [Path::new("a.mp4")]);
        assert_eq!(paths(&["a.mp4"], Some("b.mp4")), [Path::new("b.mp4")]);
        assert_eq!(paths(&["a.mp4"], Some("folder/")), [Path::new("folder/a.mp4")]);
        assert_eq!(
            paths(&["a.mp4", "../A.MP4", "x/a.mp4"], None),
            ["The Film/a.mp4", "The Film/1-A.MP4", "The Film/2-a.mp4"].map(Path::new)
        );
        assert_eq!(paths(&["a", "b"], Some("out")), ["out/a", "out/b"].map(Path::new));
    }

    #[test]
    fn a_file_appears_whole_and_is_not_overwritten_unasked() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("deep/film.mp4");
        let mut arriving = Arriving::begin(&target, false).unwrap();
        arriving.write(b"film").unwrap();
        assert!(!target.exists());
        assert_eq!(arriving.finish().unwrap(), target);
        assert_eq!(fs::read(&target).unwrap(), b"film");
        assert_eq!(Arriving::begin(&target, false).unwrap_err().code, "output_exists");
        assert!(Arriving::begin(&target, true).is_ok());
    }
}
