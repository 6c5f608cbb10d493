//! `DELETE /v1/releases/{release}`: removes an unpublished release and every byte of it.

use axum::extract::State;
use axum::http::StatusCode;
use matinee_protocol::id::ReleaseId;

use super::authority::Publisher;
use super::doc::Doc;
use super::json::Path;
use super::problem::Problem;
use super::trail::by;
use crate::app::App;

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Removes an unpublished release and every byte of it")
        .bare(204)
        .problems(409, &["release_published", "upload_in_progress"])
}

/// Stops its uploads, then removes objects and rows.
pub async fn handle(
    State(app): State<App>,
    Path(release): Path<ReleaseId>,
    Publisher(session): Publisher,
) -> Result<StatusCode, Problem> {
    let found = app.desk.release_of(session.account, release).await?;
    app.desk.remove(&found, &by(&session), app.clock.now_ms()).await?;
    Ok(StatusCode::NO_CONTENT)
}
