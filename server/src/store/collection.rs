//! Collections: titles that are sold together, each from a tier on.

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

/// The titles of a collection with their tiers, those added last in front. Private ones are not told.
pub async fn titles(
    tx: &mut Tx,
    collection: CollectionId,
    asked: &Asked,
) -> Result<Page<(TitleId, u32)>, Error> {
    let (at, after) = asked.after();
    let rows: Vec<(String, i64, i64)> = on!(tx, |db| {
        sqlx::query_as(
        "select c.title_id, c.tier, c.added_at_ms from collection_titles c join titles t on t.id = c.title_id \
         where c.collection_id = $1 and (c.added_at_ms, c.title_id) < ($3, $4) and t.group_id is null \
         order by c.added_at_ms desc, c.title_id desc limit $2"
    )
    .bind(collection.to_string())
    .bind(asked.rows())
    .bind(at)
    .bind(after)
    .fetch_all(db)
    .await
    })?;
    let page = asked.page(rows, |(title, _, at)| Position { at: *at, id: title.clone() });
    let row = |(title, tier, _): (String, i64, i64)| Ok((id(&title)?, index(tier)?));
    let rows = page.rows.into_iter().map(row).collect::<Result<_, Error>>()?;
    Ok(Page { rows, next: page.next })
}
