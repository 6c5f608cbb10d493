//! Reads tracks from a file: CSV with a line of names, or a JSON object a line. Each row comes with the place in the file
//! where the next begins, so that an import can go on there.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use matinee_protocol::id::TitleId;
use serde::Deserialize;

use crate::store::catalogue::POPULARITY_MAX;

/// Bytes of one row.
const ROW_BYTES_MAX: u64 = 64 * 1024;
/// Bytes at either end of a file that, with its length, tell it from others.
const HASHED_BYTES: u64 = 1 << 20;
/// Characters of a name or a reference.
const NAME_CHARS_MAX: usize = 500;

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

/// Why a row was not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("{0}")]
    System(#[from] std::io::Error),
    #[error("row {row}: {text}")]
    Row { row: u64, text: String },
}

enum Form {
    Csv { reader: Box<csv::Reader<File>>, names: csv::StringRecord, record: csv::StringRecord },
    Lines { reader: BufReader<File>, line: Vec<u8>, place: u64 },
}

/// The rows of a file.
pub(super) struct Rows {
    form: Form,
    row: u64,
}

impl Rows {
    /// Opens a file and goes to a place that [`Rows::next`] gave, before which there were `row` rows.
    pub(super) fn open(path: &Path, place: u64, row: u64) -> Result<Self, Error> {
        let mut file = File::open(path)?;
        let lines = path
            .extension()
            .is_some_and(|ending| ["jsonl", "ndjson", "json"].iter().any(|known| ending == *known));
        let form = if lines {
            file.seek(SeekFrom::Start(place))?;
            Form::Lines { reader: BufReader::new(file), line: Vec::new(), place }
        } else {
            let mut reader = Box::new(csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(file));
            let names = reader.headers().map_err(|error| wrong(0, &error))?.clone();
            if place > 0 {
                let mut position = csv::Position::new();
                position.set_byte(place);
                reader.seek(position).map_err(|error| wrong(row, &error))?;
            }
            Form::Csv { reader, names, record: csv::StringRecord::new() }
        };
        Ok(Self { form, row })
    }

    /// The next row, and the place after it.
    pub(super) fn next(&mut self) -> Result<Option<(Row, u64)>, Error> {
        self.row += 1;
        let row = self.row;
        let read = match &mut self.form {
            Form::Csv { reader, names, record } => {
                if !reader.read_record(record).map_err(|error| wrong(row, &error))? {
                    return Ok(None);
                }
                let read = record.deserialize(Some(names)).map_err(|error| wrong(row, &error))?;
                (read, reader.position().byte())
            }
            Form::Lines { reader, line, place } => loop {
                line.clear();
                let length = reader.by_ref().take(ROW_BYTES_MAX).read_until(b'\n', line)?;
                if length == 0 {
                    return Ok(None);
                }
                *place += length as u64;
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                break (serde_json::from_slice(line).map_err(|error| wrong(row, &error))?, *place);
            },
        };
        check(&read.0).map_err(|text| Error::Row { row, text })?;
        Ok(Some(read))
    }
}

fn wrong(row: u64, error: &dyn std::fmt::Display) -> Error {
    Error::Row { row, text: error.to_string().replace('\n', " ") }
}

fn check(row: &Row) -> Result<(), String> {
    let texts = [("id", Some(&row.id)), ("name", Some(&row.name)), ("artist", Some(&row.artist))];
    for (field, text) in
        texts.into_iter().chain([("album", row.album.as_ref()), ("genre", row.genre.as_ref())])
    {
        let Some(text) = text else { continue };
        if text.trim().is_empty() || text.chars().count() > NAME_CHARS_MAX {
            return Err(format!("{field} must have 1 to {NAME_CHARS_MAX} characters"));
        }
    }
    if !(0..=POPULARITY_MAX).contains(&row.popularity) {
        return Err(format!("popularity must be between 0 and {POPULARITY_MAX}"));
    }
    if row.duration_ms.is_some_and(|ms| ms < 0) || row.number.is_some_and(|number| number < 0) {
        return Err("duration_ms and number must not be below zero".to_owned());
    }
    Ok(())
}

/// What tells a file from others without reading all of it: its length, its beginning and its end.
pub(super) fn hash(path: &Path) -> std::io::Result<([u8; 32], u64)> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut hasher = blake3::Hasher::new();
    hasher.update(&length.to_be_bytes());
    let mut ends = Vec::new();
    file.by_ref().take(HASHED_BYTES).read_to_end(&mut ends)?;
    file.seek(SeekFrom::Start(length.saturating_sub(HASHED_BYTES)))?;
    file.take(HASHED_BYTES).read_to_end(&mut ends)?;
    hasher.update(&ends);
    Ok((*hasher.finalize().as_bytes(), length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(name: &str, text: &str) -> Result<Vec<(Row, u64)>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let mut rows = Rows::open(&path, 0, 0).map_err(|error| error.to_string())?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(|error| error.to_string())? {
            found.push(row);
        }
        // From every place on, the rest is the same.
        for (at, (_, place)) in found.iter().enumerate() {
            let mut rest = Rows::open(&path, *place, at as u64 + 1).unwrap();
            for expected in &found[at + 1..] {
                assert_eq!(rest.next().unwrap().as_ref(), Some(expected), "{name} from {place}");
            }
            assert_eq!(rest.next().unwrap(), None);
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
