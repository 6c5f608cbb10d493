//! The rules of licensing, as pure code: no SQL, no HTTP, no clock. Facts and the present go in, decisions come out.

pub mod epochs;
pub mod issue;

use matinee_protocol::api::EntitlementSummary;

use crate::store::entitlement::Entitlement;
use crate::store::view::{State as ViewState, View};

/// What stands for "no limit" where the interface has a time: the last second of the year 9999.
pub const NO_LIMIT_MS: i64 = 253_402_300_799_000;

/// Why a view is not opened, or not continued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The operator took the entitlement back.
    #[error("this entitlement was revoked")]
    Revoked,
    /// It was not started in time.
    #[error("the time to start this rental has passed; rent it again")]
    StartWindowOver,
    /// It was started, and its time is over.
    #[error("the time to play this rental has passed; rent it again")]
    PlayWindowOver,
    /// Every view was used.
    #[error("every view of this rental was used; rent it again")]
    NoViewsLeft,
    /// The view was ended on its device.
    #[error("this view has ended; open another")]
    ViewEnded,
    /// The view asked for nothing for too long.
    #[error("this view was idle for too long; open another")]
    ViewExpired,
}

impl Refusal {
    /// The stable code of the problem.
    pub fn code(self) -> &'static str {
        match self {
            Self::Revoked => "entitlement_revoked",
            Self::StartWindowOver => "start_window_over",
            Self::PlayWindowOver => "play_window_over",
            Self::NoViewsLeft => "no_views_left",
            Self::ViewEnded => "view_ended",
            Self::ViewExpired => "view_expired",
        }
    }
}

/// What opening another view would mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// Whether it is the first, which fixes until when play may go on.
    pub first: bool,
    /// Until when play may go on.
    pub play_until_ms: i64,
}

/// Whether another view may be opened now. What the store's guarded statement allows and what this allows is the same;
/// this one says why not.
pub fn may_start(entitlement: &Entitlement, now_ms: i64) -> Result<Start, Refusal> {
    if entitlement.revoked {
        return Err(Refusal::Revoked);
    }
    let first = entitlement.views_used == 0;
    if first && entitlement.start_by_ms.is_some_and(|by| by <= now_ms) {
        return Err(Refusal::StartWindowOver);
    }
    if !first && entitlement.play_until_ms.is_some_and(|until| until <= now_ms) {
        return Err(Refusal::PlayWindowOver);
    }
    if entitlement.views_left == Some(0) {
        return Err(Refusal::NoViewsLeft);
    }
    let window = entitlement.play_within_ms.map(|within| now_ms.saturating_add(within));
    Ok(Start { first, play_until_ms: entitlement.play_until_ms.or(window).unwrap_or(NO_LIMIT_MS) })
}

/// Whether a view may go on: be given keys, or a new token.
pub fn may_continue(view: &View, now_ms: i64, idle_ms_max: i64) -> Result<(), Refusal> {
    match view.state {
        ViewState::Revoked => return Err(Refusal::Revoked),
        ViewState::Ended => return Err(Refusal::ViewEnded),
        ViewState::Expired => return Err(Refusal::ViewExpired),
        ViewState::Active => {}
    }
    if view.play_until_ms.is_some_and(|until| until <= now_ms) {
        return Err(Refusal::PlayWindowOver);
    }
    if view.last_seen_at_ms.saturating_add(idle_ms_max) < now_ms {
        return Err(Refusal::ViewExpired);
    }
    Ok(())
}

/// How an entitlement stands, in the interface's words: `ready`, `active`, `expired` or `revoked`.
pub fn status(entitlement: &Entitlement, now_ms: i64) -> &'static str {
    match may_start(entitlement, now_ms) {
        Ok(Start { first: true, .. }) => "ready",
        Ok(Start { first: false, .. }) => "active",
        Err(Refusal::Revoked) => "revoked",
        // The last view may still be running.
        Err(Refusal::NoViewsLeft) if entitlement.play_until_ms.is_none_or(|until| until > now_ms) => "active",
        Err(_) => "expired",
    }
}

/// An entitlement as the interface shows it.
pub fn summary(entitlement: &Entitlement, now_ms: i64) -> EntitlementSummary {
    let time = |at_ms: i64| u64::try_from(at_ms).unwrap_or(0);
    EntitlementSummary {
        id: entitlement.id,
        title: entitlement.title_id,
        status: status(entitlement, now_ms).to_owned(),
        views_left: entitlement.views_left,
        start_before_ms: time(entitlement.start_by_ms.unwrap_or(NO_LIMIT_MS)),
        play_until_ms: entitlement.play_until_ms.map(time),
    }
}

#[cfg(test)]
mod tests {
    use matinee_protocol::id::{AccountId, EntitlementId, ReleaseId, Thumbprint, TitleId, ViewId};

    use super::*;

    const BOUGHT_MS: i64 = 1_000_000;

    fn rental(views_left: Option<u32>) -> Entitlement {
        Entitlement {
            id: EntitlementId::from_bytes([1; 16]),
            account_id: AccountId::from_bytes([2; 16]),
            title_id: TitleId::from_bytes([3; 16]),
            plan_id: None,
            purchase_id: None,
            revoked: false,
            start_by_ms: Some(BOUGHT_MS + 1000),
            play_within_ms: Some(500),
            play_until_ms: None,
            views_left,
            views_used: 0,
            created_at_ms: BOUGHT_MS,
        }
    }

    fn started(views_left: Option<u32>, until_ms: i64) -> Entitlement {
        Entitlement { play_until_ms: Some(until_ms), views_used: 1, ..rental(views_left) }
    }

    #[test]
    fn every_case_of_starting() {
        let at = |ms: i64| BOUGHT_MS + ms;
        let first = |ms| Ok(Start { first: true, play_until_ms: at(ms) });
        let again = |ms| Ok(Start { first: false, play_until_ms: at(ms) });
        let endless = Entitlement { start_by_ms: None, play_within_ms: None, ..rental(None) };
        let revoked = Entitlement { revoked: true, ..rental(Some(5)) };
        let table = [
            (rental(Some(5)), 0, first(500), "ready"),
            (rental(None), 999, first(1499), "ready"),
            (rental(Some(5)), 1000, Err(Refusal::StartWindowOver), "expired"),
            (started(Some(4), at(600)), 599, again(600), "active"),
            (started(Some(4), at(2000)), 1500, again(2000), "active"),
            (started(Some(4), at(600)), 600, Err(Refusal::PlayWindowOver), "expired"),
            (started(Some(0), at(600)), 599, Err(Refusal::NoViewsLeft), "active"),
            (started(Some(0), at(600)), 600, Err(Refusal::PlayWindowOver), "expired"),
            (started(None, at(600)), 599, again(600), "active"),
            (revoked, 0, Err(Refusal::Revoked), "revoked"),
            (endless, 1 << 40, Ok(Start { first: true, play_until_ms: NO_LIMIT_MS }), "ready"),
        ];
        for (row, (entitlement, after_ms, expected, word)) in table.into_iter().enumerate() {
            assert_eq!(may_start(&entitlement, at(after_ms)), expected, "row {row}");
            assert_eq!(status(&entitlement, at(after_ms)), word, "row {row}");
        }
    }

    #[test]
    fn every_case_of_going_on() {
        let view = |state, until: Option<i64>| View {
            id: ViewId::from_bytes([1; 16]),
            entitlement_id: EntitlementId::from_bytes([1; 16]),
            account_id: AccountId::from_bytes([2; 16]),
            release_id: ReleaseId::from_bytes([3; 16]),
            device: Thumbprint::from_bytes([4; 32]),
            agreement_key: [5; 32],
            state,
            opened_at_ms: 0,
            last_seen_at_ms: 100,
            play_until_ms: until,
        };
        let table = [
            (view(ViewState::Active, Some(200)), 199, Ok(())),
            (view(ViewState::Active, None), 199, Ok(())),
            (view(ViewState::Active, Some(200)), 200, Err(Refusal::PlayWindowOver)),
            (view(ViewState::Active, None), 1100, Ok(())),
            (view(ViewState::Active, None), 1101, Err(Refusal::ViewExpired)),
            (view(ViewState::Ended, None), 100, Err(Refusal::ViewEnded)),
            (view(ViewState::Expired, None), 100, Err(Refusal::ViewExpired)),
            (view(ViewState::Revoked, None), 100, Err(Refusal::Revoked)),
        ];
        for (row, (view, now_ms, expected)) in table.into_iter().enumerate() {
            assert_eq!(may_continue(&view, now_ms, 1000), expected, "row {row}");
        }
    }
}
