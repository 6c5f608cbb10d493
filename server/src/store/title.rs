//! Titles.

use matinee_protocol::id::{AccountId, TitleId};

use super::page::{Asked, Page, Position};
use super::{Error, Tx, country, id};
use crate::license::place::Countries;

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
    /// From when it may be played; none is from ever.
    pub available_from_ms: Option<i64>,
    /// Until when; none is for ever.
    pub available_until_ms: Option<i64>,
    /// How much of it is free, from its beginning.
    pub preview_ms: Option<i64>,
    /// Whether it is for a group only.
    pub private: bool,
    /// In which countries it may be played.
    pub countries: Countries,
}

impl Title {
    /// Where it stands in a listing.
    pub fn position(&self) -> Position {
        Position { at: self.created_at_ms, id: self.id.to_string() }
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    publisher_id: String,
    publisher_name: String,
    name: String,
    created_at_ms: i64,
    available_from_ms: Option<i64>,
    available_until_ms: Option<i64>,
    preview_ms: Option<i64>,
    private: bool,
    #[sqlx(flatten)]
    countries: country::Columns,
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
            available_from_ms: row.available_from_ms,
            available_until_ms: row.available_until_ms,
            preview_ms: row.preview_ms,
            private: row.private,
            countries: row.countries.rule()?,
        })
    }
}

/// The columns of [`Row`]; what they come from and the condition follow.
macro_rules! titles {
    ($rest:literal) => {
        concat!(
            "select t.id, t.publisher_id, a.name as publisher_name, t.name, t.created_at_ms, t.available_from_ms, \
             t.available_until_ms, t.preview_ms, t.group_id is not null as private, t.country_rule, t.countries, \
             t.unknown_country_allowed \
             from titles t join accounts a on a.id = t.publisher_id ",
            $rest
        )
    };
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
    let row: Option<Row> = on!(tx, |db| sqlx::query_as(titles!("where t.id = $1"))
        .bind(title.to_string())
        .fetch_optional(db)
        .await)?;
    row.map(Title::try_from).transpose()
}

/// Titles for everybody, and the private ones of this account's own or of its groups, newest first.
pub async fn listed(tx: &mut Tx, account: Option<AccountId>, asked: &Asked) -> Result<Page<Title>, Error> {
    let (at, after) = asked.after();
    let rows: Vec<Row> = on!(tx, |db| {
        sqlx::query_as(titles!(
            "where (t.group_id is null or t.publisher_id = $4 or exists (select 1 from viewer_group_members m \
             where m.group_id = t.group_id and m.account_id = $4)) \
             and (t.created_at_ms, t.id) < ($2, $3) order by t.created_at_ms desc, t.id desc limit $1"
        ))
        .bind(asked.rows())
        .bind(at)
        .bind(after)
        .bind(account.map(|account| account.to_string()).unwrap_or_default())
        .fetch_all(db)
        .await
    })?;
    let rows = rows.into_iter().map(Title::try_from).collect::<Result<Vec<_>, _>>()?;
    Ok(asked.page(rows, Title::position))
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
