//! Breaks within views: started and shown, by the server's clock.

use matinee_protocol::id::{AccountId, Thumbprint, ViewId};

use super::{Error, Tx, index};

/// A break that was started in a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Started {
    /// Its number.
    pub number: u32,
    /// When.
    pub started_at_ms: i64,
    /// When it was shown, if it was.
    pub shown_at_ms: Option<i64>,
}

/// The breaks of a view that were started, in order.
pub async fn of_view(tx: &mut Tx, view: ViewId) -> Result<Vec<Started>, Error> {
    let rows: Vec<(i64, i64, Option<i64>)> = on!(tx, |db| sqlx::query_as(
        "select number, started_at_ms, shown_at_ms from view_breaks where view_id = $1 order by number"
    )
    .bind(view.to_string())
    .fetch_all(db)
    .await)?;
    let started = |(number, started_at_ms, shown_at_ms)| {
        Ok(Started { number: index(number)?, started_at_ms, shown_at_ms })
    };
    rows.into_iter().map(started).collect()
}

/// Starts a break, or starts it again; every other one that is under way on the same device is no longer. The account's row
/// must be held by the transaction.
pub async fn start(
    tx: &mut Tx,
    (account, device): (AccountId, Thumbprint),
    view: ViewId,
    number: u32,
    now_ms: i64,
) -> Result<(), Error> {
    on!(tx, |db| sqlx::query(
        "delete from view_breaks where shown_at_ms is null \
         and view_id in (select id from views where account_id = $1 and jkt = $2 and state = 'active')"
    )
    .bind(account.to_string())
    .bind(device.to_string())
    .execute(db)
    .await
    .map(drop))?;
    on!(tx, |db| sqlx::query(
        "insert into view_breaks (view_id, number, started_at_ms) values ($1, $2, $3) \
         on conflict (view_id, number) do nothing"
    )
    .bind(view.to_string())
    .bind(i64::from(number))
    .bind(now_ms)
    .execute(db)
    .await
    .map(drop))?;
    Ok(())
}

/// Notes that a break was shown. False if it is not under way.
pub async fn complete(tx: &mut Tx, view: ViewId, number: u32, now_ms: i64) -> Result<bool, Error> {
    let changed = on!(tx, |db| {
        sqlx::query(
        "update view_breaks set shown_at_ms = $1 where view_id = $2 and number = $3 and shown_at_ms is null"
    )
    .bind(now_ms)
    .bind(view.to_string())
    .bind(i64::from(number))
    .execute(db)
    .await?
    .rows_affected()
    });
    Ok(changed == 1)
}
