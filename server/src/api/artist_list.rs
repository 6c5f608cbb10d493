//! `GET /v1/artists`: every artist by name.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::browse::unknown_cursor;
use super::cursor::{self, Paging};
use super::doc::Doc;
use super::problem::Problem;
use crate::app::App;
use crate::store::catalogue::{self, Named};
use crate::store::page::Position;

/// What stands in a cursor beside the artist's number.
const BY_NAME: &str = "name";

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Every artist by name")
        .paged(cursor::PAGE_ROWS_MAX)
        .object(200, |it| it.list::<Named>("artists").field::<Option<String>>("next"))
}

/// Answers with a page.
pub async fn handle(State(app): State<App>, Paging(asked): Paging) -> Result<Json<Value>, Problem> {
    let after = match &asked.after {
        None => None,
        Some(position) => Some(i32::try_from(position.at).map_err(|_| unknown_cursor())?),
    };
    let mut tx = app.store.read().await?;
    let mut artists = catalogue::artists(&mut tx, after, i64::from(asked.limit) + 1).await?;
    let more = artists.len() > asked.limit as usize;
    artists.truncate(asked.limit as usize);
    let position = |artist: &Named| Position { at: i64::from(artist.id), id: BY_NAME.to_owned() };
    let next = artists.last().filter(|_| more).map(|artist| cursor::write(&position(artist)));
    Ok(Json(json!({ "artists": artists, "next": next })))
}
