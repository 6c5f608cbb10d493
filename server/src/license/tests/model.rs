//! The rules against a model that is slow and obviously right: it keeps nothing but what happened, and answers each
//! question by reading the whole history again.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::license::place::Country;
use crate::license::status::{Event, next};

mod history;

use history::{Model, Past};

const TITLES: usize = 4;
/// When the title with a premiere has it, unless that is moved.
const PREMIERE_DAYS: i64 = 2;

#[derive(Debug, Clone)]
enum Act {
    Wait {
        ms: i64,
    },
    Open {
        device: u8,
        title: usize,
        place: Option<Country>,
        member: bool,
    },
    GoOn {
        device: u8,
        place: Option<Country>,
        member: bool,
    },
    Stop {
        device: u8,
    },
    Renew,
    Take(Event),
    /// The publisher moves the premiere.
    Postpone {
        days: i64,
    },
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
fn title(index: usize, member: bool, counted: bool, premiere_ms: i64) -> Title {
    let mut title = Title { counted, tier: Some(1), ..Title::open(id(index)) };
    match index {
        1 => {
            title.rights.available_from_ms = Some(premiere_ms);
            title.rights.available_until_ms = Some(BOUGHT_MS + 50 * DAY_MS);
        }
        2 => {
            title.rights.audience = if member { Audience::Member } else { Audience::Outsider };
            title.rights.countries =
                Countries::Only { countries: vec!["DE".parse().unwrap()], unknown: Some(false) };
            title.tier = None;
        }
        3 => title.tier = Some(2),
        _ => {}
    }
    title
}

/// The rules with what a store keeps for them.
struct Kept {
    entitlement: Entitlement,
    counted: BTreeSet<usize>,
    devices: BTreeSet<u8>,
    playing: Vec<u8>,
    /// What each device opened last, and where that stands.
    views: BTreeMap<u8, (usize, ViewState)>,
    premiere_ms: i64,
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
        Self {
            entitlement,
            counted: BTreeSet::new(),
            devices: BTreeSet::new(),
            playing: Vec::new(),
            views: BTreeMap::new(),
            premiere_ms: BOUGHT_MS + PREMIERE_DAYS * DAY_MS,
        }
    }

    /// Asks of the view of a device; the title, if it is counted by that.
    fn go_on(
        &mut self,
        world: &World,
        now_ms: i64,
        (device, place, member): (u8, Option<Country>, bool),
    ) -> Result<Option<usize>, Refusal> {
        let (wanted, state) = self.views[&device];
        let title = title(wanted, member, self.counted.contains(&wanted), self.premiere_ms);
        let view = View {
            play_until_ms: self.entitlement.play_until_ms,
            valid_until_ms: self.entitlement.valid_until_ms,
            status: self.entitlement.status,
            quota: self.entitlement.quota,
            counted: title.counted,
            plan_countries: self.entitlement.countries.clone(),
            rights: title.rights,
            ..view(state)
        };
        may_continue(&view, (place, &world.policy), now_ms, i64::MAX)?;
        if !view.counts_title() {
            return Ok(None);
        }
        self.counted.insert(wanted);
        self.entitlement.quota = self.entitlement.quota.map(|quota| Quota { used: quota.used + 1, ..quota });
        Ok(Some(wanted))
    }

    /// Ends views that nobody ended before.
    fn end(&mut self, devices: impl IntoIterator<Item = u8>, state: ViewState) {
        for device in devices {
            if let Some((_, stands @ ViewState::Active)) = self.views.get_mut(&device) {
                *stands = state;
            }
        }
    }

    fn open(
        &mut self,
        world: &World,
        now_ms: i64,
        (device, wanted, place, member): (u8, usize, Option<Country>, bool),
    ) -> (Result<Allowed, Refusal>, Vec<u8>) {
        let wanted_title = title(wanted, member, self.counted.contains(&wanted), self.premiere_ms);
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
            self.end(stopped.clone(), ViewState::Stopped);
            self.views.insert(device, (wanted, ViewState::Active));
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
            Act::GoOn { device, place, member } => {
                let Some((title, over)) = model.view_of(device) else { continue };
                let expected = match over {
                    Some(over) => Err(over),
                    None => model.may_go_on(now_ms, (title, place, member)),
                };
                let answer = kept.go_on(world, now_ms, (device, place, member));
                prop_assert_eq!(answer.map(drop), expected, "after {:?}", model.history);
                if let Ok(Some(title)) = answer {
                    model.history.push(Past::WentOn { title });
                }
            }
            Act::Postpone { days } => {
                kept.premiere_ms = BOUGHT_MS + days * DAY_MS;
                model.history.push(Past::Postponed { days });
            }
            Act::Stop { device } => {
                kept.end([device], ViewState::Ended);
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
                    if event != Event::Expire {
                        kept.end(0..=u8::MAX, ViewState::Revoked);
                    }
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
    let place = || prop_oneof![Just(None), Just("DE".parse().ok()), Just("FR".parse().ok())];
    let ended =
        prop_oneof![Just(Event::Cancel), Just(Event::Revoke), Just(Event::Return), Just(Event::Expire)];
    prop_oneof![
        4 => (0..40 * DAY_MS).prop_map(|ms| Act::Wait { ms }),
        // Whole days and a millisecond less or more: the edges of every window.
        4 => (0..6_i64, -1..2_i64).prop_map(|(days, ms)| Act::Wait { ms: (days * DAY_MS + ms).max(0) }),
        12 => (0..4_u8, 0..TITLES, place(), any::<bool>())
            .prop_map(|(device, title, place, member)| Act::Open { device, title, place, member }),
        8 => (0..4_u8, place(), any::<bool>())
            .prop_map(|(device, place, member)| Act::GoOn { device, place, member }),
        1 => (0..6_i64).prop_map(|days| Act::Postpone { days }),
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
