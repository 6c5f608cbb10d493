//! A row of a list, and the look at the whole list before anything is published.

use std::collections::HashMap;
use std::path::Path;

use serde::{Deserialize, Deserializer};

use super::Error;
use crate::cli::rows::{Entry, NAME_CHARS_MAX, Rows};

/// What stands between several names in one cell.
const SEPARATOR: char = '|';
/// Bytes by which an id is known again: two in a list have the same only if they are the same.
const ID_HASH_BYTES: usize = 16;

/// A title that is to be published, as a file of JSON objects has it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    /// The supplier's own name for it.
    #[serde(deserialize_with = "trimmed")]
    pub(super) id: String,
    /// Its name.
    pub(super) title: String,
    /// Where its files are, from the list's folder.
    pub(super) files: Vec<String>,
    /// For how much it is rented out.
    #[serde(default)]
    pub(super) rental: Option<String>,
    /// The collections that it is put into, by id or name.
    #[serde(default)]
    pub(super) collections: Vec<String>,
    /// The track that it is bought for, by the catalogue's reference.
    #[serde(default)]
    pub(super) track: Option<String>,
    /// Whether anyone may read the files.
    #[serde(default)]
    pub(super) open: Option<bool>,
    /// How long the first of the files plays.
    #[serde(default)]
    pub(super) duration_ms: Option<u64>,
}

/// A CSV reader takes the spaces off by itself.
fn trimmed<'de, D: Deserializer<'de>>(text: D) -> Result<String, D::Error> {
    Ok(String::deserialize(text)?.trim().to_owned())
}

/// A row of a CSV file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cells {
    id: String,
    title: String,
    file: String,
    #[serde(default)]
    rental: Option<String>,
    #[serde(default)]
    collection: Option<String>,
    #[serde(default)]
    track: Option<String>,
    #[serde(default)]
    open: Option<bool>,
    #[serde(default)]
    duration_ms: Option<u64>,
}

impl From<Cells> for Row {
    fn from(cells: Cells) -> Self {
        let Cells { id, title, file, rental, collection, track, open, duration_ms } = cells;
        let parts = |text: &str| -> Vec<String> {
            text.split(SEPARATOR).map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
        };
        let (files, collections) = (parts(&file), collection.as_deref().map(parts).unwrap_or_default());
        Self { id, title, files, rental, collections, track, open, duration_ms }
    }
}

impl Entry for Row {
    type Cells = Cells;
    type Object = Self;

    /// Only what the list cannot be worked through without: everything else is a fault of the one row.
    fn check(&self) -> Result<(), String> {
        let id = &self.id;
        if id.is_empty() || id.chars().count() > NAME_CHARS_MAX || id.chars().any(char::is_control) {
            return Err(format!("id must have 1 to {NAME_CHARS_MAX} characters"));
        }
        Ok(())
    }
}

/// What a list comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) rows: u64,
    /// Bytes of the files that are there.
    pub(super) bytes: u64,
}

/// Reads a list through: every row can be read and no id stands there twice. Files are looked at only where their sizes
/// are wanted.
pub(super) fn count(list: &Path, folder: &Path, sizes: bool) -> Result<Counted, Error> {
    let mut rows = Rows::open(list, 0, 0).map_err(|error| super::unread(list, error))?;
    let mut lines: HashMap<[u8; ID_HASH_BYTES], u64> = HashMap::new();
    let mut counted = Counted { rows: 0, bytes: 0 };
    while let Some(read) = rows.next::<Row>().map_err(|error| super::unread(list, error))? {
        let mut hash = [0; ID_HASH_BYTES];
        hash.copy_from_slice(&blake3::hash(read.entry.id.as_bytes()).as_bytes()[..ID_HASH_BYTES]);
        if let Some(before) = lines.insert(hash, read.line) {
            let text = format!("id {} stands in line {before} already", read.entry.id);
            return Err(Error::List { list: list.to_owned(), line: read.line, text });
        }
        counted.rows += 1;
        if sizes {
            let size = |file| std::fs::metadata(folder.join(file)).map_or(0, |found| found.len());
            counted.bytes += read.entry.files.iter().map(size).sum::<u64>();
        }
    }
    Ok(counted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(name: &str, text: &str) -> Result<Vec<Row>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let told = |error: Error| error.to_string().replace(path.to_str().unwrap(), name);
        count(&path, folder.path(), true).map_err(told)?;
        let mut rows = Rows::open(&path, 0, 0).unwrap();
        Ok(std::iter::from_fn(|| rows.next::<Row>().unwrap()).map(|read| read.entry).collect())
    }

    #[test]
    fn both_forms_say_the_same() {
        let csv = "id,title,file,rental,collection,track,open,duration_ms\n\
                   007,\"A, \"\"B\"\"\",a.bin | b/c.bin,0.50USD,All|New,t1,true,1500\n8,Ω,d.bin,,,,,\n";
        let objects = r#"{"id":" 007 ","title":"A, \"B\"","files":["a.bin","b/c.bin"],"rental":"0.50USD","collections":["All","New"],"track":"t1","open":true,"duration_ms":1500}

{"id":"8","title":"Ω","files":["d.bin"]}"#;
        let (csv, objects) = (all("a.csv", csv).unwrap(), all("a.jsonl", objects).unwrap());
        assert_eq!((csv.len(), csv[0].files.len()), (2, 2));
        assert_eq!(csv, objects);
        assert_eq!(all("a.csv", "title,file,id\nA,a.bin,8\n").unwrap()[0].open, None);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let object =
            |id: &str, rest: &str| format!("{{\"id\":\"{id}\",\"title\":\"T\",\"files\":[\"a\"]{rest}}}\n");
        let long = object("2", &format!(",\"track\":\"{}\"", "x".repeat(70_000)));
        let table = [
            ("a.csv", "id,title\n1,T\n".to_owned(), "a.csv: line 2: missing field `file`"),
            ("a.csv", "id,title,file\n1,T,a\n\n,T,a\n".to_owned(), "a.csv: line 4: id must have"),
            (
                "a.csv",
                "id,title,file\r\n1,T,a\r\n\r\n2,T,a\r\n,T,a\r\n".to_owned(),
                "a.csv: line 5: id must have",
            ),
            ("a.csv", "id,title,file\n1,\"T\nT\",a\n2,T\n".to_owned(), "a.csv: line 4: "),
            ("a.csv", "id,title,file,mood\n1,T,a,x\n".to_owned(), "a.csv: line 2: unknown field `mood`"),
            ("a.csv", "id,title,file,open\n1,T,a,no\n".to_owned(), "a.csv: line 2: open: "),
            (
                "a.csv",
                "id,title,file\n1,T,a\n2,T,a\n1,T,a\n".to_owned(),
                "a.csv: line 4: id 1 stands in line 2 already",
            ),
            (
                "a.jsonl",
                object("1", "") + "\n" + &object("2", ",\"mood\":1"),
                "a.jsonl: line 3: unknown field `mood`",
            ),
            (
                "a.jsonl",
                object("1", "") + &object(" 1", ""),
                "a.jsonl: line 2: id 1 stands in line 1 already",
            ),
            ("a.jsonl", object("1", "") + &long, "a.jsonl: line 2: a line has at most 65536 bytes"),
            ("a.jsonl", object("a\\u0000", ""), "a.jsonl: line 1: id must have"),
            ("a.jsonl", "[]".to_owned(), "a.jsonl: line 1: "),
        ];
        for (name, text, expected) in table {
            let told = all(name, &text).unwrap_err();
            assert!(told.starts_with(expected), "{told}");
        }
        assert_eq!(all("a.csv", "").unwrap(), []);
    }
}
