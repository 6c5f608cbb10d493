//! The rules against a model that is slow and obviously right: it keeps nothing but what happened, and answers each
//! question by reading the whole history again.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::license::place::Country;
use crate::license::status::{Event, next};

const TITLES: usize = 4;

#[derive(Debug, Clone)]
enum Act {
    Wait { ms: i64 },
    Open { device: u8, title: usize, place: Option<Country>, member: bool },
    Stop { device: u8 },
    Renew,
    Take(Event),
}

/// Something that happened, and was not refused.
#[derive(Debug, Clone)]
enum Past {
    Opened { at_ms: i64, device: u8, title: usize, stopped: Vec<u8> },
    Stopped { device: u8 },
    Renewed,
    Taken(Event),
}

#[derive(Debug, Clone)]
struct World {
    terms: Terms,
    trial: bool,
    scope: Scope,
    policy: Policy,
    own_limit: Option<u32>,
    /// Whether the plan is for everywhere but France, and leaves unknown places to the operator.
    not_in_france: bool,
}

fn id(title: usize) -> TitleId {
    TitleId::from_bytes([10 + title as u8; 16])
}

/// Four titles: one for all; one with a premiere and an end; one for a group in one country; one of a higher tier.
fn title(index: usize, member: bool, counted: bool) -> Title {
    let mut title = Title { counted, tier: Some(1), ..Title::open(id(index)) };
    match index {
        1 => {
            title.available_from_ms = Some(BOUGHT_MS + 2 * DAY_MS);
            title.available_until_ms = Some(BOUGHT_MS + 50 * DAY_MS);
        }
        2 => {
            title.audience = if member { Audience::Member } else { Audience::Outsider };
            title.countries =
                Countries::Only { countries: vec!["DE".parse().unwrap()], unknown: Some(false) };
            title.tier = None;
        }
        3 => title.tier = Some(2),
        _ => {}
    }
    title
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

struct Model<'a> {
    world: &'a World,
    history: Vec<Past>,
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
        let period = Model { world: self.world, history: self.history[last..].to_vec() };
        period.opened().into_iter().map(|(_, _, title)| title).collect()
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

    fn status(&self) -> Status {
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

    fn may_open(&self, now_ms: i64, act: (u8, usize, Option<Country>, bool)) -> Result<Allowed, Refusal> {
        let (device, wanted, place, member) = act;
        let opened = self.opened();
        match self.status() {
            Status::Revoked => return Err(Refusal::Revoked),
            Status::Cancelled => return Err(Refusal::Cancelled),
            Status::Returned => return Err(Refusal::Returned),
            Status::Expired => return Err(Refusal::Lapsed),
            Status::Ready | Status::Active => {}
        }
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
        match wanted {
            1 if now_ms < BOUGHT_MS + 2 * DAY_MS => return Err(Refusal::NotAvailableYet),
            1 if now_ms >= BOUGHT_MS + 50 * DAY_MS => return Err(Refusal::NoLongerAvailable),
            1 => until_ms = until_ms.min(BOUGHT_MS + 50 * DAY_MS),
            2 if !member => return Err(Refusal::GroupRequired),
            _ => {}
        }
        match place.map(|place| place.to_string()).as_deref() {
            Some("FR") if self.world.not_in_france => return Err(Refusal::CountryNotAllowed),
            None if self.world.not_in_france && !self.world.policy.unknown_country_allowed => {
                return Err(Refusal::CountryUnknown);
            }
            _ => {}
        }
        if wanted == 2 {
            match place.map(|place| place.to_string()).as_deref() {
                None => return Err(Refusal::CountryUnknown),
                Some("DE") => {}
                Some(_) => return Err(Refusal::CountryNotAllowed),
            }
        }
        let counted = self.counted_titles();
        let mut counts_title = false;
        if let Terms::Quota { titles, .. } = &self.world.terms {
            counts_title = !counted.contains(&wanted);
            if counts_title && counted.len() >= *titles as usize {
                return Err(Refusal::QuotaUsedUp);
            }
        }
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

/// The rules with what a store keeps for them.
struct Kept {
    entitlement: Entitlement,
    counted: BTreeSet<usize>,
    devices: BTreeSet<u8>,
    playing: Vec<u8>,
}

impl Kept {
    fn new(world: &World) -> Self {
        let price = Money { minor: 100, currency: "USD".to_owned() };
        let plan_id = PlanId::from_bytes([5; 16]);
        let plan = Plan {
            concurrent_views: world.own_limit,
            countries: match world.not_in_france {
                true => Countries::Except { countries: vec!["FR".parse().unwrap()], unknown: None },
                false => Countries::All,
            },
            ..Plan::of_title(plan_id, TITLE, price, world.terms.clone(), BOUGHT_MS)
        };
        let ids = (EntitlementId::from_bytes([1; 16]), AccountId::from_bytes([2; 16]));
        let bought = Entitlement::bought(&plan, world.scope, ids, world.trial, BOUGHT_MS);
        let entitlement = bought.unwrap();
        Self { entitlement, counted: BTreeSet::new(), devices: BTreeSet::new(), playing: Vec::new() }
    }

    fn open(
        &mut self,
        world: &World,
        now_ms: i64,
        (device, wanted, place, member): (u8, usize, Option<Country>, bool),
    ) -> (Result<Allowed, Refusal>, Vec<u8>) {
        let wanted_title = title(wanted, member, self.counted.contains(&wanted));
        let others = |set: usize, own: bool| (set - usize::from(own)) as u32;
        let registered = self.devices.contains(&device);
        let devices = Devices {
            registered,
            others: others(self.devices.len(), registered),
            others_playing: others(self.playing.len(), self.playing.contains(&device)),
        };
        let facts = Facts {
            entitlement: &self.entitlement,
            title: &wanted_title,
            place,
            devices,
            policy: world.policy,
            now_ms,
        };
        let answer = decide(&facts);
        let mut stopped = Vec::new();
        if let Ok(allowed) = answer {
            self.entitlement = self.entitlement.started(allowed.counts_title, now_ms);
            self.counted.insert(wanted);
            self.devices.insert(device);
            self.playing.retain(|other| *other != device);
            let stops = allowed.stops as usize;
            stopped = match world.policy.at_limit {
                AtLimit::StopNewest => self.playing.split_off(self.playing.len() - stops),
                _ => self.playing.drain(..stops).collect(),
            };
            self.playing.push(device);
        }
        (answer, stopped)
    }
}

fn play(world: &World, acts: &[Act]) -> Result<(), TestCaseError> {
    let mut kept = Kept::new(world);
    let mut model = Model { world, history: Vec::new() };
    let mut now_ms = BOUGHT_MS;
    for act in acts {
        match act.clone() {
            Act::Wait { ms } => now_ms += ms,
            Act::Open { device, title, place, member } => {
                let asked = (device, title, place, member);
                let expected = model.may_open(now_ms, asked);
                let (answer, stopped) = kept.open(world, now_ms, asked);
                prop_assert_eq!(answer, expected, "{} ms after {:?}", now_ms - BOUGHT_MS, model.history);
                if answer.is_ok() {
                    model.history.push(Past::Opened { at_ms: now_ms, device, title, stopped });
                }
            }
            Act::Stop { device } => {
                kept.playing.retain(|other| *other != device);
                model.history.push(Past::Stopped { device });
            }
            Act::Renew => {
                let may = world.terms.renewal().is_some() && model.status().is_open();
                let renewed = kept.entitlement.renewed();
                prop_assert_eq!(renewed.is_some(), may);
                if let Some(renewed) = renewed {
                    kept.entitlement = renewed;
                    kept.counted.clear();
                    model.history.push(Past::Renewed);
                }
            }
            Act::Take(event) => {
                if let Some(status) = next(kept.entitlement.status, event) {
                    kept.entitlement.status = status;
                    model.history.push(Past::Taken(event));
                }
            }
        }
        prop_assert_eq!(kept.entitlement.status, model.status());
    }
    Ok(())
}

fn renewals() -> impl Strategy<Value = Renewal> {
    let period = prop_oneof![3 => Just(Period::Month), 1 => Just(Period::Year)];
    (period, prop_oneof![Just(0), Just(3 * DAY_MS as u64)], proptest::option::of(Just(7 * DAY_MS as u64)))
        .prop_map(|(period, grace_ms, trial_ms)| Renewal { period, grace_ms, trial_ms })
}

fn worlds() -> impl Strategy<Value = World> {
    let day = DAY_MS as u64;
    let terms = prop_oneof![
        3 => (1..40_u64, 1..6_u64, proptest::option::of(1..5_u32)).prop_map(move |(start, play, views)| {
            Terms::Rental { start_within_ms: start * day, play_within_ms: play * day, views }
        }),
        1 => Just(Terms::Purchase),
        2 => renewals().prop_map(Terms::Subscription),
        3 => (renewals(), 1..4_u32).prop_map(|(renewal, titles)| Terms::Quota { renewal, titles }),
        1 => Just(Terms::Free { guests: false }),
    ];
    let scope = prop_oneof![
        (0..TITLES).prop_map(|title| Scope::Title(id(title))),
        (1..3_u32).prop_map(|tier| Scope::Collection { collection: COLLECTION, tier }),
    ];
    let at_limit = prop_oneof![Just(AtLimit::Refuse), Just(AtLimit::StopOldest), Just(AtLimit::StopNewest)];
    let limit = || proptest::option::of(1..4_u32);
    let places = (any::<bool>(), any::<bool>());
    (terms, any::<bool>(), scope, limit(), limit(), at_limit, limit(), places).prop_map(
        |(terms, trial, scope, devices_max, concurrent_views_max, at_limit, own_limit, places)| {
            let (not_in_france, unknown_country_allowed) = places;
            let policy = Policy {
                devices_max,
                concurrent_views_max,
                at_limit,
                unknown_country_allowed,
                ..Policy::default()
            };
            World { terms, trial, scope, policy, own_limit, not_in_france }
        },
    )
}

fn acts() -> impl Strategy<Value = Act> {
    let place = prop_oneof![Just(None), Just("DE".parse().ok()), Just("FR".parse().ok())];
    let ended =
        prop_oneof![Just(Event::Cancel), Just(Event::Revoke), Just(Event::Return), Just(Event::Expire)];
    prop_oneof![
        4 => (0..40 * DAY_MS).prop_map(|ms| Act::Wait { ms }),
        // Whole days and a millisecond less or more: the edges of every window.
        4 => (0..6_i64, -1..2_i64).prop_map(|(days, ms)| Act::Wait { ms: (days * DAY_MS + ms).max(0) }),
        12 => (0..4_u8, 0..TITLES, place, any::<bool>())
            .prop_map(|(device, title, place, member)| Act::Open { device, title, place, member }),
        3 => (0..4_u8).prop_map(|device| Act::Stop { device }),
        3 => Just(Act::Renew),
        1 => ended.prop_map(Act::Take),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn the_rules_agree_with_the_model(world in worlds(), acts in proptest::collection::vec(acts(), 1..40)) {
        play(&world, &acts)?;
    }
}
