//! `GET /v1/ledger/entries`: the ledger, entry by entry, for bookkeeping.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::authority::Operator;
use super::cursor::{self, Paging};
use super::doc::Doc;
use super::problem::Problem;
use crate::app::App;
use crate::store::entry::{self, Place};
use crate::store::page::Position;

/// What stands between journal and account in a cursor; neither holds one.
const BETWEEN: char = '|';

/// Query, beside that of every listing.
#[derive(Deserialize)]
pub struct Times {
    from_ms: Option<i64>,
    until_ms: Option<i64>,
}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    let time = || json!({ "type": "integer" });
    Doc::new("The ledger, entry by entry, oldest first")
        .paged(cursor::PAGE_ROWS_MAX)
        .query("from_ms", "only journals from this time on", time())
        .query("until_ms", "only journals before this time", time())
        .object(200, |it| {
            it.field::<Option<String>>("next").list_of("entries", |it| {
                it.field::<i64>("at_ms")
                    .field::<String>("journal")
                    .field::<String>("kind")
                    .field::<String>("reference")
                    .field::<String>("account")
                    .field::<i64>("amount_minor")
                    .field::<String>("currency")
            })
        })
}

/// Answers with a page. Entries are written with the time at which their request began: a page that reaches into the
/// present can be followed by entries older than its last.
pub async fn handle(
    State(app): State<App>,
    _: Operator,
    Paging(asked): Paging,
    times: Result<Query<Times>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(times) =
        times.map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "query_invalid", error.body_text()))?;
    let place = match asked.after {
        Some(position) => place(position).ok_or_else(|| {
            let detail = "send the cursor as `next` gave it, or none";
            Problem::new(StatusCode::BAD_REQUEST, "cursor_invalid", detail)
        })?,
        None => Place(times.from_ms.unwrap_or(0), String::new(), String::new()),
    };
    let until_ms = times.until_ms.unwrap_or(i64::MAX);
    let limit = i64::from(asked.limit);
    let entries = entry::after(&mut app.store.read().await?, &place, until_ms, limit).await?;
    // A full page may have more behind it; the next one tells.
    let full = i64::try_from(entries.len()).is_ok_and(|count| count == limit);
    let next = entries.last().filter(|_| full).map(|last| {
        let id = format!("{}{BETWEEN}{}", last.journal, last.account);
        cursor::write(&Position { at: last.at_ms, id })
    });
    Ok(Json(json!({ "entries": entries, "next": next })))
}

fn place(position: Position) -> Option<Place> {
    let (journal, account) = position.id.split_once(BETWEEN)?;
    Some(Place(position.at, journal.to_owned(), account.to_owned()))
}
