//! Reads rows from a file: CSV with a line of names, or a JSON object a line. Each row comes with its line, and with the
//! place in the file where the next begins, so that reading can go on there.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use serde::de::DeserializeOwned;

/// Bytes of a JSON object.
const OBJECT_BYTES_MAX: u64 = 64 * 1024;
/// Characters of a name or a reference.
pub(super) const NAME_CHARS_MAX: usize = 500;
/// Endings of files that hold a JSON object a line.
const OBJECT_ENDINGS: [&str; 3] = ["jsonl", "ndjson", "json"];

/// What is read from a row. The two forms may spell it differently; both refuse what they do not know.
pub(super) trait Entry: Sized {
    /// As the cells of a CSV file have it.
    type Cells: DeserializeOwned + Into<Self>;
    /// As a JSON object has it.
    type Object: DeserializeOwned + Into<Self>;

    /// Looks whether it can be worked with.
    ///
    /// # Errors
    /// What is wrong with it.
    fn check(&self) -> Result<(), String>;
}

/// An entry and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placed<T> {
    pub(super) entry: T,
    /// Its line in the file, unless reading began somewhere within.
    pub(super) line: u64,
    /// Where the next one begins.
    pub(super) place: u64,
}

/// Why a row was not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("{0}")]
    System(#[from] std::io::Error),
    #[error("row {row}: {text}")]
    Row { row: u64, line: u64, text: String },
}

enum Form {
    Csv { reader: Box<csv::Reader<File>>, names: csv::StringRecord, record: csv::StringRecord, lines: Lines },
    Objects { reader: BufReader<File>, bytes: Vec<u8>, place: u64, line: u64 },
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
        let objects =
            path.extension().is_some_and(|ending| OBJECT_ENDINGS.iter().any(|known| ending == *known));
        let form = if objects {
            file.seek(SeekFrom::Start(place))?;
            Form::Objects { reader: BufReader::new(file), bytes: Vec::new(), place, line: 0 }
        } else {
            let mut reader = Box::new(csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(file));
            let names = reader.headers().map_err(|error| wrong_cells((0, 1), None, &error))?.clone();
            if place > 0 {
                let mut position = csv::Position::new();
                position.set_byte(place);
                reader.seek(position).map_err(|error| wrong_cells((row, 1), None, &error))?;
            }
            let mut counted = File::open(path)?;
            counted.seek(SeekFrom::Start(place))?;
            let lines = Lines { reader: BufReader::new(counted), place, line: 1 };
            Form::Csv { reader, names, record: csv::StringRecord::new(), lines }
        };
        Ok(Self { form, row })
    }

    /// The next row.
    pub(super) fn next<T: Entry>(&mut self) -> Result<Option<Placed<T>>, Error> {
        self.row += 1;
        let row = self.row;
        let read = match &mut self.form {
            Form::Csv { reader, names, record, lines } => {
                let begins = reader.position().byte();
                match reader.read_record(record) {
                    Ok(true) => {}
                    Ok(false) => return Ok(None),
                    Err(error) => return Err(wrong_cells((row, lines.at(begins)?), None, &error)),
                }
                let line = lines.at(begins)?;
                let cells: Result<T::Cells, _> = record.deserialize(Some(names));
                let entry = cells.map_err(|error| wrong_cells((row, line), Some(names), &error))?.into();
                Placed { entry, line, place: reader.position().byte() }
            }
            Form::Objects { reader, bytes, place, line } => loop {
                bytes.clear();
                *line += 1;
                let length = reader.by_ref().take(OBJECT_BYTES_MAX).read_until(b'\n', bytes)? as u64;
                if length == 0 {
                    return Ok(None);
                }
                *place += length;
                let wrong = |text: String| Error::Row { row, line: *line, text };
                if length == OBJECT_BYTES_MAX && !bytes.ends_with(b"\n") {
                    return Err(wrong(format!("a line has at most {OBJECT_BYTES_MAX} bytes")));
                }
                if bytes.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                let object: Result<T::Object, _> = serde_json::from_slice(bytes);
                let entry = object.map_err(|error| wrong(wrong_object(&error)))?.into();
                break Placed { entry, line: *line, place: *place };
            },
        };
        read.entry.check().map_err(|text| Error::Row { row, line: read.line, text })?;
        Ok(Some(read))
    }
}

/// Counts lines. A CSV reader counts them too, but not the empty ones before a row, nor a `\n` after a `\r`.
struct Lines {
    reader: BufReader<File>,
    place: u64,
    line: u64,
}

impl Lines {
    /// The line of the row that begins at a place or, with nothing but ends of lines between, after it. Places only grow.
    fn at(&mut self, place: u64) -> std::io::Result<u64> {
        loop {
            let bytes = self.reader.fill_buf()?;
            let before = usize::try_from(place.saturating_sub(self.place)).unwrap_or(usize::MAX);
            let before = before.min(bytes.len());
            let ends = bytes[before..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            let passed = before + ends;
            let found = passed < bytes.len() || bytes.is_empty();
            self.line += bytes[..passed].iter().filter(|byte| **byte == b'\n').count() as u64;
            self.place += passed as u64;
            self.reader.consume(passed);
            if found {
                return Ok(self.line);
            }
        }
    }
}

/// What the parser says, without the line that it counts from the object's beginning.
fn wrong_object(error: &serde_json::Error) -> String {
    error.to_string().replace(" at line 1 column ", " at byte ")
}

/// What the parser says, with the column's name where it knows its number.
fn wrong_cells((row, line): (u64, u64), names: Option<&csv::StringRecord>, error: &csv::Error) -> Error {
    let text = match error.kind() {
        csv::ErrorKind::Deserialize { err, .. } => {
            let column = err.field().and_then(|field| names?.get(usize::try_from(field).ok()?));
            column.map_or_else(|| err.to_string(), |column| format!("{column}: {}", err.kind()))
        }
        _ => error.to_string(),
    };
    Error::Row { row, line, text: text.replace('\n', " ") }
}
