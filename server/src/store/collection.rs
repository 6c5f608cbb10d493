//! Collections: titles that are sold together, each from a tier on.

use matinee_protocol::api::CollectionSummary;
use matinee_protocol::id::{AccountId, CollectionId, TitleId};

use super::page::{Asked, Page, Position};
use super::{Error, Tx, id, index};

/// Titles that are sold together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collection {
    /// Its id.
    pub id: CollectionId,
    /// Whose it is.
    pub publisher_id: AccountId,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created_at_ms: i64,
}

/// Makes a collection.
pub async fn insert(tx: &mut Tx, collection: &Collection) -> Result<(), Error> {
    on!(tx, |db| sqlx::query(
        "insert into collections (id, publisher_id, name, created_at_ms) values ($1, $2, $3, $4)"
    )
    .bind(collection.id.to_string())
    .bind(collection.publisher_id.to_string())
    .bind(&collection.name)
    .bind(collection.created_at_ms)
    .execute(db)
    .await
    .map(drop))?;
    Ok(())
}

/// The collection with this id.
pub async fn by_id(tx: &mut Tx, collection: CollectionId) -> Result<Option<Collection>, Error> {
    let row: Option<(String, String, i64)> = on!(tx, |db| sqlx::query_as(
        "select publisher_id, name, created_at_ms from collections where id = $1"
    )
    .bind(collection.to_string())
    .fetch_optional(db)
    .await)?;
    row.map(|(publisher, name, created_at_ms)| {
        Ok(Collection { id: collection, publisher_id: id(&publisher)?, name, created_at_ms })
    })
    .transpose()
}

/// The collections of a publisher that are called so, at most `limit`.
pub async fn by_name(
    tx: &mut Tx,
    publisher: AccountId,
    name: &str,
    limit: i64,
) -> Result<Vec<CollectionId>, Error> {
    let rows: Vec<(String,)> = on!(tx, |db| sqlx::query_as(
        "select id from collections where publisher_id = $1 and name = $2 order by id limit $3"
    )
    .bind(publisher.to_string())
    .bind(name)
    .bind(limit)
    .fetch_all(db)
    .await)?;
    rows.iter().map(|(collection,)| id(collection)).collect()
}

/// Puts a title into a collection, or moves it to another tier.
pub async fn put_title(
    tx: &mut Tx,
    collection: CollectionId,
    title: TitleId,
    tier: u32,
    now_ms: i64,
) -> Result<(), Error> {
    on!(tx, |db| sqlx::query(
        "insert into collection_titles (collection_id, title_id, tier, added_at_ms) values ($1, $2, $3, $4) \
         on conflict (collection_id, title_id) do update set tier = excluded.tier"
    )
    .bind(collection.to_string())
    .bind(title.to_string())
    .bind(i64::from(tier))
    .bind(now_ms)
    .execute(db)
    .await
    .map(drop))?;
    Ok(())
}

/// Takes a title out of a collection. False if it was not in it.
pub async fn remove_title(tx: &mut Tx, collection: CollectionId, title: TitleId) -> Result<bool, Error> {
    let removed =
        on!(tx, |db| sqlx::query("delete from collection_titles where collection_id = $1 and title_id = $2")
            .bind(collection.to_string())
            .bind(title.to_string())
            .execute(db)
            .await?
            .rows_affected());
    Ok(removed == 1)
}

/// The titles of a collection that this account may know of with their tiers, those added last in front.
pub async fn titles(
    tx: &mut Tx,
    collection: CollectionId,
    account: Option<AccountId>,
    asked: &Asked,
) -> Result<Page<Held>, Error> {
    let (at, after) = asked.after();
    let rows: Vec<HeldRow> = on!(tx, |db| {
        sqlx::query_as(
            "select c.title_id, t.name, c.tier, c.added_at_ms, t.available_from_ms from collection_titles c \
             join titles t on t.id = c.title_id where c.collection_id = $1 and (c.added_at_ms, c.title_id) < ($3, $4) \
             and (t.group_id is null or t.publisher_id = $5 or exists (select 1 from viewer_group_members m \
             where m.group_id = t.group_id and m.account_id = $5)) \
             order by c.added_at_ms desc, c.title_id desc limit $2",
        )
        .bind(collection.to_string())
        .bind(asked.rows())
        .bind(at)
        .bind(after)
        .bind(account.map(|account| account.to_string()).unwrap_or_default())
        .fetch_all(db)
        .await
    })?;
    let page = asked.page(rows, |row| Position { at: row.added_at_ms, id: row.title_id.clone() });
    let rows = page.rows.into_iter().map(Held::try_from).collect::<Result<_, Error>>()?;
    Ok(Page { rows, next: page.next })
}

/// A title in a collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The title.
    pub title: TitleId,
    /// Its name.
    pub name: String,
    /// The tier from which a plan opens it.
    pub tier: u32,
    /// From when it may be played; none is from ever.
    pub available_from_ms: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct HeldRow {
    title_id: String,
    name: String,
    tier: i64,
    added_at_ms: i64,
    available_from_ms: Option<i64>,
}

impl TryFrom<HeldRow> for Held {
    type Error = Error;

    fn try_from(row: HeldRow) -> Result<Self, Error> {
        let (title, tier) = (id(&row.title_id)?, index(row.tier)?);
        Ok(Self { title, name: row.name, tier, available_from_ms: row.available_from_ms })
    }
}

#[derive(sqlx::FromRow)]
struct NamedRow {
    id: String,
    name: String,
    publisher: String,
    created_at_ms: i64,
}

impl NamedRow {
    fn summary(&self) -> Result<CollectionSummary, Error> {
        Ok(CollectionSummary {
            id: id(&self.id)?,
            name: self.name.clone(),
            publisher: self.publisher.clone(),
        })
    }
}

/// Collections, or only those that can be bought, newest first.
pub async fn listed(tx: &mut Tx, only_sold: bool, asked: &Asked) -> Result<Page<CollectionSummary>, Error> {
    let (at, after) = asked.after();
    let rows: Vec<NamedRow> = on!(tx, |db| {
        sqlx::query_as(
            "select c.id, c.name, a.name as publisher, c.created_at_ms from collections c \
             join accounts a on a.id = c.publisher_id where (c.created_at_ms, c.id) < ($2, $3) \
             and (not $4 or exists (select 1 from plans p where p.collection_id = c.id)) \
             order by c.created_at_ms desc, c.id desc limit $1",
        )
        .bind(asked.rows())
        .bind(at)
        .bind(after)
        .bind(only_sold)
        .fetch_all(db)
        .await
    })?;
    let page = asked.page(rows, |row| Position { at: row.created_at_ms, id: row.id.clone() });
    let rows = page.rows.iter().map(NamedRow::summary).collect::<Result<_, Error>>()?;
    Ok(Page { rows, next: page.next })
}

/// Collections of one title that are told.
const OF_TITLE_MAX: i64 = 100;

/// The collections that hold a title and can be bought, newest first, at most [`OF_TITLE_MAX`].
pub async fn of_title(tx: &mut Tx, title: TitleId) -> Result<Vec<CollectionSummary>, Error> {
    let rows: Vec<NamedRow> = on!(tx, |db| {
        sqlx::query_as(
            "select c.id, c.name, a.name as publisher, c.created_at_ms from collection_titles t \
             join collections c on c.id = t.collection_id join accounts a on a.id = c.publisher_id \
             where t.title_id = $1 and exists (select 1 from plans p where p.collection_id = c.id) \
             order by c.created_at_ms desc, c.id desc limit $2",
        )
        .bind(title.to_string())
        .bind(OF_TITLE_MAX)
        .fetch_all(db)
        .await
    })?;
    rows.iter().map(NamedRow::summary).collect()
}
