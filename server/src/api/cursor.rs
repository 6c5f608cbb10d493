//! Listings page by page: `?limit=&cursor=`, and `next` in the answer for as long as there is more.
//!
//! A cursor is where the page before ended. It is opaque to clients and no secret: what may be listed is decided by who
//! asks, not by the cursor.

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use matinee_protocol::encoding::{b64u, from_b64u};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::problem::Problem;
use crate::app::App;
use crate::store::page::{Asked, Position};

/// Rows of a page where no limit is asked for.
pub const PAGE_ROWS_DEFAULT: u32 = 100;
/// Rows of a page at most.
pub const PAGE_ROWS_MAX: u32 = 500;
/// Characters of a cursor.
const CURSOR_CHARS_MAX: usize = 256;

/// Which page is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paging(pub Asked);

/// Parameters of the query, with problem JSON for what is wrong with them.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<App> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        let words = axum::extract::Query::<T>::try_from_uri(&parts.uri)
            .map_err(|error| refused("query_invalid", format!("the query is not as documented: {error}")))?;
        Ok(Self(words.0))
    }
}

#[derive(Deserialize)]
struct Words {
    limit: Option<u32>,
    cursor: Option<String>,
}

impl FromRequestParts<App> for Paging {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let Query(words) = Query::<Words>::from_request_parts(parts, app).await?;
        let limit = words.limit.unwrap_or(PAGE_ROWS_DEFAULT);
        if !(1..=PAGE_ROWS_MAX).contains(&limit) {
            return Err(refused("query_invalid", format!("limit is of 1 to {PAGE_ROWS_MAX}")));
        }
        let after = match words.cursor.as_deref() {
            None | Some("") => None,
            Some(text) => Some(read(text).ok_or_else(|| {
                refused("cursor_invalid", "send the cursor as `next` gave it, or none".to_owned())
            })?),
        };
        Ok(Self(Asked { limit, after }))
    }
}

/// The cursor of the page after the one that ends here.
pub fn write(position: &Position) -> String {
    b64u(format!("{}:{}", position.at, position.id).as_bytes())
}

fn read(text: &str) -> Option<Position> {
    let text = Some(text).filter(|text| text.len() <= CURSOR_CHARS_MAX)?;
    let plain = String::from_utf8(from_b64u(text).ok()?).ok()?;
    let (at, id) = plain.split_once(':')?;
    let usual = |byte: u8| byte.is_ascii_graphic();
    let id = Some(id).filter(|id| !id.is_empty() && id.bytes().all(usual))?;
    Some(Position { at: at.parse().ok()?, id: id.to_owned() })
}

fn refused(code: &'static str, detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, code, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_read_as_they_were_written_and_nothing_else_is() {
        let position = Position { at: -5, id: "0190d9e4-0000".to_owned() };
        assert_eq!(read(&write(&position)), Some(position));
        for text in ["x", "!!", &b64u(b"5"), &b64u(b"5:"), &b64u(b"a:b"), &b64u(b"5:a b"), &b64u(b"\xff:b")] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(read(&b64u(format!("5:{}", "a".repeat(300)).as_bytes())), None);
    }
}
