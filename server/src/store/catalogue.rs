//! The catalogue: artists, albums, genres and tracks, looked through by name, place and popularity. It is filled by
//! [`super::import`].

use matinee_protocol::id::{AccountId, TitleId};

use super::{Error, Tx, backend, id};

/// The highest popularity.
pub const POPULARITY_MAX: i32 = i32::MAX;

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
    /// What one buys to hear it, unless whoever asks may not know of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<TitleId>,
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

/// The columns of [`Row`], with the tables they come from; the condition follows. `$1` is who asks: private titles are
/// told to their publisher and their group only.
macro_rules! tracks_where {
    ($condition:literal) => {
        concat!(
            "select t.id, t.name, t.artist_id, a.name as artist_name, t.album_id, b.name as album_name, t.genre_id, \
             g.name as genre_name, t.number, t.duration_ms, t.popularity, \
             (select w.id from titles w where w.id = t.title_id and (w.group_id is null or w.publisher_id = $1 \
             or exists (select 1 from viewer_group_members m where m.group_id = w.group_id and m.account_id = $1))) \
             as title_id \
             from tracks t join artists a on a.id = t.artist_id left join albums b on b.id = t.album_id \
             left join genres g on g.id = t.genre_id where ",
            $condition
        )
    };
}

/// Who asks, as statements compare it; nobody has the empty name.
fn asking(viewer: Option<AccountId>) -> String {
    viewer.map(|viewer| viewer.to_string()).unwrap_or_default()
}

/// One track.
pub async fn track(tx: &mut Tx, viewer: Option<AccountId>, track: i32) -> Result<Option<Track>, Error> {
    let row: Option<Row> = on!(tx, |db| sqlx::query_as(tracks_where!("t.id = $2"))
        .bind(asking(viewer))
        .bind(track)
        .fetch_optional(db)
        .await)?;
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
pub async fn by_popularity(
    tx: &mut Tx,
    viewer: Option<AccountId>,
    of: Of,
    after: After,
    limit: i64,
) -> Result<Vec<Track>, Error> {
    let (sql, of) = match of {
        Of::All => (
            tracks_where!(
                "t.popularity <= $2 and (t.popularity < $2 or t.id > $3) and $4 = 0 \
                 order by t.popularity desc, t.id limit $5"
            ),
            0,
        ),
        Of::Artist(artist) => (
            tracks_where!(
                "t.artist_id = $4 and t.popularity <= $2 and (t.popularity < $2 or t.id > $3) \
                 order by t.popularity desc, t.id limit $5"
            ),
            artist,
        ),
        Of::Genre(genre) => (
            tracks_where!(
                "t.genre_id = $4 and t.popularity <= $2 and (t.popularity < $2 or t.id > $3) \
                 order by t.popularity desc, t.id limit $5"
            ),
            genre,
        ),
    };
    let rows: Vec<Row> = on!(tx, |db| sqlx::query_as(sql)
        .bind(asking(viewer))
        .bind(after.popularity)
        .bind(after.id)
        .bind(of)
        .bind(limit)
        .fetch_all(db)
        .await)?;
    rows.into_iter().map(Track::try_from).collect()
}

/// The tracks of an album in their order, at most `limit`.
pub async fn on_album(
    tx: &mut Tx,
    viewer: Option<AccountId>,
    album: i32,
    limit: i64,
) -> Result<Vec<Track>, Error> {
    let rows: Vec<Row> = on!(tx, |db| sqlx::query_as(tracks_where!(
        "t.album_id = $2 order by coalesce(t.number, 2147483647), t.id limit $3"
    ))
    .bind(asking(viewer))
    .bind(album)
    .bind(limit)
    .fetch_all(db)
    .await)?;
    rows.into_iter().map(Track::try_from).collect()
}

/// Tracks that have every one of these words, the last of them perhaps only begun, the most popular first.
pub async fn search(
    tx: &mut Tx,
    viewer: Option<AccountId>,
    words: &[String],
    limit: i64,
) -> Result<Vec<Track>, Error> {
    if words.is_empty() {
        return Ok(Vec::new());
    }
    let ids = backend::search_tracks(tx, words, limit).await?;
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let full = i64::try_from(ids.len()) == Ok(limit);
    // Numbered, for whoever asks is named more than once.
    let places: Vec<String> = (0..ids.len()).map(|at| format!("${}", at + 2)).collect();
    let sql = format!(tracks_where!("t.id in ({}) order by t.popularity desc, t.id"), places.join(", "));
    let rows: Vec<Row> = on!(tx, |db| {
        let mut query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(asking(viewer));
        for id in &ids {
            query = query.bind(*id);
        }
        query.persistent(full).fetch_all(db).await
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
