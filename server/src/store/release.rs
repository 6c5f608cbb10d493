//! Releases and their files.

use matinee_protocol::id::{AccountId, FileIndex, ReleaseId, TitleId};

use super::sealed::Sealed;
use super::{Error, Tx, id, index, signed, unsigned};

/// Where a release stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its files are being uploaded.
    Open,
    /// Immutable, with a manifest.
    Published,
}

impl State {
    fn text(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Published => "published",
        }
    }

    fn parse(text: &str) -> Result<Self, Error> {
        match text {
            "open" => Ok(Self::Open),
            "published" => Ok(Self::Published),
            _ => Err(Error::Corrupt("release state")),
        }
    }
}

/// A release, with what is needed of its title and publisher.
#[derive(Debug, Clone)]
pub struct Release {
    /// Its id.
    pub id: ReleaseId,
    /// The title it is a version of.
    pub title_id: TitleId,
    /// The title's name.
    pub title_name: String,
    /// The account that publishes the title.
    pub publisher_id: AccountId,
    /// That account's name.
    pub publisher_name: String,
    /// Whether chunks are sealed.
    pub sealed: bool,
    /// Where it stands.
    pub state: State,
    /// The release secret, unless the release is open to all.
    pub secret: Option<Sealed>,
    /// When it was created.
    pub created_at_ms: i64,
    /// When it was published.
    pub published_at_ms: Option<i64>,
}

/// A file of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its position.
    pub file: FileIndex,
    /// Its name.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// Bytes of plaintext.
    pub size_bytes: u64,
    /// How long it plays, where known.
    pub duration_ms: Option<u64>,
    /// Chunks an epoch.
    pub epoch_chunks: u32,
    /// Bytes of plaintext that have arrived: a multiple of a segment, or the size.
    pub uploaded_bytes: u64,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    title_id: String,
    title_name: String,
    publisher_id: String,
    publisher_name: String,
    sealed: bool,
    state: String,
    secret: Option<Vec<u8>>,
    secret_key_id: Option<String>,
    created_at_ms: i64,
    published_at_ms: Option<i64>,
}

impl TryFrom<Row> for Release {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(Self {
            id: id(&row.id)?,
            title_id: id(&row.title_id)?,
            title_name: row.title_name,
            publisher_id: id(&row.publisher_id)?,
            publisher_name: row.publisher_name,
            sealed: row.sealed,
            state: State::parse(&row.state)?,
            secret: row.secret.zip(row.secret_key_id).map(|(bytes, key_id)| Sealed { key_id, bytes }),
            created_at_ms: row.created_at_ms,
            published_at_ms: row.published_at_ms,
        })
    }
}

#[derive(sqlx::FromRow)]
struct FileRow {
    file: i64,
    name: String,
    media_type: String,
    size_bytes: i64,
    duration_ms: Option<i64>,
    epoch_chunks: i64,
    uploaded_bytes: i64,
}

impl TryFrom<FileRow> for File {
    type Error = Error;

    fn try_from(row: FileRow) -> Result<Self, Error> {
        Ok(Self {
            file: FileIndex(index(row.file)?),
            name: row.name,
            media_type: row.media_type,
            size_bytes: unsigned(row.size_bytes),
            duration_ms: row.duration_ms.map(unsigned),
            epoch_chunks: index(row.epoch_chunks)?,
            uploaded_bytes: unsigned(row.uploaded_bytes),
        })
    }
}

/// The release with this id.
pub async fn by_id(tx: &mut Tx, release: ReleaseId) -> Result<Option<Release>, Error> {
    let row: Option<Row> = on!(tx, |db| {
        sqlx::query_as(
        "select r.id, r.title_id, t.name as title_name, t.publisher_id, a.name as publisher_name, r.sealed, r.state, \
         r.secret, r.secret_key_id, r.created_at_ms, r.published_at_ms \
         from releases r join titles t on t.id = r.title_id join accounts a on a.id = t.publisher_id where r.id = $1"
    )
    .bind(release.to_string())
    .fetch_optional(db)
    .await
    })?;
    row.map(Release::try_from).transpose()
}

/// The newest published release of a title.
pub async fn latest_published(tx: &mut Tx, title: TitleId) -> Result<Option<Release>, Error> {
    let row: Option<Row> = on!(tx, |db| {
        sqlx::query_as(
        "select r.id, r.title_id, t.name as title_name, t.publisher_id, a.name as publisher_name, r.sealed, r.state, \
         r.secret, r.secret_key_id, r.created_at_ms, r.published_at_ms \
         from releases r join titles t on t.id = r.title_id join accounts a on a.id = t.publisher_id \
         where r.title_id = $1 and r.state = 'published' order by r.published_at_ms desc, r.id desc limit 1"
    )
    .bind(title.to_string())
    .fetch_optional(db)
    .await
    })?;
    row.map(Release::try_from).transpose()
}

/// Published releases by id, from after this one on, at most `limit`.
pub async fn published(tx: &mut Tx, after: Option<ReleaseId>, limit: i64) -> Result<Vec<ReleaseId>, Error> {
    let rows: Vec<(String,)> = on!(tx, |db| sqlx::query_as(
        "select id from releases where state = 'published' and id > $1 order by id limit $2"
    )
    .bind(after.map_or_else(String::new, |after| after.to_string()))
    .bind(limit)
    .fetch_all(db)
    .await)?;
    rows.iter().map(|(release,)| id(release)).collect()
}

/// The files of a release, by position.
pub async fn files(tx: &mut Tx, release: ReleaseId) -> Result<Vec<File>, Error> {
    let rows: Vec<FileRow> = on!(tx, |db| sqlx::query_as(
        "select file, name, media_type, size_bytes, duration_ms, epoch_chunks, uploaded_bytes \
         from files where release_id = $1 order by file"
    )
    .bind(release.to_string())
    .fetch_all(db)
    .await)?;
    rows.into_iter().map(File::try_from).collect()
}

/// One file of a release.
pub async fn file(tx: &mut Tx, release: ReleaseId, file: FileIndex) -> Result<Option<File>, Error> {
    let row: Option<FileRow> = on!(tx, |db| sqlx::query_as(
        "select file, name, media_type, size_bytes, duration_ms, epoch_chunks, uploaded_bytes \
         from files where release_id = $1 and file = $2"
    )
    .bind(release.to_string())
    .bind(i64::from(file.get()))
    .fetch_optional(db)
    .await)?;
    row.map(File::try_from).transpose()
}

/// Creates an open release with its files. `secret` is absent for a release open to all.
pub async fn insert(
    tx: &mut Tx,
    release: ReleaseId,
    title: TitleId,
    secret: Option<&Sealed>,
    files: &[File],
    now_ms: i64,
) -> Result<(), Error> {
    on!(tx, |db| sqlx::query(
        "insert into releases (id, title_id, sealed, state, secret, secret_key_id, created_at_ms) \
         values ($1, $2, $3, $4, $5, $6, $7)"
    )
    .bind(release.to_string())
    .bind(title.to_string())
    .bind(secret.is_some())
    .bind(State::Open.text())
    .bind(secret.map(|sealed| sealed.bytes.as_slice()))
    .bind(secret.map(|sealed| sealed.key_id.as_str()))
    .bind(now_ms)
    .execute(db)
    .await
    .map(drop))?;
    for file in files {
        on!(tx, |db| sqlx::query(
            "insert into files \
             (release_id, file, name, media_type, size_bytes, duration_ms, epoch_chunks, uploaded_bytes) \
             values ($1, $2, $3, $4, $5, $6, $7, $8)"
        )
        .bind(release.to_string())
        .bind(i64::from(file.file.get()))
        .bind(&file.name)
        .bind(&file.media_type)
        .bind(signed(file.size_bytes))
        .bind(file.duration_ms.map(signed))
        .bind(i64::from(file.epoch_chunks))
        .bind(signed(file.uploaded_bytes))
        .execute(db)
        .await
        .map(drop))?;
    }
    Ok(())
}

/// Makes a whole open release immutable, with its signed manifest. False if it was not open or a file is not whole.
pub async fn publish(tx: &mut Tx, release: ReleaseId, manifest: &str, now_ms: i64) -> Result<bool, Error> {
    // The row's lock comes first, in a statement of its own: the next one then sees what a removal left.
    on!(tx, |db| sqlx::query("update releases set state = state where id = $1")
        .bind(release.to_string())
        .execute(db)
        .await
        .map(drop))?;
    let changed = on!(tx, |db| {
        sqlx::query(
        "update releases set state = 'published', manifest = $1, published_at_ms = $2 where id = $3 and state = 'open' \
         and not exists (select 1 from files where release_id = $3 and uploaded_bytes <> size_bytes)"
    )
    .bind(manifest)
    .bind(now_ms)
    .bind(release.to_string())
    .execute(db)
    .await?
    .rows_affected()
    });
    Ok(changed == 1)
}

/// The signed manifest of a published release.
pub async fn manifest(tx: &mut Tx, release: ReleaseId) -> Result<Option<String>, Error> {
    let row: Option<(Option<String>,)> =
        on!(tx, |db| sqlx::query_as("select manifest from releases where id = $1 and state = 'published'")
            .bind(release.to_string())
            .fetch_optional(db)
            .await)?;
    Ok(row.and_then(|(manifest,)| manifest))
}

/// Locks the row of an open release, which comes before all that is done to its parts: so neither a publication nor a
/// removal comes between. False if it is not there or not open.
pub(super) async fn lock_open(tx: &mut Tx, release: ReleaseId) -> Result<bool, Error> {
    let locked =
        on!(tx, |db| sqlx::query("update releases set state = state where id = $1 and state = 'open'")
            .bind(release.to_string())
            .execute(db)
            .await?
            .rows_affected());
    Ok(locked == 1)
}

/// Removes an open release, its files, its uploads and what is kept of the row that it came by. False if it is not there
/// or is published.
pub async fn delete_open(tx: &mut Tx, release: ReleaseId) -> Result<bool, Error> {
    if !lock_open(tx, release).await? {
        return Ok(false);
    }
    for sql in [
        "delete from uploads where release_id = $1",
        "delete from files where release_id = $1",
        "delete from supplied_titles where release_id = $1",
        "delete from releases where id = $1",
    ] {
        on!(tx, |db| sqlx::query(sql).bind(release.to_string()).execute(db).await.map(drop))?;
    }
    Ok(true)
}
