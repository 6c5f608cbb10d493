//! The model: what happened, read again for each question.

use super::*;

/// Something that happened, and was not refused.
#[derive(Debug, Clone)]
pub(super) enum Past {
    Opened { at_ms: i64, device: u8, title: usize, stopped: Vec<u8> },
    WentOn { title: usize },
    Stopped { device: u8 },
    Renewed,
    Taken(Event),
    Postponed { days: i64 },
}

/// What ends views, and not only their right.
fn taken(event: Event) -> Option<Refusal> {
    match event {
        Event::Cancel => Some(Refusal::Cancelled),
        Event::Revoke => Some(Refusal::Revoked),
        Event::Return => Some(Refusal::Returned),
        Event::Start | Event::Renew | Event::Expire => None,
    }
}

/// Calendar arithmetic by walking from day to day.
fn months_later_ms(from_ms: i64, months: u32) -> i64 {
    let length = |year: i64, month: i64| match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let (mut year, mut month, mut day) = (1970, 1, 1);
    for _ in 0..from_ms / DAY_MS {
        day += 1;
        if day > length(year, month) {
            (month, day) = (month + 1, 1);
        }
        if month > 12 {
            (year, month) = (year + 1, 1);
        }
    }
    let mut days = 0;
    let (mut to_year, mut to_month) = (year, month);
    for _ in 0..months {
        days += length(to_year, to_month);
        to_month += 1;
        if to_month > 12 {
            (to_year, to_month) = (to_year + 1, 1);
        }
    }
    days -= (day - length(to_year, to_month)).max(0);
    from_ms + days * DAY_MS
}

pub(super) struct Model<'a> {
    pub(super) world: &'a World,
    pub(super) history: Vec<Past>,
}

impl Model<'_> {
    fn opened(&self) -> Vec<(i64, u8, usize)> {
        let opened = self.history.iter().filter_map(|past| match past {
            Past::Opened { at_ms, device, title, .. } => Some((*at_ms, *device, *title)),
            _ => None,
        });
        opened.collect()
    }

    fn paid_until_ms(&self) -> Option<i64> {
        let renewal = self.world.terms.renewal()?;
        let renewals = self.history.iter().filter(|past| matches!(past, Past::Renewed)).count() as u32;
        let trial_ms = renewal.trial_ms.filter(|_| self.world.trial);
        let anchor_ms = BOUGHT_MS + trial_ms.unwrap_or(0) as i64;
        let periods = renewals + u32::from(trial_ms.is_none());
        let months = if renewal.period == Period::Year { 12 * periods } else { periods };
        Some(months_later_ms(anchor_ms, months) + renewal.grace_ms as i64)
    }

    fn counted_titles(&self) -> BTreeSet<usize> {
        let last = self.history.iter().rposition(|past| matches!(past, Past::Renewed)).map_or(0, |at| at + 1);
        let counted = self.history[last..].iter().filter_map(|past| match past {
            Past::Opened { title, .. } | Past::WentOn { title } => Some(*title),
            _ => None,
        });
        counted.collect()
    }

    fn premiere_ms(&self) -> i64 {
        let days = self.history.iter().rev().find_map(|past| match past {
            Past::Postponed { days } => Some(*days),
            _ => None,
        });
        BOUGHT_MS + days.unwrap_or(PREMIERE_DAYS) * DAY_MS
    }

    /// Devices that play, the one that began first in front.
    fn playing(&self) -> Vec<u8> {
        let mut playing: Vec<u8> = Vec::new();
        for past in &self.history {
            match past {
                Past::Opened { device, stopped, .. } => {
                    playing.retain(|other| other != device && !stopped.contains(other));
                    playing.push(*device);
                }
                Past::Stopped { device } => playing.retain(|other| other != device),
                _ => {}
            }
        }
        playing
    }

    pub(super) fn status(&self) -> Status {
        let mut status = if self.opened().is_empty() { Status::Ready } else { Status::Active };
        for past in &self.history {
            if let Past::Taken(event) = past {
                status = match event {
                    Event::Cancel => Status::Cancelled,
                    Event::Revoke => Status::Revoked,
                    Event::Return => Status::Returned,
                    _ => Status::Expired,
                };
            }
        }
        status
    }

    fn stands(&self) -> Result<(), Refusal> {
        match self.status() {
            Status::Revoked => Err(Refusal::Revoked),
            Status::Cancelled => Err(Refusal::Cancelled),
            Status::Returned => Err(Refusal::Returned),
            Status::Expired => Err(Refusal::Lapsed),
            Status::Ready | Status::Active => Ok(()),
        }
    }

    /// Whether the title is for this viewer, here and now.
    fn is_given(
        &self,
        now_ms: i64,
        (wanted, place, member): (usize, Option<Country>, bool),
    ) -> Result<(), Refusal> {
        match wanted {
            1 if now_ms < self.premiere_ms() => return Err(Refusal::NotAvailableYet),
            1 if now_ms >= BOUGHT_MS + 50 * DAY_MS => return Err(Refusal::NoLongerAvailable),
            2 if !member => return Err(Refusal::GroupRequired),
            _ => {}
        }
        let place = place.map(|place| place.to_string());
        match place.as_deref() {
            Some("FR") if self.world.not_in_france => return Err(Refusal::CountryNotAllowed),
            None if self.world.not_in_france && !self.world.policy.unknown_country_allowed => {
                return Err(Refusal::CountryUnknown);
            }
            _ => {}
        }
        match place.as_deref() {
            None if wanted == 2 => Err(Refusal::CountryUnknown),
            Some(place) if wanted == 2 && place != "DE" => Err(Refusal::CountryNotAllowed),
            _ => Ok(()),
        }
    }

    fn counts(&self, wanted: usize) -> Result<bool, Refusal> {
        let Terms::Quota { titles, .. } = &self.world.terms else { return Ok(false) };
        let counted = self.counted_titles();
        if counted.contains(&wanted) {
            return Ok(false);
        }
        if counted.len() >= *titles as usize { Err(Refusal::QuotaUsedUp) } else { Ok(true) }
    }

    /// What a device opened last, and what ended that.
    pub(super) fn view_of(&self, device: u8) -> Option<(usize, Option<Refusal>)> {
        let mut view = None;
        for past in &self.history {
            match past {
                Past::Opened { device: on, title, .. } if *on == device => view = Some((*title, None)),
                Past::Opened { stopped, .. } if stopped.contains(&device) => {
                    view = view.map(|(title, over)| (title, over.or(Some(Refusal::ViewStopped))));
                }
                Past::Stopped { device: on } if *on == device => {
                    view = view.map(|(title, over)| (title, over.or(Some(Refusal::ViewEnded))));
                }
                Past::Taken(event) => view = view.map(|(title, over)| (title, over.or(taken(*event)))),
                _ => {}
            }
        }
        view
    }

    /// Whether a view of a title that nobody ended may go on.
    pub(super) fn may_go_on(
        &self,
        now_ms: i64,
        (wanted, place, member): (usize, Option<Country>, bool),
    ) -> Result<(), Refusal> {
        self.stands()?;
        if let (Terms::Rental { play_within_ms, .. }, Some((first_ms, ..))) =
            (&self.world.terms, self.opened().first())
            && now_ms - first_ms >= *play_within_ms as i64
        {
            return Err(Refusal::PlayWindowOver);
        }
        if self.paid_until_ms().is_some_and(|paid_ms| now_ms >= paid_ms) {
            return Err(Refusal::Lapsed);
        }
        self.is_given(now_ms, (wanted, place, member))?;
        self.counts(wanted).map(drop)
    }

    pub(super) fn may_open(
        &self,
        now_ms: i64,
        act: (u8, usize, Option<Country>, bool),
    ) -> Result<Allowed, Refusal> {
        let (device, wanted, place, member) = act;
        let opened = self.opened();
        self.stands()?;
        let mut until_ms = NO_LIMIT_MS;
        if let Some(paid_ms) = self.paid_until_ms() {
            if now_ms >= paid_ms {
                return Err(Refusal::Lapsed);
            }
            until_ms = paid_ms;
        }
        if let Terms::Rental { start_within_ms, play_within_ms, views } = &self.world.terms {
            match opened.first() {
                None if now_ms - BOUGHT_MS >= *start_within_ms as i64 => {
                    return Err(Refusal::StartWindowOver);
                }
                Some((first_ms, ..)) if now_ms - first_ms >= *play_within_ms as i64 => {
                    return Err(Refusal::PlayWindowOver);
                }
                first => until_ms = first.map_or(now_ms, |(first_ms, ..)| *first_ms) + *play_within_ms as i64,
            }
            if views.is_some_and(|views| opened.len() >= views as usize) {
                return Err(Refusal::NoViewsLeft);
            }
        }
        match (self.world.scope, wanted) {
            (Scope::Title(covered), _) if covered != id(wanted) => return Err(Refusal::NotCovered),
            (Scope::Collection { .. }, 2) => return Err(Refusal::NotCovered),
            (Scope::Collection { tier: 1, .. }, 3) => return Err(Refusal::TierTooLow),
            _ => {}
        }
        self.is_given(now_ms, (wanted, place, member))?;
        if wanted == 1 {
            until_ms = until_ms.min(BOUGHT_MS + 50 * DAY_MS);
        }
        let counts_title = self.counts(wanted)?;
        let known: BTreeSet<u8> = opened.iter().map(|(_, device, _)| *device).collect();
        let registers_device = !known.contains(&device);
        if registers_device && self.world.policy.devices_max.is_some_and(|max| known.len() >= max as usize) {
            return Err(Refusal::TooManyDevices);
        }
        let others = self.playing().iter().filter(|other| **other != device).count() as u32;
        let limit = self.world.own_limit.or(self.world.policy.concurrent_views_max).unwrap_or(u32::MAX);
        let mut stops = 0;
        while stops < others && others - stops + 1 > limit {
            if self.world.policy.at_limit == AtLimit::Refuse {
                return Err(Refusal::TooManyViews);
            }
            stops += 1;
        }
        let first = opened.is_empty();
        Ok(Allowed { play_until_ms: until_ms, first, counts_title, registers_device, stops })
    }
}
