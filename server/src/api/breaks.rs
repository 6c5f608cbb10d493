//! The breaks of a view, as the interface shows them: what the endpoints that open, license, start and complete have in
//! common.

use matinee_protocol::api::{BreakState, BreakStates};
use matinee_protocol::id::TitleId;

use super::problem::Problem;
use crate::license::breaks::Breaks;
use crate::license::view::View;
use crate::store::view_break::Started;
use crate::store::{Tx, right, view_break};

/// The breaks of a view; none if it has none.
pub async fn of_view(tx: &mut Tx, view: &View) -> Result<Option<BreakStates>, Problem> {
    let Some(breaks) = &view.breaks else { return Ok(None) };
    let started = view_break::of_view(tx, view.id).await?;
    let clip_url = right::ad_clip_url(tx, view.title_id).await?;
    Ok(Some(states(breaks, &started, clip_url)))
}

/// The breaks of a view that is about to be opened: none of them was shown.
pub async fn fresh(
    tx: &mut Tx,
    breaks: Option<&Breaks>,
    title: TitleId,
) -> Result<Option<BreakStates>, Problem> {
    let Some(breaks) = breaks else { return Ok(None) };
    Ok(Some(states(breaks, &[], right::ad_clip_url(tx, title).await?)))
}

fn states(breaks: &Breaks, started: &[Started], clip_url: Option<String>) -> BreakStates {
    let shown = |number| started.iter().any(|one| one.number == number && one.shown_at_ms.is_some());
    let list = (0..).zip(&breaks.list).map(|(number, one)| BreakState {
        at_ms: one.at_ms,
        duration_ms: one.duration_ms,
        must_show: one.must_show,
        shown: shown(number),
    });
    BreakStates { skipped: breaks.skipped.text().to_owned(), clip_url, list: list.collect() }
}

/// The numbers of those that were shown.
pub fn shown(states: Option<&BreakStates>) -> Vec<u32> {
    let list = states.map_or(&[][..], |states| &states.list);
    (0..).zip(list).filter(|(_, one)| one.shown).map(|(number, _)| number).collect()
}
