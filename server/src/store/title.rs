//! Titles.

use matinee_protocol::id::{AccountId, TitleId};

use super::page::{Asked, Page, Position};
use super::{Error, Tx, id};

/// A work one can license.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Title {
    /// Its id.
    pub id: TitleId,
    /// Whose it is.
    pub publisher_id: AccountId,
    /// That account's name.
    pub publisher_name: String,
    /// Its name.
    pub name: String,
    /// When it was added.
    pub created_at_ms: i64,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    publisher_id: String,
    publisher_name: String,
    name: String,
    created_at_ms: i64,
}

impl TryFrom<Row> for Title {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(Self {
            id: id(&row.id)?,
            publisher_id: id(&row.publisher_id)?,
            publisher_name: row.publisher_name,
            name: row.name,
            created_at_ms: row.created_at_ms,
        })
    }
}

/// Adds a title.
pub async fn insert(
    tx: &mut Tx,
    title: TitleId,
    publisher: AccountId,
    name: &str,
    now_ms: i64,
) -> Result<(), Error> {
    on!(tx, |db| sqlx::query(
        "insert into titles (id, publisher_id, name, created_at_ms) values ($1, $2, $3, $4)"
    )
    .bind(title.to_string())
    .bind(publisher.to_string())
    .bind(name)
    .bind(now_ms)
    .execute(db)
    .await
    .map(drop))?;
    Ok(())
}

/// The title with this id.
pub async fn by_id(tx: &mut Tx, title: TitleId) -> Result<Option<Title>, Error> {
    let row: Option<Row> = on!(tx, |db| sqlx::query_as(
        "select t.id, t.publisher_id, a.name as publisher_name, t.name, t.created_at_ms \
         from titles t join accounts a on a.id = t.publisher_id where t.id = $1"
    )
    .bind(title.to_string())
    .fetch_optional(db)
    .await)?;
    row.map(Title::try_from).transpose()
}

/// Titles for everybody, newest first.
pub async fn listed(tx: &mut Tx, asked: &Asked) -> Result<Page<Title>, Error> {
    let (at, after) = asked.after();
    let rows: Vec<Row> = on!(tx, |db| {
        sqlx::query_as(
            "select t.id, t.publisher_id, a.name as publisher_name, t.name, t.created_at_ms \
         from titles t join accounts a on a.id = t.publisher_id where t.group_id is null \
         and (t.created_at_ms, t.id) < ($2, $3) order by t.created_at_ms desc, t.id desc limit $1",
        )
        .bind(asked.rows())
        .bind(at)
        .bind(after)
        .fetch_all(db)
        .await
    })?;
    let rows = rows.into_iter().map(Title::try_from).collect::<Result<Vec<_>, _>>()?;
    Ok(asked.page(rows, |row| Position { at: row.created_at_ms, id: row.id.to_string() }))
}

/// Removes a title that was never sold nor published, with its plans. False if there is more to it.
pub async fn delete_unused(tx: &mut Tx, title: TitleId) -> Result<bool, Error> {
    on!(tx, |db| sqlx::query(
        "delete from plans where title_id = $1 \
         and not exists (select 1 from releases where title_id = $1) \
         and not exists (select 1 from entitlements where title_id = $1) \
         and not exists (select 1 from purchases p where p.plan_id = plans.id) \
         and not exists (select 1 from payments p where p.plan_id = plans.id)"
    )
    .bind(title.to_string())
    .execute(db)
    .await
    .map(drop))?;
    let removed = on!(tx, |db| sqlx::query(
        "delete from titles where id = $1 and not exists (select 1 from releases where title_id = $1) \
         and not exists (select 1 from plans where title_id = $1) \
         and not exists (select 1 from entitlements where title_id = $1)"
    )
    .bind(title.to_string())
    .execute(db)
    .await?
    .rows_affected());
    Ok(removed == 1)
}
