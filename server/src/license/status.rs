//! The status of an entitlement: one table of transitions. Whoever moves a status, store and interface alike, asks
//! [`next`].

/// Where an entitlement stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Not used yet.
    Ready,
    /// In use.
    Active,
    /// Its time or its views are over.
    Expired,
    /// Taken back before it was used.
    Cancelled,
    /// Taken back.
    Revoked,
    /// Given back by its viewer.
    Returned,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 6] =
        [Self::Ready, Self::Active, Self::Expired, Self::Cancelled, Self::Revoked, Self::Returned];

    /// Its name in the interface and in the database.
    pub fn text(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Revoked => "revoked",
            Self::Returned => "returned",
        }
    }

    /// The status of this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.text() == text)
    }

    /// Whether it can be played from.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Ready | Self::Active)
    }
}

/// What moves a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Event {
    /// A view was opened.
    Start,
    /// Another period was paid for.
    Renew,
    /// Its time is over.
    Expire,
    /// It was taken back before it was used.
    Cancel,
    /// It was taken back.
    Revoke,
    /// Its viewer gave it back.
    Return,
}

impl Event {
    /// Every event.
    pub const ALL: [Self; 6] =
        [Self::Start, Self::Renew, Self::Expire, Self::Cancel, Self::Revoke, Self::Return];

    /// Its name in the status document.
    pub fn text(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Renew => "renew",
            Self::Expire => "expire",
            Self::Cancel => "cancel",
            Self::Revoke => "revoke",
            Self::Return => "return",
        }
    }
}

/// The table. What is not in it does not happen.
pub const TRANSITIONS: &[(Status, Event, Status)] = &[
    (Status::Ready, Event::Start, Status::Active),
    (Status::Ready, Event::Renew, Status::Ready),
    (Status::Ready, Event::Expire, Status::Expired),
    (Status::Ready, Event::Cancel, Status::Cancelled),
    (Status::Ready, Event::Return, Status::Returned),
    (Status::Active, Event::Start, Status::Active),
    (Status::Active, Event::Renew, Status::Active),
    (Status::Active, Event::Expire, Status::Expired),
    (Status::Active, Event::Revoke, Status::Revoked),
    (Status::Active, Event::Return, Status::Returned),
    (Status::Expired, Event::Revoke, Status::Revoked),
];

/// Where an event leads, if it may happen.
pub fn next(status: Status, event: Event) -> Option<Status> {
    TRANSITIONS.iter().find(|(from, on, _)| (*from, *on) == (status, event)).map(|(_, _, to)| *to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_a_function_and_what_is_over_stays_over() {
        for status in Status::ALL {
            assert_eq!(Status::parse(status.text()), Some(status));
            for event in Event::ALL {
                let found = TRANSITIONS.iter().filter(|(from, on, _)| (*from, *on) == (status, event));
                assert!(found.count() <= 1, "{status:?} {event:?}");
                let reopened = !status.is_open() && next(status, event).is_some_and(Status::is_open);
                assert!(!reopened, "{status:?} {event:?}");
            }
        }
        assert_eq!(next(Status::Active, Event::Cancel), None, "what was used is revoked, not cancelled");
        assert_eq!(next(Status::Ready, Event::Revoke), None, "what was not used is cancelled, not revoked");
    }
}
