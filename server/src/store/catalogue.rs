//! The catalogue: artists, albums, genres and tracks, looked through by name, place and popularity.

use std::collections::HashMap;

use super::{Error, Tx, backend, id};

/// Rows in one `insert` or one list of names: SQLite takes 32,766 values in a statement.
pub const ROWS_A_STATEMENT_MAX: usize = 200;
/// The highest popularity.
pub const POPULARITY_MAX: i32 = i32::MAX;

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
    pub title: Option<matinee_protocol::id::TitleId>,
    /// Its place on the album.
    pub number: Option<i32>,
    /// How long it plays.
    pub duration_ms: Option<i64>,
    /// How often it is asked for, on any scale.
    pub popularity: i32,
    /// What it is found by, folded, with one space between words.
    pub words: String,
}

/// A thing with a name: an artist, an album, a genre.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema, sqlx::FromRow)]
#[schema(as = CatalogueName)]
pub struct Named {
    /// Its number.
    pub id: i32,
    /// Its name.
    pub name: String,
}

/// An album with its artist.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema, sqlx::FromRow)]
pub struct Album {
    /// Its number.
    pub id: i32,
    /// Its name.
    pub name: String,
    /// When it came out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub year: Option<i32>,
    /// By whom.
    #[sqlx(flatten)]
    pub artist: Artist,
}

/// An artist, where it stands beside something else.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema, sqlx::FromRow)]
#[schema(as = AlbumArtist)]
pub struct Artist {
    /// Its number.
    #[sqlx(rename = "artist_id")]
    pub id: i32,
    /// Its name.
    #[sqlx(rename = "artist_name")]
    pub name: String,
}

/// A track as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Track {
    /// Its number.
    pub id: i32,
    /// Its name.
    pub name: String,
    /// By whom.
    pub artist: Named,
    /// On what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub album: Option<Named>,
    /// Of what kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub genre: Option<Named>,
    /// What one buys to hear it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<matinee_protocol::id::TitleId>,
    /// Its place on the album.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<i32>,
    /// How long it plays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<i64>,
    /// How often it is asked for.
    pub popularity: i32,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: i32,
    name: String,
    artist_id: i32,
    artist_name: String,
    album_id: Option<i32>,
    album_name: Option<String>,
    genre_id: Option<i32>,
    genre_name: Option<String>,
    title_id: Option<String>,
    number: Option<i32>,
    duration_ms: Option<i64>,
    popularity: i32,
}

impl TryFrom<Row> for Track {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let named = |id: Option<i32>, name: Option<String>| Some(Named { id: id?, name: name? });
        Ok(Self {
            id: row.id,
            name: row.name,
            artist: Named { id: row.artist_id, name: row.artist_name },
            album: named(row.album_id, row.album_name),
            genre: named(row.genre_id, row.genre_name),
            title: row.title_id.as_deref().map(id).transpose()?,
            number: row.number,
            duration_ms: row.duration_ms,
            popularity: row.popularity,
        })
    }
}

/// Where a page of tracks by popularity goes on: after this track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct After {
    /// Its popularity.
    pub popularity: i32,
    /// Its number.
    pub id: i32,
}

impl After {
    /// Before the first.
    pub const START: Self = Self { popularity: POPULARITY_MAX, id: 0 };
}

/// The columns of [`Row`], with the tables they come from; the condition follows.
macro_rules! tracks_where {
    ($condition:literal) => {
        concat!(
            "select t.id, t.name, t.artist_id, a.name as artist_name, t.album_id, b.name as album_name, t.genre_id, \
             g.name as genre_name, t.title_id, t.number, t.duration_ms, t.popularity \
             from tracks t join artists a on a.id = t.artist_id left join albums b on b.id = t.album_id \
             left join genres g on g.id = t.genre_id where ",
            $condition
        )
    };
}

/// One track.
pub async fn track(tx: &mut Tx, track: i32) -> Result<Option<Track>, Error> {
    let row: Option<Row> =
        on!(tx, |db| sqlx::query_as(tracks_where!("t.id = $1")).bind(track).fetch_optional(db).await)?;
    row.map(Track::try_from).transpose()
}

/// Whose tracks are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// Everything.
    All,
    /// An artist's.
    Artist(i32),
    /// A genre's.
    Genre(i32),
}

/// Tracks by popularity, the most popular first, from `after` on, at most `limit`.
pub async fn by_popularity(tx: &mut Tx, of: Of, after: After, limit: i64) -> Result<Vec<Track>, Error> {
    let (sql, of) = match of {
        Of::All => (
            tracks_where!(
                "t.popularity <= $1 and (t.popularity < $1 or t.id > $2) and $3 = 0 \
                 order by t.popularity desc, t.id limit $4"
            ),
            0,
        ),
        Of::Artist(artist) => (
            tracks_where!(
                "t.artist_id = $3 and t.popularity <= $1 and (t.popularity < $1 or t.id > $2) \
                 order by t.popularity desc, t.id limit $4"
            ),
            artist,
        ),
        Of::Genre(genre) => (
            tracks_where!(
                "t.genre_id = $3 and t.popularity <= $1 and (t.popularity < $1 or t.id > $2) \
                 order by t.popularity desc, t.id limit $4"
            ),
            genre,
        ),
    };
    let rows: Vec<Row> = on!(tx, |db| sqlx::query_as(sql)
        .bind(after.popularity)
        .bind(after.id)
        .bind(of)
        .bind(limit)
        .fetch_all(db)
        .await)?;
    rows.into_iter().map(Track::try_from).collect()
}

/// The tracks of an album in their order, at most `limit`.
pub async fn on_album(tx: &mut Tx, album: i32, limit: i64) -> Result<Vec<Track>, Error> {
    let rows: Vec<Row> = on!(tx, |db| sqlx::query_as(tracks_where!(
        "t.album_id = $1 order by coalesce(t.number, 2147483647), t.id limit $2"
    ))
    .bind(album)
    .bind(limit)
    .fetch_all(db)
    .await)?;
    rows.into_iter().map(Track::try_from).collect()
}

/// Tracks that have every one of these words, the last of them perhaps only begun, the most popular first.
pub async fn search(tx: &mut Tx, words: &[String], limit: i64) -> Result<Vec<Track>, Error> {
    if words.is_empty() {
        return Ok(Vec::new());
    }
    let ids = backend::search_tracks(tx, words, limit).await?;
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let full = i64::try_from(ids.len()) == Ok(limit);
    let rows: Vec<Row> = on!(tx, |db| {
        let mut query = backend::statement(db, tracks_where!("t.id in ("));
        let mut list = query.separated(", ");
        for id in &ids {
            list.push_bind(*id);
        }
        query.push(") order by t.popularity desc, t.id");
        query.build_query_as().persistent(full).fetch_all(db).await
    })?;
    rows.into_iter().map(Track::try_from).collect()
}

/// An artist.
pub async fn artist(tx: &mut Tx, artist: i32) -> Result<Option<Named>, Error> {
    Ok(on!(tx, |db| sqlx::query_as("select id, name from artists where id = $1")
        .bind(artist)
        .fetch_optional(db)
        .await)?)
}

/// Artists by name, from after this one on, at most `limit`.
pub async fn artists(tx: &mut Tx, after: Option<i32>, limit: i64) -> Result<Vec<Named>, Error> {
    let sql = match after {
        None => "select id, name from artists where $1 = 0 order by sort_key limit $2",
        Some(_) => {
            "select id, name from artists where sort_key > (select sort_key from artists where id = $1) \
             order by sort_key limit $2"
        }
    };
    Ok(on!(tx, |db| sqlx::query_as(sql).bind(after.unwrap_or(0)).bind(limit).fetch_all(db).await)?)
}

/// Every genre by name, at most `limit`.
pub async fn genres(tx: &mut Tx, limit: i64) -> Result<Vec<Named>, Error> {
    Ok(on!(tx, |db| sqlx::query_as("select id, name from genres order by sort_key limit $1")
        .bind(limit)
        .fetch_all(db)
        .await)?)
}

/// A genre.
pub async fn genre(tx: &mut Tx, genre: i32) -> Result<Option<Named>, Error> {
    Ok(on!(tx, |db| sqlx::query_as("select id, name from genres where id = $1")
        .bind(genre)
        .fetch_optional(db)
        .await)?)
}

/// An album.
pub async fn album(tx: &mut Tx, album: i32) -> Result<Option<Album>, Error> {
    Ok(on!(tx, |db| sqlx::query_as(
        "select b.id, b.name, b.year, b.artist_id, a.name as artist_name \
         from albums b join artists a on a.id = b.artist_id where b.id = $1"
    )
    .bind(album)
    .fetch_optional(db)
    .await)?)
}

/// The albums of an artist by name, at most `limit`.
pub async fn albums_by(tx: &mut Tx, artist: i32, limit: i64) -> Result<Vec<Album>, Error> {
    Ok(on!(tx, |db| {
        sqlx::query_as(
        "select b.id, b.name, b.year, b.artist_id, a.name as artist_name \
         from albums b join artists a on a.id = b.artist_id where b.artist_id = $1 order by b.sort_key limit $2"
    )
    .bind(artist)
    .bind(limit)
    .fetch_all(db)
    .await
    })?)
}

/// How much there is: artists, albums, genres, tracks.
pub async fn counts(tx: &mut Tx) -> Result<[i64; 4], Error> {
    let mut counted = [0; 4];
    let tables = [
        "select count(*) from artists",
        "select count(*) from albums",
        "select count(*) from genres",
        "select count(*) from tracks",
    ];
    for (sql, into) in tables.into_iter().zip(&mut counted) {
        (*into,) = on!(tx, |db| sqlx::query_as(sql).fetch_one(db).await)?;
    }
    Ok(counted)
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

/// The numbers of these names by sort key; those that are new are added.
pub async fn numbers(tx: &mut Tx, kind: Kind, names: &[Key]) -> Result<HashMap<String, i32>, Error> {
    let insert = match kind {
        Kind::Artists => "insert into artists (name, sort_key) ",
        Kind::Genres => "insert into genres (name, sort_key) ",
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
            query.push(" on conflict (sort_key) do nothing");
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

/// The numbers of these albums by artist and sort key; those that are new are added.
pub async fn album_numbers(tx: &mut Tx, albums: &[AlbumKey]) -> Result<HashMap<(i32, String), i32>, Error> {
    let mut found = HashMap::with_capacity(albums.len());
    for part in albums.chunks(ROWS_A_STATEMENT_MAX) {
        on!(tx, |db| {
            let mut query = backend::statement(db, "insert into albums (artist_id, name, sort_key, year) ");
            query.push_values(part, |mut row, (artist, key, year)| {
                row.push_bind(artist).push_bind(&key.name).push_bind(&key.sort_key).push_bind(year);
            });
            query.push(" on conflict (artist_id, sort_key) do nothing");
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
pub async fn by_reference(
    tx: &mut Tx,
    reference: &str,
) -> Result<Option<(i32, Option<matinee_protocol::id::TitleId>)>, Error> {
    let row: Option<(i32, Option<String>)> =
        on!(tx, |db| sqlx::query_as("select id, title_id from tracks where reference = $1")
            .bind(reference)
            .fetch_optional(db)
            .await)?;
    row.map(|(track, title)| Ok((track, title.as_deref().map(id).transpose()?))).transpose()
}

/// Says what one buys to hear a track. False if there is no such track, or one buys another title for it.
pub async fn give_title(
    tx: &mut Tx,
    track: i32,
    title: matinee_protocol::id::TitleId,
) -> Result<bool, Error> {
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

/// Tracks whose words are read at once.
const REINDEXED_ROWS: i64 = 10_000;

/// Puts every track into the search index, after they came in from another database.
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
    backend::settle_index(tx).await
}

/// Makes searching quick after many tracks were put.
pub async fn settle(tx: &mut Tx) -> Result<(), Error> {
    backend::settle_index(tx).await
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
pub async fn import(tx: &mut Tx, file_hash: &[u8; 32]) -> Result<Option<Import>, Error> {
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
pub async fn note_import(
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
