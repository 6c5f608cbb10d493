//! `GET /v1/titles`: what the shop shows, or with `?q=` what of it is called so.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use matinee_protocol::api::TitleSummary;
use matinee_protocol::id::AccountId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::authority::Session;
use super::cursor::{self, Paging, Query};
use super::doc::Doc;
use super::problem::Problem;
use super::title_show::summary;
use crate::app::App;
use crate::store::Tx;
use crate::store::page::{Asked, Page};
use crate::store::title::{self, Title};
use crate::words;

/// Characters of a query.
const QUERY_CHARS_MAX: usize = 200;
/// Titles that are read at once to look for a name.
const STEP_ROWS: u32 = 1_000;
/// Titles that one request looks through; the next page goes on behind them.
const SEARCHED_ROWS_MAX: u32 = 10_000;

/// Query, beside that of every listing.
#[derive(Deserialize)]
pub struct Named {
    q: Option<String>,
}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    let words = json!({ "type": "string", "maxLength": QUERY_CHARS_MAX });
    Doc::new("What the shop shows to this account, newest first")
        .paged(cursor::PAGE_ROWS_MAX)
        .query(
            "q",
            "only titles with these words in their name or publisher, the last perhaps only begun; a page may have fewer \
             than asked for, or none, and be followed by another all the same",
            words,
        )
        .object(200, |it| it.list::<TitleSummary>("titles").field::<Option<String>>("next"))
}

/// Answers. Private titles are told to their publisher and their group only.
pub async fn handle(
    State(app): State<App>,
    session: Option<Session>,
    Paging(asked): Paging,
    Query(named): Query<Named>,
) -> Result<Json<Value>, Problem> {
    let account = session.map(|session| session.account);
    let mut tx = app.store.read().await?;
    let page = match named.q.as_deref() {
        None => title::listed(&mut tx, account, &asked).await?,
        Some(text) => {
            if text.chars().count() > QUERY_CHARS_MAX {
                let detail = format!("q has at most {QUERY_CHARS_MAX} characters");
                return Err(Problem::new(StatusCode::BAD_REQUEST, "query_invalid", detail));
            }
            named_so(&mut tx, account, &words::query(text), asked).await?
        }
    };
    let mut titles = Vec::with_capacity(page.rows.len());
    for found in page.rows {
        titles.push(summary(&mut tx, found).await?);
    }
    Ok(Json(json!({ "titles": titles, "next": page.next.as_ref().map(cursor::write) })))
}

/// A page of the titles with these words. It ends early, with fewer rows than asked for or none, where
/// [`SEARCHED_ROWS_MAX`] titles were looked through; the next one goes on there.
async fn named_so(
    tx: &mut Tx,
    account: Option<AccountId>,
    wanted: &[String],
    asked: Asked,
) -> Result<Page<Title>, Problem> {
    let (limit, mut after) = (asked.limit as usize, asked.after);
    let mut found: Vec<Title> = Vec::new();
    for _ in 0..SEARCHED_ROWS_MAX / STEP_ROWS {
        let step = title::listed(tx, account, &Asked { limit: STEP_ROWS, after }).await?;
        let fitting =
            step.rows.into_iter().filter(|row| fits(wanted, &format!("{} {}", row.name, row.publisher_name)));
        found.extend(fitting.take(limit + 1 - found.len()));
        if found.len() > limit {
            found.truncate(limit);
            let next = found.last().map(Title::position);
            return Ok(Page { rows: found, next });
        }
        after = step.next;
        if after.is_none() {
            break;
        }
    }
    Ok(Page { rows: found, next: after })
}

/// Whether a name has every one of these words, the last of them perhaps only begun.
fn fits(wanted: &[String], name: &str) -> bool {
    let Some((last, whole)) = wanted.split_last() else { return false };
    let there: Vec<String> = words::words(name).collect();
    whole.iter().all(|word| there.contains(word)) && there.iter().any(|word| word.starts_with(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_counts_and_the_last_may_be_begun() {
        for (query, expected) in [
            ("big bu", true),
            ("BUCK big", true),
            ("bi buck", false),
            ("blender bun", true),
            ("big cat", false),
            ("", false),
        ] {
            assert_eq!(fits(&words::query(query), "Big Buck Bunny Blender"), expected, "{query}");
        }
    }
}
