//! `POST /v1/releases/{release}/publication`: signs the manifest of a whole release. Doing it again changes nothing.

use axum::Json;
use axum::extract::State;
use matinee_protocol::id::ReleaseId;
use serde::Serialize;

use super::authority::Publisher;
use super::doc::Doc;
use super::json::Path;
use super::problem::Problem;
use super::trail::by;
use crate::app::App;

/// What was published.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Answer {
    release: ReleaseId,
    manifest_url: String,
}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Signs the manifest of a whole release; again changes nothing")
        .empty_body()
        .answer::<Answer>(200)
        .problems(409, &["release_incomplete", "release_damaged", "upload_in_progress"])
        .problem(422, "manifest_too_large")
}

/// Publishes.
pub async fn handle(
    State(app): State<App>,
    Path(release): Path<ReleaseId>,
    Publisher(session): Publisher,
) -> Result<Json<Answer>, Problem> {
    let found = app.desk.release_of(session.account, release).await?;
    let by = by(&session);
    // In a task of its own: a client that goes away does not leave it half done.
    let (desk, keyring, clock) = (app.desk.clone(), app.keyring.clone(), app.clock.clone());
    tokio::spawn(async move { desk.publish(&found, &keyring, &*clock, &by).await })
        .await
        .map_err(|error| Problem::internal(&error))??;
    let manifest_url = format!("{}/v1/releases/{release}/manifest", app.public_url);
    Ok(Json(Answer { release, manifest_url }))
}
