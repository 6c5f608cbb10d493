//! Groups: accounts that private titles are for.

use matinee_protocol::id::{AccountId, GroupId, TitleId, ViewId};

use super::page::{Asked, Page, Position};
use super::{Error, Tx, id};

/// Accounts that private titles are for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its id.
    pub id: GroupId,
    /// Whose it is.
    pub publisher_id: AccountId,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created_at_ms: i64,
}

/// Makes a group.
pub async fn insert(tx: &mut Tx, group: &Group) -> Result<(), Error> {
    on!(tx, |db| sqlx::query(
        "insert into viewer_groups (id, publisher_id, name, created_at_ms) values ($1, $2, $3, $4)"
    )
    .bind(group.id.to_string())
    .bind(group.publisher_id.to_string())
    .bind(&group.name)
    .bind(group.created_at_ms)
    .execute(db)
    .await
    .map(drop))?;
    Ok(())
}

/// The group with this id.
pub async fn by_id(tx: &mut Tx, group: GroupId) -> Result<Option<Group>, Error> {
    let row: Option<(String, String, i64)> = on!(tx, |db| sqlx::query_as(
        "select publisher_id, name, created_at_ms from viewer_groups where id = $1"
    )
    .bind(group.to_string())
    .fetch_optional(db)
    .await)?;
    row.map(|(publisher, name, created_at_ms)| {
        Ok(Group { id: group, publisher_id: id(&publisher)?, name, created_at_ms })
    })
    .transpose()
}

/// The groups of a publisher, newest first.
pub async fn by_publisher(tx: &mut Tx, publisher: AccountId, asked: &Asked) -> Result<Page<Group>, Error> {
    let (at, after) = asked.after();
    let rows: Vec<(String, String, i64)> = on!(tx, |db| {
        sqlx::query_as(
            "select id, name, created_at_ms from viewer_groups where publisher_id = $1 \
             and (created_at_ms, id) < ($3, $4) order by created_at_ms desc, id desc limit $2",
        )
        .bind(publisher.to_string())
        .bind(asked.rows())
        .bind(at)
        .bind(after)
        .fetch_all(db)
        .await
    })?;
    let group = |(group, name, created_at_ms): (String, _, _)| {
        Ok(Group { id: id(&group)?, publisher_id: publisher, name, created_at_ms })
    };
    let rows = rows.into_iter().map(group).collect::<Result<Vec<_>, Error>>()?;
    Ok(asked.page(rows, |row| Position { at: row.created_at_ms, id: row.id.to_string() }))
}

/// An account in a group.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema, sqlx::FromRow)]
#[schema(as = GroupMember)]
pub struct Member {
    /// Which account.
    pub account: String,
    /// By what its publisher knows it.
    pub email: String,
    /// Since when.
    pub added_at_ms: i64,
}

/// The members of a group, the one added last in front.
pub async fn members(tx: &mut Tx, group: GroupId, asked: &Asked) -> Result<Page<Member>, Error> {
    let (at, after) = asked.after();
    let rows: Vec<Member> = on!(tx, |db| {
        sqlx::query_as(
            "select m.account_id as account, a.email, m.added_at_ms from viewer_group_members m \
             join accounts a on a.id = m.account_id where m.group_id = $1 \
             and (m.added_at_ms, m.account_id) < ($3, $4) order by m.added_at_ms desc, m.account_id desc limit $2",
        )
        .bind(group.to_string())
        .bind(asked.rows())
        .bind(at)
        .bind(after)
        .fetch_all(db)
        .await
    })?;
    Ok(asked.page(rows, |row| Position { at: row.added_at_ms, id: row.account.clone() }))
}

/// Adds an account to a group. False if it was in it.
pub async fn add(tx: &mut Tx, group: GroupId, account: AccountId, now_ms: i64) -> Result<bool, Error> {
    let added = on!(tx, |db| sqlx::query(
        "insert into viewer_group_members (group_id, account_id, added_at_ms) values ($1, $2, $3) \
         on conflict (group_id, account_id) do nothing"
    )
    .bind(group.to_string())
    .bind(account.to_string())
    .bind(now_ms)
    .execute(db)
    .await?
    .rows_affected());
    Ok(added == 1)
}

/// Removes an account from a group and stops its views of the group's titles, which it names. None if it was not in it.
pub async fn remove(
    tx: &mut Tx,
    group: GroupId,
    account: AccountId,
    now_ms: i64,
) -> Result<Option<Vec<ViewId>>, Error> {
    let removed =
        on!(tx, |db| sqlx::query("delete from viewer_group_members where group_id = $1 and account_id = $2")
            .bind(group.to_string())
            .bind(account.to_string())
            .execute(db)
            .await?
            .rows_affected());
    if removed == 0 {
        return Ok(None);
    }
    let rows: Vec<(String,)> = on!(tx, |db| sqlx::query_as(
        "update views set state = 'revoked', end_reason = 'no longer a member', ended_at_ms = $1 \
         where account_id = $2 and state = 'active' \
         and title_id in (select id from titles where group_id = $3) returning id"
    )
    .bind(now_ms)
    .bind(account.to_string())
    .bind(group.to_string())
    .fetch_all(db)
    .await)?;
    Ok(Some(rows.iter().map(|(view,)| id(view)).collect::<Result<_, _>>()?))
}

/// Whether a title is private, and whether this account may know of it: its publisher and the group's members may.
pub async fn may_see(tx: &mut Tx, title: TitleId, account: Option<AccountId>) -> Result<bool, Error> {
    let row: Option<(bool,)> = on!(tx, |db| {
        sqlx::query_as(
        "select t.group_id is null or t.publisher_id = $2 or exists (select 1 from viewer_group_members m \
         where m.group_id = t.group_id and m.account_id = $2) from titles t where t.id = $1"
    )
    .bind(title.to_string())
    .bind(account.map(|account| account.to_string()).unwrap_or_default())
    .fetch_optional(db)
    .await
    })?;
    Ok(row.is_some_and(|(seen,)| seen))
}
