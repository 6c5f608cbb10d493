//! JSON bodies with problem JSON for what is wrong with them.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use matinee_protocol::limit::JSON_BYTES_MAX;
use serde::de::DeserializeOwned;

use super::problem::Problem;
use crate::app::App;

/// A JSON body of at most [`JSON_BYTES_MAX`], with its bytes.
#[derive(Debug)]
pub struct Json<T> {
    /// What it says.
    pub value: T,
    /// What it is, for the hash that an idempotency key covers.
    pub bytes: Bytes,
}

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &App) -> Result<Self, Problem> {
        let bytes = axum::body::to_bytes(request.into_body(), JSON_BYTES_MAX)
            .await
            .map_err(|_| Problem::too_large(JSON_BYTES_MAX))?;
        Ok(Self { value: parse(&bytes)?, bytes })
    }
}

/// Reads JSON, or says where it is wrong. The content type is not asked for: the Origin check is what keeps other sites
/// out, and bodies are JSON everywhere.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes)
        .map_err(|error| Problem::malformed(format!("the body is not as documented: {error}")))
}

/// Path parameters that are ids or indexes: what does not parse is not found.
#[derive(Debug)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send> axum::extract::FromRequestParts<App> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, app: &App) -> Result<Self, Problem> {
        match axum::extract::Path::<T>::from_request_parts(parts, app).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(_) => Err(Problem::not_found("thing; check the ids in the path")),
        }
    }
}
