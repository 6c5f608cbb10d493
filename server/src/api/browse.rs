//! What the routes of the catalogue have in common: pages of tracks by popularity.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::cursor;
use super::doc::Doc;
use super::problem::Problem;
use crate::store::catalogue::{After, Track};
use crate::store::page::{Asked, Position};

/// An endpoint that answers with a page of tracks.
pub fn paged_doc(summary: &'static str) -> Doc {
    Doc::new(summary)
        .paged(cursor::PAGE_ROWS_MAX)
        .object(200, |it| it.list::<Track>("tracks").field::<Option<String>>("next"))
}

/// The track that a page begins after, and how many tracks to fetch: one more tells whether there is another page.
pub fn asked(asked: &Asked) -> Result<(After, i64), Problem> {
    let after = match &asked.after {
        None => After::START,
        Some(position) => {
            let popularity = i32::try_from(position.at).map_err(|_| unknown_cursor())?;
            After { popularity, id: position.id.parse().map_err(|_| unknown_cursor())? }
        }
    };
    Ok((after, i64::from(asked.limit) + 1))
}

/// The refusal of a cursor that is another listing's.
pub fn unknown_cursor() -> Problem {
    let detail = "send the cursor as `next` gave it, or none";
    Problem::new(StatusCode::BAD_REQUEST, "cursor_invalid", detail)
}

/// A page of tracks, out of those fetched.
pub fn page(mut tracks: Vec<Track>, asked: &Asked) -> Value {
    let more = tracks.len() > asked.limit as usize;
    tracks.truncate(asked.limit as usize);
    let position = |track: &Track| Position { at: i64::from(track.popularity), id: track.id.to_string() };
    let next = tracks.last().filter(|_| more).map(|track| cursor::write(&position(track)));
    json!({ "tracks": tracks, "next": next })
}
