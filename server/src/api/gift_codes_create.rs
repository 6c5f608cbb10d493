//! `POST /v1/plans/{plan}/gift-codes`: makes codes that give a plan to whoever redeems them. They are told this once.

use axum::Json as JsonResponse;
use axum::extract::State;
use axum::http::StatusCode;
use matinee_protocol::id::PlanId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::authority::Operator;
use super::doc::Doc;
use super::json::{Json, Path};
use super::problem::Problem;
use super::trail::note;
use crate::app::App;
use crate::random;
use crate::store::{coupon, plan};

/// Codes made at once.
pub const GIFT_CODES_MAX: u32 = 1000;
/// Characters of a code, of 5 bits each: nobody guesses 100 bits.
const CODE_CHARS: usize = 20;
/// Characters between two dashes.
const CODE_GROUP_CHARS: usize = 5;
/// Letters and digits that are not mistaken for each other (Crockford's base 32).
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Body.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    count: u32,
    expires_at_ms: Option<i64>,
}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Makes codes that give a plan")
        .body::<Body>()
        .object(201, |it| it.field::<PlanId>("plan").list::<String>("codes"))
        .problem(422, "count_out_of_range")
}

/// Answers 201 with the codes.
pub async fn handle(
    State(app): State<App>,
    Operator(session): Operator,
    Path(plan): Path<PlanId>,
    Json { value: body, .. }: Json<Body>,
) -> Result<(StatusCode, JsonResponse<Value>), Problem> {
    if !(1..=GIFT_CODES_MAX).contains(&body.count) {
        let detail = format!("make 1 to {GIFT_CODES_MAX} codes at once");
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "count_out_of_range", detail));
    }
    let now_ms = app.clock.now_ms();
    let mut tx = app.store.write().await?;
    plan::by_id(&mut tx, plan).await?.ok_or_else(|| Problem::not_found("plan"))?;
    let codes: Vec<String> = (0..body.count).map(|_| code()).collect();
    for code in &codes {
        coupon::insert_gift(&mut tx, code, plan, body.expires_at_ms, now_ms).await?;
    }
    note(&mut tx, &session, "gift_codes.create", &plan, json!({ "count": body.count }), now_ms).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, JsonResponse(json!({ "plan": plan, "codes": codes }))))
}

/// A new code, in groups as people read them.
pub fn code() -> String {
    let letters = random::bytes::<CODE_CHARS>().map(|byte| char::from(ALPHABET[usize::from(byte % 32)]));
    letters
        .chunks(CODE_GROUP_CHARS)
        .map(|group| group.iter().collect::<String>())
        .collect::<Vec<_>>()
        .join("-")
}
