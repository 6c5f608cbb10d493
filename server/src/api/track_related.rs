//! `GET /v1/tracks/{track}/related`: what to hear next.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::authority::Session;
use super::doc::Doc;
use super::json::Path;
use super::problem::Problem;
use crate::app::App;
use crate::store::catalogue::{self, After, Of, Track};

/// Tracks told.
const RELATED_MAX: usize = 20;
/// Of those, from the same album.
const SAME_ALBUM_MAX: usize = 8;
/// Of those, from the same artist and album together.
const SAME_ARTIST_MAX: usize = 14;

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("What to hear next").object(200, |it| it.list::<Track>("tracks"))
}

/// Answers with other tracks: of the album in its order, then of the artist by popularity, then of the genre, those that
/// are next to it in popularity.
pub async fn handle(
    State(app): State<App>,
    session: Option<Session>,
    Path(track): Path<i32>,
) -> Result<Json<Value>, Problem> {
    let viewer = session.map(|own| own.account);
    let mut tx = app.store.read().await?;
    let found = catalogue::track(&mut tx, viewer, track).await?.ok_or_else(|| Problem::not_found("track"))?;
    let mut related = Vec::with_capacity(RELATED_MAX);
    let asked = RELATED_MAX as i64 + 1;
    if let Some(album) = &found.album {
        let others = catalogue::on_album(&mut tx, viewer, album.id, asked).await?;
        add(&mut related, &found, others, SAME_ALBUM_MAX);
    }
    let of = Of::Artist(found.artist.id);
    let others = catalogue::by_popularity(&mut tx, viewer, of, After::START, asked).await?;
    add(&mut related, &found, others, SAME_ARTIST_MAX);
    if let Some(genre) = &found.genre {
        let here = After { popularity: found.popularity, id: found.id };
        let others = catalogue::by_popularity(&mut tx, viewer, Of::Genre(genre.id), here, asked).await?;
        add(&mut related, &found, others, RELATED_MAX);
    }
    Ok(Json(json!({ "tracks": related })))
}

/// Fills up to `count` with what is neither there nor the track itself.
fn add(related: &mut Vec<Track>, track: &Track, others: Vec<Track>, count: usize) {
    for other in others {
        if related.len() < count && other.id != track.id && related.iter().all(|known| known.id != other.id) {
            related.push(other);
        }
    }
}
