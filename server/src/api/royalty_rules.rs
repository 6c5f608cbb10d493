//! `PUT /v1/titles/{title}/royalty-rules`: who earns what of a title.

use std::collections::BTreeSet;

use axum::Json as JsonResponse;
use axum::extract::State;
use axum::http::StatusCode;
use matinee_protocol::id::TitleId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::authority::Operator;
use super::doc::{Doc, Fields};
use super::json::{Json, Path};
use super::problem::Problem;
use super::royalty_statement::month;
use super::trail::note;
use crate::app::App;
use crate::royalty::span::Span;
use crate::royalty::{Rule, WHOLE_BASIS_POINTS};
use crate::store::royalty_rule::Held;
use crate::store::{royalty_rule, title};

/// Rights holders of one title.
pub const HOLDERS_MAX: usize = 100;
/// Bytes of a rights holder's name.
pub const HOLDER_BYTES_MAX: usize = 200;
/// The highest minimum for a play, in minor units.
pub const MINIMUM_MINOR_MAX: i64 = 1_000_000;

/// Body.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    rules: Vec<BodyRule>,
    /// The first month that they are for, `2026-10`; this one if not given.
    from: Option<String>,
}

/// A rule in it.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RoyaltyRule)]
pub struct BodyRule {
    holder: String,
    share_basis_points: u32,
    #[serde(default)]
    minimum_minor: i64,
}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Says who earns what of a title, from a month on")
        .body::<Body>()
        .object(200, fields)
        .problem(400, "month_invalid")
        .problems(422, &["royalty_rules_invalid", "royalty_month_final"])
}

/// The rules of a title, as the interface shows them.
pub fn fields(it: Fields) -> Fields {
    it.field::<TitleId>("title")
        .field::<String>("currency")
        .nullable::<String>("from")
        .list_of("rules", |it| {
            it.field::<String>("holder").field::<u32>("share_basis_points").field::<i64>("minimum_minor")
        })
}

/// Replaces the rules that count from a month on, and answers with them; 422 `royalty_rules_invalid`, and
/// `royalty_month_final` for a month whose statement stays as it is. Those of earlier months stay, and those that were set
/// for a later one.
pub async fn handle(
    State(app): State<App>,
    Operator(session): Operator,
    Path(title): Path<TitleId>,
    Json { value: body, .. }: Json<Body>,
) -> Result<JsonResponse<Value>, Problem> {
    let refused = |code, detail| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail);
    let rule = |rule: BodyRule| Rule {
        holder: rule.holder.trim().to_owned(),
        share_basis_points: rule.share_basis_points,
        minimum_minor: rule.minimum_minor,
    };
    let rules: Vec<Rule> = body.rules.into_iter().map(rule).collect();
    check(&rules).map_err(|detail| refused("royalty_rules_invalid", detail))?;
    let now_ms = app.clock.now_ms();
    let from = body.from.as_deref().map(month).transpose()?;
    let from = open_month(from, now_ms).map_err(|detail| refused("royalty_month_final", detail))?;
    let currency = &app.config.payment.currency;
    let mut tx = app.store.write().await?;
    title::by_id(&mut tx, title).await?.ok_or_else(|| Problem::not_found("title"))?;
    royalty_rule::set(&mut tx, title, from.from_ms, currency, &rules).await?;
    note(&mut tx, &session, "royalty.set", &title, told(&rules, from), now_ms).await?;
    tx.commit().await?;
    Ok(JsonResponse(shown(title, currency, &Held { from_ms: Some(from.from_ms), rules })))
}

/// The month from which on rules are to count: this one if none is named.
///
/// # Errors
/// Its statement is final.
pub fn open_month(named: Option<Span>, now_ms: i64) -> Result<Span, String> {
    let from = named.or_else(|| Span::month_of(now_ms)).ok_or("there is no such month")?;
    if from.is_final(now_ms) {
        return Err("the statement of that month is final: rules count from a later one on".to_owned());
    }
    Ok(from)
}

/// What the trail tells of rules that were set. Rights holders are named in them: it counts them.
pub fn told(rules: &[Rule], from: Span) -> Value {
    let shares: u32 = rules.iter().map(|rule| rule.share_basis_points).sum();
    json!({ "holders": rules.len(), "share_basis_points": shares, "from": from.name() })
}

/// The rules of a title as the interface shows them.
pub fn shown(title: TitleId, currency: &str, held: &Held) -> Value {
    let rules: Vec<_> = held
        .rules
        .iter()
        .map(|rule| {
            json!({
                "holder": rule.holder,
                "share_basis_points": rule.share_basis_points,
                "minimum_minor": rule.minimum_minor,
            })
        })
        .collect();
    let from = held.from_ms.and_then(Span::month_of).and_then(|from| from.name());
    json!({ "title": title, "currency": currency, "from": from, "rules": rules })
}

/// What is wrong with the rules of a title.
pub fn check(rules: &[Rule]) -> Result<(), String> {
    let holders: BTreeSet<_> = rules.iter().map(|rule| rule.holder.as_str()).collect();
    if rules.len() > HOLDERS_MAX || holders.len() != rules.len() {
        return Err(format!("a title has at most {HOLDERS_MAX} rights holders, each once"));
    }
    if holders.iter().any(|holder| holder.is_empty() || holder.len() > HOLDER_BYTES_MAX) {
        return Err(format!("a rights holder has a name of at most {HOLDER_BYTES_MAX} bytes"));
    }
    let shares: u64 = rules.iter().map(|rule| u64::from(rule.share_basis_points)).sum();
    if shares > u64::from(WHOLE_BASIS_POINTS) {
        return Err(format!("the shares come to {shares} basis points; the whole is {WHOLE_BASIS_POINTS}"));
    }
    if rules.iter().any(|rule| !(0..=MINIMUM_MINOR_MAX).contains(&rule.minimum_minor)) {
        return Err(format!("a minimum for a play is of 0 to {MINIMUM_MINOR_MAX} minor units"));
    }
    Ok(())
}
