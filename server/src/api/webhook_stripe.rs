//! `POST /v1/webhooks/stripe`: what Stripe tells of its own accord.

use axum::Json as JsonResponse;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request, State};
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::doc::Doc;
use super::problem::Problem;
use crate::app::App;
use crate::payment::stripe::{object, signature};

/// Bytes of an event.
const EVENT_BYTES_MAX: usize = 256 * 1024;

/// A body that Stripe signed.
pub struct Signed(Bytes);

impl FromRequest<App> for Signed {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let secrets = &app.config.stripe.webhook_secrets;
        if app.config.payment.provider != "stripe" || secrets.is_empty() {
            return Err(Problem::not_found("endpoint"));
        }
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, EVENT_BYTES_MAX)
            .await
            .map_err(|_| Problem::too_large(EVENT_BYTES_MAX))?;
        let header = parts.headers.get("stripe-signature").and_then(|value| value.to_str().ok());
        let secrets = secrets.iter().map(|secret| secret.expose().as_bytes());
        signature::verify(header.unwrap_or_default(), &body, secrets, app.clock.now_s())
            .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "signature_invalid", error.to_string()))?;
        Ok(Self(body))
    }
}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("What Stripe tells of its own accord, signed by it")
        .bytes("application/json")
        .header(
            "stripe-signature",
            "time and signatures, as Stripe writes them",
            true,
            json!({ "type": "string" }),
        )
        .object(200, |it| it.field::<bool>("received"))
        .problem(400, "signature_invalid")
        .problem(404, "not_found")
        .problem(409, "idempotency_key_in_flight")
        .problem(502, "provider_refused")
        .problem(503, "provider_unreachable")
}

/// Answers 200 as soon as the event is booked, was booked before, or means nothing here; anything else makes Stripe send
/// it again later. 400 `signature_invalid`.
pub async fn handle(State(app): State<App>, Signed(body): Signed) -> Result<JsonResponse<Value>, Problem> {
    let event = object::event(&body).ok_or_else(|| Problem::malformed("the body is not an event"))?;
    let (ended, reason) = app.cashier.take_in(&app.store, &event).await?;
    for view in ended {
        app.hub.revoke_view(view, reason);
    }
    Ok(JsonResponse(json!({ "received": true })))
}
