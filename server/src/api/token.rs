//! Writes view tokens, licenses and openings: what the endpoints that open, license and renew have in common.

use axum::http::StatusCode;
use matinee_protocol::api::{BreakStates, Opening};
use matinee_protocol::encoding::b64u;
use matinee_protocol::id::{FileIndex, LicenseId, ReleaseId, Thumbprint, ViewId};
use matinee_protocol::license::{EpochRange, License};
use matinee_protocol::limit::VIEW_TOKEN_S;
use matinee_protocol::token::{self, Confirmation, Role, ViewTokenClaims};

use super::problem::Problem;
use crate::app::App;
use crate::catalog::Published;
use crate::license::epochs::{self, Extent, Open};
use crate::license::issue::{self, Terms};
use crate::random;
use crate::store::{Tx, key_release};

/// The stretch of time over which released epochs are counted.
const RATE_WINDOW_MS: i64 = 60_000;

/// A view token, and when it ends in Unix milliseconds.
pub fn view_token(
    app: &App,
    (view, release): (ViewId, ReleaseId),
    device: Thumbprint,
    role: Role,
    until_ms: i64,
) -> Result<(String, u64), Problem> {
    let until_s = u64::try_from(until_ms / 1000).unwrap_or(0);
    let exp = (app.clock.now_s() + VIEW_TOKEN_S).min(until_s);
    let claims = ViewTokenClaims {
        iss: app.keyring.issuer().to_owned(),
        aud: token::AUDIENCE.to_owned(),
        sub: view,
        jti: b64u(&random::bytes::<16>()),
        exp,
        cnf: Confirmation { jkt: device },
        swm: app.swarm_id(release),
        rol: role,
    };
    Ok((app.keyring.sign_view_token(&claims)?, exp * 1000))
}

/// An opening with its first token.
pub fn opening(
    app: &App,
    (view, release): (ViewId, ReleaseId),
    device: Thumbprint,
    role: Role,
    until_ms: i64,
    license: Option<License>,
    breaks: Option<BreakStates>,
) -> Result<Opening, Problem> {
    let (view_token, expires_at_ms) = view_token(app, (view, release), device, role, until_ms)?;
    Ok(Opening {
        view,
        release,
        swarm: app.swarm_id(release),
        role,
        view_token,
        expires_at_ms,
        license,
        issuer: app.keyring.issuer().to_owned(),
        delivery: app.delivery(),
        ice_servers: app.ice_servers.clone(),
        breaks,
    })
}

/// For whom a license is.
#[derive(Debug, Clone, Copy)]
pub struct Licensee<'a> {
    /// The view.
    pub view: ViewId,
    /// The device.
    pub device: Thumbprint,
    /// That device's X25519 public key.
    pub agreement_key: [u8; 32],
    /// Until when play may go on.
    pub play_until_ms: i64,
    /// How much of each file is open.
    pub open: Open<'a>,
    /// Whether it comes with the opening of a view: then it may hold nothing.
    pub first: bool,
}

/// Decides which epochs a license holds.
pub fn terms(
    app: &App,
    published: &Published,
    licensee: Licensee<'_>,
    file: FileIndex,
    epoch: u32,
) -> Result<Terms, Problem> {
    let mut ranges: Vec<EpochRange> = Vec::new();
    if published.release.sealed {
        let file = published.file(file).ok_or_else(|| Problem::not_found("file"))?;
        let extent = Extent::of(file.size_bytes, file.epoch_chunks, file.duration_ms);
        match epochs::rolling(file.file, epoch, &extent, licensee.open) {
            Some(Ok(range)) => ranges.push(range),
            // A view may open with a break, or with nothing: the refusal comes when keys are asked for.
            Some(Err(_)) if licensee.first => {}
            Some(Err(refusal)) => return Err(refusal.into()),
            // The license of an empty file holds nothing.
            None if epoch == 0 => {}
            None => {
                let detail = format!("the file has {} epochs, counted from 0", extent.epochs);
                return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "epoch_out_of_range", detail));
            }
        }
    }
    Ok(Terms {
        license: LicenseId::from_bytes(random::id(app.clock.now_ms())),
        view: licensee.view,
        release: published.release.id,
        device: licensee.device,
        agreement_key: licensee.agreement_key,
        play_until_ms: licensee.play_until_ms,
        epochs: ranges,
    })
}

/// Writes what a license releases into the usage ledger, or refuses what comes too fast. The view's row must be held by
/// the transaction already, so that requests that race are counted one after the other.
pub async fn record(app: &App, tx: &mut Tx, terms: &Terms, new_view: bool) -> Result<(), Problem> {
    let asked: u64 = terms.epochs.iter().map(|range| u64::from(range.count)).sum();
    if asked == 0 {
        return Ok(());
    }
    let now_ms = app.clock.now_ms();
    let before = match new_view {
        true => 0,
        false => key_release::epochs_since(tx, terms.view, now_ms - RATE_WINDOW_MS).await?,
    };
    if before + asked > u64::from(app.config.license.epochs_per_minute_max) {
        return Err(Problem::too_many(
            "keys_too_fast",
            "keys for this view were asked for too fast; wait before the next",
            10,
        ));
    }
    key_release::insert(tx, terms.license, terms.view, &terms.epochs, now_ms).await?;
    Ok(())
}

/// Seals the keys of a license to its device.
pub fn license(app: &App, published: &Published, terms: &Terms) -> Result<License, Problem> {
    let secret = match &published.release.secret {
        Some(sealed) => Some(app.release_secrets.unseal(&app.vault, terms.release, sealed)?),
        None => None,
    };
    let mut rng = random::generator();
    issue::issue(terms, secret.as_deref(), app.clock.now_ms(), &mut rng).map_err(|_| {
        Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "agreement_key_invalid",
            "the agreement key is not an X25519 public key",
        )
    })
}
