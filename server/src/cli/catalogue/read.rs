//! What a file says of a track, and what tells a file from others.

use std::fs::File;
use std::path::Path;

use indicatif::ProgressBar;
use matinee_protocol::id::TitleId;
use serde::Deserialize;

use crate::cli::rows::{Entry, NAME_CHARS_MAX};
use crate::store::catalogue::POPULARITY_MAX;

/// A track as a file has it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    /// The supplier's own name for it; the same one again is the same track.
    pub(super) id: String,
    pub(super) name: String,
    pub(super) artist: String,
    #[serde(default)]
    pub(super) album: Option<String>,
    #[serde(default)]
    pub(super) genre: Option<String>,
    #[serde(default)]
    pub(super) year: Option<i32>,
    #[serde(default)]
    pub(super) number: Option<i32>,
    #[serde(default)]
    pub(super) duration_ms: Option<i64>,
    #[serde(default)]
    pub(super) popularity: i32,
    /// What one buys to hear it.
    #[serde(default)]
    pub(super) title: Option<TitleId>,
}

impl Entry for Row {
    type Cells = Self;
    type Object = Self;

    fn check(&self) -> Result<(), String> {
        let texts = [("id", Some(&self.id)), ("name", Some(&self.name)), ("artist", Some(&self.artist))];
        for (field, text) in
            texts.into_iter().chain([("album", self.album.as_ref()), ("genre", self.genre.as_ref())])
        {
            let Some(text) = text else { continue };
            if text.trim().is_empty() || text.chars().count() > NAME_CHARS_MAX {
                return Err(format!("{field} must have 1 to {NAME_CHARS_MAX} characters"));
            }
        }
        if !(0..=POPULARITY_MAX).contains(&self.popularity) {
            return Err(format!("popularity must be between 0 and {POPULARITY_MAX}"));
        }
        if self.duration_ms.is_some_and(|ms| ms < 0) || self.number.is_some_and(|number| number < 0) {
            return Err("duration_ms and number must not be below zero".to_owned());
        }
        Ok(())
    }
}

/// What tells a file from others: all of its bytes.
pub(super) fn hash(path: &Path, bar: &ProgressBar) -> std::io::Result<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(bar.wrap_read(File::open(path)?))?;
    Ok(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::rows::Rows;

    fn all(name: &str, text: &str) -> Result<Vec<(Row, u64)>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let mut rows = Rows::open(&path, 0, 0).map_err(|error| error.to_string())?;
        let mut found = Vec::new();
        while let Some(read) = rows.next::<Row>().map_err(|error| error.to_string())? {
            found.push((read.entry, read.place));
        }
        // From every place on, the rest is the same.
        for (at, (_, place)) in found.iter().enumerate() {
            let mut rest = Rows::open(&path, *place, at as u64 + 1).unwrap();
            for expected in &found[at + 1..] {
                let read = rest.next::<Row>().unwrap().map(|read| (read.entry, read.place));
                assert_eq!(read.as_ref(), Some(expected), "{name} from {place}");
            }
            assert_eq!(rest.next::<Row>().unwrap(), None);
        }
        Ok(found)
    }

    #[test]
    fn both_forms_say_the_same() {
        let csv = "id,name,artist,album,popularity\n1,\"Say \"\"A\"\",\nB\",X,,7\n2,Ω,Y,Z,0\n";
        let lines = "{\"id\":\"1\",\"name\":\"Say \\\"A\\\",\\nB\",\"artist\":\"X\",\"popularity\":7}\n\n\
                     {\"id\":\"2\",\"name\":\"Ω\",\"artist\":\"Y\",\"album\":\"Z\"}";
        let (csv, lines) = (all("a.csv", csv).unwrap(), all("a.jsonl", lines).unwrap());
        assert_eq!(csv.len(), 2);
        assert!(csv.iter().zip(&lines).all(|((one, _), (other, _))| one == other), "{csv:?} {lines:?}");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_row() {
        let table = [
            ("a.csv", "id,name\n1,N\n", "row 1: "),
            ("a.csv", "id,name,artist\n1,N,A\n2,,A\n", "row 2: name must have"),
            ("a.csv", "id,name,artist,year\n1,N,A,then\n", "row 1: "),
            (
                "a.jsonl",
                "{\"id\":\"1\",\"name\":\"N\",\"artist\":\"A\",\"mood\":1}",
                "row 1: unknown field `mood`",
            ),
            (
                "a.jsonl",
                "{\"id\":\"1\",\"name\":\"N\",\"artist\":\"A\",\"popularity\":-1}",
                "row 1: popularity",
            ),
        ];
        for (name, text, expected) in table {
            let told = all(name, text).unwrap_err();
            assert!(told.starts_with(expected), "{told}");
        }
    }
}
