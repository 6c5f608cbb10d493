//! `GET /v1/search?q=`: tracks as somebody types.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use serde::Deserialize;
use serde_json::{Value, json};

use super::authority::Session;
use super::doc::Doc;
use super::problem::Problem;
use crate::app::App;
use crate::store::catalogue::{self, Track};
use crate::words;

/// Characters of a query.
const QUERY_CHARS_MAX: usize = 200;
/// Tracks found where it is not said.
const FOUND_DEFAULT: u32 = 20;
/// Tracks found.
const FOUND_MAX: u32 = 100;

/// The query.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    q: String,
    limit: Option<u32>,
}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    let limit = json!({ "type": "integer", "minimum": 1, "maximum": FOUND_MAX });
    Doc::new("The most popular tracks that have every word, the last of them perhaps only begun")
        .query(
            "q",
            "what to look for; must be there",
            json!({ "type": "string", "maxLength": QUERY_CHARS_MAX }),
        )
        .query("limit", "how many at most", limit)
        .object(200, |it| it.list::<Track>("tracks"))
        .problem(400, "query_invalid")
}

/// Answers with the most popular tracks that have every word in their name, artist or album; the last word may have only
/// been begun.
pub async fn handle(
    State(app): State<App>,
    session: Option<Session>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let refused = |detail: String| Problem::new(StatusCode::BAD_REQUEST, "query_invalid", detail);
    let asked = axum::extract::Query::<Query>::try_from_uri(&uri);
    let asked = asked.map_err(|error| refused(format!("the query is not as documented: {error}")))?.0;
    if asked.q.chars().count() > QUERY_CHARS_MAX {
        return Err(refused(format!("q has at most {QUERY_CHARS_MAX} characters")));
    }
    let limit = asked.limit.unwrap_or(FOUND_DEFAULT);
    if !(1..=FOUND_MAX).contains(&limit) {
        return Err(refused(format!("limit is of 1 to {FOUND_MAX}")));
    }
    let mut tx = app.store.read().await?;
    let tracks =
        catalogue::search(&mut tx, session.map(|own| own.account), &words::query(&asked.q), i64::from(limit))
            .await?;
    Ok(Json(json!({ "tracks": tracks })))
}
