//! `GET /v1/signaling`: the WebSocket of PROTOCOL §7. The token and its proof come in the first message.

use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{State, WebSocketUpgrade};
use axum::response::Response;
use matinee_protocol::dpop::{self, Expectation};
use matinee_protocol::limit::SIGNALING_BYTES_MAX;

use super::attempt::Address;
use super::doc::Doc;
use super::problem::Problem;
use crate::app::App;
use crate::keyring;
use crate::random;
use crate::signaling::hub::Accused;
use crate::signaling::{self, Admitted, Gate, Refusal};
use crate::store::{self, carry, report};

/// Bytes that may wait inside the socket for a slow reader; the queue of messages before it has its own limit.
const WRITE_BUFFER_BYTES_MAX: usize = 8 * SIGNALING_BYTES_MAX;

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("The WebSocket of a swarm; the token and its proof come in the first message")
        .bare(101)
        .problem(400, "malformed_request")
}

/// Upgrades and serves.
pub async fn handle(
    State(app): State<App>,
    Address(address): Address,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let upgrade = upgrade.map_err(|_| Problem::malformed("connect here with a WebSocket"))?;
    let upgraded = upgrade
        .max_message_size(SIGNALING_BYTES_MAX)
        .max_frame_size(SIGNALING_BYTES_MAX)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX)
        .on_upgrade(move |socket| async move {
            let hub = app.hub.clone();
            signaling::serve(socket, hub, app, address).await;
        });
    Ok(upgraded)
}

impl Gate for App {
    async fn admit(&self, token: &str, proof: &str, nonce: &str) -> Result<Admitted, Refusal> {
        let now_s = self.clock.now_s();
        let claims = self.keyring.verify_view_token(token, now_s).map_err(|error| match error {
            keyring::Error::Expired => {
                refusal("view_token_expired", "renew the view and join with the new token")
            }
            _ => refusal("view_token_invalid", "the view token is not valid here"),
        })?;
        let expected = Expectation {
            method: "GET",
            url: &format!("{}/v1/signaling", self.public_url),
            token: Some(token),
            body: &[],
            nonce: Some(nonce),
            now_s,
        };
        let proof =
            dpop::verify(proof, &expected).map_err(|error| refusal("proof_invalid", &error.to_string()))?;
        if proof.thumbprint != claims.cnf.jkt {
            return Err(refusal("proof_key_mismatch", "the view token belongs to another device"));
        }
        let active = async { carry::active_release(&mut self.store.read().await?, claims.sub).await };
        match active.await {
            Ok(Some(release)) if self.swarm_id(release) == claims.swm => {}
            Ok(_) => return Err(refusal("view_over", "the view is over, open another")),
            Err(error) => return Err(unavailable(&error)),
        }
        Ok(Admitted {
            swarm: claims.swm,
            view: claims.sub,
            device: claims.cnf.jkt,
            role: claims.rol,
            expires_at_ms: i64::try_from(claims.exp.saturating_mul(1000)).unwrap_or(i64::MAX),
        })
    }

    async fn report(&self, reporter: Admitted, accused: Accused, reason: &str) {
        let now_ms = self.now_ms();
        let id = uuid::Uuid::from_bytes(random::id(now_ms)).to_string();
        let written = async {
            let mut tx = self.store.write().await?;
            if let Some(release) = carry::active_release(&mut tx, reporter.view).await? {
                report::insert(&mut tx, &id, release, reporter.device, accused.device, reason, now_ms)
                    .await?;
            }
            tx.commit().await
        };
        if let Err(error) = written.await {
            tracing::error!(%error, "a report was not written");
        }
    }

    fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }
}

fn refusal(code: &'static str, detail: &str) -> Refusal {
    Refusal { code, detail: detail.to_owned() }
}

fn unavailable(error: &store::Error) -> Refusal {
    tracing::error!(%error, "signaling could not look a view up");
    refusal("internal", "the server failed; try again")
}
