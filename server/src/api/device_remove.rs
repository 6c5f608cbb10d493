//! `DELETE /v1/devices/{device}`: removes a device from the account; its views end.

use axum::extract::State;
use axum::http::StatusCode;
use matinee_protocol::id::Thumbprint;

use super::authority::Session;
use super::doc::Doc;
use super::json::Path;
use super::problem::Problem;
use crate::app::App;
use crate::store::account;
use crate::store::device::{self, Removed};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Removes a device; its views end").bare(204).problem(403, "device_swaps_used")
}

/// Answers 204; 403 `device_swaps_used`. With its next view the device is the account's again, if there is room.
pub async fn handle(
    State(app): State<App>,
    session: Session,
    Path(device): Path<Thumbprint>,
) -> Result<StatusCode, Problem> {
    let now_ms = app.clock.now_ms();
    let section = &app.config.license;
    let since_ms = now_ms.saturating_sub(i64::from(section.device_swap_days).saturating_mul(DAY_MS));
    let swaps = (section.device_swaps_max > 0).then_some((section.device_swaps_max, since_ms));
    let mut tx = app.store.write().await?;
    account::hold(&mut tx, session.account).await?;
    let ended = match device::remove(&mut tx, session.account, device, swaps, now_ms).await? {
        Removed::Yes(ended) => ended,
        Removed::NotThere => return Err(Problem::not_found("device")),
        Removed::TooMany => {
            let detail = "as many devices were removed as may be for now; come back later";
            return Err(Problem::forbidden("device_swaps_used", detail));
        }
    };
    tx.commit().await?;
    for view in ended {
        app.hub.revoke_view(view, "this device was removed");
    }
    Ok(StatusCode::NO_CONTENT)
}
