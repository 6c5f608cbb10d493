//! Every rule at its edge, one millisecond before and after, and the whole against a slow model.

mod lease;
mod model;

use matinee_protocol::api::Money;
use matinee_protocol::id::{
    AccountId, CollectionId, EntitlementId, PlanId, ReleaseId, Thumbprint, TitleId, ViewId,
};

use super::calendar::Period;
use super::decide::{AtLimit, Devices, Policy};
use super::entitlement::{Entitlement, Quota};
use super::place::Countries;
use super::plan::{Kind, Plan, Renewal, Scope, Terms};
use super::status::Status;
use super::title::{Audience, Rights, Title};
use super::view::{State as ViewState, View};
use super::*;

const BOUGHT_MS: i64 = 1_795_000_000_000;
const DAY_MS: i64 = 86_400_000;
const TITLE: TitleId = TitleId::from_bytes([3; 16]);
const COLLECTION: CollectionId = CollectionId::from_bytes([4; 16]);

fn rental(views_left: Option<u32>) -> Entitlement {
    Entitlement {
        kind: Kind::Rental,
        start_by_ms: Some(BOUGHT_MS + 1000),
        play_within_ms: Some(500),
        views_left,
        ..granted(Scope::Title(TITLE))
    }
}

fn granted(scope: Scope) -> Entitlement {
    let (id, account) = (EntitlementId::from_bytes([1; 16]), AccountId::from_bytes([2; 16]));
    Entitlement::granted(id, account, scope, BOUGHT_MS)
}

fn started(views_left: Option<u32>, until_ms: i64) -> Entitlement {
    let status = Status::Active;
    Entitlement { play_until_ms: Some(until_ms), views_used: 1, status, ..rental(views_left) }
}

fn subscribed(terms: Terms) -> Entitlement {
    let price = Money { minor: 795, currency: "USD".to_owned() };
    let scope = Scope::Collection { collection: COLLECTION, tier: 2 };
    let plan = Plan {
        scopes: vec![scope],
        ..Plan::of_title(PlanId::from_bytes([5; 16]), TITLE, price, terms, BOUGHT_MS)
    };
    let ids = (EntitlementId::from_bytes([1; 16]), AccountId::from_bytes([2; 16]));
    Entitlement::bought(&plan, scope, ids, false, BOUGHT_MS).unwrap()
}

fn facts<'a>(entitlement: &'a Entitlement, title: &'a Title, now_ms: i64) -> Facts<'a> {
    let devices = Devices { registered: true, ..Devices::default() };
    Facts { entitlement, title, place: None, devices, policy: Policy::default(), now_ms }
}

#[test]
fn every_case_of_a_window() {
    let at = |ms: i64| BOUGHT_MS + ms;
    let first = |ms| Ok((true, at(ms)));
    let again = |ms| Ok((false, at(ms)));
    let with = |status| Entitlement { status, ..rental(Some(5)) };
    let endless = granted(Scope::Title(TITLE));
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
        (with(Status::Revoked), 0, Err(Refusal::Revoked), "revoked"),
        (with(Status::Cancelled), 0, Err(Refusal::Cancelled), "cancelled"),
        (with(Status::Returned), 0, Err(Refusal::Returned), "returned"),
        (with(Status::Expired), 0, Err(Refusal::Lapsed), "expired"),
        (endless, 1 << 40, Ok((true, NO_LIMIT_MS)), "ready"),
    ];
    let title = Title::open(TITLE);
    for (row, (entitlement, after_ms, expected, word)) in table.into_iter().enumerate() {
        let answer = decide(&facts(&entitlement, &title, at(after_ms)));
        assert_eq!(answer.map(|allowed| (allowed.first, allowed.play_until_ms)), expected, "row {row}");
        assert_eq!(entitlement.summary(at(after_ms)).status, word, "row {row}");
    }
}

#[test]
fn a_subscription_holds_through_its_grace_unless_it_was_given_up() {
    let renewal = Renewal { period: Period::Month, grace_ms: 1000, trial_ms: None };
    let title = Title { tier: Some(2), ..Title::open(TITLE) };
    let renews = subscribed(Terms::Subscription(renewal));
    let end_ms = Period::Month.end_ms(BOUGHT_MS, 1).unwrap();
    let given_up = {
        let billing = renews.billing.map(|billing| entitlement::Billing { renews: false, ..billing });
        Entitlement {
            billing,
            valid_until_ms: billing.map(|billing| billing.valid_until_ms()),
            ..renews.clone()
        }
    };
    let answer = |entitlement: &Entitlement, now_ms| {
        decide(&facts(entitlement, &title, now_ms)).map(|allowed| allowed.play_until_ms)
    };
    assert_eq!(answer(&renews, end_ms + 999), Ok(end_ms + 1000));
    assert_eq!(answer(&renews, end_ms + 1000), Err(Refusal::Lapsed));
    assert_eq!(answer(&given_up, end_ms - 1), Ok(end_ms));
    assert_eq!(answer(&given_up, end_ms), Err(Refusal::Lapsed));
    let renewed = renews.renewed().unwrap();
    let next_ms = Period::Month.end_ms(BOUGHT_MS, 2).unwrap();
    assert_eq!(answer(&renewed, end_ms + 1000), Ok(next_ms + 1000));
    let lapsed = Entitlement { status: Status::Expired, ..renews };
    assert_eq!(lapsed.renewed(), None, "what has lapsed is bought again");
}

#[test]
fn every_case_of_a_title() {
    let collection = granted(Scope::Collection { collection: COLLECTION, tier: 2 });
    let own = granted(Scope::Title(TITLE));
    let other = granted(Scope::Title(TitleId::from_bytes([9; 16])));
    let open = Title::open(TITLE);
    let tier = |tier| Title { tier, ..open.clone() };
    let with = |rights| Title { rights, ..open.clone() };
    let window = |available_from_ms, available_until_ms| {
        with(Rights { available_from_ms, available_until_ms, ..Rights::default() })
    };
    let audience = |audience| with(Rights { audience, ..Rights::default() });
    let list = vec!["DE".parse().unwrap(), "AT".parse().unwrap()];
    let within = |countries| with(Rights { countries, ..Rights::default() });
    let only = |unknown| within(Countries::Only { countries: list.clone(), unknown: Some(unknown) });
    let except = |unknown| within(Countries::Except { countries: list.clone(), unknown: Some(unknown) });
    let (de, fr) = ("de".parse().ok(), "FR".parse().ok());
    let now = BOUGHT_MS;
    for (row, (entitlement, title, place, expected)) in [
        (&own, open.clone(), None, Ok(())),
        (&other, open.clone(), None, Err(Refusal::NotCovered)),
        (&collection, tier(None), None, Err(Refusal::NotCovered)),
        (&collection, tier(Some(2)), None, Ok(())),
        (&collection, tier(Some(3)), None, Err(Refusal::TierTooLow)),
        (&own, audience(Audience::Member), None, Ok(())),
        (&own, audience(Audience::Outsider), None, Err(Refusal::GroupRequired)),
        (&own, window(Some(now), None), None, Ok(())),
        (&own, window(Some(now + 1), None), None, Err(Refusal::NotAvailableYet)),
        (&own, window(None, Some(now + 1)), None, Ok(())),
        (&own, window(None, Some(now)), None, Err(Refusal::NoLongerAvailable)),
        (&own, only(false), de, Ok(())),
        (&own, only(true), fr, Err(Refusal::CountryNotAllowed)),
        (&own, only(true), None, Ok(())),
        (&own, only(false), None, Err(Refusal::CountryUnknown)),
        (&own, except(false), de, Err(Refusal::CountryNotAllowed)),
        (&own, except(false), fr, Ok(())),
        (&own, except(true), None, Ok(())),
        (&own, except(false), None, Err(Refusal::CountryUnknown)),
    ]
    .into_iter()
    .enumerate()
    {
        let facts = Facts { place, ..facts(entitlement, &title, now) };
        assert_eq!(decide(&facts).map(drop), expected, "row {row}");
    }
    let abroad = Entitlement { countries: except(false).rights.countries, ..own.clone() };
    for (place, title, expected) in [
        (de, open.clone(), Err(Refusal::CountryNotAllowed)),
        (fr, open.clone(), Ok(())),
        (fr, only(true), Err(Refusal::CountryNotAllowed)),
        (None, only(true), Err(Refusal::CountryUnknown)),
    ] {
        let facts = Facts { place, ..facts(&abroad, &title, now) };
        assert_eq!(decide(&facts).map(drop), expected, "the plan's countries and the title's: {place:?}");
    }
    let closing = window(None, Some(now + 5));
    assert_eq!(
        decide(&facts(&own, &closing, now)).unwrap().play_until_ms,
        now + 5,
        "play ends with the title"
    );
}

#[test]
fn every_case_of_a_count() {
    let renewal = Renewal { period: Period::Month, grace_ms: 0, trial_ms: None };
    let quota = |used| Entitlement {
        quota: Some(Quota { titles: 3, used }),
        ..subscribed(Terms::Quota { renewal, titles: 3 })
    };
    let title = |counted| Title { tier: Some(1), counted, ..Title::open(TITLE) };
    for (used, counted, expected) in [
        (2, false, Ok(true)),
        (3, false, Err(Refusal::QuotaUsedUp)),
        (3, true, Ok(false)),
        (0, true, Ok(false)),
    ] {
        let (entitlement, title) = (quota(used), title(counted));
        let answer = decide(&facts(&entitlement, &title, BOUGHT_MS)).map(|allowed| allowed.counts_title);
        assert_eq!(answer, expected, "{used} {counted}");
    }
    let (own, open) = (granted(Scope::Title(TITLE)), Title::open(TITLE));
    let policy = |at_limit| Policy {
        devices_max: Some(2),
        concurrent_views_max: Some(2),
        at_limit,
        ..Policy::default()
    };
    for (row, (registered, others, others_playing, at_limit, expected)) in [
        (true, 9, 1, AtLimit::Refuse, Ok((false, 0))),
        (true, 9, 2, AtLimit::Refuse, Err(Refusal::TooManyViews)),
        (true, 9, 2, AtLimit::StopOldest, Ok((false, 1))),
        (true, 9, 4, AtLimit::StopNewest, Ok((false, 3))),
        (false, 1, 0, AtLimit::Refuse, Ok((true, 0))),
        (false, 2, 0, AtLimit::StopOldest, Err(Refusal::TooManyDevices)),
    ]
    .into_iter()
    .enumerate()
    {
        let devices = Devices { registered, others, others_playing };
        let facts = Facts { devices, policy: policy(at_limit), ..facts(&own, &open, BOUGHT_MS) };
        let answer = decide(&facts).map(|allowed| (allowed.registers_device, allowed.stops));
        assert_eq!(answer, expected, "row {row}");
    }
    let plan_says = Entitlement { concurrent_views: Some(1), ..own };
    let devices = Devices { registered: true, others: 1, others_playing: 1 };
    let facts = Facts { devices, policy: policy(AtLimit::Refuse), ..facts(&plan_says, &open, BOUGHT_MS) };
    assert_eq!(decide(&facts), Err(Refusal::TooManyViews), "the plan's own limit is the one that counts");
}

#[test]
fn every_refusal_has_a_code_of_its_own() {
    let codes: std::collections::BTreeSet<&str> = Refusal::ALL.iter().map(|refusal| refusal.code()).collect();
    assert_eq!(codes.len(), Refusal::ALL.len());
    assert!(Refusal::ALL.iter().all(|refusal| refusal.to_string().starts_with(char::is_lowercase)));
}

fn view(state: ViewState) -> View {
    View {
        id: ViewId::from_bytes([1; 16]),
        entitlement_id: EntitlementId::from_bytes([1; 16]),
        account_id: AccountId::from_bytes([2; 16]),
        title_id: TITLE,
        release_id: ReleaseId::from_bytes([3; 16]),
        device: Thumbprint::from_bytes([4; 32]),
        agreement_key: [5; 32],
        state,
        opened_at_ms: 0,
        last_seen_at_ms: 100,
        play_until_ms: None,
        valid_until_ms: None,
        status: Status::Active,
        quota: None,
        counted: false,
        preview_ms: None,
        plan_countries: Countries::All,
        rights: Rights::default(),
        breaks: None,
    }
}

#[test]
fn every_case_of_going_on() {
    let active = view(ViewState::Active);
    let with = |rights| View { rights, ..active.clone() };
    let started = View { play_until_ms: Some(200), ..active.clone() };
    let paid = View { valid_until_ms: Some(200), ..active.clone() };
    let leaving = with(Rights { available_until_ms: Some(200), ..Rights::default() });
    let coming = with(Rights { available_from_ms: Some(200), ..Rights::default() });
    let audience = |audience| with(Rights { audience, ..Rights::default() });
    assert_eq!((active.until_ms(), paid.until_ms(), leaving.until_ms()), (NO_LIMIT_MS, 200, 200));
    let quota = |used, counted| View { quota: Some(Quota { titles: 2, used }), counted, ..active.clone() };
    let counts = [quota(2, true), quota(1, false), active.clone()].map(|view| view.counts_title());
    assert_eq!(counts, [false, true, false]);
    let revoked = |status| View { status, ..view(ViewState::Revoked) };
    let left = View { rights: audience(Audience::Outsider).rights, ..revoked(Status::Active) };
    let table = [
        (started.clone(), 199, Ok(())),
        (active.clone(), 199, Ok(())),
        (started, 200, Err(Refusal::PlayWindowOver)),
        (paid.clone(), 199, Ok(())),
        (paid, 200, Err(Refusal::Lapsed)),
        (leaving.clone(), 199, Ok(())),
        (leaving, 200, Err(Refusal::NoLongerAvailable)),
        (coming.clone(), 199, Err(Refusal::NotAvailableYet)),
        (coming, 200, Ok(())),
        (audience(Audience::Member), 199, Ok(())),
        (audience(Audience::Outsider), 199, Err(Refusal::GroupRequired)),
        (quota(2, true), 199, Ok(())),
        (quota(1, false), 199, Ok(())),
        (quota(2, false), 199, Err(Refusal::QuotaUsedUp)),
        (active.clone(), 1100, Ok(())),
        (active.clone(), 1101, Err(Refusal::ViewExpired)),
        (view(ViewState::Ended), 100, Err(Refusal::ViewEnded)),
        (view(ViewState::Expired), 100, Err(Refusal::ViewExpired)),
        (view(ViewState::Stopped), 100, Err(Refusal::ViewStopped)),
        (revoked(Status::Revoked), 100, Err(Refusal::Revoked)),
        (revoked(Status::Cancelled), 100, Err(Refusal::Cancelled)),
        (revoked(Status::Returned), 100, Err(Refusal::Returned)),
        (left, 100, Err(Refusal::GroupRequired)),
        (revoked(Status::Active), 100, Err(Refusal::ViewEnded)),
    ];
    let policy = Policy::default();
    for (row, (view, now_ms, expected)) in table.into_iter().enumerate() {
        assert_eq!(may_continue(&view, (None, &policy), now_ms, 1000), expected, "row {row}");
    }
    // A view that goes on elsewhere is asked where it is, by its title and by its plan.
    let only = |unknown| Countries::Only { countries: vec!["DE".parse().unwrap()], unknown };
    let (de, fr) = ("DE".parse().ok(), "FR".parse().ok());
    for (place, unknown, operator, expected) in [
        (de, None, false, Ok(())),
        (fr, Some(true), true, Err(Refusal::CountryNotAllowed)),
        (None, None, false, Err(Refusal::CountryUnknown)),
        (None, None, true, Ok(())),
        (None, Some(false), true, Err(Refusal::CountryUnknown)),
        (None, Some(true), false, Ok(())),
    ] {
        let policy = Policy { unknown_country_allowed: operator, ..Policy::default() };
        let title = with(Rights { countries: only(unknown), ..Rights::default() });
        let plan = View { plan_countries: only(unknown), ..active.clone() };
        for view in [title, plan] {
            assert_eq!(may_continue(&view, (place, &policy), 100, 1000), expected, "{place:?} {unknown:?}");
        }
    }
}

#[test]
fn a_preview_opens_what_its_title_says_now() {
    let preview = Entitlement { kind: Kind::Preview, ..granted(Scope::Title(TITLE)) };
    let title = |preview_ms| Title { preview_ms, ..Title::open(TITLE) };
    for (says, opens, expected) in [(Some(5), 5, Ok(())), (None, 0, Err(Refusal::PreviewOver))] {
        assert_eq!(preview.preview_ms(&title(says)), Some(opens));
        assert_eq!(decide(&facts(&preview, &title(says), BOUGHT_MS)).map(drop), expected);
    }
    assert_eq!(granted(Scope::Title(TITLE)).preview_ms(&title(Some(5))), None, "who owns it has all of it");
}
