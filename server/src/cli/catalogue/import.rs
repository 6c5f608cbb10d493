//! Brings a file into the catalogue: one thread reads and folds, one task writes, a bounded queue between them. How far
//! the file is in is kept in the transaction of its rows, so that an import that was broken off anywhere goes on.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use matinee_protocol::id::TitleId;
use serde_json::json;
use tokio::sync::mpsc;

use super::read::{self, Row};
use crate::cli::rows::{self, Placed, Rows};
use crate::cli::{Error, note, now_ms, print};
use crate::store::import::{self, AlbumKey, Import, Key, Kind, NewTrack};
use crate::store::{self, Store, Tx, title};
use crate::words;

/// Rows in one transaction.
const BATCH_ROWS: usize = 10_000;
/// Batches read ahead.
const AHEAD_BATCHES_MAX: usize = 2;
/// Names of artists and albums whose numbers are remembered.
const NUMBERS_KEPT_MAX: usize = 500_000;

/// Rows of a file, folded, and the place after them.
struct Batch {
    rows: Vec<(Row, Folded)>,
    read: usize,
    place: u64,
}

struct Folded {
    artist: String,
    album: Option<String>,
    genre: Option<String>,
    words: String,
}

pub(super) async fn run(store: &Store, file: &Path, again: bool, json: bool) -> Result<(), Error> {
    let failed = |error| Error::System(file.display().to_string(), error);
    let bytes = std::fs::metadata(file).map_err(failed)?.len();
    let bar = bar(bytes);
    bar.set_message("telling the file from others");
    let hash = read::hash(file, &bar).map_err(failed)?;
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let before = import::progress(&mut store.read().await?, &hash).await?.unwrap_or_default();
    let mut done = if again { Import::default() } else { before };
    if done.finished {
        return Error::refused(format!("{name} is in already; --again goes through it once more"));
    }
    let first = done.rows_done;
    bar.reset();
    bar.set_message("");
    bar.set_position(u64::try_from(done.bytes_done).unwrap_or(0));
    let mut batches = read_ahead(file, done);
    let mut numbers = Numbers::default();
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        let batch = tokio::select! {
            biased;
            _ = &mut interrupted => {
                bar.abandon();
                let rows = done.rows_done;
                return Error::refused(format!("stopped: {rows} rows are in; the same command goes on from there"));
            }
            batch = batches.recv() => batch,
        };
        let batch = match batch {
            Some(Ok(batch)) => batch,
            Some(Err(error)) => {
                bar.abandon();
                return Error::refused(format!("{name}: {error}; the {} rows before are in", done.rows_done));
            }
            None => break,
        };
        let begins = done.rows_done == first;
        done.rows_done += i64::try_from(batch.read).unwrap_or(i64::MAX);
        done.bytes_done = i64::try_from(batch.place).unwrap_or(i64::MAX);
        let mut tx = store.write().await?;
        import::alone(&mut tx).await?;
        if begins {
            let detail = json!({ "bytes": bytes, "from_row": first });
            note(&mut tx, "catalogue.import", &name, detail, now_ms()).await?;
        }
        let tracks = numbers.tracks(&mut tx, batch.rows).await?;
        import::put_tracks(&mut tx, &tracks).await?;
        import::note(&mut tx, &hash, (&name, signed(bytes)), done, now_ms()).await?;
        tx.commit().await?;
        bar.set_position(batch.place);
        bar.set_message(format!("{} tracks", done.rows_done));
    }
    bar.set_message("settling the search index");
    tokio::select! {
        settled = import::settle(store) => settled?,
        _ = &mut interrupted => {
            bar.abandon();
            return Error::refused("stopped: every row is in; the same command settles the search index");
        }
    }
    let mut tx = store.write().await?;
    done.finished = true;
    import::note(&mut tx, &hash, (&name, signed(bytes)), done, now_ms()).await?;
    tx.commit().await?;
    let seconds = bar.elapsed().as_secs_f64();
    bar.finish_and_clear();
    let rows = done.rows_done - first;
    let a_second = (rows as f64 / seconds.max(1e-3)).round();
    let data = json!({ "file": name, "rows": rows, "seconds": seconds, "rows_per_s": a_second });
    print(json, &data, &format!("{rows} tracks from {name} in {seconds:.1} s ({a_second} a second)"))
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn bar(bytes: u64) -> ProgressBar {
    let template = "{bar:30} {bytes}/{total_bytes} {msg} {elapsed} eta {eta}";
    let style = ProgressStyle::with_template(template).expect("the template is right");
    let bar = ProgressBar::new(bytes).with_style(style);
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}

/// Reads on a thread of its own, a few batches ahead.
fn read_ahead(file: &Path, from: Import) -> mpsc::Receiver<Result<Batch, rows::Error>> {
    let (to, batches) = mpsc::channel(AHEAD_BATCHES_MAX);
    let file = file.to_owned();
    tokio::task::spawn_blocking(move || {
        let place = u64::try_from(from.bytes_done).unwrap_or(0);
        let opened = Rows::open(&file, place, u64::try_from(from.rows_done).unwrap_or(0));
        let outcome = opened.and_then(|mut rows| {
            while let Some(batch) = batch(&mut rows)? {
                if to.blocking_send(Ok(batch)).is_err() {
                    return Ok(());
                }
            }
            Ok(())
        });
        if let Err(error) = outcome {
            // Whoever went away need not be told.
            to.blocking_send(Err(error)).ok();
        }
    });
    batches
}

/// The next rows. Of two with one id the later counts.
fn batch(rows: &mut Rows) -> Result<Option<Batch>, rows::Error> {
    let mut batch = Batch { rows: Vec::with_capacity(BATCH_ROWS), read: 0, place: 0 };
    let mut places = HashMap::with_capacity(BATCH_ROWS);
    while batch.read < BATCH_ROWS
        && let Some(Placed { entry: row, place, .. }) = rows.next::<Row>()?
    {
        batch.read += 1;
        batch.place = place;
        let folded = fold(&row);
        match places.get(&row.id) {
            Some(at) => batch.rows[*at] = (row, folded),
            None => {
                places.insert(row.id.clone(), batch.rows.len());
                batch.rows.push((row, folded));
            }
        }
    }
    Ok((batch.read > 0).then_some(batch))
}

fn fold(row: &Row) -> Folded {
    let album = row.album.as_deref().map(words::sort_key);
    let artist = words::sort_key(&row.artist);
    let mut all = words::folded(&row.name);
    let mut seen: Vec<String> = all.split(' ').map(str::to_owned).collect();
    for word in words::words(&row.artist).chain(row.album.iter().flat_map(|album| words::words(album))) {
        if !seen.contains(&word) {
            all.push(' ');
            all.push_str(&word);
            seen.push(word);
        }
    }
    Folded { artist, album, genre: row.genre.as_deref().map(words::sort_key), words: all }
}

/// The numbers of names, remembered between batches.
#[derive(Default)]
struct Numbers {
    artists: HashMap<String, i32>,
    /// With whether a year was told.
    albums: HashMap<(i32, String), (i32, bool)>,
    genres: HashMap<String, i32>,
}

impl Numbers {
    /// Finds every name's number, adding those that are new.
    async fn tracks(&mut self, tx: &mut Tx, rows: Vec<(Row, Folded)>) -> Result<Vec<NewTrack>, Error> {
        check_titles(tx, &rows).await?;
        if self.artists.len() + self.albums.len() > NUMBERS_KEPT_MAX {
            self.artists.clear();
            self.albums.clear();
        }
        self.learn_names(tx, &rows).await?;
        self.learn_albums(tx, &rows).await?;
        let track = |(row, folded): (Row, Folded)| {
            let artist = *self.artists.get(&folded.artist).ok_or(MISSING)?;
            let album = folded
                .album
                .map(|key| self.albums.get(&(artist, key)).map(|(number, _)| *number).ok_or(MISSING));
            let genre = folded.genre.map(|key| self.genres.get(&key).copied().ok_or(MISSING));
            Ok(NewTrack {
                reference: row.id,
                name: row.name,
                artist,
                album: album.transpose()?,
                genre: genre.transpose()?,
                title: row.title,
                number: row.number,
                duration_ms: row.duration_ms,
                popularity: row.popularity,
                words: folded.words,
            })
        };
        rows.into_iter().map(track).collect()
    }

    /// Artists and genres of these rows that are not remembered.
    async fn learn_names(&mut self, tx: &mut Tx, rows: &[(Row, Folded)]) -> Result<(), Error> {
        let (mut artists, mut genres) = (HashMap::new(), HashMap::new());
        for (row, folded) in rows {
            if !self.artists.contains_key(&folded.artist) {
                artists.insert(&folded.artist, &row.artist);
            }
            if let (Some(name), Some(key)) = (&row.genre, &folded.genre)
                && !self.genres.contains_key(key)
            {
                genres.insert(key, name);
            }
        }
        let keys = |names: HashMap<&String, &String>| -> Vec<Key> {
            let key = |(key, name): (&String, &String)| Key { name: name.clone(), sort_key: key.clone() };
            names.into_iter().map(key).collect()
        };
        self.artists.extend(import::numbers(tx, Kind::Artists, &keys(artists)).await?);
        self.genres.extend(import::numbers(tx, Kind::Genres, &keys(genres)).await?);
        Ok(())
    }

    /// Albums of these rows that are not remembered, or not with a year; their artists are. Of several years the first counts.
    async fn learn_albums(&mut self, tx: &mut Tx, rows: &[(Row, Folded)]) -> Result<(), Error> {
        let mut albums: HashMap<(i32, &str), AlbumKey> = HashMap::new();
        for (row, folded) in rows {
            let (Some(name), Some(key)) = (&row.album, &folded.album) else { continue };
            let artist = *self.artists.get(&folded.artist).ok_or(MISSING)?;
            let known = self.albums.get(&(artist, key.clone()));
            if known.is_none_or(|(_, dated)| !dated && row.year.is_some()) {
                let named = Key { name: name.clone(), sort_key: key.clone() };
                let (_, _, year) = albums.entry((artist, key)).or_insert((artist, named, None));
                *year = year.or(row.year);
            }
        }
        let albums: Vec<AlbumKey> = albums.into_values().collect();
        let numbers = import::album_numbers(tx, &albums).await?;
        for (artist, key, year) in albums {
            let number = *numbers.get(&(artist, key.sort_key.clone())).ok_or(MISSING)?;
            self.albums.insert((artist, key.sort_key), (number, year.is_some()));
        }
        Ok(())
    }
}

const MISSING: store::Error = store::Error::Corrupt("name without a number");

/// Refuses rows that name a title that is not there.
async fn check_titles(tx: &mut Tx, rows: &[(Row, Folded)]) -> Result<(), Error> {
    let mut named: Vec<(TitleId, &str)> =
        rows.iter().filter_map(|(row, _)| Some((row.title?, row.id.as_str()))).collect();
    named.sort_unstable();
    named.dedup_by_key(|(title, _)| *title);
    for (id, row) in named {
        if title::by_id(tx, id).await?.is_none() {
            return Error::refused(format!("track {row}: there is no title {id}"));
        }
    }
    Ok(())
}
