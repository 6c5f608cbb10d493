//! What comes into the catalogue: tracks with their artists, albums and genres, many at a time, and how far a file of them
//! is in.

use std::collections::HashMap;

use matinee_protocol::id::TitleId;

use super::catalogue::After;
use super::{Error, Store, Tx, backend, id};

/// Rows in one `insert` or one list of names: SQLite takes 32,766 values in a statement.
pub const ROWS_A_STATEMENT_MAX: usize = 200;
/// Tracks whose words are read at once.
const REINDEXED_ROWS: i64 = 10_000;

/// A track as it is kept, without its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTrack {
    /// The supplier's own name for it.
    pub reference: String,
    /// Its name.
    pub name: String,
    /// By whom.
    pub artist: i32,
    /// On what.
    pub album: Option<i32>,
    /// Of what kind.
    pub genre: Option<i32>,
    /// What one buys to hear it.
    pub title: Option<TitleId>,
    /// Its place on the album.
    pub number: Option<i32>,
    /// How long it plays.
    pub duration_ms: Option<i64>,
    /// How often it is asked for, on any scale.
    pub popularity: i32,
    /// What it is found by, folded, with one space between words.
    pub words: String,
}

/// Which kind of name is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Artists.
    Artists,
    /// Genres.
    Genres,
}

/// A name with the key it is found and sorted by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// As it is shown.
    pub name: String,
    /// Folded.
    pub sort_key: String,
}

/// Lets nobody else bring anything in until the transaction ends. SQLite has one writer; on PostgreSQL two who name the same
/// artists in another order would each wait for the other.
pub async fn alone(tx: &mut Tx) -> Result<(), Error> {
    backend::hold_catalogue(tx).await
}

/// The numbers of these names by sort key; those that are new are added, those that are spelled otherwise are corrected.
/// No two may have one key.
pub async fn numbers(tx: &mut Tx, kind: Kind, names: &[Key]) -> Result<HashMap<String, i32>, Error> {
    let (insert, correct) = match kind {
        Kind::Artists => (
            "insert into artists (name, sort_key) ",
            " on conflict (sort_key) do update set name = excluded.name where artists.name <> excluded.name",
        ),
        Kind::Genres => (
            "insert into genres (name, sort_key) ",
            " on conflict (sort_key) do update set name = excluded.name where genres.name <> excluded.name",
        ),
    };
    let select = match kind {
        Kind::Artists => "select id, sort_key from artists where sort_key in (",
        Kind::Genres => "select id, sort_key from genres where sort_key in (",
    };
    let mut found = HashMap::with_capacity(names.len());
    for part in names.chunks(ROWS_A_STATEMENT_MAX) {
        on!(tx, |db| {
            let mut query = backend::statement(db, insert);
            query.push_values(part, |mut row, key| {
                row.push_bind(&key.name).push_bind(&key.sort_key);
            });
            query.push(correct);
            query.build().persistent(part.len() == ROWS_A_STATEMENT_MAX).execute(db).await?;
        });
        let rows: Vec<(i32, String)> = on!(tx, |db| {
            let mut query = backend::statement(db, select);
            let mut list = query.separated(", ");
            for key in part {
                list.push_bind(&key.sort_key);
            }
            query.push(")");
            query.build_query_as().persistent(part.len() == ROWS_A_STATEMENT_MAX).fetch_all(db).await
        })?;
        found.extend(rows.into_iter().map(|(id, key)| (key, id)));
    }
    Ok(found)
}

/// An album to be looked up: its artist, its name and its year.
pub type AlbumKey = (i32, Key, Option<i32>);

/// The numbers of these albums by artist and sort key; those that are new are added, those that are spelled otherwise or
/// came out in another year are corrected. One that comes without a year keeps the year that it has. No two may have one
/// artist and key.
pub async fn album_numbers(tx: &mut Tx, albums: &[AlbumKey]) -> Result<HashMap<(i32, String), i32>, Error> {
    let mut found = HashMap::with_capacity(albums.len());
    for part in albums.chunks(ROWS_A_STATEMENT_MAX) {
        on!(tx, |db| {
            let mut query = backend::statement(db, "insert into albums (artist_id, name, sort_key, year) ");
            query.push_values(part, |mut row, (artist, key, year)| {
                row.push_bind(artist).push_bind(&key.name).push_bind(&key.sort_key).push_bind(year);
            });
            query.push(
                " on conflict (artist_id, sort_key) do update set name = excluded.name, \
                 year = coalesce(excluded.year, albums.year) where albums.name <> excluded.name \
                 or albums.year is distinct from coalesce(excluded.year, albums.year)",
            );
            query.build().persistent(part.len() == ROWS_A_STATEMENT_MAX).execute(db).await?;
        });
        let rows: Vec<(i32, i32, String)> = on!(tx, |db| {
            let mut query = backend::statement(
                db,
                "select id, artist_id, sort_key from albums where (artist_id, sort_key) in (",
            );
            for (at, (artist, key, _)) in part.iter().enumerate() {
                query.push(if at == 0 { "(" } else { ", (" });
                query.push_bind(artist).push(", ").push_bind(&key.sort_key).push(")");
            }
            query.push(")");
            query.build_query_as().persistent(part.len() == ROWS_A_STATEMENT_MAX).fetch_all(db).await
        })?;
        found.extend(rows.into_iter().map(|(id, artist, key)| ((artist, key), id)));
    }
    Ok(found)
}

/// Adds tracks, or changes those whose reference is known, and keeps the search index in step. No two may have one
/// reference. One that comes without a title keeps the title that it has.
pub async fn put_tracks(tx: &mut Tx, tracks: &[NewTrack]) -> Result<(), Error> {
    let mut before = Vec::new();
    let mut now = Vec::with_capacity(tracks.len());
    for part in tracks.chunks(ROWS_A_STATEMENT_MAX) {
        let known: Vec<(i32, i32)> = on!(tx, |db| {
            let mut query = backend::statement(db, "select id, popularity from tracks where reference in (");
            let mut list = query.separated(", ");
            for track in part {
                list.push_bind(&track.reference);
            }
            query.push(")");
            query.build_query_as().persistent(part.len() == ROWS_A_STATEMENT_MAX).fetch_all(db).await
        })?;
        before.extend(known.into_iter().map(|(id, popularity)| After { popularity, id }));
        let put: Vec<(i32, String)> = on!(tx, |db| {
            let mut query = backend::statement(
                db,
                "insert into tracks (reference, name, artist_id, album_id, genre_id, title_id, number, duration_ms, \
                 popularity, words) ",
            );
            query.push_values(part, |mut row, track| {
                row.push_bind(&track.reference).push_bind(&track.name).push_bind(track.artist);
                row.push_bind(track.album).push_bind(track.genre);
                row.push_bind(track.title.map(|title| title.to_string())).push_bind(track.number);
                row.push_bind(track.duration_ms).push_bind(track.popularity).push_bind(&track.words);
            });
            query.push(
                " on conflict (reference) do update set name = excluded.name, artist_id = excluded.artist_id, \
                 album_id = excluded.album_id, genre_id = excluded.genre_id, \
                 title_id = coalesce(excluded.title_id, tracks.title_id), \
                 number = excluded.number, duration_ms = excluded.duration_ms, \
                 popularity = excluded.popularity, words = excluded.words returning id, reference",
            );
            query.build_query_as().persistent(part.len() == ROWS_A_STATEMENT_MAX).fetch_all(db).await
        })?;
        let numbers: HashMap<String, i32> = put.into_iter().map(|(id, reference)| (reference, id)).collect();
        for track in part {
            let id = *numbers.get(&track.reference).ok_or(Error::Corrupt("track without a number"))?;
            now.push((After { popularity: track.popularity, id }, track.words.as_str()));
        }
    }
    backend::index_tracks(tx, &before, &mut now).await
}

/// The number of the track with this reference, and what one buys to hear it.
pub async fn track(tx: &mut Tx, reference: &str) -> Result<Option<(i32, Option<TitleId>)>, Error> {
    let row: Option<(i32, Option<String>)> =
        on!(tx, |db| sqlx::query_as("select id, title_id from tracks where reference = $1")
            .bind(reference)
            .fetch_optional(db)
            .await)?;
    row.map(|(track, title)| Ok((track, title.as_deref().map(id).transpose()?))).transpose()
}

/// Says what one buys to hear a track. False if there is no such track, or one buys another title for it.
pub async fn give_title(tx: &mut Tx, track: i32, title: TitleId) -> Result<bool, Error> {
    let given = on!(tx, |db| sqlx::query(
        "update tracks set title_id = $2 where id = $1 and (title_id is null or title_id = $2)"
    )
    .bind(track)
    .bind(title.to_string())
    .execute(db)
    .await?
    .rows_affected());
    Ok(given == 1)
}

/// Puts every track into the search index, after they came in from another database, and makes searching quick.
pub(super) async fn index_all(tx: &mut Tx) -> Result<(), Error> {
    let mut after = 0;
    loop {
        let rows: Vec<(i32, i32, String)> = on!(tx, |db| sqlx::query_as(
            "select id, popularity, words from tracks where id > $1 order by id limit $2"
        )
        .bind(after)
        .bind(REINDEXED_ROWS)
        .fetch_all(db)
        .await)?;
        let Some((last, ..)) = rows.last() else { break };
        after = *last;
        let mut now: Vec<_> = rows
            .iter()
            .map(|(id, popularity, words)| (After { popularity: *popularity, id: *id }, words.as_str()))
            .collect();
        backend::index_tracks(tx, &[], &mut now).await?;
    }
    let mut first = true;
    while backend::settle_index(tx, first).await? {
        first = false;
    }
    Ok(())
}

/// Makes searching quick after many tracks were put: step by step, so that others write in between. Given up anywhere, it
/// begins again.
pub async fn settle(store: &Store) -> Result<(), Error> {
    let mut first = true;
    loop {
        let mut tx = store.write().await?;
        let more = backend::settle_index(&mut tx, first).await?;
        tx.commit().await?;
        if !more {
            return Ok(());
        }
        first = false;
    }
}

/// How far the import of a file has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Import {
    /// Bytes of the file that are in.
    pub bytes_done: i64,
    /// Rows that are in.
    pub rows_done: i64,
    /// Whether that was all.
    pub finished: bool,
}

/// How far the import of the file with this hash has come; none if it never began.
pub async fn progress(tx: &mut Tx, file_hash: &[u8; 32]) -> Result<Option<Import>, Error> {
    let row: Option<(i64, i64, Option<i64>)> = on!(tx, |db| sqlx::query_as(
        "select bytes_done, rows_done, finished_at_ms from imports where file_hash = $1"
    )
    .bind(file_hash.as_slice())
    .fetch_optional(db)
    .await)?;
    Ok(row.map(|(bytes_done, rows_done, finished)| Import {
        bytes_done,
        rows_done,
        finished: finished.is_some(),
    }))
}

/// Notes how far the import of a file has come, in the transaction of the rows it counts.
pub async fn note(
    tx: &mut Tx,
    file_hash: &[u8; 32],
    (name, bytes): (&str, i64),
    import: Import,
    now_ms: i64,
) -> Result<(), Error> {
    on!(tx, |db| sqlx::query(
        "insert into imports (file_hash, name, bytes_done, rows_done, bytes, updated_at_ms, finished_at_ms) \
         values ($1, $2, $3, $4, $5, $6, $7) on conflict (file_hash) do update set name = excluded.name, \
         bytes_done = excluded.bytes_done, rows_done = excluded.rows_done, \
         updated_at_ms = excluded.updated_at_ms, finished_at_ms = excluded.finished_at_ms"
    )
    .bind(file_hash.as_slice())
    .bind(name)
    .bind(import.bytes_done)
    .bind(import.rows_done)
    .bind(bytes)
    .bind(now_ms)
    .bind(import.finished.then_some(now_ms))
    .execute(db)
    .await
    .map(drop))?;
    Ok(())
}
