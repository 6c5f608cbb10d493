//! What the routes of the catalogue have in common: pages, cursors, and what cannot be found.

use axum::http::Uri;
use matinee_protocol::encoding::{b64u, from_b64u};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::problem::Problem;
use crate::store::catalogue::{After, Track};

/// Things in one page where it is not said.
const PAGE_DEFAULT: u32 = 50;
/// Things in one page.
pub const PAGE_MAX: u32 = 100;

/// The query of a page.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    after: Option<String>,
    limit: Option<u32>,
}

/// Tracks, and the cursor of the page that follows; none after the last.
#[derive(Debug, Serialize)]
pub struct TrackPage {
    /// The tracks.
    pub tracks: Vec<Track>,
    /// What to send as `after`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Reads the query of a request.
pub fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    let read = axum::extract::Query::<T>::try_from_uri(uri);
    read.map(|query| query.0)
        .map_err(|error| Problem::malformed(format!("the query is not as documented: {error}")))
}

impl PageQuery {
    /// How many things to give.
    pub fn limit(&self) -> i64 {
        i64::from(self.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX))
    }

    /// The text within the cursor; empty for the first page.
    pub fn after_text(&self) -> Result<String, Problem> {
        let Some(after) = &self.after else { return Ok(String::new()) };
        let bytes = from_b64u(after).ok();
        bytes.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(unknown_cursor)
    }

    /// The track that the cursor stands after.
    pub fn after_track(&self) -> Result<After, Problem> {
        let text = self.after_text()?;
        if text.is_empty() {
            return Ok(After::START);
        }
        let parts = text.split_once('.').and_then(|(popularity, id)| {
            Some(After { popularity: popularity.parse().ok()?, id: id.parse().ok()? })
        });
        parts.ok_or_else(unknown_cursor)
    }
}

fn unknown_cursor() -> Problem {
    Problem::malformed("after must be the next of the page before")
}

/// The cursor for what stands after this text.
pub fn cursor(text: &str) -> String {
    b64u(text.as_bytes())
}

/// A page of tracks by popularity.
pub fn page(tracks: Vec<Track>, limit: i64) -> TrackPage {
    let full = i64::try_from(tracks.len()).is_ok_and(|count| count == limit);
    let last = tracks.last().filter(|_| full);
    let next = last.map(|track| cursor(&format!("{}.{}", track.popularity, track.id)));
    TrackPage { tracks, next }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors() {
        let asked = |after: &str| PageQuery { after: Some(after.to_owned()), limit: None };
        let at = asked(&cursor("17.4")).after_track().unwrap();
        assert_eq!(at, After { popularity: 17, id: 4 });
        assert_eq!(PageQuery::default().after_track().unwrap(), After::START);
        for wrong in ["x", &cursor("17"), &cursor("a.b"), "%%%"] {
            assert_eq!(asked(wrong).after_track().unwrap_err().code, "malformed_request", "{wrong}");
        }
    }

    #[test]
    fn limits() {
        let limit = |limit| PageQuery { after: None, limit }.limit();
        assert_eq!([limit(None), limit(Some(0)), limit(Some(7)), limit(Some(9999))], [50, 1, 7, 100]);
    }
}
