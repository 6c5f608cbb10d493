//! `PUT /v1/titles/{title}/royalty-rules`: who earns what of a title.

use std::collections::BTreeSet;

use axum::Json as JsonResponse;
use axum::extract::State;
use axum::http::StatusCode;
use matinee_protocol::id::TitleId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::authority::Operator;
use super::doc::Doc;
use super::json::{Json, Path};
use super::problem::Problem;
use super::trail::note;
use crate::app::App;
use crate::royalty::{Rule, WHOLE_BASIS_POINTS};
use crate::store::{royalty, title};

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
    Doc::new("Says who earns what of a title")
        .body::<Body>()
        .object(200, |it| {
            it.field::<TitleId>("title").field::<String>("currency").list_of("rules", |it| {
                it.field::<String>("holder").field::<u32>("share_basis_points").field::<i64>("minimum_minor")
            })
        })
        .problem(422, "royalty_rules_invalid")
}

/// Replaces the rules, and answers with them; 422 `royalty_rules_invalid`. They count for every statement computed from
/// then on.
pub async fn handle(
    State(app): State<App>,
    Operator(session): Operator,
    Path(title): Path<TitleId>,
    Json { value: body, .. }: Json<Body>,
) -> Result<JsonResponse<Value>, Problem> {
    let rule = |rule: BodyRule| Rule {
        holder: rule.holder.trim().to_owned(),
        share_basis_points: rule.share_basis_points,
        minimum_minor: rule.minimum_minor,
    };
    let rules: Vec<Rule> = body.rules.into_iter().map(rule).collect();
    check(&rules)
        .map_err(|detail| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "royalty_rules_invalid", detail))?;
    let currency = &app.config.payment.currency;
    let mut tx = app.store.write().await?;
    title::by_id(&mut tx, title).await?.ok_or_else(|| Problem::not_found("title"))?;
    royalty::set_rules(&mut tx, title, currency, &rules).await?;
    // Rights holders are named: the trail counts them.
    let shares: u32 = rules.iter().map(|rule| rule.share_basis_points).sum();
    let detail = json!({ "holders": rules.len(), "share_basis_points": shares });
    note(&mut tx, &session, "royalty.set", &title, detail, app.clock.now_ms()).await?;
    tx.commit().await?;
    let shown: Vec<_> = rules
        .iter()
        .map(|rule| {
            json!({
                "holder": rule.holder,
                "share_basis_points": rule.share_basis_points,
                "minimum_minor": rule.minimum_minor,
            })
        })
        .collect();
    Ok(JsonResponse(json!({ "title": title, "currency": currency, "rules": shown })))
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
