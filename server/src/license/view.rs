//! Views. A view is active, ended, expired, stopped or revoked; only an active one moves, and only to one of the others.

use matinee_protocol::id::{AccountId, EntitlementId, ReleaseId, Thumbprint, TitleId, ViewId};

use super::NO_LIMIT_MS;
use super::breaks::Breaks;
use super::entitlement::Quota;
use super::epochs::Open;
use super::place::Countries;
use super::status::Status;
use super::title::Rights;

/// Where a view stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// In use.
    Active,
    /// Ended by its viewer.
    Ended,
    /// Asked for nothing for too long, or its window closed.
    Expired,
    /// Stopped, for another device plays.
    Stopped,
    /// Ended from outside: its entitlement was taken or given back, its viewer left the group, its device was removed.
    Revoked,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Active, Self::Ended, Self::Expired, Self::Stopped, Self::Revoked];

    /// Its name in the database.
    pub fn text(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Ended => "ended",
            Self::Expired => "expired",
            Self::Stopped => "stopped",
            Self::Revoked => "revoked",
        }
    }

    /// The state of this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.text() == text)
    }
}

/// One use of an entitlement on one device, with what its entitlement and its title say now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Its id.
    pub id: ViewId,
    /// What it uses.
    pub entitlement_id: EntitlementId,
    /// Whose it is.
    pub account_id: AccountId,
    /// What it plays.
    pub title_id: TitleId,
    /// Which release of it.
    pub release_id: ReleaseId,
    /// On which device.
    pub device: Thumbprint,
    /// The device's X25519 public key.
    pub agreement_key: [u8; 32],
    /// Where it stands.
    pub state: State,
    /// When it was opened.
    pub opened_at_ms: i64,
    /// When it last asked for something.
    pub last_seen_at_ms: i64,
    /// Until when its entitlement's window lets it play, once fixed.
    pub play_until_ms: Option<i64>,
    /// Until when its entitlement holds at all.
    pub valid_until_ms: Option<i64>,
    /// Where its entitlement stands on the record.
    pub status: Status,
    /// How many titles a period its entitlement gives, if they are counted.
    pub quota: Option<Quota>,
    /// Whether its title was counted in the current period.
    pub counted: bool,
    /// In which countries its plan lets it play.
    pub plan_countries: Countries,
    /// When, where and for whom its title may be played.
    pub rights: Rights,
    /// The breaks in it, if its right is ad-supported.
    pub breaks: Option<Breaks>,
    /// How much of the title is open, from its beginning; none is all of it.
    pub preview_ms: Option<u64>,
}

impl View {
    /// Until when it may play, by all that limits it.
    pub fn until_ms(&self) -> i64 {
        let limits = [self.play_until_ms, self.valid_until_ms, self.rights.available_until_ms];
        limits.into_iter().flatten().min().unwrap_or(NO_LIMIT_MS)
    }

    /// Whether going on counts its title: it was opened in an earlier period of the quota.
    pub fn counts_title(&self) -> bool {
        self.quota.is_some() && !self.counted
    }

    /// How much of each file is open, with the breaks that were shown in it.
    pub fn open<'a>(&'a self, shown: &'a [u32]) -> Open<'a> {
        open(self.preview_ms, self.breaks.as_ref(), shown)
    }
}

/// How much of each file a right opens.
pub fn open<'a>(preview_ms: Option<u64>, breaks: Option<&'a Breaks>, shown: &'a [u32]) -> Open<'a> {
    match (preview_ms, breaks) {
        (Some(open_ms), _) => Open::Preview(open_ms),
        (None, Some(breaks)) => Open::Breaks { breaks, shown },
        (None, None) => Open::All,
    }
}
